"""The records of a data set as a sequence that stays on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from ..errors import InputError
from ..typing import Int64
from .ledger import Ledger, read_line
from .log import parse_line
from .record import Array, Record


class Records(Sequence[Record]):
    """The records of a ledger's done samples, by index; each is read from its log when it is asked for.

    16 bytes per sample are in memory, and no file stays open: processes may share it, or get it pickled.

    Raises:
        InputError: on reading a record, where the log is gone or was written anew since the ledger was read.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._logs = ledger.logs
        self._indices: Int64[Array, " n"] = np.flatnonzero(ledger.done)
        self._places: Int64[Array, " n"] = ledger.place[self._indices]

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Record, ...]: ...
    def __getitem__(self, index: int | slice) -> Record | tuple[Record, ...]:
        if isinstance(index, slice):
            return tuple(self._record(position) for position in range(len(self))[index])
        return self._record(range(len(self))[index])

    def __iter__(self) -> Iterator[Record]:
        return map(self._record, range(len(self)))

    def _record(self, position: int) -> Record:
        sample, place = int(self._indices[position]), int(self._places[position])
        try:
            record = parse_line(read_line(self._logs, place), f"The record of sample {sample}")
        except (OSError, InputError) as error:
            raise self._changed(sample) from error
        if record is None or record.index != sample:
            raise self._changed(sample)
        return record

    def _changed(self, sample: int) -> InputError:
        return InputError(
            f"The record of sample {sample} is no longer where it was when the data set was opened: its log was "
            f"written anew ({self._logs[0].parent}). Open the data set again."
        )

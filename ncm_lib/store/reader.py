"""A data set on disk as a torch ``Dataset``."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import InputError
from ..typing import Float32
from .filters import kept_by
from .images import decode_image
from .layout import ImageFormat, image_name
from .ledger import Ledger
from .manifest import Manifest, refuse_empty
from .records import Records


class SyntheticDataset(Dataset[tuple[Any, Tensor]]):
    """The finished samples of a data set as (image, soft label), by index.

    Labels come from the records, never from names of files or folders. A run that was cut short, or that is still
    going on, can be read: what is done is there.

    Args:
        path: the folder that a generation wrote.
        transform: takes an RGB PIL image; None gives a float32 tensor [3, H, W] in [0, 1].
        filter: name of a filter of the data set ("clip"): only the samples that it keeps. None: all that are done.

    Attributes:
        classes: names; a label's column c is ``classes[c]``.
        records: one per sample; a sequence that is read from the disk, so the samples take 16 bytes each in memory.

    Raises:
        InputError: no data set, or one without a finished sample; no such filter, or one that does not know all
            samples; on reading an item, an image that is damaged.

    Example:
        >>> data = SyntheticDataset("aug")  # doctest: +SKIP
        >>> image, label = data[0]  # doctest: +SKIP
        >>> loader = torch.utils.data.DataLoader(data, batch_size=64, shuffle=True)  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | Path,
        *,
        transform: Callable[[Image.Image], Any] | None = None,
        filter: str | None = None,  # noqa: A002, its name in the command line and on the disk
    ) -> None:
        self.path = Path(path)
        manifest = Manifest.read(self.path)
        ledger = Ledger.read(self.path, manifest)
        if filter is not None:
            ledger = kept_by(ledger, manifest, filter)
        self.classes = manifest.classes
        self._image_format: ImageFormat = manifest.image_format
        self.records = Records(ledger)
        self._transform = image_to_tensor if transform is None else transform
        refuse_empty(self.path, manifest, bool(self.records))
        if ledger.damage:
            more = f" (and {len(ledger.damage) - 1} more)" if len(ledger.damage) > 1 else ""
            warnings.warn(f"{self.path}: {ledger.damage[0]}{more} `ncm verify` lists all.", stacklevel=2)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> tuple[Any, Float32[Tensor, " c"]]:
        record = self.records[index]
        # from the number, not from the record's text: no other name is a sample's
        path = self.path / image_name(record.index, self._image_format)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"{path} cannot be read ({error.strerror}). It was there when the data set was opened: "
                "bring it back, or run the generation again to make it anew."
            ) from error
        image = self._transform(decode_image(data, str(path)))
        return image, torch.as_tensor(record.soft_label(len(self.classes)))


def image_to_tensor(image: Image.Image) -> Float32[Tensor, "3 h w"]:
    """An RGB image as a tensor in [0, 1], the default transform of ``SyntheticDataset``."""
    return torch.as_tensor(np.array(image)).permute(2, 0, 1).contiguous().to(torch.float32) / 255

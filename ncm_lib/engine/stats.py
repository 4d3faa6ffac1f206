"""``stats.jsonl``: one line per run, with what it made and what that cost."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..store.disk import plain_errors

STATS = "stats.jsonl"


@dataclass(kw_only=True)
class Stats:
    """Counts and seconds of one run; the seconds of parts overlap, because images are written while others denoise."""

    started: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    ended: str = "killed"
    """done, interrupted, or the error that ended the run."""
    shard: str = "0/1"
    device: str = ""
    dtype: str = ""
    batch_shape: int = 0
    batch_changes: list[dict[str, int]] = field(default_factory=list)
    """Where memory ran out: from which sample on, and the batch shape since then."""
    made: int = 0
    skipped: int = 0
    failed: int = 0
    retried: int = 0
    """Renderings that were thrown away as NaN or of one colour."""
    seconds: float = 0.0
    seconds_opening: float = 0.0
    """Reading what is there, on entry."""
    seconds_denoising: float = 0.0
    seconds_decoding: float = 0.0
    seconds_writing: float = 0.0
    seconds_closing: float = 0.0
    """Writing the merged index, labels and preview, at the end."""

    @contextmanager
    def timing(self, part: str) -> Iterator[None]:
        """Add the block's wall time to ``seconds_PART``."""
        name, started = f"seconds_{part}", time.monotonic()
        try:
            yield
        finally:
            setattr(self, name, getattr(self, name) + time.monotonic() - started)

    def append(self, root: Path) -> None:
        """Add the line to ``root/stats.jsonl``; one write, so that shards do not mix theirs."""
        values = {key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(self).items()}
        values["seconds_per_image"] = round(self.seconds / self.made, 4) if self.made else None
        values["images_per_second"] = round(self.made / self.seconds, 4) if self.made and self.seconds else None
        path = root / STATS
        with plain_errors(path):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
            try:
                os.write(descriptor, f"{json.dumps(values, ensure_ascii=True)}\n".encode("ascii"))
            finally:
                os.close(descriptor)

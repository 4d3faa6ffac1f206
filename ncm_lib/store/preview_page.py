"""A data set as one page for a browser: look through its samples by class, by weight, with their masks."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..wording import counted
from .disk import plain_errors, replace_bytes
from .images import decode_image, decode_mask
from .layout import safe_join
from .ledger import Ledger
from .manifest import Manifest, refuse_empty
from .outline import outline
from .record import Record
from .thumbnail import data_uri, thumbnail
from .tiles import COLOURS

PAGE = "preview.html"
CELLS = 2000
_POLICY = "default-src 'none'; img-src data: 'self' file:; style-src 'unsafe-inline'; script-src '{}'"
"""What the page may do: show images of its own and of its folder, and run the one script that is in it."""


def preview_page(
    path: str | Path, *, cells: int = CELLS, on_progress: Callable[[int, int], object] | None = None
) -> Path:
    """Write ``preview.html`` of a data set anew: one file that opens from the disk and needs no network.

    It holds small copies of the images, with their records and the borders of their masks; the images themselves are
    shown, large, where the page lies in its data set. Equal data sets give equal bytes.

    Args:
        path: the data set's folder.
        cells: the most samples on the page, spread evenly over the data set; 2,000 take at most 20 MB.
        on_progress: called with (samples that are through, all of them).

    Returns:
        The page's path.

    Raises:
        InputError: no data set, one without a finished image, or a folder that cannot be written.
    """
    root = Path(path)
    manifest = Manifest.read(root)
    ledger = Ledger.read(root, manifest)
    refuse_empty(root, manifest, bool(ledger.done.any()))
    done = np.flatnonzero(ledger.done)
    chosen = done[np.linspace(0, len(done) - 1, min(cells, len(done)), dtype=np.int64)]
    samples: list[dict[str, Any]] = []
    for number, sample in enumerate(_samples(root, [record for _, record in ledger.lines(chosen)]), start=1):
        if sample is not None:
            samples.append(sample)
        if on_progress is not None:
            on_progress(number, len(chosen))
    content = {
        "about": _about(manifest, finished=len(done), chosen=len(chosen), damaged=len(chosen) - len(samples)),
        "classes": manifest.classes,
        "colours": COLOURS,
        "samples": samples,
    }
    with plain_errors(root / PAGE):
        replace_bytes(root / PAGE, _page(content))
    return root / PAGE


def _about(manifest: Manifest, *, finished: int, chosen: int, damaged: int) -> str:
    parts = [
        manifest.method,
        f"{finished:,} of {manifest.count:,} samples finished",
        counted(len(manifest.classes), "class", "classes"),
    ]
    if chosen < finished:
        parts.append(f"{chosen:,} of them on this page, spread evenly")
    if damaged:
        parts.append(f"{damaged} damaged, left out")
    return " · ".join(parts)


def _samples(root: Path, records: list[Record]) -> Iterator[dict[str, Any] | None]:
    """What the page needs of each sample, in order; None for a damaged one. The codecs run beside each other."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        try:
            yield from pool.map(partial(_sample, root), records)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _sample(root: Path, record: Record) -> dict[str, Any] | None:
    # one damaged image must not cost the page of all others; `ncm verify` names it
    try:
        picture = decode_image(safe_join(root, record.file_name).read_bytes(), record.file_name)
        border = None
        if record.mask_file_name is not None:
            mask = decode_mask(safe_join(root, record.mask_file_name).read_bytes(), record.mask_file_name)
            border = dataclasses.astuple(outline(mask))
    except (InputError, OSError):
        return None
    return {
        "image": data_uri(thumbnail(picture)),
        "size": picture.size,
        "mask": border,
        "record": dataclasses.asdict(record),
    }


def _page(content: dict[str, Any]) -> bytes:
    template, style, script = (
        Path(__file__).with_suffix(suffix).read_text(encoding="utf-8") for suffix in (".html", ".css", ".js")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    # a "<" could end the element that the data is in: </script>, <!--
    data = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    parts = {"policy": _POLICY.format(f"sha256-{digest}"), "style": style, "script": script, "data": data}
    return re.sub(r"@@(\w+)@@", lambda place: parts[place[1]], template).encode("utf-8")

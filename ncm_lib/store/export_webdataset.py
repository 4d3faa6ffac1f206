"""A data set as WebDataset shards."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from ..errors import import_extra
from .export_source import Source, Written, cut, write_json
from .record import Array, Record

INFO = "dataset_info.json"
"""Where the class list is: of all names, one that Hugging Face's loaders do not take for a shard."""


def write_webdataset(folder: Path, source: Source, *, samples: int, size: int) -> Written:
    """Write ``shard-000000.tar``, ``shard-000001.tar``, ...; equal data sets give equal bytes.

    Each sample is four members, all of which WebDataset's own decoders read:

    - ``00000012.png`` (``.webp``, ``.jpg``): the image file as it is in the data set, its record inside;
    - ``00000012.npy``: the soft label, float32 [C]; column c is class c;
    - ``00000012.json``: the record;
    - ``00000012.mask.png``: the first class's share per cell, where the data set keeps masks.

    The class list is beside them in ``dataset_info.json``.

    Args:
        folder: where the shards go.
        source: what is in them.
        samples: per shard, at most.
        size: bytes of images per shard, at most.
    """
    writer = import_extra("webdataset", "data").TarWriter
    shards = 0
    for number, shard in cut(source.records(), samples=samples, size=size):
        shards = number + 1
        # a fixed time, and the writer's own fixed user, make the bytes depend on the samples alone
        with (
            (folder / f"shard-{number:06d}.tar").open("wb") as file,
            writer(file, encoder=False, mtime=0, mode=0o644) as tar,
        ):
            for record in shard:
                tar.write(_members(record, source))
    write_json(folder / INFO, source.class_list())
    return Written(count=len(source), files=shards)


def _members(record: Record, source: Source) -> dict[str, str | bytes]:
    name = Path(record.file_name)
    members = {
        "__key__": name.stem,
        name.suffix[1:]: source.image(record),
        "json": record.to_json().encode("ascii"),
        "npy": _npy(record.soft_label(len(source.manifest.classes))),
    }
    mask = source.mask(record)
    return members if mask is None else members | {"mask.png": mask}


def _npy(label: Array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, label.astype("<f4"), allow_pickle=False)
    return buffer.getvalue()

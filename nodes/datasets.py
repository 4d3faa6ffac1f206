"""Data sets below ComfyUI's output folder, kept open while the queue has more for them.

Opening a data set reads its whole log, and closing it writes the merged index and the preview anew; a queue of a
thousand runs that did both for each image would take a thousand times as long for it. So a data set stays open, and
locked for other processes, until the queue has run empty or nothing has been written for a minute.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import folder_paths
import PIL
import torch
from comfyui_version import __version__ as comfyui_version

from ..ncm_lib.errors import InputError
from ..ncm_lib.methods.base import Method
from ..ncm_lib.plan.classes import ClassList
from ..ncm_lib.store.layout import MANIFEST, ImageFormat, safe_join
from ..ncm_lib.store.ledger import Ledger
from ..ncm_lib.store.manifest import Manifest, continued
from ..ncm_lib.store.writer import DatasetWriter

RENDERER = "comfyui"
DATASET = (
    "Name of the data set: its folder below ComfyUI's output folder. The same name goes on with the data set that is "
    "there; another plan is refused and changes nothing."
)
_IDLE_SECONDS = 60.0
UNPLANNED = "graph"
"""The method of data sets that are written without a plan."""

_lock = threading.RLock()
_open: dict[Path, DatasetWriter] = {}
_timers: dict[Path, threading.Timer] = {}
_keys: dict[Path, dict[int, int]] = {}
"""Of open data sets without a plan: image by what it shows."""


def dataset_path(name: str) -> Path:
    """The data set's folder.

    Raises:
        InputError: the name could mean a place outside of the output folder, or cannot exist on another system.
    """
    root = Path(folder_paths.get_output_directory())
    if not name.strip():
        raise InputError("The data set has no name; type one, such as 'birds'.")
    path = safe_join(root, name)
    if path.resolve() == root.resolve():
        raise InputError(f"The data set's name {name!r} means the output folder itself; take a folder inside of it.")
    return path


def planned_manifest(method: Method, *, count: int, image_format: ImageFormat = "png") -> Manifest:
    """The head of a data set that a graph makes from a plan. A graph cannot know its model: no render hash."""
    return _manifest(
        method.classes,
        method=method.name,
        config=method.config(),
        plan_hash=method.plan_hash(),
        count=count,
        seed=method.seed,
        image_format=image_format,
    )


def unplanned_manifest(classes: ClassList, *, count: int, image_format: ImageFormat = "png") -> Manifest:
    """The head of a data set of images that come as they come, keyed by what they show."""
    content = json.dumps({"method": UNPLANNED, "classes": classes.to_json()}, sort_keys=True)
    return _manifest(
        classes,
        method=UNPLANNED,
        config={},
        plan_hash=hashlib.sha256(content.encode()).hexdigest(),
        count=count,
        seed=0,
        image_format=image_format,
    )


def _manifest(classes: ClassList, **fields: object) -> Manifest:
    versions = {"comfyui": comfyui_version, "torch": str(torch.__version__), "pillow": PIL.__version__}
    return Manifest.model_validate(
        {
            "classes": classes.names,
            "meta_class": classes.meta_class,
            "render": {"renderer": RENDERER},
            "versions": versions,
            "batch_shape": 1,
            **fields,
        }
    )


def missing(path: Path, manifest: Manifest) -> list[int]:
    """The indices of a plan's samples that are not done in the data set at ``path``, in order.

    Raises:
        InputError: the data set there is another one.
    """
    with _lock:
        if writer := _running(path):
            continued(path, writer.manifest, manifest.model_copy(update={"image_format": writer.manifest.image_format}))
            writer.extend(manifest.count)
            return writer.missing()
        if not (path / MANIFEST).is_file():
            return list(range(manifest.count))
        there = Manifest.read(path)
        whole = continued(path, there, manifest.model_copy(update={"image_format": there.image_format}))
        done = Ledger.read(path, whole).done
        return [index for index in range(manifest.count) if not done[index]]


@contextmanager
def writing(path: Path, manifest: Manifest) -> Iterator[DatasetWriter]:
    """The data set's writer: the one that is open, or a new one.

    Raises:
        InputError: as ``DatasetWriter``, or the data set that is open is another one.
    """
    with _lock:
        writer = _running(path)
        if manifest.method == UNPLANNED and (path / MANIFEST).is_file():
            # without a plan there is no target: as many as there are, and one more when one more comes
            manifest = manifest.model_copy(update={"count": Manifest.read(path).count})
        if writer is None:
            writer = DatasetWriter(path, manifest).__enter__()
            _open[path] = writer
        else:
            continued(
                path, writer.manifest, manifest.model_copy(update={"count": max(manifest.count, writer.manifest.count)})
            )
            writer.extend(manifest.count)
        try:
            yield writer
        finally:
            if _more_to_come():
                _close_later(path)
            else:
                _close(path)


def known_keys(writer: DatasetWriter) -> dict[int, int]:
    """Of a data set without a plan: the index of each image by its key, the record's ``seed``; add new ones to it."""
    if writer.path not in _keys:
        ledger = Ledger.read(writer.path, writer.manifest)
        _keys[writer.path] = {record.seed: record.index for _, record in ledger.lines()}
    return _keys[writer.path]


def close_all() -> None:
    """Close every data set that is open."""
    with _lock:
        for path in list(_open):
            with suppress(InputError):
                _close(path)


atexit.register(close_all)


def _running(path: Path) -> DatasetWriter | None:
    """The open writer of a data set that is still there; one whose folder was deleted is let go."""
    writer = _open.get(path)
    if writer is not None and not (path / MANIFEST).is_file():
        with suppress(InputError):
            _close(path)
        return None
    return writer


def _more_to_come() -> bool:
    """Whether another prompt waits behind the one that runs."""
    from server import PromptServer  # noqa: PLC0415, a server exists only once ComfyUI has started

    queue = getattr(getattr(PromptServer, "instance", None), "prompt_queue", None)
    return queue is not None and queue.get_tasks_remaining() > 1


def _close_later(path: Path) -> None:
    if timer := _timers.pop(path, None):
        timer.cancel()

    def close() -> None:
        with _lock, suppress(InputError):
            if _timers.get(path) is timer:
                _close(path)

    timer = threading.Timer(_IDLE_SECONDS, close)
    timer.daemon = True
    _timers[path] = timer
    timer.start()


def _close(path: Path) -> None:
    if timer := _timers.pop(path, None):
        timer.cancel()
    _keys.pop(path, None)
    if writer := _open.pop(path, None):
        writer.__exit__(None, None, None)

"""The files of a classifier training: its head, its checkpoint, its metrics, its result."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..metrics.classifier import save_classifier
from ..metrics.drawings import confusion_picture, reliability_picture
from ..metrics.preparation import Preparation
from ..metrics.scores import Scores
from ..plan.differences import differences
from ..store.disk import replace_bytes

HEAD, RESULT, METRICS, CHECKPOINT, MODEL = (
    "training.json", "result.json", "metrics.jsonl", "checkpoint.pt", "model",
)  # fmt: skip


def settle(folder: Path, head: dict[str, Any]) -> None:
    """Begin a training in ``folder``, or find that the one there is the same.

    Args:
        folder: is there.
        head: all that fixes the weights.

    Raises:
        InputError: the folder holds something else; for another training, field by field.
    """
    path = folder / HEAD
    if not path.is_file():
        found = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
        if found:
            raise InputError(
                f"{folder} is neither empty nor a classifier training (it holds {found[0]}); take another."
            )
        replace_bytes(path, _json(head))
        return
    # as JSON gives it back
    there, here = _flat(_read(path)), _flat(json.loads(_json(head)))
    if lines := differences(there, here, "the folder").values():
        listed = "\n".join(f"  {line}" for line in lines)
        raise InputError(
            f"{folder} holds another classifier training than this run's:\n{listed}\n"
            "Take a new folder for this run, or give the settings that the training there has; nothing was "
            "changed here."
        )


def read_result(folder: Path) -> dict[str, Any] | None:
    """What a finished training found; None where it is not finished."""
    path = folder / RESULT
    return _read(path) if path.is_file() else None


def write_result(folder: Path, result: dict[str, Any]) -> None:
    """Keep what was found; from now on the training is finished, and what it took to get there goes."""
    replace_bytes(folder / RESULT, _json(result))
    (folder / CHECKPOINT).unlink(missing_ok=True)


def write_metrics(folder: Path, history: list[dict[str, Any]]) -> None:
    """One line per epoch."""
    replace_bytes(folder / METRICS, "".join(f"{json.dumps(line)}\n" for line in history).encode("ascii"))


def append_metrics(folder: Path, line: dict[str, Any]) -> None:
    """One more line."""
    with (folder / METRICS).open("a", encoding="ascii") as file:
        file.write(f"{json.dumps(line)}\n")


def write_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Keep all that a training needs to go on; the file before it stays whole until this one is on the disk."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    replace_bytes(folder / CHECKPOINT, buffer.getvalue())


def read_checkpoint(folder: Path) -> dict[str, Any] | None:
    """What ``write_checkpoint`` kept; None where there is nothing.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file that was cut off raises what it likes
        raise InputError(
            f"{path} is damaged ({str(error).partition(chr(10))[0][:200]}). Restore it from a copy, or delete it: the "
            "training then begins anew."
        ) from error


def write_model(folder: Path, module: Any, classes: tuple[str, ...], preparation: Preparation) -> None:
    """Write the classifier as ``folder/model``, whole or not at all."""
    making, place = folder / ".model.0.tmp", folder / MODEL
    for old in (making, place):
        shutil.rmtree(old, ignore_errors=True)
    save_classifier(making, module, classes, preparation)
    making.rename(place)


def write_scores(folder: Path, found: Scores, classes: tuple[str, ...]) -> None:
    """Write ``confusion.npy``, ``confusion.json`` (for ``ncm generate --confusion``) and the two pictures."""
    matrix = io.BytesIO()
    np.save(matrix, found.confusion)
    replace_bytes(folder / "confusion.npy", matrix.getvalue())
    replace_bytes(folder / "confusion.json", _json({"classes": list(classes), "matrix": found.confusion.tolist()}))
    for name, picture in (
        ("confusion.png", confusion_picture(found.confusion, classes)),
        ("reliability.png", reliability_picture(found.calibration)),
    ):
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        replace_bytes(folder / name, buffer.getvalue())


def _json(content: dict[str, Any]) -> bytes:
    return f"{json.dumps(content, indent=2, ensure_ascii=True, allow_nan=False)}\n".encode("ascii")


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read ({error}). Restore it from a copy, or train into a new folder."
        ) from error


def _flat(head: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in head.items() if key != "config"} | head.get("config", {})

"""A study on the disk: its images, its cells, one file for each, and its report."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, get_args

from torch import Tensor
from torch.nn import functional as F

from ..dip.study import Cell, CellResult, StudyConfig, cell_key, cells, run_cell
from ..dip.write_up import Feed, WriteUpResult, write_up_protocol
from ..errors import InputError
from ..store.disk import plain_errors, replace_bytes
from .counter import counter
from .dip_images import load_image, unique_names

WRITE_UP_SIDE = 128
FEEDS: tuple[Feed, ...] = get_args(Feed)


def run_study(
    images: tuple[Path, ...], out: Path, config: StudyConfig, *, side: int, write_up: bool, curves: bool
) -> list[Path]:
    """Run what is missing of a study and write its report; the files written."""
    from ..dip.study_plot import draw_curves
    from ..dip.study_report import report

    if not images:
        raise InputError("No image came; name one clean photograph at least.")
    if side < 16 or side % 4:
        raise InputError(f"--side is {side}; legal is a multiple of 4 from 16 on.")
    names = unique_names(images)
    pictures = dict(zip(names, map(load_image, images), strict=True))
    clean = {name: squared(picture, side) for name, picture in pictures.items()}
    folder = out / "cells"
    with plain_errors(out):
        folder.mkdir(parents=True, exist_ok=True)
    planned = cells(config, names)
    beside: list[tuple[str, Feed]] = [(name, fed) for name in names for fed in FEEDS] if write_up else []
    results: list[CellResult] = []
    with counter() as show:
        for cell in planned:
            path = folder / f"{cell_key(cell, clean[cell.image], config)}.json"
            value = _cached(path, partial(_measured, cell, clean[cell.image], config))
            results.append(CellResult.from_json(value))
            show(len(results), len(planned) + len(beside))
        protocol: dict[str, dict[str, WriteUpResult]] = {fed: {} for fed in FEEDS}
        for number, (name, fed) in enumerate(beside, 1):
            gray = squared(pictures[name].mean(0, keepdim=True), min(WRITE_UP_SIDE, *pictures[name].shape[1:]))
            path = folder / f"write-up-{name}-{gray.shape[-1]}-{fed}.json"
            value = _cached(path, partial(_protocol, gray, fed))
            protocol[fed][name] = WriteUpResult(**value)
            show(len(planned) + number, len(planned) + len(beside))
    text = report(results, config, side=side, write_up=protocol if beside else None)
    written = [out / "report.md", out / "results.json"]
    with plain_errors(out):
        replace_bytes(written[0], text.encode())
        record = {"config": config.model_dump(mode="json"), "side": side, "cells": [one.to_json() for one in results]}
        replace_bytes(written[1], json.dumps(record).encode())
        if curves:
            written.append(out / "curves.png")
            replace_bytes(written[-1], draw_curves(results))
    return written


def squared(picture: Tensor, side: int) -> Tensor:
    """The largest square in the middle of [C, H, W], averaged down to ``side``."""
    across = min(picture.shape[1:])
    if across < side:
        raise InputError(f"An image has {picture.shape[2]} x {picture.shape[1]} pixels; {side} per side are needed.")
    top, left = ((length - across) // 2 for length in picture.shape[1:])
    square = picture[:, top : top + across, left : left + across]
    return F.interpolate(square[None], (side, side), mode="area")[0].clamp(0, 1)


def _measured(cell: Cell, clean: Tensor, config: StudyConfig) -> dict[str, Any]:
    return run_cell(cell, clean, config).to_json()


def _protocol(gray: Tensor, fed: Feed) -> dict[str, Any]:
    return asdict(write_up_protocol(gray, fed=fed))


def _cached(path: Path, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a cell's file holds, or what computing it gives, which is then kept."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        value = compute()
        with plain_errors(path):
            replace_bytes(path, json.dumps(value).encode())
        return value

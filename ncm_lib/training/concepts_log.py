"""How the loss went: a line per step, and a picture of them."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..store.disk import replace_bytes

LOG, CURVE = "loss.jsonl", "loss.png"
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 960, 480, 76, 44, 28
_PAPER, _INK, _FAINT, _LINE = "#ffffff", "#24292f", "#d0d7de", "#1f77d0"


class LossLog:
    """``loss.jsonl``: one flushed line ``{"step", "loss", "gradient_norm", "seconds"}`` per step.

    Lines behind the checkpoint that a run goes on from are dropped, so every step stands once.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._path = folder / LOG
        lines = [line for line in _lines(self._path) if int(line["step"]) <= step]
        self.losses = {int(line["step"]): float(line["loss"]) for line in lines}
        if self._path.is_file():
            replace_bytes(self._path, "".join(f"{json.dumps(line)}\n" for line in lines).encode("ascii"))
        self._stream = self._path.open("a", encoding="ascii")

    def add(self, step: int, loss: float, gradient_norm: float, seconds: float) -> None:
        """One step's line."""
        self.losses[step] = loss
        # in fp16 a gradient may overflow, and JSON has no word for that
        norm = gradient_norm if math.isfinite(gradient_norm) else None
        line = {"step": step, "loss": loss, "gradient_norm": norm, "seconds": round(seconds, 4)}
        self._stream.write(f"{json.dumps(line)}\n")
        self._stream.flush()

    def recent(self, count: int = 100) -> float:
        """The mean loss of the last steps; NaN where there are none."""
        last = list(self.losses.values())[-count:]
        return float(np.mean(last)) if last else float("nan")

    def draw(self) -> None:
        """Write ``loss.png``."""
        if self.losses:
            buffer = io.BytesIO()
            curve(list(self.losses), list(self.losses.values())).save(buffer, "PNG")
            replace_bytes(self._path.with_name(CURVE), buffer.getvalue())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    found: list[dict[str, Any]] = []
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        try:
            content = json.loads(line)
        except json.JSONDecodeError:  # torn by a crash, with all that follows
            break
        if not (isinstance(content, dict) and {"step", "loss"} <= content.keys()):
            break
        found.append(content)
    return found


def curve(steps: Sequence[int], losses: Sequence[float]) -> Image.Image:
    """The losses as points, and their running mean over a fiftieth of them, or ten, as a line.

    Args:
        steps: in rising order.
        losses: one per step.
    """
    values = np.asarray(losses, dtype=np.float64)
    window = max(1, min(len(values) // 4, 10), len(values) // 50)
    sums = np.cumsum(np.concatenate([[0.0], values]))
    mean = (sums[window:] - sums[:-window]) / window
    # a few outliers would flatten all else
    top = max(float(np.quantile(values, 0.99)), float(mean.max())) * 1.05 or 1.0
    picture = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=15)
    right, floor = _WIDTH - 20, _HEIGHT - _BOTTOM

    def place(step: float | int, loss: float) -> tuple[float, float]:
        share = (step - steps[0]) / max(steps[-1] - steps[0], 1)
        return _LEFT + share * (right - _LEFT), floor - min(loss / top, 1.0) * (floor - _TOP)

    for tick in np.linspace(0, top, 5):
        y = place(steps[0], float(tick))[1]
        draw.line((_LEFT, y, right, y), fill=_FAINT)
        draw.text((_LEFT - 8, y), f"{tick:.3g}", _INK, font, anchor="rm")
    for tick in np.unique(np.linspace(steps[0], steps[-1], 5).round().astype(int)):
        draw.text((place(int(tick), 0.0)[0], floor + 8), f"{tick:,}", _INK, font, anchor="mt")
    for step, loss in zip(steps, values, strict=True):
        x, y = place(step, float(loss))
        draw.point((x, y), fill="#9cbfe3")
    line = [place(step, float(loss)) for step, loss in zip(steps[window - 1 :], mean, strict=True)]
    draw.line(line * (2 if len(line) == 1 else 1), fill=_LINE, width=3)
    draw.text((_LEFT, 6), f"loss per step, and its mean over {window} steps", _INK, font)
    return picture

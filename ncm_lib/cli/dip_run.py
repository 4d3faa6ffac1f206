"""Restorations on the disk: images in, results, strips and records out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..dip.config import DipConfig, InputConfig, SkipConfig, StoppingConfig, UNetConfig
from ..dip.history import Restoration, Step
from ..dip.restore import restore
from ..dip.tasks import Task
from ..errors import InputError
from ..store.disk import plain_errors, replace_bytes
from ..version import __version__
from ..wording import counted
from .bars import Bar
from .dip_images import load_image, load_mask, save_picture, to_picture, unique_names
from .dip_restore import Restoring

_FRAMES = 8
_GAP = 4


def run_restorations(
    command: Restoring, task: Task, *, masks: tuple[Path, ...] = (), keep_known: bool = True, factor: int = 4
) -> Iterator[Path]:
    """Restore the command's images one by one; the results' paths."""
    if not command.images:
        raise InputError("No image came; name one at least.")
    if len(masks) not in (0, 1, len(command.images)) or len(command.clean) not in (0, len(command.images)):
        raise InputError(
            f"{counted(len(command.images), 'image')} came with {counted(len(masks), 'mask')} and "
            f"{counted(len(command.clean), 'clean image')}; legal is one mask for all or one for each, and no "
            "clean image or one for each."
        )
    if command.every < 1:
        raise InputError(f"--every is {command.every}; legal is 1 or more.")
    config = config_of(command, keep_known=keep_known)
    names = unique_names(command.images)
    with plain_errors(command.out):
        command.out.mkdir(parents=True, exist_ok=True)
    for number, (name, path) in enumerate(zip(names, command.images, strict=True)):
        image = load_image(path)
        clean = _like(load_image(command.clean[number]), image) if command.clean else None
        mask = load_mask(masks[min(number, len(masks) - 1)]) if masks else None
        try:
            with _Film(command, name, image) as film:
                restored = restore(
                    image,
                    task,
                    config=config,
                    mask=mask,
                    factor=factor,
                    clean=clean,
                    seed=[command.seed],
                    device=command.device or ("cuda" if torch.cuda.is_available() else "cpu"),
                    dtype=command.dtype,
                    compile=command.compile,
                    measure_every=command.every,
                    on_step=film,
                )
        except KeyboardInterrupt as error:
            raise type(error)(
                f"{number} of {counted(len(names), 'image')} restored; {name} would begin anew"
            ) from error
        made = {"task": task, "config": config.model_dump(mode="json"), "seed": command.seed, "version": __version__}
        yield _write(command.out, name, restored, film, made)


def config_of(command: Restoring, *, keep_known: bool) -> DipConfig:
    """The command's options as the library's config."""
    if len(command.t) > 2:
        raise InputError(f"--t got {len(command.t)} numbers; legal is a timestep, or the first and last of a range.")
    t = {"t": command.t if len(command.t) > 1 else command.t[0]} if command.t else {}
    widths = {"widths": command.widths} if command.widths else {}
    return DipConfig(
        network=(SkipConfig if command.network == "skip" else UNetConfig).model_validate(widths),
        input=InputConfig.model_validate({"kind": command.input, **t}),
        loss=command.loss,
        learning_rate=command.learning_rate,
        iterations=command.iterations,
        stopping=StoppingConfig(window=command.window, patience=command.patience) if command.early_stopping else None,
        keep_known=keep_known,
    )


class _Film:
    """Shows the run as a progress bar, and keeps some of its pictures."""

    def __init__(self, command: Restoring, name: str, image: Tensor) -> None:
        self._command, self._name = command, name
        self._bar = Bar(command.iterations, "iterations", desc=name)
        self.frames: list[Tensor] = [image]

    def __enter__(self) -> _Film:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(self, step: Step) -> None:
        """Take in an iteration."""
        self._bar.update()
        if step.iteration % 10 == 0 or step.quality:
            quality = {}
            if step.quality:
                quality = {"PSNR": f"{step.quality.psnr:.2f}", "SSIM": f"{step.quality.ssim:.3f}"}
            self._bar.set_postfix({"loss": f"{step.loss:.2e}", **quality}, refresh=False)
        if step.iteration % self._command.every == 0:
            picture = step.picture()
            self.frames.append(picture)
            if self._command.keep_pictures:
                save_picture(self._command.out / f"{self._name}-{step.iteration:06}.png", to_picture(picture))


def _like(clean: Tensor, image: Tensor) -> Tensor:
    """Gray and colour made equal: a gray picture may be kept as colour, and the other way round."""
    if len(clean) == len(image):
        return clean
    return clean.expand(3, -1, -1) if len(clean) == 1 else clean.mean(0, keepdim=True)


def _write(out: Path, name: str, restored: Restoration, film: _Film, record: dict[str, Any]) -> Path:
    (history,) = restored.history
    path = out / f"{name}.png"
    with plain_errors(out):
        save_picture(path, to_picture(restored.image))
        save_picture(out / f"{name}-strip.png", strip([*film.frames, restored.image]))
        content = {**record, "stopped_at": restored.stopped_at[0], "history": asdict(history)}
        # NaN is no JSON
        text = json.dumps(json.loads(json.dumps(content), parse_constant=lambda _: None))
        replace_bytes(out / f"{name}.json", text.encode())
    return path


def strip(frames: list[Tensor]) -> Image.Image:
    """Pictures side by side: the first, the last, and up to six from between, in the last one's size."""
    chosen = [frames[round(k * (len(frames) - 1) / (_FRAMES - 1))] for k in range(_FRAMES)]
    if len(frames) < _FRAMES:
        chosen = frames
    height, width = frames[-1].shape[1:]
    whole = Image.new("RGB", (len(chosen) * (width + _GAP) - _GAP, height), "white")
    for place, frame in enumerate(chosen):
        picture = to_picture(frame).convert("RGB").resize((width, height), Image.Resampling.NEAREST)
        whole.paste(picture, (place * (width + _GAP), 0))
    return whole

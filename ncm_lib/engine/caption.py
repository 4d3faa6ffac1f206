"""From real images to ``captions.jsonl``, resumable batch by batch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from ..errors import InputError
from ..sources.captions import Caption, caption_lines, read_captions
from ..sources.listing import SourceListing
from ..store.disk import plain_errors, replace_bytes
from .captioner import Captioner
from .generate import Progress


def caption_images(
    captioner: Captioner,
    images: SourceListing,
    *,
    out: str | Path,
    batch_size: int = 8,
    on_progress: Callable[[Progress], None] | None = None,
) -> tuple[Caption, ...]:
    """Caption every image that the file has no caption of, by content.

    Finished captions are on the disk after every batch. In the end the file is sorted by class and content, so that it
    does not tell in how many runs it was made. Captions of images that the listing has not stay in it.

    Args:
        captioner: of ``load_captioner``.
        images: of ``load_source``.
        out: ``captions.jsonl``; created, or continued.
        batch_size: images per model call.
        on_progress: called from this thread after every batch.

    Returns:
        The captions of the images, in the listing's order.

    Raises:
        InputError: the file is of another captioner or damaged, an image cannot be read, or the disk is full.
    """
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; it must be at least 1.")
    file = Path(out)
    there = list(read_captions(file)) if file.exists() else []
    others = {caption.captioner for caption in there} - {captioner.fingerprint, ""}
    if others:
        raise InputError(
            f"{file} has captions of another captioner (fingerprint {min(others)[:12]}, this one's is "
            f"{captioner.fingerprint[:12]}). Take another file; nothing was changed here."
        )
    known = {caption.content_hash: caption for caption in there}
    rows = [row for row, image in enumerate(images) if image.content_hash not in known]
    started = time.monotonic()
    if file.exists():
        # a torn last line goes before others are written behind it
        _write(file, there)
    for start in range(0, len(rows), batch_size):
        part = [images[row] for row in rows[start : start + batch_size]]
        texts = captioner.captions([images.read(image.content_hash) for image in part])
        made = [
            Caption(
                caption=text,
                class_name=images.classes.names[image.class_id],
                content_hash=image.content_hash,
                captioner=captioner.fingerprint,
            )
            for image, text in zip(part, texts, strict=True)
        ]
        _append(file, made)
        known |= {caption.content_hash: caption for caption in made}
        there += made
        if on_progress is not None:
            done = start + len(part)
            on_progress(
                Progress(
                    done=len(images) - len(rows) + done,
                    count=len(images),
                    made=done,
                    seconds=time.monotonic() - started,
                    fraction=done / len(rows),
                )
            )
    _write(file, sorted(there, key=lambda caption: (caption.class_name, caption.content_hash)))
    return tuple(known[image.content_hash] for image in images)


def _write(file: Path, captions: list[Caption]) -> None:
    with plain_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(file, caption_lines(captions))


def _append(file: Path, captions: list[Caption]) -> None:
    with plain_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as stream:
            stream.write(caption_lines(captions))
            stream.flush()
            os.fsync(stream.fileno())

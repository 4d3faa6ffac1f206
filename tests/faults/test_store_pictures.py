"""Images and masks of every odd kind: those that are written, and those that stand where ours should be."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from ncm_lib.errors import InputError
from ncm_lib.store.manifest import Manifest
from ncm_lib.store.reader import SyntheticDataset
from ncm_lib.store.record import Record
from ncm_lib.store.repair import repair
from ncm_lib.store.verify import verify
from ncm_lib.store.writer import DatasetWriter, Item

SUFFIX = {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}
MASK = "masks/000/00000001.png"


def manifest(image_format: str = "png", **fields: Any) -> Manifest:
    usual: dict[str, Any] = {
        "classes": ("a", "b"), "method": "m", "config": {}, "seed": 0, "plan_hash": "p", "render_hash": "r",
        "batch_shape": 2, "count": 3, "image_format": image_format,
    }  # fmt: skip
    return Manifest(**(usual | fields))


def item(index: int, image: Any = None, mask: Any = None) -> Item:
    if image is None:
        image = np.random.default_rng(index).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    if mask is None:
        mask = np.zeros((8, 12), np.float32)
        mask[: 1 + index, :5] = 1
    weight = float(mask.mean(dtype=np.float64))
    record = Record(
        file_name="-", index=index, seed=9, class_ids=(0, 1), weights=(weight, 1 - weight), method="m", plan_hash="p"
    )
    return record, image, mask


def run(path: Path, head: Manifest) -> tuple[list[int], str]:
    with DatasetWriter(path, head) as writer:
        missing = writer.missing()
        writer.write_batch([item(index) for index in missing])
        return missing, "\n".join(writer.notes)


def contents(path: Path) -> dict[str, bytes]:
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and file.name != "metadata-0.jsonl"]
    names = {file.relative_to(path).as_posix(): file for file in files}
    return {name: file.read_bytes() for name, file in names.items() if not name.startswith("damaged/")}


def saved(image: Image.Image, like: bytes, image_format: str, **options: Any) -> bytes:
    """The image with the very record that ours carries, as an editor that keeps metadata would save it."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(like)) as ours:
        if image_format == "png":
            info = PngImagePlugin.PngInfo()
            info.add_itxt("ncm", ours.info["ncm"])
            options["pnginfo"] = info
        elif image_format == "webp":
            options["xmp"] = ours.info["xmp"]
        else:
            exif = ours.getexif()
            exif.get_ifd(0x8769)
            exif.update(options.pop("tags", {}))
            options["exif"] = exif
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def saved_as(image: Image.Image, image_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).copy()


def corrupt(data: bytes) -> bytes:
    """The header stays, the picture does not."""
    middle = len(data) // 2
    return data[:middle] + bytes(len(data) - middle - 2) + data[-2:]


MORE = {"save_all": True, "append_images": [Image.new("RGB", (24, 16))]}
FOREIGN: list[tuple[str, str, Callable[[bytes], bytes], str]] = [
    ("corrupt JPEG", "jpeg", lambda data: data[: data.find(b"\xff\xda")] + b"\xff\xd9", "is damaged"),
    ("truncated JPEG", "jpeg", lambda data: data[:-30], "is damaged"),
    ("truncated WebP", "webp", lambda data: data[:-30], "is damaged"),
    ("corrupt PNG", "png", corrupt, "is damaged"),
    ("CMYK", "jpeg", lambda data: saved(opened(data).convert("CMYK"), data, "jpeg"), "of the mode CMYK"),
    ("grey JPEG", "jpeg", lambda data: saved(opened(data).convert("L"), data, "jpeg"), "of the mode L"),
    ("EXIF rotation", "jpeg", lambda data: saved(opened(data), data, "jpeg", tags={0x0112: 6}), "turned by EXIF"),
    ("16 bit", "png", lambda data: saved(Image.fromarray(np.zeros((16, 24), np.uint16)), data, "png"), "mode I;16"),
    ("palette", "png", lambda data: saved(opened(data).quantize(16), data, "png"), "of the mode P"),
    ("palette with alpha", "png",
     lambda data: saved(opened(data).quantize(16), data, "png", transparency=0), "of the mode P"),
    ("alpha", "png", lambda data: saved(opened(data).convert("RGBA"), data, "png"), "of the mode RGBA"),
    ("animated PNG", "png",
     lambda data: saved(opened(data), data, "png", **MORE), "2 frames"),
    ("animated WebP", "webp",
     lambda data: saved(opened(data), data, "webp", **MORE), "2 frames"),
    ("1x1", "png", lambda data: saved(Image.new("RGB", (1, 1)), data, "png"), "is 1 x 1 pixels and should be 24 x 16"),
    ("20000x10", "png", lambda data: saved(Image.new("RGB", (20000, 10)), data, "png"), "is 20000 x 10 pixels"),
    ("HTML", "jpeg", lambda data: b"<html><body>404</body></html>", "is damaged"),
    ("another program's", "png", lambda data: saved_as(opened(data), "png"), "carries no record"),
    ("a WebP renamed to PNG", "png", lambda data: saved_as(opened(data), "webp", lossless=True), "carries no record"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "image_format", "change", "told"), FOREIGN, ids=[case[0] for case in FOREIGN])
@pytest.mark.parametrize("logged", [True, False], ids=["in the log with its size", "not in the log"])
def test_an_image_of_another_kind_in_our_place_is_told_and_made_again(
    name: str, image_format: str, change: Callable[[bytes], bytes], told: str, logged: bool, tmp_path: Path
) -> None:
    head = manifest(image_format, render={"width": 24, "height": 16})
    path = tmp_path / "data"
    run(path, head)
    before = contents(path)
    image = path / f"images/000/00000001{SUFFIX[image_format]}"
    own = image.read_bytes()
    changed = change(own)
    image.write_bytes(changed)
    for log in path.glob("metadata*.jsonl"):
        if logged:  # a hand that keeps the books: the size fits
            log.write_bytes(log.read_bytes().replace(b'"bytes": %d' % len(own), b'"bytes": %d' % len(changed)))
        else:
            log.unlink()
    assert told in str(verify(path))
    if logged:
        if "pixels" not in told and "record" not in told:  # those it can read; whose they are is for verify to say
            with pytest.raises(InputError, match=r"00000001\.\w+ (is damaged|was not written)"):
                [SyntheticDataset(path)[sample] for sample in range(3)]
        assert told in str(repair(path))
    missing, notes = run(path, head)
    assert missing == [1]
    assert logged or told in notes
    assert contents(path) == before
    assert verify(path).ok


SIZES = [(1, 1), (3, 5), (10, 16383), (16383, 10), (10, 20000), (20000, 10)]


@pytest.mark.parametrize(
    ("image_format", "size"),
    [(kind, size) for kind in SUFFIX for size in SIZES if kind != "webp" or max(size) < 16384],
)
def test_images_of_every_size_are_written_read_and_drawn(image_format: str, size: Any, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    with DatasetWriter(tmp_path, manifest(image_format, count=1)) as writer:
        writer.write_batch([item(0, image)])
    assert verify(tmp_path).ok, verify(tmp_path)
    assert tuple(SyntheticDataset(tmp_path)[0][0].shape) == (3, *size)
    with Image.open(tmp_path / "preview.png") as grid:
        assert grid.width >= 144


def test_an_image_that_its_format_cannot_hold_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    image = np.zeros((10, 20000, 3), np.uint8)
    with DatasetWriter(tmp_path, manifest("webp")) as writer:
        with pytest.raises(InputError, match=r"images/000/00000000\.webp cannot be encoded .*20000 x 10"):
            writer.write_batch([item(0, image)])
        assert writer.missing() == [0, 1, 2]
    assert not (tmp_path / "images").exists()


MASKS = {
    "all 0": np.zeros((8, 8)), "all 1": np.ones((8, 8)), "fractional": np.linspace(0, 1, 64).reshape(8, 8),
    "half": np.full((8, 8), 0.5), "one cell": np.ones((1, 1)), "odd grid": np.eye(7, 9), "a row": np.eye(1, 300),
    "bool": np.eye(8, dtype=bool), "float16": np.full((8, 8), 0.25, np.float16), "image size": np.eye(16, 24),
}  # fmt: skip


@pytest.mark.parametrize("name", MASKS)
def test_every_mask_that_is_one_is_kept_with_its_label(name: str, tmp_path: Path) -> None:
    mask = MASKS[name]
    head = manifest(count=1)
    with DatasetWriter(tmp_path, head) as writer:
        writer.write_batch([item(0, mask=mask)])
    assert verify(tmp_path).ok, verify(tmp_path)
    label = SyntheticDataset(tmp_path)[0][1]
    assert label.tolist() == pytest.approx([mask.mean(dtype=np.float64), 1 - mask.mean(dtype=np.float64)])
    for log in tmp_path.glob("metadata*"):
        log.unlink()
    with DatasetWriter(tmp_path, head) as writer:
        assert writer.missing() == []


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (np.full((8, 8), np.nan), "NaN or values outside"), (np.full((8, 8), np.inf), "NaN or values outside"),
        (np.full((8, 8), -0.01), "NaN or values outside"), (np.full((8, 8), 255), "NaN or values outside"),
        (np.zeros((2, 8, 8)), r"shape \[2, 8, 8\]"), (np.zeros(8), r"shape \[8\]"),
        (np.zeros((0, 8)), r"shape \[0, 8\]"),
    ],
)  # fmt: skip
def test_what_is_no_mask_is_refused_and_nothing_of_its_batch_is_written(mask: Any, told: str, tmp_path: Path) -> None:
    record, image, _ = item(1)
    with DatasetWriter(tmp_path, manifest()) as writer:
        with pytest.raises(InputError, match=told):
            writer.write_batch([item(0), (record, image, mask)])
        assert writer.missing() == [0, 1, 2]
    assert not (tmp_path / "images").exists()


def as_png(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "png", **options)
    return buffer.getvalue()


FOREIGN_MASKS: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("all 0", lambda data: as_png(np.zeros((8, 12), bool)), "its mean is 0.000000"),
    ("all 1", lambda data: as_png(np.ones((8, 12), bool)), "its mean is 1.000000"),
    ("mirrored", lambda data: as_png(np.array(opened(data))[:, ::-1]), "is another mask"),
    ("larger", lambda data: as_png(np.array(opened(data)).repeat(2, 0).repeat(2, 1)), "is another mask"),
    ("RGB", lambda data: as_png(np.array(opened(data).convert("RGB"))), "of the mode RGB"),
    ("16 bit", lambda data: as_png(np.zeros((8, 12), np.uint16)), "of the mode I;16"),
    ("palette", lambda data: saved_as(opened(data).convert("P"), "png"), "of the mode P"),
    ("a JPEG", lambda data: saved_as(opened(data).convert("L"), "jpeg"), "its mean is"),
    ("animated", lambda data: saved_as(opened(data).convert("L"), "png", save_all=True,
                                       append_images=[Image.new("L", (12, 8))]), "2 frames"),
    ("truncated", lambda data: data[:-20], "is damaged"),
    ("longer", lambda data: data + b"\0", "is damaged"),
    ("HTML", lambda data: b"<html></html>", "is damaged"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "told"), FOREIGN_MASKS, ids=[case[0] for case in FOREIGN_MASKS])
def test_a_mask_file_that_is_another_is_found_and_made_again_with_its_image(
    name: str, change: Callable[[bytes], bytes], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "data"
    run(path, manifest())
    before = contents(path)
    (path / MASK).write_bytes(change(before[MASK]))
    (finding,) = verify(path).findings
    assert (finding.file, told in finding.problem) == (MASK, True), finding
    assert told in str(repair(path))
    assert run(path, manifest())[0] == [1]
    assert contents(path) == before


def test_a_mask_that_is_another_keeps_an_image_without_a_log_line_from_being_taken(tmp_path: Path) -> None:
    path = tmp_path / "data"
    run(path, manifest())
    before = contents(path)
    (path / MASK).write_bytes(as_png(np.array(opened(before[MASK]))[::-1]))
    for log in path.glob("metadata*"):
        log.unlink()
    missing, notes = run(path, manifest())
    assert missing == [1]
    assert f"{MASK} is another mask" in notes
    assert contents(path) == before

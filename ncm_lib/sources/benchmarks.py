"""Published data sets as their authors pack them: lists of files, labels and splits in the official files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
from scipy.io import loadmat  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from scipy.io.matlab import MatReadError  # pyright: ignore[reportMissingTypeStubs]

from ..errors import InputError
from ..plan.classes import ClassList
from ..typing import Int64
from .files import LooseFiles, Names
from .labels import LabelColumn
from .listing import SourceListing
from .load import listing_of
from .scan import Scan

Benchmark = Literal["cub-200", "oxford-flowers", "fgvc-aircraft", "stanford-cars", "oxford-pets", "waterbirds"]
Part = Literal["train", "test"]
Split = Literal["official", "noisecutmix"]

_Entry = tuple[str, str]
"""File, relative to the folder, and class name."""


def load_benchmark(name: Benchmark, folder: str | Path, part: Part, *, split: Split = "official") -> SourceListing:
    """List the images of a published data set from its official files; nothing is downloaded.

    Class names come from those files; for Oxford Flowers, which has none, from its authors' list of categories. The
    class list has the metaclass ("bird", "flower"...). ``ClassList.load(name)`` is that list without the data.

    Args:
        name: which one.
        folder: as its archives unpack: ``CUB_200_2011`` (images.txt...), a folder with ``jpg/``, ``imagelabels.mat``
            and ``setid.mat``, ``fgvc-aircraft-2013b``, a folder with ``cars_train/``, ``cars_test/`` and ``devkit/``
            (the test labels in ``cars_test_annos_withlabels.mat``), a folder with ``images/`` and ``annotations/``, or
            ``waterbird_complete95_forest2water2``.
        part: "train" (where the authors have a validation part, with it) or "test".
        split: "official", or "noisecutmix": as NoiseCutMix's published table has it, where Oxford Flowers trains on the
            official test part and tests on the two others. The other data sets are the same in both.

    Returns:
        The listing.

    Raises:
        InputError: an official file or an image is missing, or holds something else.
    """
    if name not in _READERS:
        raise InputError(f"There is no data set {name!r}; there are {', '.join(get_args(Benchmark))}.")
    root = Path(folder).absolute()
    reader = _READERS[name]
    try:
        names, entries = reader.read(root, _swapped(part) if reader.swaps and split == "noisecutmix" else part)
        images, labels = Names(), LabelColumn()
        for class_name in names:
            labels.declare(class_name)
        for file, class_name in entries:
            images.add(file)
            labels.add(class_name)
    except OSError as error:
        raise InputError(
            f"{root} is not {name} as its authors pack it: {error.filename} cannot be read ({error.strerror})."
        ) from error
    except (ValueError, KeyError, IndexError, AttributeError, MatReadError) as error:
        raise InputError(f"{root} is not {name} as its authors pack it: {error!r}.") from error
    classes = ClassList.of(names, meta_class=reader.meta_class)
    scan = Scan(form=f"{name}, {part}", files=LooseFiles(root, images), labels=labels.ordered(declared=True))
    listing = listing_of(scan, str(root), classes=classes)
    return replace(listing, notes=(*listing.notes, *reader.notes))


def waterbirds_groups(folder: str | Path, images: SourceListing) -> Int64[np.ndarray, " n"]:
    """The group of every image of Waterbirds: 2 * bird + background, where 0 is land and 1 is water.

    Args:
        folder: ``waterbird_complete95_forest2water2``.
        images: of ``load_benchmark("waterbirds", folder, ...)``.

    Returns:
        One number per row of ``images``, for ``group_accuracies``.

    Raises:
        InputError: an image is not in the official list.
    """
    root = Path(folder).absolute()
    group = {
        str(root / row["img_filename"]): 2 * int(row["y"]) + int(row["place"]) for row in _csv(root / "metadata.csv")
    }
    try:
        return np.array([group[image.where] for image in images], dtype=np.int64)
    except KeyError as error:
        raise InputError(f"{root / 'metadata.csv'} does not list {error}; is the listing of another folder?") from error


def save_list(images: SourceListing, file: str | Path) -> Path:
    """Write a listing as a ``.jsonl`` file of paths and class names, which every command takes as its data.

    Args:
        images: of files of their own, such as those of ``load_benchmark``.
        file: to write.

    Returns:
        Its path.

    Raises:
        InputError: the images are inside of other files, or the file cannot be written.
    """
    lines: list[str] = []
    for image in images:
        if not Path(image.where).is_file():
            raise InputError(f"{image.where} is no file of its own; only such images can be listed.")
        lines.append(json.dumps({"file_name": image.where, "label": images.classes.names[image.class_id]}))
    path = Path(file)
    try:
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); take another place.") from error
    return path


def _swapped(part: Part) -> Part:
    return "test" if part == "train" else "train"


@dataclass(frozen=True, kw_only=True)
class _Reader:
    read: Callable[[Path, Part], tuple[list[str], list[_Entry]]]
    meta_class: str
    swaps: bool = False
    notes: tuple[str, ...] = ()


def _cub(root: Path, part: Part) -> tuple[list[str], list[_Entry]]:
    files, labels, train = (dict(_pairs(root / name)) for name in _CUB_FILES)
    names = {number: _plain(name.partition(".")[2]) for number, name in _pairs(root / "classes.txt")}
    wanted = "1" if part == "train" else "0"
    entries = [(f"images/{files[image]}", names[labels[image]]) for image in files if train[image] == wanted]
    return list(names.values()), entries


_CUB_FILES = ("images.txt", "image_class_labels.txt", "train_test_split.txt")


def _flowers(root: Path, part: Part) -> tuple[list[str], list[_Entry]]:
    names = list(ClassList.load("oxford-flowers").names)
    labels, sets = _mat(root / "imagelabels.mat")["labels"].ravel(), _mat(root / "setid.mat")
    keys = ("trnid", "valid") if part == "train" else ("tstid",)
    numbers = sorted(int(number) for key in keys for number in sets[key].ravel())
    return names, [(f"jpg/image_{number:05d}.jpg", names[int(labels[number - 1]) - 1]) for number in numbers]


def _aircraft(root: Path, part: Part) -> tuple[list[str], list[_Entry]]:
    data = root / "data" if (root / "data").is_dir() else root
    names = _lines(data / "variants.txt")
    listed = "trainval" if part == "train" else "test"
    pairs = [line.partition(" ") for line in _lines(data / f"images_variant_{listed}.txt")]
    place = data.relative_to(root)
    entries = [((place / "images" / f"{image}.jpg").as_posix(), variant) for image, _, variant in pairs]
    if odd := {variant for _, variant in entries} - set(names):
        raise ValueError(f"variants.txt lacks {sorted(odd)[0]}")
    return [_slashless(name) for name in names], [(file, _slashless(variant)) for file, variant in entries]


def _cars(root: Path, part: Part) -> tuple[list[str], list[_Entry]]:
    names = [_slashless(str(name)) for name in _mat(root / "devkit" / "cars_meta.mat")["class_names"].ravel()]
    if part == "train":
        file = root / "devkit" / "cars_train_annos.mat"
    else:
        places = (root / "devkit" / "cars_test_annos_withlabels.mat", root / "cars_test_annos_withlabels.mat")
        file = next((place for place in places if place.is_file()), places[0])
    rows = _mat(file)["annotations"].ravel()
    return names, [(f"cars_{part}/{row.fname}", names[int(getattr(row, "class")) - 1]) for row in rows]


def _pets(root: Path, part: Part) -> tuple[list[str], list[_Entry]]:
    file = root / "annotations" / ("trainval.txt" if part == "train" else "test.txt")
    rows = [line.split() for line in _lines(file) if not line.startswith("#")]
    breeds = {int(row[1]): _plain(row[0].rpartition("_")[0]) for row in rows}
    if sorted(breeds) != list(range(1, len(breeds) + 1)):
        raise ValueError("its class ids are not 1, 2, 3, ...")
    entries = [(f"images/{row[0]}.jpg", breeds[int(row[1])]) for row in rows]
    return [breeds[number] for number in sorted(breeds)], entries


def _waterbirds(root: Path, part: Part) -> tuple[list[str], list[_Entry]]:
    # 0 is training, 1 validation, 2 test; the validation part has the test's balance, so it is neither
    wanted, names = ("0" if part == "train" else "2"), ["landbird", "waterbird"]
    rows = [row for row in _csv(root / "metadata.csv") if row["split"] == wanted]
    return names, [(row["img_filename"], names[int(row["y"])]) for row in rows]


_READERS: dict[str, _Reader] = {
    "cub-200": _Reader(read=_cub, meta_class="bird"),
    "oxford-flowers": _Reader(read=_flowers, meta_class="flower", swaps=True),
    "fgvc-aircraft": _Reader(read=_aircraft, meta_class="aircraft"),
    "stanford-cars": _Reader(read=_cars, meta_class="car"),
    "oxford-pets": _Reader(read=_pets, meta_class="pet"),
    "waterbirds": _Reader(read=_waterbirds, meta_class="bird", notes=("the official validation part is in neither",)),
}


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def _pairs(file: Path) -> Iterator[tuple[str, str]]:
    for line in _lines(file):
        first, _, second = line.partition(" ")
        yield first, second


def _csv(file: Path) -> list[dict[str, str]]:
    head, *rows = (line.split(",") for line in _lines(file))
    return [dict(zip(head, row, strict=False)) for row in rows]


def _mat(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise FileNotFoundError(2, "no such file", str(file))
    content = cast("dict[str, Any]", loadmat(file, squeeze_me=True, struct_as_record=False))
    return {name: np.atleast_1d(value) for name, value in content.items() if not name.startswith("__")}


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _slashless(name: str) -> str:
    """``F/A-18`` reads the same with a space, and a prompt or a folder takes no slash."""
    return name.replace("/", " ")

"""Photographs of fruit and vegetables as the demo model sees them: the produce of the Grocery Store Dataset.

The photographs come from the data set's own repository (Klasson, Zhang and Kjellstrom, *A Hierarchical Grocery Store
Image Dataset with Visual and Semantic Labels*, WACV 2019; MIT licence):

    git clone https://github.com/marcusklasson/GroceryStoreDataset

Its packages (juice, milk, yoghurt...) are left out: what tells them apart is print, and 64 pixels hold none. Of the
official split, training reads ``train.txt`` and opens no file of the other parts. ``TRAIN_SHA256`` pins that part.
"""

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

# The data set's name of a class, and the noun of its prompts
CLASSES = {
    "Golden-Delicious": "Golden Delicious apple",
    "Granny-Smith": "Granny Smith apple",
    "Pink-Lady": "Pink Lady apple",
    "Red-Delicious": "Red Delicious apple",
    "Royal-Gala": "Royal Gala apple",
    "Avocado": "avocado",
    "Banana": "banana",
    "Kiwi": "kiwi",
    "Lemon": "lemon",
    "Lime": "lime",
    "Mango": "mango",
    "Cantaloupe": "cantaloupe melon",
    "Galia-Melon": "Galia melon",
    "Honeydew-Melon": "honeydew melon",
    "Watermelon": "watermelon",
    "Nectarine": "nectarine",
    "Orange": "orange",
    "Papaya": "papaya",
    "Passion-Fruit": "passion fruit",
    "Peach": "peach",
    "Anjou": "Anjou pear",
    "Conference": "Conference pear",
    "Kaiser": "Kaiser pear",
    "Pineapple": "pineapple",
    "Plum": "plum",
    "Pomegranate": "pomegranate",
    "Red-Grapefruit": "red grapefruit",
    "Satsumas": "satsuma",
    "Asparagus": "asparagus",
    "Aubergine": "aubergine",
    "Cabbage": "cabbage",
    "Carrots": "carrot",
    "Cucumber": "cucumber",
    "Garlic": "garlic bulb",
    "Ginger": "ginger root",
    "Leek": "leek",
    "Brown-Cap-Mushroom": "brown cap mushroom",
    "Yellow-Onion": "yellow onion",
    "Green-Bell-Pepper": "green bell pepper",
    "Orange-Bell-Pepper": "orange bell pepper",
    "Red-Bell-Pepper": "red bell pepper",
    "Yellow-Bell-Pepper": "yellow bell pepper",
    "Floury-Potato": "floury potato",
    "Solid-Potato": "solid potato",
    "Sweet-Potato": "sweet potato",
    "Red-Beet": "red beet",
    "Beef-Tomato": "beef tomato",
    "Regular-Tomato": "regular tomato",
    "Vine-Tomato": "vine tomato",
    "Zucchini": "zucchini",
}
PARTS = ("train", "val", "test")
TRAIN_SHA256 = "5bd113520dd23b4dad89e01c3f948ccb5e3301bed33716fda954958c0871a3ba"
SMALLEST_SIDE = 0.55
"""Least side of a random crop, as a share of the photograph's shorter side."""


@dataclass(frozen=True, kw_only=True)
class Photographs:
    """One part of the split: files and their positions in ``names``."""

    files: tuple[Path, ...]
    labels: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)


def load(data: Path, part: str, *, hold_out: tuple[str, ...] = ()) -> Photographs:
    """List the produce of one part; refuse a training part that is not the one that the model was made of.

    Args:
        data: the data set's repository.
        part: "train", "val" or "test".
        hold_out: nouns to leave out; the others are counted anew in their order.
    """
    listing, table = data / "dataset" / f"{part}.txt", data / "dataset" / "classes.csv"
    for file in (listing, table):
        if not file.is_file():
            raise SystemExit(
                f"{file} is missing. Run `git clone https://github.com/marcusklasson/GroceryStoreDataset` and pass "
                "--data GroceryStoreDataset"
            )
    nouns = tuple(CLASSES.values())
    unknown = [name for name in hold_out if name not in nouns]
    if unknown:
        raise SystemExit(f"There are no classes {unknown}; there are {list(nouns)}")
    names = tuple(name for name in nouns if name not in hold_out)
    if len(names) < 2:
        raise SystemExit("At least two classes must be left to train on")
    with table.open(newline="", encoding="utf-8") as rows:
        noun_of = {int(row[1]): CLASSES[row[0]] for row in list(csv.reader(rows))[1:] if row[0] in CLASSES}
    files, labels = [], []
    for line in listing.read_text(encoding="utf-8").splitlines():
        path, fine, _ = (cell.strip() for cell in line.split(","))
        if int(fine) in noun_of:
            files.append(data / "dataset" / path)
            labels.append(noun_of[int(fine)])
    if part == "train":
        digest = files_digest(files)
        if digest != TRAIN_SHA256:
            raise SystemExit(
                f"{data} holds other training photographs than the demo model was made of (hash {digest}, expected "
                f"{TRAIN_SHA256})"
            )
    kept = [place for place, noun in enumerate(labels) if noun in names]
    return Photographs(
        files=tuple(files[place] for place in kept),
        labels=np.array([names.index(labels[place]) for place in kept], dtype=np.int64),
        names=names,
    )


def files_digest(files: list[Path]) -> str:
    """sha256 over the length and the bytes of every file, in order."""
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


def whole(photographs: Photographs, size: int) -> np.ndarray:
    """The largest square in the middle of each, reduced: uint8 ``[N, size, size, 3]``."""
    images = []
    for picture in _opened(photographs):
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        images.append(_reduced(picture, (left, top, left + side, top + side), size))
    return np.stack(images)


def crops(
    photographs: Photographs, size: int, copies: int, file: Path, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Random squares of every photograph, half of them mirrored, reduced to ``size``; kept in ``file``.

    Returns:
        uint8 ``[N * copies, size, size, 3]``, read from the file as it is needed, and their labels; the copies of a
        photograph follow one another.
    """
    labels = np.repeat(photographs.labels, copies)
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".tmp")
        shape = (len(labels), size, size, 3)
        images = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        for row, picture in enumerate(_opened(photographs)):
            rng = np.random.default_rng([seed, row])
            for copy in range(copies):
                images[row * copies + copy] = _crop(picture, size, rng)
        images.flush()
        temporary.replace(file)
    return np.load(file, mmap_mode="r"), labels


def _crop(picture: Image.Image, size: int, rng: np.random.Generator) -> np.ndarray:
    share, across, down, mirrored = rng.random(4)
    side = min(picture.size) * (SMALLEST_SIDE + (1 - SMALLEST_SIDE) * share)
    left, top = (picture.width - side) * across, (picture.height - side) * down
    image = _reduced(picture, (left, top, left + side, top + side), size)
    return image[:, ::-1] if mirrored < 0.5 else image


def _reduced(picture: Image.Image, box: tuple[float, float, float, float], size: int) -> np.ndarray:
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC, box=box))


def _opened(photographs: Photographs) -> Iterator[Image.Image]:
    for file in photographs.files:
        with Image.open(file) as picture:
            yield picture.convert("RGB")

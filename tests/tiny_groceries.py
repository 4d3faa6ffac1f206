"""A data set in the layout of the Grocery Store Dataset, with drawn pictures in place of photographs."""

from pathlib import Path

import numpy as np
from PIL import Image

FINE = {"Lemon": 8, "Kaiser": 22, "Arla-Sour-Milk": 48, "Red-Beet": 76}
NOUNS = {"Lemon": "lemon", "Kaiser": "Kaiser pear", "Red-Beet": "red beet"}
TABLE = """Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int),Iconic,Description
Lemon,8,Lemon,8,/a.jpg,/a.txt
Kaiser,22,Pear,18,/b.jpg,/b.txt
Arla-Sour-Milk,48,Sour-Milk,30,/c.jpg,/c.txt
Red-Beet,76,Red-Beet,40,/d.jpg,/d.txt
"""


def ramps(width: int, height: int, blue: int) -> np.ndarray:
    """Red rises from left to right, green from the top down."""
    red, green = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([red, green, np.full_like(red, blue)], axis=2).round().astype(np.uint8)


def write_part(folder: Path, part: str) -> list[Path]:
    """Two pictures of each class, the first one wider than high; blue is the class's number."""
    lines, files = [], []
    for name, fine in FINE.items():
        for number, (width, height) in enumerate(((80, 60), (60, 60))):
            path = f"{part}/{name}/{name}_{number:03d}.png"
            file = folder / "dataset" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(ramps(width, height, fine)).save(file)
            lines.append(f"{path}, {fine}, 0")
            files.append(file)
    (folder / "dataset" / f"{part}.txt").write_text("\n".join(lines) + "\n")
    (folder / "dataset" / "classes.csv").write_text(TABLE)
    return files


def produce(files: list[Path]) -> list[Path]:
    """Those that are no packages."""
    return [file for file in files if file.parent.name in NOUNS]

"""``ncm preview``: the pictures of a data set, made again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import tyro


@dataclass(frozen=True, kw_only=True)
class Preview:
    """Draw the data set again: preview.png, a grid of images, and preview.html, a page to look through them.

    Both show the outline of the masks, the classes and their weights. The page opens in a browser from the disk,
    offline; it filters by class and weight, and a click shows the image large, with its record.

    For example:

    - ncm preview aug
    - ncm preview aug --count 64 --no-page
    """

    interrupted: ClassVar[str] = "nothing is lost; the same command begins again"

    dataset: tyro.conf.Positional[Path]
    """Folder of the data set."""
    count: int = 32
    """How many samples preview.png shows, spread evenly over the data set."""
    page: bool = True
    """Write preview.html too. 2,000 images of 512 px take half a minute, small ones a second or two."""
    page_count: int = 2000
    """The most samples on the page, spread evenly: 2,000 take up to 20 MB."""

    def __call__(self) -> int:
        """Run the command; the exit code."""
        from ..errors import InputError
        from ..store.preview import preview
        from ..store.preview_page import preview_page
        from .counter import counter

        if min(self.count, self.page_count) < 1:
            raise InputError(f"--count is {self.count} and --page-count {self.page_count}; legal is 1 or more.")
        print(preview(self.dataset, cells=self.count))
        if self.page:
            with counter() as show:
                page = preview_page(self.dataset, cells=self.page_count, on_progress=show)
            print(page)
        return 0

"""Which real images, or which inversions in a pool, can be planned with: content hashes by class."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

from ..errors import InputError


@dataclass(frozen=True, kw_only=True)
class PoolListing:
    """The content hashes of images, class by class, in the order of the class ids.

    Within a class they are sorted, so that a listing does not depend on names, folders or the order of a disk.

    Example:
        >>> listing = PoolListing(images=(("a1", "b2"), ("c3",)))
        >>> len(listing), listing.counts
        (3, (2, 1))
    """

    images: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        seen: dict[str, int] = {}
        for class_id, hashes in enumerate(self.images):
            if list(hashes) != sorted(set(hashes)):
                raise InputError(f"The images of class {class_id} in the pool's listing are not sorted and distinct.")
            for content in hashes:
                if content in seen:
                    raise InputError(
                        f"The image {content} is in the pool for class {seen[content]} and for {class_id}."
                    )
                seen[content] = class_id

    def __len__(self) -> int:
        return sum(self.counts)

    @property
    def counts(self) -> tuple[int, ...]:
        """Images per class."""
        return tuple(map(len, self.images))

    @cached_property
    def contents(self) -> tuple[str, ...]:
        """All content hashes in one row, class after class."""
        return tuple(content for images in self.images for content in images)

    def digest(self) -> str:
        """sha256 over the listing: equal digests mean equal pools to plan with."""
        return hashlib.sha256(json.dumps(self.images, separators=(",", ":")).encode()).hexdigest()

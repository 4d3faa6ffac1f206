"""Fixtures of the maths tests."""

from __future__ import annotations

from collections.abc import Iterator

import jaxtyping
import pytest


@pytest.fixture
def as_in_production() -> Iterator[None]:
    """Shapes and types go unchecked by annotations, as without jaxtyping: the library's own messages must do."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)

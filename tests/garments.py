"""A small model for tests: gray garments of 32 x 32 pixels in ten classes, in seconds on any CPU."""

from pathlib import Path

GARMENTS = Path(__file__).parent / "fixtures" / "garments"

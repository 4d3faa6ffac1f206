"""ComfyUI's base directory."""

from pathlib import Path

TESTS = Path(__file__).parents[2]
PACKS = {"noisecutmix": TESTS.parents[1], "noisecutmix_testing": TESTS / "testing_nodes"}


def make_base(base: Path) -> Path:
    """Make a fresh one with both packs, linked as a user would link a clone; ComfyUI adds the rest."""
    (base / "custom_nodes").mkdir(parents=True)
    for name, folder in PACKS.items():
        (base / "custom_nodes" / name).symlink_to(folder, target_is_directory=True)
    return base

"""Names in a folder of concepts."""

from __future__ import annotations

from pathlib import Path

MANIFEST = "concepts.json"
LORA = "pytorch_lora_weights.safetensors"
"""diffusers' own name: ``load_lora_weights(FOLDER)`` finds it."""
EMBEDDINGS = "embeddings"
SAVING = ".ncm-saving"
"""A set that is being written: not to be read."""
SAVED = ".ncm-saved"
"""A whole set whose files are on their way to their places: what is in here counts more than what is beside it."""


def embedding_name(dataset: str, class_id: int) -> str:
    """``embeddings/cub_class_3.safetensors``: below ComfyUI's embeddings folder it is ``embedding:cub_class_3``."""
    return f"{EMBEDDINGS}/{dataset}_class_{class_id}.safetensors"


def current(folder: Path, name: str) -> Path:
    """Where a file of the set is: in its place, or still on the way there."""
    waiting = folder / SAVED / name
    return waiting if waiting.is_file() else folder / name

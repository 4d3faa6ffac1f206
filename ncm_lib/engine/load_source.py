"""Where a model lies: the embedded one, a folder, a single file with its config folder, or a hub id."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from .hub import folder_of
from .load_folder import INDEX

_PICKLES = {".ckpt", ".bin", ".pt", ".pth"}
_LEGAL = (
    "legal: demo, a folder in diffusers' layout (with model_index.json), a .safetensors file, or a hub id such as "
    "owner/name"
)
_CONFIGS = ["*.json", "*/*.json", "*/*.txt", "*/*.model"]


def find_model(source: str | Path, config: str | Path | None = None) -> tuple[Path, Path | None]:
    """The folder that describes a model, and the single file that has its weights, or None where the folder has them.

    Args:
        source: "demo", a folder in diffusers' layout, a .safetensors file, or a hub id, which is downloaded.
        config: the folder or hub id that describes a single file; None takes the folder beside it that has its name.

    Raises:
        InputError: there is no such model, or it is a pickle.
    """
    path = Path(source).expanduser()
    is_file = path.is_file() or (path.suffix in {".safetensors", *_PICKLES} and not path.is_dir())
    if str(source) == "demo" or not is_file:
        if config is not None:
            raise InputError(f"config is {str(config)!r}, but {source} is no single file; leave config out.")
        return _folder(str(source), [*_CONFIGS, "*/*.safetensors"]), None
    if path.suffix in _PICKLES:
        raise InputError(
            f"{source} is a pickle, which can run code when it is read, so it is not. Convert it once where you trust "
            "it, such as by diffusers.StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER), and give "
            "that folder."
        )
    if path.suffix != ".safetensors" or not path.is_file():
        raise InputError(f"There is no model at {str(source)!r}; {_LEGAL}.")
    if config is None and not (path.with_suffix("") / INDEX).is_file():
        raise InputError(
            f"{source} is a single file; give config= as well, or put it beside the file as the folder {path.stem}: a "
            "folder in diffusers' layout (its JSON files and tokenizers are enough). A hub id of the model that the "
            "file was made from does as well, such as stable-diffusion-v1-5/stable-diffusion-v1-5."
        )
    return _folder(str(config or path.with_suffix("")), _CONFIGS), path


def demo_folder() -> Path:
    """Where the embedded demo model lies: inside an installed package, or in ``ckpts/demo`` of a clone."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_demo", package.parent / "ckpts" / "demo"):
        if (folder / INDEX).is_file():
            return folder
    raise InputError("The embedded demo model is missing from this installation; install the package again.")


def _folder(source: str, patterns: list[str]) -> Path:
    if source == "demo":
        return demo_folder()
    folder = folder_of(source, patterns, what="model", legal=_LEGAL)
    if not (folder / INDEX).is_file():
        raise InputError(f"The folder {source} has no {INDEX}, so it is no diffusers model; {_LEGAL}.")
    return folder

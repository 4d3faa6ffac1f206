"""The errors that users meet: each says what came, what is legal and what to do."""

import importlib
from types import ModuleType


class InputError(ValueError):
    """Something that the user gave cannot be worked with; the message is complete by itself (no traceback needed)."""


class MissingExtraError(ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


def import_extra(module: str, extra: str) -> ModuleType:
    """Import an optional ``module``.

    Raises:
        MissingExtraError: it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"The package {module.partition('.')[0]!r} is not installed; this feature needs it. {how_to_install(extra)}"
        ) from error


def how_to_install(extra: str) -> str:
    """The command that installs an extra, for those who have a clone and for those who have the package alone.

    Example:
        >>> how_to_install("ray")
        'Install it with: pip install "noisecutmix[ray]", or in a clone of the repository: pip install -e ".[ray]"'
    """
    return (
        f'Install it with: pip install "noisecutmix[{extra}]", or in a clone of the repository: '
        f'pip install -e ".[{extra}]"'
    )

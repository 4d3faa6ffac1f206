"""Which state of this library made a number."""

from __future__ import annotations

import functools
import hashlib
import re
from pathlib import Path


@functools.cache
def commit(root: Path = Path(__file__).parents[2]) -> str | None:
    """The commit of the checkout that this library runs from; None where it was installed from a package.

    Args:
        root: folder of the checkout.
    """
    git = root / ".git"
    try:
        if git.is_file():  # a worktree's
            git = (root / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()).resolve()
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref:"):
            return head
        name = head.removeprefix("ref:").strip()
        common = git / (git / "commondir").read_text(encoding="utf-8").strip() if (git / "commondir").is_file() else git
        if (common / name).is_file():
            return (common / name).read_text(encoding="utf-8").strip()
        packed = (common / "packed-refs").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(rf"^([0-9a-f]{{40,64}}) {re.escape(name)}$", packed, re.MULTILINE)
    return found[1] if found else None


@functools.cache
def source_hash(folder: Path = Path(__file__).parents[1]) -> str:
    """sha256 over the library's own modules: it tells a changed checkout from its commit.

    Args:
        folder: of the package.
    """
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py"), key=lambda file: file.relative_to(folder).as_posix()):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()

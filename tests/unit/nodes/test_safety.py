"""What the nodes and everything that they import may never do."""

import ast
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# The rule for the whole library, which lets a few files be; here there is one exception only.
RULE = runpy.run_path(str(ROOT / "tests" / "unit" / "repo" / "test_static.py"))
HOST_NAME_ONLY = "ncm_lib/store/lock.py"


def modules_of(name: tuple[str, ...], root: Path) -> Iterator[Path]:
    """The files that Python runs when it imports a dotted name: its packages from the top, then itself."""
    for depth in range(1, len(name) + 1):
        place = root.joinpath(*name[:depth])
        yield from (file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file())


def imported_by(file: Path, root: Path) -> Iterator[Path]:
    """The files that a file's relative imports run, wherever in the file they stand, but for type checkers only."""
    package = file.relative_to(root).parent.parts
    waiting: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (*package[: len(package) - node.level + 1], *(node.module or "").split("."))
            for alias in node.names:
                yield from modules_of((*filter(None, base), alias.name), root)


def reached_from(files: list[Path], root: Path) -> set[str]:
    """Those files and all that they import, and what that imports, by their paths below the root."""
    reached, waiting = set(files), list(files)
    while waiting:
        new = set(imported_by(waiting.pop(), root)) - reached
        reached |= new
        waiting += new
    return {file.relative_to(root).as_posix() for file in reached}


@pytest.fixture(scope="module")
def reached() -> set[str]:
    return reached_from([ROOT / "__init__.py", *(ROOT / "nodes").glob("*.py")], ROOT)


def test_what_the_nodes_reach_is_found(reached):
    assert {"nodes/datasets.py", "ncm_lib/__init__.py", "ncm_lib/store/writer.py", HOST_NAME_ONLY} <= reached


def test_the_nodes_reach_neither_the_engine_nor_the_command_line(reached):
    assert {name for name in reached if name.startswith(("ncm_lib/engine", "ncm_lib/cli"))} == set()


def test_nothing_that_the_nodes_reach_runs_strings_or_pickles_starts_programs_or_opens_connections(reached):
    found = [f"{name}:{line} {what}" for name in sorted(reached)
             for line, what in RULE["dangers"]((ROOT / name).read_text(encoding="utf-8"))
             if (name, what) != (HOST_NAME_ONLY, "socket")]  # fmt: skip
    assert not found, "\n".join(found)


def test_a_lock_asks_for_the_hosts_name_and_for_nothing_else_of_the_network():
    tree = ast.parse((ROOT / HOST_NAME_ONLY).read_text(encoding="utf-8"))
    used = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "socket"
    }
    assert used == {"gethostname"}


def test_a_danger_behind_two_imports_is_reached(tmp_path):
    for name, text in {
        "nodes/a.py": "from ..ncm_lib.plan import classes",
        "ncm_lib/__init__.py": "if TYPE_CHECKING:\n    from .other import x",
        "ncm_lib/plan/__init__.py": "",
        "ncm_lib/plan/classes.py": "def load():\n    from ..files import read",
        "ncm_lib/files.py": "import pickle",
        "ncm_lib/other.py": "import socket",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert reached_from([tmp_path / "nodes/a.py"], tmp_path) == {
        "nodes/a.py", "ncm_lib/__init__.py", "ncm_lib/plan/__init__.py", "ncm_lib/plan/classes.py", "ncm_lib/files.py",
    }  # fmt: skip

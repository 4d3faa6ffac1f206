"""Imports go down only: cli and nodes, then training, metrics, engine, store and its neighbours, plan, maths."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FLOORS = {
    "cli": 7, "nodes": 7,
    "training": 6,
    "metrics": 5,
    "engine": 4,
    "store": 3, "methods": 3, "sources": 3, "concepts": 3, "dip": 3,
    "plan": 2,
    "maths": 1,
    "errors": 0, "typing": 0, "version": 0, "wording": 0,
}  # fmt: skip
# What ComfyUI installs itself; jaxtyping is optional, see ncm_lib/typing.py.
COMFYUI_MODULES = {"folder_paths", "latent_preview", "node_helpers", "server"}
COMFYUI_BRINGS = {
    "torch", "numpy", "PIL", "safetensors", "scipy", "pydantic", "tqdm", "einops", "transformers", "typing_extensions",
    "jaxtyping",
}  # fmt: skip
MATHS_NEEDS = {"torch", "numpy", "scipy", "typing_extensions"}
LOW_ROOMS = [room for room in ("maths", "plan", "methods", "store", "sources", "concepts", "dip")
             if (ROOT / "ncm_lib" / room).is_dir()]  # fmt: skip


def room_of(file: Path, root: Path = ROOT) -> str:
    """The room a file lives in: its folder in ncm_lib, its own name at ncm_lib's top, or nodes."""
    parts = file.relative_to(root).with_suffix("").parts
    return parts[1] if parts[0] == "ncm_lib" else parts[0]


def imports_of(file: Path, root: Path = ROOT) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of every import in a file, wherever in the file it stands."""
    package = file.relative_to(root).parent.parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.lineno, node.module or ""
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            if node.module:
                yield node.lineno, ".".join((*base, node.module))
            else:
                yield from ((node.lineno, ".".join((*base, alias.name))) for alias in node.names)


def floor_faults(file: Path, root: Path = ROOT) -> list[str]:
    """Every import of a file that goes up, across, or past what its floor may use; empty when all is well."""
    room, faults = room_of(file, root), []
    for line, name in imports_of(file, root):
        head, _, rest = name.partition(".")
        target = rest.partition(".")[0] if head == "ncm_lib" else head
        where = f"{file.relative_to(root).as_posix()}:{line} imports {name}"
        if head in ("ncm_lib", "nodes"):
            if room == "nodes" and target in ("engine", "training", "metrics", "cli"):
                faults.append(f"{where}: the nodes use everything below the engine, never the engine itself")
            elif target != room and FLOORS.get(target, 99) >= FLOORS[room]:
                faults.append(f"{where}: from {room} that is not down")
        elif head.startswith("comfy") or head in COMFYUI_MODULES:
            if room != "nodes":
                faults.append(f"{where}: only nodes know ComfyUI")
        elif head not in sys.stdlib_module_names:
            if room == "maths" and head not in MATHS_NEEDS:
                faults.append(f"{where}: maths needs {sorted(MATHS_NEEDS)} only")
            elif (FLOORS[room] < FLOORS["engine"] or room == "nodes") and head not in COMFYUI_BRINGS:
                faults.append(f"{where}: below the engine there is only what ComfyUI installs itself")
    return faults


def absolute_faults(file: Path) -> list[str]:
    """Imports of our own packages by absolute name: ComfyUI loads the folder under another name."""
    return [
        f"{file.relative_to(ROOT).as_posix()}:{node.lineno}"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Import) and any(a.name.split(".")[0] in ("ncm_lib", "nodes") for a in node.names))
        or (
            isinstance(node, ast.ImportFrom)
            and not node.level
            and (node.module or "").split(".")[0] in ("ncm_lib", "nodes")
        )
    ]


def sources() -> list[Path]:
    return sorted([*(ROOT / "ncm_lib").rglob("*.py"), *(ROOT / "nodes").rglob("*.py")])


def test_every_room_has_a_floor():
    rooms = {room_of(file) for file in sources()} - {"__init__"}
    assert rooms <= set(FLOORS), f"New rooms {sorted(rooms - set(FLOORS))}: say in FLOORS where they stand."


def test_contributing_draws_the_same_floors():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (picture,) = re.findall(r"Imports go down only.*?From the top: (.*?)\. `nodes` use", text, re.DOTALL)
    drawn = [{name.removesuffix(".py") for name in re.findall(r"`([a-z.]+)`", floor)} for floor in picture.split(";")]
    heights = sorted(set(FLOORS.values()), reverse=True)
    assert drawn == [{room for room, height in FLOORS.items() if height == floor} for floor in heights]


def test_imports_go_down_only():
    lazy_table = ROOT / "ncm_lib" / "__init__.py"
    faults = [fault for file in sources() if file != lazy_table for fault in floor_faults(file)]
    assert not faults, "\n".join(faults)


def test_imports_inside_the_packages_are_relative():
    faults = [fault for file in sources() for fault in absolute_faults(file)]
    assert not faults, "Write these imports relative: " + ", ".join(faults)


def test_ncm_lib_itself_imports_nothing_but_the_standard_library():
    tree = ast.parse((ROOT / "ncm_lib" / "__init__.py").read_text(encoding="utf-8"))
    eager = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = [alias.name if isinstance(node, ast.Import) else f"{'.' * node.level}{node.module}"
             for node in eager for alias in node.names]  # fmt: skip
    assert all(name.split(".")[0] in sys.stdlib_module_names for name in names), names


@pytest.mark.parametrize(
    ("where", "line", "fault"),
    [
        ("ncm_lib/maths/x.py", "from ..plan.sample import Sample", "not down"),
        ("ncm_lib/store/x.py", "from ..methods import base", "not down"),
        ("ncm_lib/store/x.py", "def f():\n    from ..engine import load", "not down"),
        ("ncm_lib/plan/x.py", "import diffusers", "ComfyUI installs itself"),
        ("ncm_lib/maths/x.py", "import PIL.Image", "maths needs"),
        ("ncm_lib/engine/x.py", "import comfy.utils", "only nodes"),
        ("nodes/x.py", "from ..ncm_lib.engine import load", "never the engine"),
        ("nodes/x.py", "import tyro", "ComfyUI installs itself"),
    ],
)
def test_an_import_that_goes_up_is_found(tmp_path, where, line, fault):
    file = tmp_path / where
    file.parent.mkdir(parents=True)
    file.write_text(line)
    assert [text for text in floor_faults(file, tmp_path) if fault in text]


@pytest.mark.parametrize(
    ("where", "line"),
    [
        (
            "ncm_lib/plan/x.py",
            "from ..maths.masks import Box\nfrom .classes import ClassList\nfrom ..errors import InputError",
        ),
        ("ncm_lib/engine/x.py", "import diffusers\nfrom ..store.writer import DatasetWriter"),
        ("nodes/x.py", "import comfy.utils\nfrom ..ncm_lib.maths import masks"),
    ],
)
def test_an_import_that_goes_down_is_let_be(tmp_path, where, line):
    file = tmp_path / where
    file.parent.mkdir(parents=True)
    file.write_text(line)
    assert floor_faults(file, tmp_path) == []


def test_every_room_below_the_engine_works_without_diffusers_peft_tyro_accelerate_and_jaxtyping():
    program = """
import importlib, importlib.abc, pkgutil, sys
missing = {"diffusers", "peft", "tyro", "accelerate", "jaxtyping", "datasets", "matplotlib"}

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
for room in sys.argv[1:]:
    if room != "maths":
        missing -= {"transformers"}
    else:
        missing |= {"transformers", "pydantic", "PIL", "safetensors"}
    package = importlib.import_module(f"ncm_lib.{room}")
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
    missing -= {"pydantic", "PIL", "safetensors"}
"""
    run = subprocess.run(
        [sys.executable, "-c", program, *LOW_ROOMS], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert run.returncode == 0, run.stderr

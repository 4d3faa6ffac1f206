"""What the README and the pages behind it show works as it stands there."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """First line and text of every code block of a page in a language."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, match.start()) + 2, match.group(1)) for match in found]


def without_code(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", without_code(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def marked(name: str) -> str:
    """The one command behind the marker that .ci/run looks for."""
    found = re.findall(rf"^<!-- command: {name} -->\n+```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"README.md needs one '<!-- command: {name} -->' with a bash block right behind it"
    return found[0].strip()


def ncm_lines() -> Iterator[list[str]]:
    for _, text in [block for page in PAGES for block in blocks(page, "bash")]:
        for line in text.replace("\\\n", " ").splitlines():
            for command in re.split(r"&&|\|\||[|;]", line):
                words = shlex.split(command, comments=True)
                if words and Path(words[0]).name == "ncm":
                    yield words[1:]


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_the_python_blocks_of_a_page_run_one_after_the_other(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for line, text in blocks(page, "python"):
        # blank lines in front make a traceback show the page's own line numbers
        exec(compile("\n" * (line - 1) + text, str(page), "exec"), names)  # noqa: S102


def test_one_command_installs_and_makes_the_demo_data_set():
    assert marked("demo") == "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt . && .venv/bin/ncm demo"


def test_one_command_installs_and_runs_the_tests():
    command = marked("test")
    assert command.startswith('python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e ".[test]" && ')
    assert " -m pytest" in command.split("&&")[-1]
    assert "\n" not in command


def test_every_option_of_an_ncm_command_exists(capsys):
    from ncm_lib.cli.main import main

    for words in ncm_lines():
        path = [word for word in words[: 2 if words[0] in ("generate", "dip") else 1] if not word.startswith("-")]
        with pytest.raises(SystemExit) as exit_:
            main([*path, "--help"])
        help_text = capsys.readouterr().out
        assert exit_.value.code == 0, words
        for option in {word.partition("=")[0] for word in words if word.startswith("--")}:
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", help_text), f"ncm {' '.join(words)}: {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_local_link_leads_somewhere(page):
    text = without_code(page)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    for target in targets:
        if not re.match(r"[a-z]+:", target):
            name, _, anchor = target.partition("#")
            file = page.parent / name if name else page
            assert file.exists(), target
            assert not anchor or anchor in anchors(file), target


def test_the_readme_leads_to_every_page():
    assert not [page.name for page in PAGES[1:] if page.name != "dip_study.md" and f"(docs/{page.name}" not in README]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
class TestContinuousIntegration:
    def run(self, tmp_path: Path, readme: str) -> subprocess.CompletedProcess[str]:
        """Run a copy of .ci/run in a checkout that holds this README and nothing else."""
        checkout, temporary = tmp_path / "checkout with a space", tmp_path / "tmp"
        (checkout / ".ci").mkdir(parents=True)
        temporary.mkdir()
        shutil.copy(ROOT / ".ci" / "run", checkout / ".ci" / "run")
        (checkout / "README.md").write_text(readme)
        environment = {**os.environ, "TMPDIR": str(temporary)}
        command = ["bash", str(checkout / ".ci" / "run")]
        run = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        assert list(temporary.iterdir()) == [], "the temporary folder stays behind"
        assert sorted(path.name for path in checkout.iterdir()) == [".ci", "README.md"], "the checkout was written to"
        return run

    def test_it_runs_the_readme_test_command_and_ends_with_its_last_line(self, tmp_path):
        other = "```bash\nfalse\n```\n"
        readme = f"{other}<!-- command: test -->\n```bash\ntouch x && echo first && echo 3 passed\n```\n{other}"
        run = self.run(tmp_path, readme)
        assert run.returncode == 0, run.stderr
        assert run.stdout.splitlines()[-1] == "pytest: 3 passed"

    def test_a_failing_command_fails_it_with_the_same_code(self, tmp_path):
        run = self.run(tmp_path, "<!-- command: test -->\n```bash\necho 1 failed && exit 3\n```\n")
        assert run.returncode == 3
        assert run.stdout.splitlines()[-1] == "pytest: 1 failed"

    def test_a_readme_without_the_marker_fails_it(self, tmp_path):
        run = self.run(tmp_path, "```bash\ntrue\n```\n")
        assert run.returncode == 2
        assert "<!-- command: test -->" in run.stderr

    def test_the_marker_leads_to_the_command_that_the_readme_shows(self):
        assert "pytest" in marked("test")
        assert os.access(ROOT / ".ci" / "run", os.X_OK) or os.name == "nt"

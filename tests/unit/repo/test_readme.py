"""What the README shows works as it stands there."""

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


def blocks(language: str) -> list[tuple[int, str]]:
    """First line and text of every code block in a language."""
    found = re.finditer(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return [(README.count("\n", 0, match.start()) + 2, match.group(1)) for match in found]


def marked(name: str) -> str:
    """The one command behind the marker that .ci/run looks for."""
    found = re.findall(rf"^<!-- command: {name} -->\n+```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"README.md needs one '<!-- command: {name} -->' with a bash block right behind it"
    return found[0].strip()


def ncm_lines() -> Iterator[list[str]]:
    for _, text in blocks("bash"):
        for line in text.replace("\\\n", " ").splitlines():
            for command in re.split(r"&&|\|\||[|;]", line):
                words = shlex.split(command, comments=True)
                if words and Path(words[0]).name == "ncm":
                    yield words[1:]


@pytest.mark.slow
def test_the_python_blocks_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for line, text in blocks("python"):
        # blank lines in front make a traceback show the README's own line numbers
        exec(compile("\n" * (line - 1) + text, str(ROOT / "README.md"), "exec"), names)  # noqa: S102


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


def test_every_local_link_leads_somewhere():
    targets = re.findall(r"\]\(([^)#\s]+)", README) + re.findall(r'(?:src|href)="([^"#]+)"', README)
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert not [target for target in local if not (ROOT / target).exists()]


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

"""What a newcomer meets: short help, and one line for words that cannot be meant."""

from __future__ import annotations

import dataclasses
import re

import pytest

from ncm_lib import InputError
from ncm_lib.cli import main as cli
from ncm_lib.cli.main import main
from ncm_lib.cli.parsing import parse
from ncm_lib.cli.termination import Terminated
from ncm_lib.store.manifest import Manifest


def run(*words):
    try:
        return main(list(words))
    except SystemExit as leaving:
        return leaving.code


@pytest.mark.parametrize(
    ("words", "names"),
    [((), cli._COMMANDS), (("generate",), cli._METHODS), (("dip",), cli.ACTIONS)],
    ids=["ncm", "ncm generate", "ncm dip"],
)
def test_help_has_one_short_line_for_each_name(words, names, capsys):
    assert run(*words, "--help") == 0
    text = capsys.readouterr().out
    for name in names:
        (line,) = re.findall(rf"^  {name} .*$", text, re.MULTILINE)
        assert len(line) <= 104, line
        assert len(line.split()) > 3
    assert len(text.splitlines()) <= len(names) + 15
    # without anything behind it, the same on the other stream, as an error
    assert run(*words) == 2
    assert capsys.readouterr().err == text


def test_the_long_text_is_in_the_commands_own_help_and_reads_as_text(capsys):
    assert run("compare", "--help") == 0
    text = capsys.readouterr().out
    assert "[[rows]]" in text
    assert "code-block" not in text
    assert "\n\n\n" not in text
    for name in cli._COMMANDS:
        assert run(name, "--help") == 0
        assert "code-block" not in capsys.readouterr().out


GENERATE = ("generate", "noisecutmix", "--model", "demo", "--out", "x")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("exprot",), "There is no command 'exprot' of ncm; did you mean export?"),
        (("generate", "diffmix", "--help"), "There is no method 'diffmix' of ncm generate; did you mean diff-mix?"),
        (("dip", "x"), "There is no action 'x' of ncm dip; there are denoise, inpaint, superres, reconstruct, study."),
        ((*GENERATE, "--cuont", "3"), "There is no option --cuont; did you mean --count?"),
        ((*GENERATE, "--cuont=3"), "There is no option --cuont; did you mean --count?"),
        (("generate", "noisecutmix", "--cuont", "3"), "There is no option --cuont; did you mean --count?"),
        (("export", "--zzzz"), "There is no option --zzzz; `ncm export --help` lists them."),
        ((*GENERATE, "--alpha", "many"), "--alpha is 'many'; it takes a number; `ncm generate noisecutmix --help`"),
        ((*GENERATE, "--alpha=many"), "--alpha is 'many'; it takes a number; `ncm generate noisecutmix --help`"),
        ((*GENERATE, "--seed", "1.5"), "--seed is '1.5'; it takes a whole number; "),
        ((*GENERATE, "--count", "few"), "--count is 'few'; it takes a whole number; "),
        (
            ("export", "aug", "--to", "parqet", "--out", "x"),
            "--to is 'parqet' (did you mean parquet?); it takes webdat",
        ),
        (("export",), "PATH, --to and --out are missing; `ncm export --help` tells more."),
        (("evaluate",), "PATH is missing; `ncm evaluate --help` tells more."),
        (("export", "a", "--to"), "--to has no value; `ncm export --help` tells more."),
        (("demo", "extra"), "'extra' is one argument too many; `ncm demo --help` tells more."),
    ],
)
def test_words_that_cannot_be_meant_are_refused_in_one_line(words, line, capsys):
    assert run(*words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"ncm: {line}")
    assert shown.err.count("\n") == 1


def test_a_count_below_one_is_named_alone(tiny_folder, tmp_path, capsys):
    words = ["--model", str(tiny_folder), "--classes", "a,b", "--out", str(tmp_path / "set")]
    assert run("generate", "noisecutmix", *words, "--count", "-1") == 2
    assert capsys.readouterr().err.splitlines()[-1] == "ncm: count is -1; it must be at least 1."
    assert run("generate", "noisecutmix", *words, "--count", "2", "--batch-size", "0") == 2
    assert "ncm: batch_size is 0; it must be at least 1." in capsys.readouterr().err


def test_a_refusal_of_the_command_itself_stays_as_it_is():
    @dataclasses.dataclass(frozen=True)
    class Picky:
        """Refuses."""

        size: int = 1

        def __post_init__(self):
            if self.size > 2:
                raise InputError("The size is too large; take 2.")

        def __call__(self):
            return 0

    assert parse(Picky, "ncm picky", ["--size", "2"])() == 0
    with pytest.raises(InputError, match="The size is too large; take 2"):
        parse(Picky, "ncm picky", ["--size", "3"])


def test_the_width_of_the_terminal_is_as_it_was(monkeypatch):
    import os

    monkeypatch.setenv("COLUMNS", "77")
    assert run("export") == 2
    assert os.environ["COLUMNS"] == "77"
    monkeypatch.delenv("COLUMNS")
    assert run("export") == 2
    assert "COLUMNS" not in os.environ


@pytest.mark.parametrize("name", sorted(cli._COMMANDS.keys() - {"generate", "dip"}))
@pytest.mark.parametrize(("kind", "code", "ended"), [(KeyboardInterrupt, 130, "interrupted"),
                                                     (Terminated, 143, "terminated")])  # fmt: skip
def test_an_interruption_says_what_is_true_of_its_command(name, kind, code, ended, monkeypatch, capsys):
    begins_again = {"evaluate", "preview", "verify", "index", "convert-concepts"}
    said = {"export": "nothing is written; the same command starts the export again"}
    said |= dict.fromkeys(begins_again, "nothing is lost; the same command begins again")
    command = cli._COMMANDS[name]

    def interrupted(self):
        raise kind

    monkeypatch.setattr(command, "__call__", interrupted)
    monkeypatch.setattr(cli, "_parse", lambda words: object.__new__(command))
    assert run(name) == code
    kept = said.get(name, "what is finished is kept, the same command continues")
    assert capsys.readouterr().err == f"ncm: {ended}; {kept}\n"


def test_an_interruption_before_the_command_has_begun_says_so(monkeypatch, capsys):
    def interrupted(words):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_parse", interrupted)
    assert run("demo") == 130
    assert capsys.readouterr().err == "ncm: interrupted; nothing had begun\n"


@pytest.mark.parametrize("words", [("preview",), ("preview", "--no-page"), ("index",)])
def test_a_data_set_without_images_has_nothing_to_show_or_list(words, tmp_path, capsys):
    Manifest(classes=("robin",), method="noisecutmix", config={}, seed=0, plan_hash="p", batch_shape=1, count=5).write(
        tmp_path
    )
    assert run(words[0], str(tmp_path), *words[1:]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"ncm: {tmp_path} is a data set without a finished sample (5 planned). "
        "Run the generation that made the folder again."
    )
    assert [file.name for file in tmp_path.iterdir() if not file.name.startswith(".")] == ["dataset.json"]

"""A program of the user's that makes suffixes of captions."""

import shlex
import sys

import pytest

from ncm_lib import InputError
from ncm_lib.engine.suffix_command import suffixes_by_command

CAPTIONS = ["a wren in snow", "ein Zaunkönig\nim Schnee"]


def ask(program, *arguments, **options):
    """Run a line of Python as the command."""
    command = shlex.join([sys.executable, "-c", program, *arguments])
    return suffixes_by_command(command, CAPTIONS, **options)


def test_captions_go_in_a_line_each_and_suffixes_come_out():
    text = "import sys; data = sys.stdin.buffer.read(); sys.stdout.buffer.write(data.upper())"
    assert ask(text.replace(".upper()", "")) == ("a wren in snow", "ein Zaunkönig im Schnee")


def test_arguments_arrive_as_they_were_quoted_and_no_shell_sees_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program = "import sys; print(chr(10).join(sys.argv[1:]))"
    assert ask(program, "one; touch hacked", "$HOME", "`id`", "*") == ("one; touch hacked", "$HOME", "`id`")
    command = f"{shlex.quote(sys.executable)} -c 'print(1)' > out && touch hacked"
    assert suffixes_by_command(command, CAPTIONS) == ("1",)
    assert list(tmp_path.iterdir()) == []


def test_bullets_numbers_comments_and_repeats_are_dropped():
    lines = ["1. in snow", "2) at night", "- over water", "* on sand", "", "# a title", "in snow", "3 birds", "-"]
    assert ask(f"print({chr(10).join(lines)!r})") == ("in snow", "at night", "over water", "on sand", "3 birds")


def test_a_program_that_does_not_read_is_fine():
    assert suffixes_by_command(shlex.join([sys.executable, "-c", "print('x')"]), ["long " * 10_000] * 100) == ("x",)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("", "The command is empty"),
        ("'open", r"cannot be split into words \(No closing quotation\)"),
        ("no-such-program-here --x", r"no-such-program-here cannot be started \(No such file or directory\)"),
        ("/", r"cannot be started \("),
        ("echo\0 x", r"cannot be started \(.*null byte"),
    ],
)
def test_a_command_that_cannot_be_run_is_one_line(command, says):
    with pytest.raises(InputError, match=says) as caught:
        suffixes_by_command(command, CAPTIONS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("import sys; sys.exit('a\\nno key')", "failed with exit code 1: no key"),
        ("import sys; sys.exit(3)", "failed with exit code 3: it said nothing"),
        ("pass", "wrote no suffix; it has to write one per line"),
        ("print('# nothing')", "wrote no suffix"),
        ("import sys; sys.stdout.buffer.write(b'\\xff\\xfe')", "wrote no UTF-8 text"),
    ],
)
def test_a_program_that_fails_is_one_line(program, says):
    with pytest.raises(InputError, match=says) as caught:
        ask(program)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="ends by a signal")
def test_a_program_that_was_killed_is_one_line():
    with pytest.raises(InputError, match="failed with signal 9: it said nothing"):
        ask("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")


def test_a_program_without_an_end_is_ended():
    with pytest.raises(InputError, match=r"was not done after 0\.5 s and was ended"):
        ask("while True: pass", timeout=0.5)

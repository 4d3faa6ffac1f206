"""Runs the tests in the folder `inside`, each file in a process of ComfyUI's own Python."""

import pytest

from .inner_session import FILES, INSIDE, run_inside

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(INSIDE).as_posix())
def test_inside_comfyui(file, comfyui, tmp_path, record_property):
    session = run_inside(comfyui, file, tmp_path)
    record_property("inside ComfyUI", session.passed)
    assert not session.faults, "\n".join([*session.faults, session.output])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("def test_nothing():\n    assert 1 + 1 == 3", "pytest ended with 1."),
        ("import no_such_module", "pytest ended with 2."),
        ("", "pytest ended with 5."),
        ("import pytest\ndef test_a(): pass\ndef test_b():\n    pytest.skip('why')", "test_b was skipped: why"),
    ],
    ids=["a failure", "an error", "no test", "a skip"],
)
def test_a_file_that_did_not_wholly_pass_is_found(text, fault, comfyui, tmp_path):
    file = tmp_path / "test_made_up.py"
    file.write_text(text)
    session = run_inside(comfyui, file, tmp_path)
    assert session.faults == [fault]
    assert "test_made_up.py" in session.output


def test_a_file_that_hangs_is_ended(comfyui, tmp_path):
    file = tmp_path / "test_made_up.py"
    file.write_text("import threading\ndef test_hangs():\n    threading.Event().wait()")
    session = run_inside(comfyui, file, tmp_path, seconds=2)
    assert session.faults == ["It was ended after 2 seconds."]

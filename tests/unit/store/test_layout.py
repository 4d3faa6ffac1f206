"""Where files are, and that they stay there."""

from __future__ import annotations

from pathlib import Path

import pytest

from ncm_lib.errors import InputError
from ncm_lib.store.layout import image_name, log_paths, mask_name, safe_join


def test_a_thousand_samples_share_a_folder() -> None:
    assert image_name(12) == "images/000/00000012.png"
    assert image_name(999, "webp") == "images/000/00000999.webp"
    assert image_name(1000, "jpeg") == "images/001/00001000.jpg"
    assert mask_name(1_234_567) == "masks/1234/01234567.png"


def test_logs_are_listed_by_rank(tmp_path: Path) -> None:
    for name in ("metadata-10.jsonl", "metadata-2.jsonl", "metadata.jsonl", "metadata-x.jsonl", "metadata-0.jsonl.bak"):
        (tmp_path / name).touch()
    assert [path.name for path in log_paths(tmp_path)] == ["metadata-2.jsonl", "metadata-10.jsonl"]


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../x.png", "images/../../x.png", "/etc/passwd", "//host/share/x", "images//x.png", "C:/x.png",
        "C:x.png", "\\\\host\\share", "images\\..\\x.png", "~/x.png", "~root/x.png", "images/x\0.png", "images/x\n.png",
        "images/x.png.", "images/x.png ", "images /x.png", "NUL", "images/con.png", "images/Com1",
        "images/" + "x" * 256,
        "images/" + "é" * 128, "images/a?b.png",
    ],
)  # fmt: skip
def test_a_name_that_could_leave_the_folder_or_fail_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is refused"):
        safe_join(tmp_path, name)


@pytest.mark.parametrize("name", ["images/000/00000012.png", "a b/ß🎽.png", "x" * 255, "console.png", "images/..x"])
def test_a_plain_name_is_joined(name: str, tmp_path: Path) -> None:
    assert safe_join(tmp_path, name) == tmp_path / name


def test_a_symlink_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "images").symlink_to(outside)
    with pytest.raises(InputError, match="symlink"):
        safe_join(root, "images/x.png")


def test_the_folder_itself_may_be_reached_through_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert safe_join(tmp_path / "link", "images/x.png") == tmp_path / "link/images/x.png"

"""The page of a data set, without a browser; tests/e2e/test_preview_browser.py opens it in one."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ncm_lib.errors import InputError
from ncm_lib.store.layout import is_ours
from ncm_lib.store.preview_page import preview_page
from ncm_lib.store.writer import DatasetWriter

HOSTILE = ("</script><script>alert(1)</script>", "\"'&<!--", "<img src=x onerror=alert(1)>", "@@data@@ \u2028 🎽 {}")


class Elements(HTMLParser):
    """What a browser sees of a page: its elements, and the text of each script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.inside = ""
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data


def content(path: Path) -> dict[str, Any]:
    return json.loads(Elements(path.read_text(encoding="utf-8")).scripts[0])


def test_the_page_holds_every_sample_with_its_record(dataset: Any) -> None:
    path = dataset()
    page = content(preview_page(path))
    lines = (path / "metadata.jsonl").read_text().splitlines()
    assert [sample["record"] for sample in page["samples"]] == [json.loads(line) for line in lines]
    assert page["classes"] == ["T-shirt", "pull/over", "größe 🎽", ".hidden"]
    assert page["about"] == "noisecutmix · 5 of 5 samples finished · 4 classes"
    for sample in page["samples"]:
        assert sample["image"].startswith("data:image/webp;base64,")
        assert sample["size"] == [16, 16]
        assert sample["mask"][:2] == [8, 8]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_smaller_page_is_spread_evenly(count: int, dataset: Any) -> None:
    page = content(preview_page(dataset(range(30), count=40), cells=count))
    assert [sample["record"]["index"] for sample in page["samples"]] == {
        1: [0], 2: [0, 29], 7: [0, 4, 9, 14, 19, 24, 29]
    }[count]  # fmt: skip
    shown = f"noisecutmix · 30 of 40 samples finished · 4 classes · {count} of them on this page, spread evenly"
    assert page["about"] == shown


def test_equal_data_sets_give_equal_bytes(dataset: Any) -> None:
    path = dataset()
    first = preview_page(path).read_bytes()
    moved = path.rename(path.with_name("elsewhere"))
    assert preview_page(moved).read_bytes() == first


def test_class_names_are_text_whatever_they_hold(dataset: Any) -> None:
    root = dataset()
    ordinary = Elements(preview_page(root).read_text(encoding="utf-8"))
    shutil.rmtree(root)
    path = preview_page(dataset(classes=HOSTILE))
    page = Elements(path.read_text(encoding="utf-8"))
    assert content(path)["classes"] == list(HOSTILE)
    assert page.tags == ordinary.tags
    assert page.attributes == ordinary.attributes


def test_the_page_needs_nothing_but_itself_and_runs_its_own_script_only(dataset: Any) -> None:
    text = preview_page(dataset()).read_text(encoding="utf-8")
    page = Elements(text)
    addresses = [value for name, value in page.attributes if name in ("src", "href", "action", "srcset")]
    assert addresses == ["data:,"]
    assert not re.search(r"@import|url\((?!#)|https?://(?!www\.w3\.org/2000/svg)", text)
    (policy,) = (value for name, value in page.attributes if name == "content" and "default-src" in (value or ""))
    digest = base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data: 'self' file:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )


def test_a_damaged_image_leaves_the_page_of_the_others(dataset: Any) -> None:
    path = dataset()
    image = path / "images/000/00000002.png"
    image.write_bytes(b"\0" * image.stat().st_size)
    page = content(preview_page(path))
    assert [sample["record"]["index"] for sample in page["samples"]] == [0, 1, 3, 4]
    assert page["about"].endswith(" · 1 damaged, left out")


def test_samples_without_a_mask_have_no_outline(manifest: Any, item: Any, tmp_path: Path) -> None:
    with DatasetWriter(tmp_path, manifest(count=1)) as writer:
        writer.write_batch([(*item(0, class_ids=(1,), weights=(1.0,))[:2], None)])
    assert content(preview_page(tmp_path))["samples"][0]["mask"] is None


def test_a_data_set_without_a_sample_is_refused(dataset: Any) -> None:
    with pytest.raises(InputError, match=r"without a finished sample \(5 planned\)\. Run the generation that made"):
        preview_page(dataset([]))


def test_two_thousand_samples_stay_under_20_mb(dataset: Any, item: Any, manifest: Any, tmp_path: Path) -> None:
    # noise is what compresses worst
    with DatasetWriter(tmp_path / "noise", manifest(count=20)) as writer:
        writer.write_batch([item(index, size=160) for index in range(20)])
    assert preview_page(tmp_path / "noise").stat().st_size * 100 < 20e6


def test_progress_is_told_sample_by_sample(dataset: Any) -> None:
    calls: list[tuple[int, int]] = []
    preview_page(dataset(), on_progress=lambda done, count: calls.append((done, count)))
    assert calls == [(done, 5) for done in range(1, 6)]


def test_an_interrupt_leaves_the_page_that_was_there(dataset: Any) -> None:
    path = dataset()
    before = preview_page(path).read_bytes()

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        preview_page(path, cells=4, on_progress=stop)
    assert (path / "preview.html").read_bytes() == before


def test_the_page_is_one_of_the_data_set_s_own_files(dataset: Any) -> None:
    assert is_ours(preview_page(dataset()).name)


def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no data set"):
        preview_page(tmp_path)

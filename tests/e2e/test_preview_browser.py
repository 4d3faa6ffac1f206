"""preview.html in a browser, opened from the disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from ncm_lib.store.manifest import Manifest
from ncm_lib.store.preview_page import preview_page
from ncm_lib.store.record import Record
from ncm_lib.store.writer import DatasetWriter

pytestmark = pytest.mark.slow
CLASSES = ("cat", "</script><img src=x onerror=\"document.title='hit'\">", "\"dog\" & 'fox'", "größe 🎽", "never seen")
COUNT = 24
# WCAG's contrast of an element's text and the nearest ground behind it.
CONTRAST = """node => {
    const parse = text => text.match(/[\\d.]+/g).map(Number);
    const light = text => {
        const linear = value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        const [r, g, b] = parse(text).map(value => linear(value / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    let ground = node;
    while (parse(getComputedStyle(ground).backgroundColor)[3] === 0) ground = ground.parentElement;
    const colours = [getComputedStyle(node).color, getComputedStyle(ground).backgroundColor];
    const [high, low] = colours.map(light).sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
}"""


def label(index: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Two classes each, but for one sample with a single class and one with three."""
    if index == 7:
        return (3,), (1.0,)
    if index == 8:
        return (0, 2, 3), (0.5, 0.25, 0.25)
    weight = 1 - 3 * (1 + index % 8) / 64
    return (index % 4, (index // 2 + 1) % 4), (weight, 1 - weight)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of larger images than the page holds, with its page."""
    root = tmp_path_factory.mktemp("e2e") / "a set #1 100%"
    manifest = Manifest(classes=CLASSES, method="m", config={}, seed=0, plan_hash="p", batch_shape=1, count=COUNT)
    with DatasetWriter(root, manifest) as writer:
        for index in range(COUNT):
            class_ids, weights = label(index)
            record = Record(
                file_name="-", index=index, seed=9, class_ids=class_ids, weights=weights, method="m", plan_hash="p"
            )
            mask = np.ones((8, 8), np.float32)
            mask[: 1 + index % 8, :3] = 0
            image = np.full((200, 200, 3), 10 * index, np.uint8)
            writer.write_batch([(record, image, mask if len(class_ids) == 2 else None)])
    preview_page(root)
    return root


@pytest.fixture(scope="module")
def records(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / "metadata.jsonl").read_text().splitlines()]


@pytest.fixture
def page(browser: Browser, root: Path) -> Iterator[Page]:
    """The page in a fresh tab; whatever it complains of fails the test."""
    complaints: list[str] = []
    with browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="dark") as context:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url) if network(request.url) else None)
        page.goto((root / "preview.html").as_uri())
        page.wait_for_selector("#count:not(:empty)")
        yield page
    assert complaints == []


def network(url: str) -> bool:
    return not url.startswith(("file:", "data:"))


def shown(page: Page) -> list[int]:
    """The samples on the page, in the order in which they stand."""
    names = page.locator(".tile").evaluate_all("tiles => tiles.map(tile => tile.ariaLabel)")
    indices = [int(name.split(":")[0].removeprefix("Sample ")) for name in names]
    assert page.locator("#count").inner_text() == f"{len(indices)} of {COUNT} samples shown"
    return indices


def slide(page: Page, slider: str, value: int) -> None:
    page.locator(f"#{slider}").evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input', {bubbles: true})); }", value
    )


def test_it_shows_every_sample_with_its_classes_and_weights(page: Page) -> None:
    assert shown(page) == list(range(COUNT))
    assert page.locator(".tile").nth(5).inner_text().split("\n") == [CLASSES[1], "72 %", CLASSES[3], "28 %"]
    assert page.locator(".tile img").evaluate_all("images => images.every(i => i.naturalWidth === 128)")
    assert page.locator("#about").inner_text() == f"m · {COUNT} of {COUNT} samples finished · 5 classes"


@pytest.mark.parametrize("class_id", [0, 1, 2, 3])
def test_each_class_filter_shows_what_the_records_say(class_id: int, page: Page, records: Any) -> None:
    for select, wanted in (
        ("either", lambda ids: class_id in ids),
        ("first", lambda ids: ids[0] == class_id),
        ("second", lambda ids: ids[1:2] == [class_id]),
    ):
        page.select_option(f"#{select}", str(class_id))
        assert shown(page) == [record["index"] for record in records if wanted(record["class_ids"])]
        page.get_by_role("button", name="Reset").click()
        expect(page.locator(".tile")).to_have_count(COUNT)


def test_filters_hold_together_and_may_leave_nothing(page: Page, records: Any) -> None:
    page.select_option("#first", "0")
    page.select_option("#second", "1")
    slide(page, "least", 60)
    slide(page, "most", 90)
    assert shown(page) == [
        record["index"]
        for record in records
        if record["class_ids"][:2] == [0, 1] and 0.6 <= record["weights"][0] <= 0.9
    ]
    slide(page, "most", 1)
    assert shown(page) == []
    assert page.get_by_text("No sample is like that").is_visible()


@pytest.mark.parametrize(("least", "most"), [(0, 100), (70, 100), (0, 75), (80, 90), (100, 100)])
def test_the_sliders_show_what_the_records_say(least: int, most: int, page: Page, records: Any) -> None:
    slide(page, "least", least)
    slide(page, "most", most)
    weights = {record["index"]: record["weights"][0] for record in records}
    assert shown(page) == [index for index, weight in weights.items() if least <= 100 * weight <= most]


def test_the_sliders_push_each_other_and_say_where_they_are(page: Page) -> None:
    slide(page, "most", 40)
    slide(page, "least", 70)
    assert [page.locator(f"#{name}-shown").inner_text() for name in ("least", "most")] == ["70 %", "70 %"]
    slide(page, "most", 20)
    assert [page.locator(f"#{name}-shown").inner_text() for name in ("least", "most")] == ["20 %", "20 %"]


def test_samples_stand_by_index_or_by_weight(page: Page, records: Any) -> None:
    page.select_option("#order", "falling")
    assert shown(page) == [r["index"] for r in sorted(records, key=lambda r: (-r["weights"][0], r["index"]))]
    page.select_option("#order", "rising")
    assert shown(page) == [r["index"] for r in sorted(records, key=lambda r: (r["weights"][0], r["index"]))]


def test_outlines_lie_over_the_mask_s_border_and_can_be_hidden(page: Page) -> None:
    outlines = page.locator(".tile svg")
    assert outlines.count() == COUNT - 2
    assert outlines.first.is_visible()
    frame = page.locator(".tile .frame").first.bounding_box()
    border = outlines.first.locator("path").last.evaluate("path => path.getBoundingClientRect().toJSON()")
    assert frame is not None
    # sample 0: class B has the first row of 8, and 3 of its columns
    assert border["right"] - frame["x"] == pytest.approx(frame["width"] * 3 / 8, abs=4)
    assert border["bottom"] - frame["y"] == pytest.approx(frame["height"] / 8, abs=4)
    page.get_by_label("Mask outlines").uncheck()
    assert not outlines.first.is_visible()
    page.get_by_label("Mask outlines").check()
    assert outlines.first.is_visible()


def test_a_class_name_is_text_and_nothing_else(page: Page) -> None:
    page.select_option("#either", "1")
    assert CLASSES[1] in page.locator(".tile").first.inner_text()
    assert page.locator("#either option:checked").inner_text().startswith(CLASSES[1])
    assert page.locator("img[onerror]").count() == 0
    assert page.title() == "Data set preview"
    assert page.locator("#either option").count() == 5  # any, and the four classes that a sample has


def test_a_click_shows_the_image_itself_and_the_whole_record(page: Page, records: Any) -> None:
    page.locator(".tile").nth(3).click()
    large = page.locator("#large")
    assert large.get_by_role("heading").inner_text() == "Sample 3"
    expect(page.locator("#large img")).to_have_js_property("naturalWidth", 200)
    rows = large.locator("tr").evaluate_all("rows => rows.map(row => [...row.children].map(cell => cell.innerText))")
    assert [key for key, _ in rows] == list(records[3])
    assert dict(rows)["file_name"] == "images/000/00000003.png"
    assert dict(rows)["weights"] == ", ".join(map(str, records[3]["weights"]))
    assert dict(rows)["source"] == "–"
    large.get_by_role("button", name="Close").click()
    assert not large.is_visible()


def test_keys_alone_lead_through_the_page(page: Page) -> None:
    page.locator(".tile").first.focus()
    columns = page.evaluate("getComputedStyle(document.querySelector('#tiles')).gridTemplateColumns.split(' ').length")
    for key, index in (
        ("ArrowRight", 1),
        ("ArrowDown", 1 + columns),
        ("ArrowLeft", columns),
        ("ArrowUp", 0),
        ("End", COUNT - 1),
    ):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.ariaLabel").startswith(f"Sample {index}:")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    title = page.locator("#large-title")
    assert title.inner_text() == "Sample 0"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert title.inner_text() == "Sample 2"
    page.keyboard.press("Escape")
    assert not title.is_visible()
    # a dialog tells that it has closed a little later
    page.wait_for_function("document.activeElement.ariaLabel?.startsWith('Sample 2:')")


def test_every_control_has_a_name(page: Page) -> None:
    for role, names in (
        ("combobox", ["Class A or B", "Class A", "Class B", "Order"]),
        ("slider", ["from", "to"]),
        ("checkbox", ["Mask outlines"]),
    ):
        for name in names:
            assert page.get_by_role(role, name=name).count() >= 1, (role, name)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(scheme: Any, page: Page) -> None:
    page.emulate_media(color_scheme=scheme)
    for selector in ("#count", "#about", "form label", "legend", ".tile .name", ".tile .share", "#controls select"):
        ratio = page.locator(selector).first.evaluate(CONTRAST)
        assert ratio >= 4.5, (selector, ratio)


def test_a_page_that_was_taken_away_shows_its_small_copies(browser: Browser, root: Path, tmp_path: Path) -> None:
    (tmp_path / "alone.html").write_bytes((root / "preview.html").read_bytes())
    with browser.new_context() as context:
        page = context.new_page()
        page.goto((tmp_path / "alone.html").as_uri())
        page.locator(".tile").first.click()
        expect(page.locator("#large img")).to_have_js_property("naturalWidth", 128)

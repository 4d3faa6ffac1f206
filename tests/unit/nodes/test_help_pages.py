"""The help pages: markdown that ComfyUI's page shows beside a node."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "nodes" / "web" / "docs"
PAGES = sorted(DOCS.glob("*.md"))
SCHEMA = json.loads((ROOT / "tests" / "comfyui" / "inside" / "schema.json").read_text(encoding="utf-8"))
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def pictures_of(page: Path) -> list[tuple[str, str]]:
    """Description and path of every picture on a page."""
    return re.findall(r"!\[(.*?)\]\((.*?)\)", page.read_text(encoding="utf-8"))


def test_every_node_has_a_page_and_every_page_a_node():
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / "nodes").glob("*.py")]
    nodes = {name for source in sources for name in re.findall(r'node_id="(\w+)"', source)}
    assert {page.stem for page in PAGES} == nodes == set(SCHEMA)


@each_page
def test_a_page_begins_with_the_nodes_name_and_shows_how_to_use_it(page):
    names = json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text(encoding="utf-8"))
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {names[page.stem]['display_name']}\n")
    assert re.search(r"\n## How to use\n[^#]*```\n", text)


@each_page
def test_a_page_names_every_input_of_its_node_and_no_other(page):
    rows = re.findall(r"^\| (`.*?`) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(SCHEMA[page.stem]["inputs"])


@each_page
def test_a_page_names_every_output_of_its_node(page):
    text = page.read_text(encoding="utf-8")
    cells = re.findall(r"^\| ([a-z][^`|]*) \|", text, re.MULTILINE)
    named = {name for cell in cells for name in cell.split(", ")}
    assert set(SCHEMA[page.stem]["outputs"]) <= named or not SCHEMA[page.stem]["outputs"]


@each_page
def test_a_page_names_every_choice_of_an_input_that_it_explains(page):
    text = page.read_text(encoding="utf-8")
    for name, kind in SCHEMA[page.stem]["inputs"].items():
        row = next((line for line in text.splitlines() if line.startswith("|") and f"`{name}`" in line), "")
        choices = kind.split(" | ") if " | " in kind else []
        explained = [choice for choice in choices if f"*{choice}*" in row]
        assert explained in ([], choices), f"{name}: {row}"


@each_page
def test_code_fits_into_the_panel(page):
    lines = [line for code in re.findall(r"```\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
             for line in code.splitlines()]  # fmt: skip
    # 285 pixels until somebody makes it wider
    assert lines
    assert [line for line in lines if len(line) > 32] == []


@each_page
def test_every_picture_of_a_page_is_there_and_described(page):
    for description, path in pictures_of(page):
        # the page puts /extensions/PACK/docs/ before a path, so it cannot lead up
        assert re.fullmatch(r"img/\w+\.(png|jpg)", path)
        assert len(description) > 20
        with Image.open(DOCS / path) as picture:
            picture.verify()


def test_every_picture_is_shown_and_small():
    shown = {path for page in PAGES for _, path in pictures_of(page)}
    pictures = {file.relative_to(DOCS).as_posix(): file for file in DOCS.rglob("*.*") if file not in PAGES}
    assert shown == set(pictures)
    assert {path: file.stat().st_size for path, file in pictures.items() if file.stat().st_size > 60_000} == {}


@each_page
def test_the_only_links_are_to_papers(page):
    text = page.read_text(encoding="utf-8")
    # a relative link leads nowhere on ComfyUI's page
    targets = [*re.findall(r"(?<!!)\[[^\]]*\]\((.*?)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)),
               *re.findall(r"https?://[^\s)]+", text)]  # fmt: skip
    assert [link for link in targets if not re.match(r"https://(arxiv\.org/abs|doi\.org)/", link)] == []

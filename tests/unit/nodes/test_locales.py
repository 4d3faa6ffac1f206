"""The nodes' texts in other languages. That the English ones are the nodes' own is tested inside ComfyUI."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LOCALES = sorted(folder.name for folder in (ROOT / "locales").iterdir())
TRANSLATIONS = [locale for locale in LOCALES if locale != "en"]


def read(path: str) -> dict:
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def leaves(tree: dict, path: str = "") -> dict[str, str]:
    found = {}
    for key, value in tree.items():
        found |= leaves(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return found


def texts(locale: str) -> dict[str, str]:
    return leaves(read(f"locales/{locale}/nodeDefs.json"))


def every_text() -> list[str]:
    """The paths of all texts that the nodes have."""
    paths = []
    for node, sockets in read("tests/comfyui/inside/schema.json").items():
        paths += [f"{node}.display_name", f"{node}.description"]
        for socket in (*(f"inputs.{name}" for name in sockets["inputs"]),
                       *(f"outputs.{slot}" for slot in range(len(sockets["outputs"])))):  # fmt: skip
            paths += [f"{node}.{socket}.name", f"{node}.{socket}.tooltip"]
    return paths


def test_the_languages_are_these():
    assert LOCALES == ["en", "ja", "zh"]


@pytest.mark.parametrize("locale", TRANSLATIONS)
def test_a_translation_has_every_text_and_no_other(locale):
    assert list(texts(locale)) == every_text()


@pytest.mark.parametrize("locale", LOCALES)
def test_no_text_has_the_syntax_of_a_message(locale):
    # Frontends up to 1.44 or so evaluate it in tooltips, later ones show it; both show all else as it stands.
    assert {path: text for path, text in texts(locale).items() if re.search(r"[@{}|]", text)} == {}


@pytest.mark.parametrize("locale", TRANSLATIONS)
def test_every_sentence_is_translated(locale):
    letters = {"ja": r"[\u3040-\u30ff]", "zh": r"[\u4e00-\u9fff]"}[locale]
    sentences = {path: text for path, text in texts(locale).items() if path.endswith((".description", ".tooltip"))}
    assert [path for path, text in sentences.items() if not re.search(letters, text) or text[-1] != "。"] == []


@pytest.mark.parametrize("locale", TRANSLATIONS)
def test_numbers_and_choices_are_the_same_in_every_language(locale):
    english, translated = texts("en"), texts(locale)
    sockets = read("tests/comfyui/inside/schema.json")
    lost = []
    for path, text in english.items():
        node, *socket = path.split(".")
        kind = sockets[node]["inputs"].get(socket[1], "") if socket[0] == "inputs" else ""
        choices = [choice for choice in re.split(r" \| |, optional", kind) if f"{choice}:" in text]
        lost += [f"{path}: {word}" for word in [*re.findall(r"\d+(?:\.\d+)?", text), *choices]
                 if word not in translated[path]]  # fmt: skip
    assert lost == []


@pytest.mark.parametrize("locale", TRANSLATIONS)
def test_other_nodes_are_named_as_they_are_called_in_the_language(locale):
    names = [text for path, text in texts("en").items() if path.endswith(".display_name")]
    translated = texts(locale)
    assert [f"{path}: {name}" for path, text in translated.items() for name in names if name in text] == []

    quotes = {"ja": r"「(.*?)」", "zh": r"“(.*?)”"}[locale]
    known = {text for path, text in translated.items() if path.endswith(".display_name")}
    of_comfyui = {"空Latent图像", "空の潜在画像"}
    quoted = {quote for text in translated.values() for quote in re.findall(quotes, text)} - {"bird"}
    assert quoted - known - of_comfyui == set()

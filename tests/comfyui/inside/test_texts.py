"""What the nodes say about themselves, and what saved workflows rely on."""

import difflib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ENGLISH = ROOT / "locales" / "en" / "nodeDefs.json"
PINNED = Path(__file__).with_name("schema.json")
# Old frontends read these as the syntax of a message, new ones show an escaped one as it stands. ComfyUI shows a node's
# own text where a locale has none, so the locales leave such a text out, or put it in other words.
MESSAGE_SYNTAX = re.compile(r"[@{}|]")
# Their choices are ComfyUI's own, or the user's files.
OPEN_CHOICES = {"sampler_name", "scheduler", "class_file", "concepts"}


@pytest.fixture(scope="module")
def nodes(comfy) -> dict:
    """What ComfyUI tells the browser about each of our nodes."""
    infos = {name: node.GET_NODE_INFO_V1() for name, node in comfy.nodes.items() if hasattr(node, "GET_NODE_INFO_V1")}
    return {name: info for name, info in infos.items() if info["python_module"] == "custom_nodes.noisecutmix"}


def inputs_of(info: dict) -> dict[str, tuple[str, dict, bool]]:
    """Type, options and whether it may be left out, by name, in the order of the widgets on the page."""
    given = info["input"]
    return {
        name: (spec[0], spec[1], part == "optional")
        for part in ("required", "optional")
        for name, spec in given.get(part, {}).items()
    }


def texts_of(info: dict) -> dict:
    """A node's texts in the form that the frontend's locales have."""
    outputs = zip(info["output_name"], info["output_tooltips"], strict=True)
    return {
        "display_name": info["display_name"],
        "description": info["description"],
        "inputs": {
            name: {"name": name, "tooltip": options.get("tooltip")} for name, (_, options, _) in inputs_of(info).items()
        },
        "outputs": {str(slot): {"name": name, "tooltip": text} for slot, (name, text) in enumerate(outputs)},
    }


def leaves(tree: dict, path: str = "") -> dict[str, str | None]:
    found = {}
    for key, value in tree.items():
        found |= leaves(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return found


def without_message_syntax(tree: dict) -> dict:
    return {
        key: without_message_syntax(value) if isinstance(value, dict) else value
        for key, value in tree.items()
        if isinstance(value, dict) or not MESSAGE_SYNTAX.search(value)
    }


def test_every_node_stands_in_our_menu_and_has_our_prefix(nodes):
    assert len(nodes) >= 16
    assert [name for name in nodes if not name.startswith("NCM_")] == []
    strays = {name: info["category"] for name, info in nodes.items() if info["category"].split("/")[0] != "NoiseCutMix"}
    assert strays == {}


def test_every_node_and_every_socket_says_what_it_is_for(nodes):
    texts = leaves({name: texts_of(info) for name, info in nodes.items()})
    assert [path for path, text in texts.items() if not text] == []


def test_every_description_and_tooltip_is_made_of_whole_sentences(nodes):
    texts = leaves({name: texts_of(info) for name, info in nodes.items()})
    sentences = {path: text for path, text in texts.items() if path.endswith((".description", ".tooltip"))}
    unfinished = {path: text for path, text in sentences.items() if not re.fullmatch(r"\S.*\.", text) or "  " in text}
    assert unfinished == {}


def test_the_english_locale_says_what_the_nodes_say(nodes, tmp_path):
    fresh = tmp_path / ENGLISH.name
    wanted = without_message_syntax({name: texts_of(info) for name, info in nodes.items()})
    fresh.write_text(json.dumps(wanted, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert fresh.read_text(encoding="utf-8") == ENGLISH.read_text(encoding="utf-8"), take_over(fresh, ENGLISH) + (
        "\nThen say the same in locales/zh and locales/ja."
    )


def test_comfyui_finds_the_texts_in_every_language(nodes):
    from app.custom_node_manager import CustomNodeManager

    translations = CustomNodeManager().build_translations()
    assert {language: set(found["nodeDefs"]) for language, found in translations.items()} == {
        language: set(nodes) for language in ("en", "zh", "ja")
    }


def sockets_of(info: dict) -> dict:
    """What a saved workflow relies on: widgets by position, links by slot and type, choices by their words."""
    inputs = {}
    for name, (kind, options, optional) in inputs_of(info).items():
        what = " | ".join(options["options"]) if kind == "COMBO" and name not in OPEN_CHOICES else kind
        # a second widget, with a place of its own
        control = gets_a_control(name, kind, options)
        inputs[name] = what + ", control after generate" * bool(control) + ", optional" * optional
    return {"inputs": inputs, "outputs": dict(zip(info["output_name"], info["output"], strict=True))}


def gets_a_control(name: str, kind: str, options: dict) -> bool:
    """Whether the page may change an input after every run, as it does with what is called seed unless told not to."""
    return kind == "INT" and options.get("control_after_generate", name in ("seed", "noise_seed"))


def test_the_seed_of_a_data_set_stays_as_it_is_from_run_to_run(nodes):
    kind, options, _ = inputs_of(nodes["NCM_PlanSample"])["seed"]
    assert not gets_a_control("seed", kind, options)


def serves_as(now: tuple[str, str], then: tuple[str, str]) -> bool:
    """Whether a socket can stand in for the one that was at its place: the same, or with more choices."""
    return now == then or (now[0] == then[0] and " | " in then[1] and now[1].startswith(f"{then[1]} | "))


def test_saved_workflows_still_fit(nodes, tmp_path):
    pinned = json.loads(PINNED.read_text(encoding="utf-8"))
    current = {name: sockets_of(info) for name, info in nodes.items()}
    broken = []
    for name, sockets in pinned.items():
        for part in ("inputs", "outputs"):
            then, now = list(sockets[part].items()), list(current.get(name, {}).get(part, {}).items())
            if len(now) < len(then) or not all(map(serves_as, now, then)):
                broken.append(f"{name}.{part}: {now} does not begin with {then}")
    assert not broken, "\n".join(["Nodes keep their names, and new sockets and choices go to the end:", *broken])

    fresh = tmp_path / PINNED.name
    fresh.write_text(json.dumps(current, indent=2) + "\n", encoding="utf-8")
    assert fresh.read_text(encoding="utf-8") == PINNED.read_text(encoding="utf-8"), take_over(fresh, PINNED)


def take_over(fresh: Path, old: Path) -> str:
    """What changed, and the command that accepts it."""
    lines = [file.read_text(encoding="utf-8").splitlines() for file in (old, fresh)]
    changes = difflib.unified_diff(*lines, str(old), str(fresh), lineterm="", n=1)
    return "\n".join(["The nodes have changed:", *changes, "", "If that is meant:", f"cp {fresh} {old}"])

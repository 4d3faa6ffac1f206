"""The shipped workflows: the page loads them, the server runs them, and what they make is what they say."""

import copy
import functools
import io
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image

import ncm_lib as ncm
from ncm_lib.store.layout import mask_name
from ncm_lib.store.manifest import Manifest
from ncm_lib.store.tiles import tile

from .inside.harness.graph import Graph
from .server import Server
from .thumbnails import keep_thumbnail

FOLDER = Path(__file__).parents[2] / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
NOTES = {"Note", "MarkdownNote"}
TITLE_BAR = 30
"""Pixels above a node's position."""
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
CONTROL = "control_after_generate"
# Small random models of the same families stand in for what a workflow names and nobody has downloaded here.
STAND_INS = {
    "CheckpointLoaderSimple": "NCMTest_TinyModel",
    "UNETLoader": "NCMTest_TinyUNET",
    "DualCLIPLoader": "NCMTest_TinyCLIP",
    "VAELoader": "NCMTest_TinyVAE",
}
# The page asks a registry about node packs and a host about models' sizes; neither can be reached from here.
OUTSIDE = re.compile(r"https://(?:api\.comfy\.org|huggingface\.co)/|^Error fetching file size")
FAMILIES = {"noisecutmix_sd15": "sd15", "noisecutmix_sdxl": "sdxl", "noisecutmix_guider_flux": "flux"}

every_workflow = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def workflow(name) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="ascii"))


def nodes_of(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    """What the server runs: all but the notes."""
    return [node for node in workflow["nodes"] if node["type"] not in NOTES]


def inputs_of(schema: dict[str, Any]) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Type and options of each input that a node has, in order; the type of a choice is COMBO."""
    parts = [*schema["input"].get("required", {}).items(), *schema["input"].get("optional", {}).items()]
    found = {}
    for name, (kind, *options) in parts:
        listed = {"options": kind} if isinstance(kind, list) else {}
        found[name] = ("COMBO" if listed else kind, {**listed, **(options[0] if options else {})})
    return found


def widgets_of(schema: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Name, type and options of each value that the page keeps for a node, in order."""
    found = []
    for name, (kind, options) in inputs_of(schema).items():
        if kind in WIDGETS and not options.get("forceInput"):
            found.append((name, kind, options))
            # the page gives inputs of these names a control of their own, unless the node says no
            if options.get(CONTROL, kind == "INT" and name in {"seed", "noise_seed"}):
                found.append((CONTROL, "COMBO", {"options": ["fixed", "increment", "decrement", "randomize"]}))
    return found


def is_legal(value: Any, kind: str, options: dict[str, Any]) -> bool:
    """Whether a widget may have the value."""
    if kind in {"INT", "FLOAT"}:
        whole = isinstance(value, int) or (kind == "FLOAT" and isinstance(value, float))
        return whole and options.get("min", value) <= value <= options.get("max", value)
    if kind == "BOOLEAN":
        return isinstance(value, bool)
    return isinstance(value, str) if kind == "STRING" else value in options["options"]


def test_there_is_a_workflow_for_each_use():
    assert NAMES == [
        "compare_with_stock", "dataset_loop", "diff_ii", "dip_restore", "noisecutmix_demo", "noisecutmix_guider_flux",
        "noisecutmix_sd15", "noisecutmix_sdxl",
    ]  # fmt: skip


def test_the_folder_holds_workflows_and_their_pictures_only():
    files = {path.name for path in FOLDER.iterdir()}
    assert files == {f"{name}.{ending}" for name in NAMES for ending in ("json", "jpg")}


@every_workflow
def test_it_has_a_square_picture_that_loads_fast(name):
    file = FOLDER / f"{name}.jpg"
    with Image.open(file) as picture:
        assert picture.format == "JPEG"
        assert picture.width == picture.height >= 400
        assert not picture.getexif()
    assert file.stat().st_size < 60_000


@every_workflow
def test_it_says_what_it_does_and_what_to_change(workflow):
    (note,) = [node for node in workflow["nodes"] if node["type"] in NOTES]
    (text,) = note["widgets_values"]
    assert text.startswith("## ")
    assert "**What to change**" in text


@every_workflow
def test_it_keeps_nothing_of_the_machine_it_was_made_on(name):
    text = (FOLDER / f"{name}.json").read_text(encoding="ascii")
    assert not re.search(r"(?<![\w.])/(?:home|root|tmp|Users|mnt|work)\b|[A-Z]:\\\\|127\.0\.0\.1|localhost", text)
    assert json.loads(text)["extra"] == {}


@every_workflow
def test_its_nodes_stand_apart_and_in_groups_with_titles(workflow):
    boxes = {
        f"{node['id']} {node['type']}": (x, y - TITLE_BAR, x + width, y + height)
        for node in workflow["nodes"]
        for (x, y), (width, height) in [(node["pos"], node["size"])]
    }
    for (one, a), (other, b) in itertools.combinations(boxes.items(), 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, f"{one} and {other} overlap"
    groups = [(x, y, x + width, y + height) for x, y, width, height in (g["bounding"] for g in workflow["groups"])]
    assert all(group["title"].strip() for group in workflow["groups"])
    for node in nodes_of(workflow):
        box = boxes[f"{node['id']} {node['type']}"]
        around = [g for g in groups if g[0] < box[0] and g[1] < box[1] and box[2] < g[2] and box[3] < g[3]]
        assert len(around) == 1, f"{node['type']} is in {len(around)} groups"


@every_workflow
def test_its_links_join_the_slots_that_name_them(workflow):
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for link, source, slot, target, entry, kind in workflow["links"]:
        assert link in nodes[source]["outputs"][slot]["links"]
        assert nodes[target]["inputs"][entry]["link"] == link
        assert nodes[source]["outputs"][slot]["type"] == nodes[target]["inputs"][entry]["type"] == kind
    named = [slot["link"] for node in workflow["nodes"] for slot in node.get("inputs", []) if slot["link"] is not None]
    assert sorted(named) == sorted(link[0] for link in workflow["links"])


def check_slots(node: dict[str, Any], schema: dict[str, Any]) -> None:
    """A node's inputs and outputs are those that its schema has."""
    inputs = {name: kind for name, (kind, _) in inputs_of(schema).items()}
    assert {slot["name"]: slot["type"] for slot in node["inputs"]} == inputs
    outputs = [(slot["name"], slot["type"]) for slot in node["outputs"]]
    assert outputs == list(zip(schema["output_name"], schema["output"], strict=True))


def check_values(node: dict[str, Any], schema: dict[str, Any]) -> None:
    """A node's values are legal, or models that it names, and its seeds are fixed."""
    models = {model["name"] for model in node["properties"].get("models", [])}
    for (widget, kind, options), value in zip(widgets_of(schema), node.get("widgets_values", []), strict=True):
        where = f"{node['type']}: {widget} = {value!r}"
        assert is_legal(value, kind, options) or value in models, where
        assert widget != CONTROL or value == "fixed", where


@pytest.mark.slow
@every_workflow
def test_every_node_and_slot_that_it_names_exists(workflow, server):
    schemas = server.get("/object_info")
    for node in nodes_of(workflow):
        check_slots(node, schemas[node["type"]])


@pytest.mark.slow
@every_workflow
def test_its_values_are_legal_and_its_seeds_are_fixed(workflow, server):
    schemas = server.get("/object_info")
    for node in nodes_of(workflow):
        check_values(node, schemas[node["type"]])


@every_workflow
def test_it_tells_where_each_model_comes_from(workflow):
    for node in nodes_of(workflow):
        named = {value for value in node.get("widgets_values", []) if str(value).endswith(".safetensors")}
        models = node["properties"].get("models", [])
        assert {model["name"] for model in models} == named
        for model in models:
            assert re.fullmatch(rf"https://huggingface\.co/\S+/{re.escape(model['name'])}\?download=true", model["url"])
            assert model["directory"] in {"checkpoints", "diffusion_models", "text_encoders", "vae"}


@pytest.mark.slow
def test_the_server_offers_them_as_templates(server):
    assert sorted(server.get("/workflow_templates")["noisecutmix"]) == NAMES
    for name, ending in itertools.product(NAMES, ("json", "jpg")):
        served = server.get_bytes(f"/api/workflow_templates/noisecutmix/{name}.{ending}")
        assert served == (FOLDER / f"{name}.{ending}").read_bytes()


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What the page makes of a workflow.

    Attributes:
        prompt: What it puts into the queue.
        complaints: What it wrote to the console, or raised.
        faulty: Nodes that it marked as missing or wrong.
    """

    prompt: dict[str, Any]
    complaints: list[str]
    faulty: list[str]

    def copy(self) -> dict[str, Any]:
        """A prompt to change."""
        return copy.deepcopy(self.prompt)


@pytest.fixture(scope="module")
def conversions(server, browser) -> dict[str, Conversion]:
    """Every workflow, opened in the page one after the other."""
    from .browser import ComfyPage

    found = {}
    with browser.new_context(viewport={"width": 1600, "height": 1000}) as context:
        page = ComfyPage(context.new_page(), server)
        # Old frontends stumble over their own settings when they start; what they say later is about a workflow.
        page.errors.clear()
        messages: list[str] = []
        page.page.on("console", lambda message: messages.append(message.text) if message.type == "error" else None)
        for name in NAMES:
            page.load(FOLDER / f"{name}.json")
            faulty = page.page.evaluate("() => app.graph.nodes.filter((node) => node.has_errors).map((n) => n.type)")
            prompt = page.graph_to_prompt()
            complaints = [text for text in messages if not OUTSIDE.search(text)]
            found[name] = Conversion(prompt=prompt, complaints=[*complaints, *page.errors], faulty=faulty)
            messages.clear()
            page.errors.clear()
    return found


def with_stand_ins(prompt: dict[str, Any], family: str) -> dict[str, Any]:
    """The prompt on a small model of the family, at 128 pixels and 3 steps.

    At the sizes that the workflows have, two CPU cores would take the better part of an hour.
    """
    for node in prompt.values():
        if node["class_type"] in STAND_INS:
            node |= {"class_type": STAND_INS[node["class_type"]], "inputs": {"family": family}}
        if node["class_type"].startswith("Empty"):
            node["inputs"] |= {"width": 128, "height": 128}
        if "steps" in node["inputs"]:
            node["inputs"]["steps"] = 3
    return prompt


def empty_cache(server: Server) -> None:
    """Make ComfyUI forget what it has computed: it keeps what the last graph needed, and this one needs nothing."""
    graph = Graph()
    graph.add("PreviewImage", images=graph.add("EmptyImage", width=8, height=8, batch_size=1, color=0)[0])
    server.run(graph)


def node_titled(title: str, prompt: dict[str, Any]) -> str:
    """The id of the node with a title."""
    (found,) = [key for key, node in prompt.items() if node["_meta"]["title"] == title]
    return found


@pytest.mark.slow
@every_workflow
def test_the_page_takes_all_of_it_and_without_complaint(name, workflow, conversions):
    conversion = conversions[name]
    # newer frontends mark the loaders of models that are not there
    assert set(conversion.faulty) <= set(STAND_INS)
    assert conversion.complaints == []
    assert {int(key): node["class_type"] for key, node in conversion.prompt.items()} == {
        node["id"]: node["type"] for node in nodes_of(workflow)
    }
    for key, node in conversion.prompt.items():
        (given,) = [node for node in workflow["nodes"] if node["id"] == int(key)]
        linked = {slot["name"] for slot in given["inputs"] if slot["link"] is not None}
        assert {name for name, value in node["inputs"].items() if isinstance(value, list)} == linked


@pytest.fixture(scope="module")
def runs(conversions, server) -> Callable[[str], tuple[dict[str, Any], dict[str, Any]]]:
    """Prompt and outputs of a workflow's first run; a second one would find all of it in the cache and show nothing."""

    @functools.cache
    def run(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        prompt = conversions[name].copy()
        if family := FAMILIES.get(name):
            prompt = with_stand_ins(prompt, family)
        empty_cache(server)
        return prompt, server.run(prompt, seconds=300)

    return run


@pytest.mark.slow
@every_workflow
def test_the_server_runs_what_the_page_makes_of_it(name, conversions, runs, server):
    needs_a_model = any(node["class_type"] in STAND_INS for node in conversions[name].prompt.values())
    assert needs_a_model == (name in FAMILIES)
    prompt, outputs = runs(name)
    for key, node in prompt.items():
        if node["class_type"] in {"PreviewImage", "NCM_CutMixMask", "NCM_SoftLabel", "NCM_PlanSample"}:
            assert outputs[key]["images"], node
        if node["class_type"] == "NCM_SoftLabelWriter":
            folder = server.base / "output" / node["inputs"]["dataset"]
            report = ncm.verify(folder)
            assert report.done == len(outputs[key]["images"]) > 0
            # that samples are missing, where this run was the first of several, is one finding
            assert len(report.findings) == (report.done < report.count), str(report)


def pictures(server, shown: list[dict[str, str]]) -> list[np.ndarray]:
    return [np.asarray(Image.open(io.BytesIO(server.get_bytes(f"/view?{urlencode(image)}")))) for image in shown]


@pytest.mark.slow
def test_the_demo_makes_pictures_of_two_classes_each(runs, server):
    prompt, outputs = runs("noisecutmix_demo")
    shown = pictures(server, outputs[node_titled("Images", prompt)]["images"])
    assert [picture.shape for picture in shown] == [(256, 256, 3)] * 4
    assert min(picture.std() for picture in shown) > 30
    folder = server.base / "output" / prompt[node_titled("Soft Label Writer", prompt)]["inputs"]["dataset"]
    data = ncm.SyntheticDataset(folder)
    assert len(data) == 4
    for record, (image, label) in zip(data.records, data, strict=True):
        assert image.shape == (3, 64, 64)
        assert label[list(record.class_ids)].tolist() == pytest.approx(record.weights)
        assert min(record.weights) > 0.2
    tiles = [
        tile(
            Image.open(folder / record.file_name).resize((192, 192), Image.Resampling.BICUBIC),
            np.asarray(Image.open(folder / record.mask_file_name).convert("L")) / 255,
            [(data.classes[one], weight) for one, weight in zip(record.class_ids, record.weights, strict=True)],
        )
        for record in data.records
    ]
    keep_thumbnail("noisecutmix_demo", [("", tiles[:2]), ("", tiles[2:])])


@pytest.mark.slow
def test_diff_ii_makes_bananas_between_two_bananas_with_their_label(runs, server):
    prompt, outputs = runs("diff_ii")
    new = pictures(server, outputs[node_titled("New images", prompt)]["images"])
    given = pictures(server, outputs[node_titled("The two that they come from", prompt)]["images"])
    assert [picture.shape for picture in new + given] == [(256, 256, 3)] * 6
    distances = [np.abs(one.astype(float) - other).mean() for one, other in itertools.combinations(new + given, 2)]
    # of 255, measured: 5 to 44
    assert min(distances) > 3, "no two are the same"
    folder = server.base / "output" / prompt[node_titled("Soft Label Writer", prompt)]["inputs"]["dataset"]
    data = ncm.SyntheticDataset(folder)
    assert len(data) == 4
    banana = data.classes.index("banana")
    for _, label in data:
        assert label.tolist() == [float(class_id == banana) for class_id in range(12)]


@pytest.mark.slow
def test_two_untrained_networks_restore_the_photograph(runs, server):
    prompt, outputs = runs("dip_restore")
    clean = np.asarray(Image.open(FOLDER.parent / "ckpts" / "demo" / "photograph.png"), dtype=np.float64)

    def decibels(title: str) -> float:
        (shown,) = pictures(server, outputs[node_titled(title, prompt)]["images"])
        return 10 * np.log10(255**2 / ((shown - clean) ** 2).mean())

    assert decibels("Denoised") > decibels("Noisy") + 4
    assert decibels("Half of its pixels") < 12
    assert decibels("Inpainted") > 25
    (text,) = outputs[node_titled("Forward Noise", prompt)]["text"]
    assert text.startswith("t = 30: alpha_bar 0.98")


@pytest.mark.slow
def test_stock_nodes_make_the_same_pictures(runs, server):
    prompt, outputs = runs("compare_with_stock")
    ours = pictures(server, outputs[node_titled("NoiseCutMix", prompt)]["images"])
    stock = pictures(server, outputs[node_titled("Stock nodes", prompt)]["images"])
    assert len(ours) == len(stock) == 4
    assert min(picture.std() for picture in ours) > 30
    np.testing.assert_array_equal(ours, stock)
    rows = (("NoiseCutMix", ours[:3]), ("Stock nodes", stock[:3]))
    keep_thumbnail("compare_with_stock", [(title, [*map(Image.fromarray, row)]) for title, row in rows])


@pytest.mark.slow
def test_the_loop_makes_the_plan_of_the_library(conversions, server, tmp_path):
    name = f"tests/{tmp_path.name}"
    graph, script = server.base / "output" / name, tmp_path / "script"
    prompt = conversions["dataset_loop"].copy()
    # one step: how an image is rendered is no part of its plan
    for key, value in {"dataset": name, "steps": 1}.items():
        for node in prompt.values():
            if key in node["inputs"]:
                node["inputs"][key] = value
    given = prompt[node_titled("Plan Sample", prompt)]["inputs"]
    count, per_run = given["count"], given["batch_size"]
    model = ncm.load_model("demo", device="cpu")
    classes = ncm.ClassList.of(given["class_names"].split("\n"))
    assert set(classes.names) <= set(model.classes.names)
    settings = ncm.RenderSettings(num_inference_steps=1)
    ncm.generate(ncm.NoiseCutMix(classes=classes), model, out=script, count=count, seed=0, settings=settings)
    expected = ncm.SyntheticDataset(script)

    def compare(done: int) -> None:
        made = ncm.SyntheticDataset(graph)
        assert len(made) == done
        assert Manifest.read(graph).plan_hash == Manifest.read(script).plan_hash
        assert Manifest.read(graph).config == Manifest.read(script).config
        for one, other in zip(made.records, expected.records[:done], strict=True):
            for field in ("index", "seed", "class_ids", "weights", "box", "mask_sha256", "plan_hash"):
                assert getattr(one, field) == getattr(other, field), f"sample {other.index} differs in {field}"
            mask = mask_name(other.index)
            np.testing.assert_array_equal(Image.open(graph / mask), Image.open(script / mask))

    server.run(prompt)
    server.run(prompt)
    compare(2 * per_run)
    for _ in range(2, count // per_run):
        server.run(prompt)
    compare(count)
    assert ncm.verify(graph).ok
    # nothing is left to do, and nothing is done
    outputs = server.run(prompt)
    assert outputs[node_titled("Plan Sample", prompt)]["text"] == [f"all {count} samples are there"]
    assert node_titled("Soft Label Writer", prompt) not in outputs

"""A data set made by graphs: planned and unplanned, through crashes, re-runs and bad input."""

import importlib
import itertools
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from harness.graph import Graph
from harness.run import GraphError
from PIL import Image

FRUIT = "banana\nlemon\nlime\nkiwi\norange\nmango\nplum\npapaya\navocado\npineapple"


NUMBERS = itertools.count()


@pytest.fixture
def name() -> str:
    """A data set of the test's own."""
    return f"tests/{next(NUMBERS)}"


@pytest.fixture
def folder(comfy, name) -> Path:
    return comfy.base / "output" / name


def pack(comfy, module: str):
    """A module of the pack as ComfyUI loaded it."""
    package = comfy.nodes["NCM_PlanSample"].__module__.rpartition(".nodes.")[0]
    return sys.modules[f"{package}.{module}"]


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]


def planned(name: str, *, steps: int = 2, writer: str | None = None, **changed) -> Graph:
    """Plan Sample to Soft Label Writer on the demo model."""
    plan = {
        "dataset": name, "class_file": "typed below", "class_names": FRUIT, "meta_class": "", "count": 5, "seed": 7,
        "prompt": "a photo of a {class} {metaclass}", "alpha": 1.0, "placement": "truncate", "rounding": "reference",
        "box_class": "B (the paper)", "grid": "latent", "pair_policy": "different classes", "class_a": "",
        "batch_size": 2, "index": -1,
    }  # fmt: skip
    graph = Graph()
    demo = graph.add("NCM_LoadDemoModel", batch_size=1)
    plan = graph.add("NCM_PlanSample", latent_image=demo[3], **(plan | changed))
    graph.capture("plan", plan[0])
    positive_a = graph.add("NCM_EncodePrompts", clip=demo[1], prompts=plan[1])
    positive_b = graph.add("NCM_EncodePrompts", clip=demo[1], prompts=plan[2])
    negative = graph.add("CLIPTextEncode", clip=demo[1], text="")
    latent = graph.add(
        "NCM_DualPromptMixedSampler", model=demo[0], positive_a=positive_a[0], positive_b=positive_b[0], noise=plan[4],
        negative=negative[0], latent_image=plan[5], mask=plan[3], seed=0, steps=steps, cfg=3.0, sampler_name="euler",
        scheduler="normal", denoise=1.0,
    )  # fmt: skip
    images = graph.add("VAEDecode", samples=latent[0], vae=demo[2])
    graph.capture("images", images[0])
    graph.add(
        "NCM_SoftLabelWriter", images=images[0], soft_label=plan[6], plan=plan[0], image_format="png",
        dataset=name if writer is None else writer,
    )  # fmt: skip
    return graph


def indices(run) -> list[int]:
    return [sample.index for sample in run.captured["plan"].samples]


def text(run) -> list[str]:
    return [line for shown in run.ui.values() for line in shown.get("text", [])]


def test_queued_runs_make_the_plan_batch_by_batch_and_then_stop_quietly(comfy, run_graph, name, folder):
    executor = comfy.executor()
    made = [indices(run_graph(planned(name), executor=executor)) for _ in range(3)]
    assert made == [[0, 1], [2, 3], [4]]
    last = run_graph(planned(name), executor=executor)
    assert last.captured == {}
    assert text(last) == ["all 5 samples are there"]
    assert [record["index"] for record in records(folder)] == [0, 1, 2, 3, 4]


def test_a_record_is_the_plans_sample_and_its_mask_is_kept(comfy, run_graph, name, folder):
    run = run_graph(planned(name))
    plan = run.captured["plan"]
    planes = pack(comfy, "ncm_lib.plan.planes").mask_planes
    for record, sample in zip(records(folder), plan.samples, strict=True):
        assert record["seed"] == sample.seed
        assert record["class_ids"] == [share.class_id for share in sample.label]
        assert record["weights"] == [share.weight for share in sample.label]
        assert record["plan_hash"] == plan.method.plan_hash()
        assert record["renderer"] == "comfyui"
        with Image.open(folder / record["mask_file_name"]) as mask:
            kept = np.asarray(mask.convert("L")) / 255
        assert np.array_equal(kept, planes(sample.mask, 16, 16)[0].numpy())
        assert kept.mean() == pytest.approx(record["weights"][0], abs=1e-9)


def test_a_data_set_from_graphs_passes_the_librarys_verification(comfy, run_graph, name, folder):
    run_graph(planned(name, batch_size=5))
    head = pack(comfy, "ncm_lib.store.manifest").Manifest.read(folder)
    assert (head.method, head.render_hash, head.count) == ("noisecutmix", None, 5)
    verify = importlib.import_module(f"{pack(comfy, 'ncm_lib.store.manifest').__package__}.verify").verify
    assert verify(folder).findings == ()


def test_a_fixed_index_that_is_there_and_equal_is_skipped_with_a_message(run_graph, name, folder):
    run_graph(planned(name, index=2))
    before = (folder / "images/000/00000002.png").stat().st_mtime_ns
    again = run_graph(planned(name, index=2))
    assert "0 written, 2 there already; 2 of 5 images in " + name in text(again)
    assert (folder / "images/000/00000002.png").stat().st_mtime_ns == before


def test_a_fixed_index_that_is_there_and_different_is_refused_and_kept(run_graph, name, folder):
    run_graph(planned(name, index=2))
    before = (folder / "images/000/00000002.png").read_bytes()
    run = run_graph(planned(name, index=2, steps=3), check=False)
    assert run.failure.node_type == "NCM_SoftLabelWriter"
    assert "00000002.png is there already and shows another image" in run.failure.message
    assert (folder / "images/000/00000002.png").read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"seed": 8}, "seed: the data set has 7, this run has 8"),
        ({"alpha": 2.0}, "config.alpha: the data set has 1.0, this run has 2.0"),
        ({"class_names": "robin\nwren"}, 'this run has "robin"'),
        ({"count": 4}, "can grow but not shrink"),
    ],
)
def test_another_plan_of_the_same_name_is_refused_before_anything_is_sampled(run_graph, name, folder, changed, says):
    run_graph(planned(name))
    run = run_graph(planned(name, **changed), check=False)
    assert run.failure.node_type == "NCM_PlanSample"
    assert says in run.failure.message
    assert len(records(folder)) == 2


def test_a_larger_count_goes_on_where_the_smaller_one_ended(run_graph, name, folder):
    run_graph(planned(name, count=2))
    first = (folder / "images/000/00000001.png").read_bytes()
    assert indices(run_graph(planned(name, count=3))) == [2]
    assert (folder / "images/000/00000001.png").read_bytes() == first


def test_a_deleted_folder_is_written_again_on_a_re_run(comfy, run_graph, name, folder):
    executor = comfy.executor()
    run_graph(planned(name, index=0), executor=executor)
    shutil.rmtree(folder)
    again = run_graph(planned(name, index=0), executor=executor)
    assert "2 written; 2 of 5 images in " + name in text(again)
    assert len(records(folder)) == 2


def test_a_deleted_image_is_the_next_one_to_be_made(run_graph, name, folder):
    run_graph(planned(name, batch_size=4))
    (folder / "images/000/00000001.png").unlink()
    assert indices(run_graph(planned(name, batch_size=1))) == [1]


def test_an_interrupt_keeps_what_was_finished_and_the_next_run_goes_on(comfy, run_graph, name, folder):
    run_graph(planned(name))

    def cancel(event, data):
        if event == "progress":
            comfy.interrupt()

    assert run_graph(planned(name, steps=5), check=False, on_event=cancel).interrupted
    assert [record["index"] for record in records(folder)] == [0, 1]
    assert indices(run_graph(planned(name))) == [2, 3]


def test_the_writer_stays_open_while_the_queue_has_more_and_closes_with_the_last(comfy, run_graph, name, folder):
    class Queue:
        remaining = 2

        def get_tasks_remaining(self):
            return self.remaining

    server = sys.modules["server"].PromptServer.instance
    stock, server.prompt_queue = getattr(server, "prompt_queue", None), Queue()
    try:
        run_graph(planned(name))
        assert not (folder / "metadata.jsonl").exists()
        assert (folder / ".ncm-0.lock").exists()
        assert (folder / "images/000/00000001.png").is_file()
        Queue.remaining = 1
        run_graph(planned(name))
        assert len(records(folder)) == 4
        assert not (folder / ".ncm-0.lock").exists()
    finally:
        server.prompt_queue = stock


def test_a_plan_for_one_data_set_is_not_written_to_another(run_graph, name):
    run = run_graph(planned(name, writer=f"{name}-other"), check=False)
    assert "give both nodes one name" in run.failure.message


def unplanned(name: str, images: torch.Tensor | None = None, *, masks: int = 1, color: int = 0, **pair) -> Graph:
    """Class Pair, CutMix Mask, Soft Label and the writer, on pictures of two colours."""
    graph = Graph()
    ids = graph.add("NCM_ClassPair", **({
        "class_file": "typed below", "class_names": "robin, wren, tit", "meta_class": "bird", "seed": 1, "count": 2,
        "prompt": "a {class}", "pair_policy": "different classes", "class_a": "", "class_b": "",
    } | pair))  # fmt: skip
    mask = graph.add(
        "NCM_CutMixMask", width=8, height=8, batch_size=masks, alpha=1.0, seed=2, placement="inside",
        box_class="B (the paper)", rounding="reference",
    )  # fmt: skip
    label = graph.add("NCM_SoftLabel", mask=mask[0], class_ids=ids[2], classes=ids[3])
    graph.capture("label", label[0])
    pictures = graph.add("MaskToImage", mask=mask[0])
    tinted = graph.add("ImageInvert", image=pictures[0]) if color else pictures
    graph.add(
        "NCM_SoftLabelWriter", images=tinted[0], soft_label=label[0], dataset=name, image_format="png", mask=mask[0]
    )
    return graph


def test_without_a_plan_images_are_appended_and_equal_ones_skipped(comfy, run_graph, name, folder):
    run_graph(unplanned(name, masks=2))
    assert "0 written, 2 there already; 2 of 2 images in " + name in text(run_graph(unplanned(name, masks=2)))
    run_graph(unplanned(name, masks=2, color=1))
    assert [record["index"] for record in records(folder)] == [0, 1, 2, 3]
    assert json.loads((folder / "dataset.json").read_text())["count"] == 4
    with (
        Image.open(folder / "images/000/00000000.png") as first,
        Image.open(folder / "images/000/00000002.png") as third,
    ):
        assert np.array_equal(np.asarray(first), 255 - np.asarray(third))


def test_an_image_that_was_deleted_from_an_unplanned_data_set_leaves_its_place_to_the_next(run_graph, name, folder):
    run_graph(unplanned(name, masks=2))
    (folder / "images/000/00000000.png").unlink()
    run_graph(unplanned(name, masks=2))
    assert [record["index"] for record in records(folder)] == [0, 1]


def test_an_unplanned_data_set_of_other_classes_is_refused(run_graph, name):
    run_graph(unplanned(name))
    run = run_graph(unplanned(name, class_names="robin, wren, lark"), check=False)
    assert 'classes[2]: the data set has "tit", this run has "lark"' in run.failure.message


def test_the_label_is_the_mean_of_the_mask(run_graph, name, folder):
    run_graph(unplanned(name, masks=2))
    for record in records(folder):
        with Image.open(folder / record["mask_file_name"]) as mask:
            assert np.asarray(mask.convert("L")).mean() / 255 == pytest.approx(record["weights"][0], abs=1e-9)
        assert sum(record["weights"]) == pytest.approx(1, abs=1e-6)


def test_images_carry_their_record_and_no_prompt_or_workflow(comfy, run_graph, name, folder):
    run_graph(planned(name), extra_pnginfo={"workflow": {"secret": "path"}})
    with Image.open(folder / "images/000/00000000.png") as image:
        assert list(image.info) == ["ncm"]
        assert "photo" not in image.info["ncm"]
        assert str(comfy.base) not in image.info["ncm"]


@pytest.mark.parametrize(
    "hostile",
    [
        "../out",
        "/etc/ncm",
        "a/../../b",
        "~/x",
        "C:\\x",
        "\\\\host\\x",
        "con",
        "x\0y",
        "dot.",
        "space ",
        "n" * 256,
        "",
        "  ",
    ],
)
def test_a_name_that_could_leave_the_output_folder_is_refused_before_anything_runs(comfy, run_graph, hostile):
    before = set(comfy.base.rglob("*"))
    with pytest.raises(GraphError, match=r"NCM_SoftLabelWriter .*(is refused|has no name)"):
        run_graph(unplanned(hostile))
    assert set(comfy.base.rglob("*")) == before


def test_a_symlink_that_leaves_the_output_folder_is_refused(comfy, run_graph, tmp_path):
    (comfy.base / "output").mkdir(exist_ok=True)
    link = comfy.base / "output" / "elsewhere"
    link.symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(GraphError, match="leads out of the folder through a symlink"):
        run_graph(unplanned("elsewhere/data"))
    assert list(tmp_path.iterdir()) == []
    link.unlink()


def test_hostile_class_names_stay_labels_and_never_become_paths(run_graph, name, folder):
    names = ["../evil", "a/b\\c", ".hidden", "con", "Ä", "A\u0308", "WREN", "wren", '🐦 "quoted"', "x, y"]
    run_graph(unplanned(name, class_names="\n".join(names), masks=4, count=4))
    assert json.loads((folder / "dataset.json").read_text())["classes"] == names
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert written == {
        "dataset.json", "metadata-0.jsonl", "metadata.jsonl", "soft_labels.npy", "preview.png",
        *(f"{kind}/000/{index:08d}.png" for kind in ("images", "masks") for index in range(4)),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ({"class_names": ""}, "No classes are named"),
        ({"class_names": "robin, robin"}, "stands twice"),
        ({"prompt": "a photo"}, "does not contain {class}"),
        ({"class_file": "../classes.json"}, "is refused"),
    ],
)
def test_bad_classes_get_a_message_at_the_node_before_anything_runs(run_graph, name, pair, says):
    with pytest.raises(GraphError, match=r"NCM_ClassPair \(node 1\)") as error:
        run_graph(unplanned(name, **pair))
    assert says in str(error.value)


def test_a_class_that_is_not_in_the_list_is_named_with_its_nearest(run_graph, name):
    run = run_graph(unplanned(name, class_a="robbin"), check=False)
    assert run.failure.message.startswith("There is no class 'robbin' among the 3 classes; near: robin")


@pytest.mark.parametrize(("color", "says"), [(0, "of one colour (0)"), (0xFFFFFF, "of one colour (255)")])
def test_an_image_of_one_colour_is_never_written(run_graph, name, folder, color, says):
    graph = unplanned(name)
    images = graph.add("EmptyImage", width=8, height=8, batch_size=1, color=color)
    graph.prompt["6"]["inputs"]["images"] = images[0]
    run = run_graph(graph, check=False)
    assert says in run.failure.message
    assert not folder.exists()

"""Whole comparisons of tiny models on tiny images."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import ViTConfig, ViTForImageClassification

from ncm_lib import InputError, SyntheticDataset
from ncm_lib.metrics.filter import filter_dataset
from ncm_lib.metrics.label_probability import LabelProbability
from ncm_lib.store.filters import Filter
from ncm_lib.training import compare_work
from ncm_lib.training.compare import compare
from ncm_lib.training.compare_plan import load_plan
from ncm_lib.training.compare_tasks import task_graph

HEAD = """
shots = [{shots}]
seeds = [{seeds}]
baseline = "original"
data = {{ train = "train", test = "test" }}
classifier = {{ model = "resnet-32px", resolution = 16, epochs = 2, batch_size = 4 }}
render = {{ num_inference_steps = 2 }}

[generators.tiny]
model = "{model}"
inversion = {{ num_inference_steps = 2 }}
{concepts}

[[rows]]
name = "original"
"""
ROWS = {
    "mixup": 'classifier = { pixel = "mixup" }',
    "noisecutmix": 'method = "noisecutmix"\noptions = { alpha = 2.0 }',
    "sd-random+cutmix": 'method = "sd-random"\nclassifier = { pixel = "cutmix" }',
    "diff-mix": 'method = "diff-mix"',
    "diff-aug": 'method = "diff-aug"',
    "diff-ii": 'method = "diff-ii"\nmultiplier = 2\nclassifier = { use = "replace" }',
}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder, rng = tmp_path_factory.mktemp("compare"), np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("sneaker", "bag"):
            (folder / part / name).mkdir(parents=True)
            for number in range(4):
                pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{number}.png")
    return folder


@pytest.fixture
def plan(data, tiny_folder):
    """Writes a plan; more rows by name."""

    def make(*rows: str, shots="2", seeds="0, 1", concepts="", model=None, extra="") -> Path:
        text = HEAD.format(shots=shots, seeds=seeds, model=model or tiny_folder, concepts=concepts)
        text += "".join(f'\n[[rows]]\nname = "{name}"\n{ROWS[name]}\n' for name in rows) + extra
        file = data / "plan.toml"
        file.write_text(text)
        return file

    return make


def states(done) -> dict[str, str]:
    return {f"{line['row']}/{line['shots']}/{line['seed']}": line["state"] for line in done.results}


def test_every_row_of_the_issue_gets_a_number_from_concepts_of_its_own_cell(plan, tmp_path):
    concepts = "concepts = { steps = 1, batch_size = 2, rank = 1 }"
    names = [name for name in ROWS if name != "mixup"]
    done = compare(plan(*names, seeds="0", concepts=concepts), out=tmp_path / "out")
    assert set(states(done).values()) == {"done"}, [line["error"] for line in done.results]
    kinds = [folder.name.partition("-")[0] for folder in (tmp_path / "out" / "tasks").iterdir()]
    # the concepts of a subset are learned once, and all generators that need them share them
    assert sorted(kinds) == ["classifier"] * 6 + ["concepts"] + ["generate"] * 5 + ["invert"]
    by_row = {line["row"]: line for line in done.results}
    assert by_row["original"]["synthetic_images"] == 0
    assert by_row["noisecutmix"]["synthetic_images"] == 4
    assert by_row["diff-ii"]["synthetic_images"] == 8
    page = (tmp_path / "out" / "report.html").read_text()
    assert all(f"<h3>{name}</h3>" in page for name in names)
    assert "<svg" in page


def test_a_second_run_does_nothing_and_says_the_same(plan, tmp_path):
    file, told = plan("mixup"), []
    first = compare(file, out=tmp_path / "out")
    second = compare(file, out=tmp_path / "out", on_task=lambda name, state, over, count: told.append(state))
    assert told == ["cached"] * 4
    assert first.results == second.results


def test_a_seed_changes_subset_generator_and_classifier(plan, tmp_path):
    graph = task_graph(load_plan(plan("noisecutmix", concepts="concepts = { steps = 1 }")))
    for kind, fields in {
        "classifier": ("train", "config"), "generate": ("seed",), "concepts": ("images", "config"),
    }.items():  # fmt: skip
        identities = [task.identity for task in graph.tasks.values() if task.kind == kind]
        for name in fields:
            values = {json.dumps(identity[name]) for identity in identities}
            assert len(values) == 2, (kind, name)


def test_more_shots_contain_fewer(plan):
    graph = task_graph(load_plan(plan(shots='1, 2, "all"', seeds="0")))
    assert len({cell.key for cell in graph.cells}) == 3


def test_a_changed_option_makes_only_what_depends_on_it(plan, tmp_path):
    compare(plan("noisecutmix", seeds="0"), out=tmp_path / "out")
    told = {}
    file = plan("noisecutmix", seeds="0")
    file.write_text(file.read_text().replace("epochs = 2", "epochs = 3"))
    compare(file, out=tmp_path / "out", on_task=lambda name, state, *_: told.update({name: state}))
    assert {name.partition("-")[0]: state for name, state in told.items()} == {
        "generate": "cached",
        "classifier": "done",
    }


def test_a_number_of_shots_has_its_own_multiplier_and_epochs_unless_the_row_says_otherwise(plan):
    at = '\n[at.1]\nmultiplier = 3\nclassifier = { epochs = 9, use = "add" }\n'
    own = '\n[[rows]]\nname = "all of them"\ntrain = "test"\n'
    graph = task_graph(load_plan(plan("diff-aug", "diff-ii", shots="1, 2", seeds="0", extra=own + at)))
    found, uses = {}, {}
    for cell in graph.cells:
        task = graph.tasks[cell.key]
        counts = [graph.tasks[need].identity["count"] for need in task.needs]
        found[cell.row, cell.shots] = (task.identity["config"]["epochs"], *counts)
        uses.setdefault(cell.row, []).append(task.identity["config"]["use"])
    assert found == {
        ("original", 1): (9,), ("original", 2): (2,), ("diff-aug", 1): (9, 6), ("diff-aug", 2): (2, 4),
        # 2 per real image by the row's own words
        ("diff-ii", 1): (9, 4), ("diff-ii", 2): (2, 8), ("all of them", 1): (2,), ("all of them", 2): (2,),
    }  # fmt: skip
    assert (uses["diff-aug"], uses["diff-ii"]) == (["add", "add"], ["replace", "replace"])


def test_a_generator_of_half_precision_inverts_and_generates_in_it_and_learns_concepts_in_full(plan, tmp_path):
    concepts = 'dtype = "bf16"\nconcepts = { steps = 1, batch_size = 2, rank = 1 }'
    done = compare(plan("diff-ii", seeds="0", concepts=concepts), out=tmp_path / "out")
    assert set(states(done).values()) == {"done"}, [line["error"] for line in done.results]
    (made,) = (tmp_path / "out" / "tasks").glob("generate-*/out/dataset.json")
    assert json.loads(made.read_bytes())["render"]["dtype"] == "bfloat16"
    (pool,) = (tmp_path / "out" / "tasks").glob("invert-*/out")
    assert json.loads((pool / "pool.json").read_bytes())["dtype"] == "bfloat16"
    (lora,) = (tmp_path / "out" / "tasks").glob("concepts-*/out/**/*lora*.safetensors")
    assert not {torch.bfloat16, torch.float16} & {weight.dtype for weight in load_file(lora).values()}


def test_without_a_dtype_tasks_keep_their_names_and_with_one_only_what_is_generated_has_another(plan):
    concepts = "concepts = { steps = 1, batch_size = 2, rank = 1 }"
    plain = task_graph(load_plan(plan("diff-ii", seeds="0", concepts=concepts)))
    half = task_graph(load_plan(plan("diff-ii", seeds="0", concepts=f'dtype = "bf16"\n{concepts}')))
    assert not any("dtype" in task.identity for task in plain.tasks.values())
    kept = {plain.tasks[key].kind for key in plain.tasks.keys() & half.tasks.keys()}
    assert kept == {"concepts", "classifier"}, "of the classifiers, the row without a generator alone"
    assert len(plain.tasks.keys() & half.tasks.keys()) == 2


def test_paths_in_a_plan_start_from_its_folder(plan, data, tiny_folder, monkeypatch, tmp_path):
    extra = """
        [at.2]
        classifier = { model = "at" }

        [[rows]]
        name = "own"
        train = "all"
        classifier = { model = "row" }

        [[rows]]
        name = "filtered"
        method = "noisecutmix"
        filter = { model = "judge" }
    """
    names = ("all", "at", "folder", "judge", "model", "row")
    for name in names:
        (data / name).mkdir()
    monkeypatch.chdir(tmp_path)
    try:
        file = plan(seeds="0", model="folder", extra=extra)
        file.write_text(file.read_text().replace('model = "resnet-32px"', 'model = "model"'))
        read = load_plan(file)
    finally:
        for name in names:
            (data / name).rmdir()
    own, filtered = read.rows[1:]
    found = [
        read.data.train, read.data.test, own.train, read.generators["tiny"].model, filtered.filter.model,
        read.classifier["model"], read.at["2"].classifier["model"], own.classifier["model"],
    ]  # fmt: skip
    assert found == [str(data / name) for name in ("train", "test", "all", "folder", "judge", "model", "at", "row")]
    # what is no folder there stays as it is, such as a hub id
    assert load_plan(plan(seeds="0")).classifier["model"] == "resnet-32px"


@pytest.fixture
def judge(tmp_path) -> Path:
    """A classifier of the plan's classes, in another order, with random weights."""
    config = ViTConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8,
        id2label={0: "sneaker", 1: "bag"},
    )  # fmt: skip
    folder = tmp_path / "judge"
    torch.manual_seed(1)
    ViTForImageClassification(config).save_pretrained(folder)
    pixels = {"size": {"height": 16, "width": 16}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    return folder


def test_a_filtered_row_trains_without_what_ncm_filter_would_drop_and_shares_its_images(plan, judge, tmp_path):
    filtered = f"""
        [[rows]]
        name = "noisecutmix, filtered"
        method = "noisecutmix"
        options = {{ alpha = 2.0 }}
        filter = {{ model = "{judge}", keep = 0.5 }}
    """
    done = compare(plan("noisecutmix", seeds="0", extra=filtered), out=tmp_path / "out")
    by_row = {line["row"]: line for line in done.results}
    assert {row: line["synthetic_images"] for row, line in by_row.items()} == {
        "original": 0, "noisecutmix": 4, "noisecutmix, filtered": 2,
    }  # fmt: skip
    (made,) = by_row["noisecutmix"]["synthetic"]
    assert by_row["noisecutmix, filtered"]["synthetic"] == [made]
    # the same marks as the command's, and all images are still there
    images = tmp_path / "out" / made / "out"
    (marks,) = (images / "filters").iterdir()
    copy = tmp_path / "copy"
    shutil.copytree(images, copy, ignore=shutil.ignore_patterns("filters"))
    filter_dataset(copy, LabelProbability(judge, device="cpu"), keep=0.5)
    assert Filter.read(images, marks.stem).kept.tolist() == Filter.read(copy, "classifier").kept.tolist()
    assert len(SyntheticDataset(images)) == 4


def test_a_filter_by_a_row_is_that_of_the_rows_classifier_of_the_same_cell(plan, tmp_path):
    own = """
        [[rows]]
        name = "filtered"
        method = "noisecutmix"
        options = { alpha = 2.0 }
        filter = { row = "original", keep = 0.5 }
    """
    done = compare(plan("noisecutmix", extra=own), out=tmp_path / "out")
    assert set(states(done).values()) == {"done"}, [line["error"] for line in done.results]
    assert [line["synthetic_images"] for line in done.results if line["row"] == "filtered"] == [2, 2]
    lines = {(line["row"], line["seed"]): line for line in done.results}
    for seed in (0, 1):
        judge = tmp_path / "out" / lines["original", seed]["folder"] / "out" / "model"
        (made,) = lines["filtered", seed]["synthetic"]
        assert lines["noisecutmix", seed]["synthetic"] == [made]
        (marks,) = (tmp_path / "out" / made / "out" / "filters").iterdir()
        copy = tmp_path / f"copy-{seed}"
        shutil.copytree(marks.parents[1], copy, ignore=shutil.ignore_patterns("filters"))
        filter_dataset(copy, LabelProbability(judge, device="cpu"), keep=0.5)
        assert Filter.read(marks.parents[1], marks.stem).kept.tolist() == Filter.read(copy, "classifier").kept.tolist()


def test_a_filter_changes_no_row_but_its_own_and_is_known_by_its_content(plan, judge):
    def keys(model: Path, keep: float) -> dict[str, str]:
        row = f'\n[[rows]]\nname = "f"\nmethod = "noisecutmix"\nfilter = {{ model = "{model}", keep = {keep} }}\n'
        return {cell.row: cell.key for cell in task_graph(load_plan(plan(seeds="0", extra=row))).cells}

    first, renamed = keys(judge, 0.5), judge.with_name("renamed")
    shutil.copytree(judge, renamed)
    assert keys(renamed, 0.5) == first
    other = keys(judge, 0.6)
    assert {row for row in first if first[row] != other[row]} == {"f"}


def test_the_report_draws_the_accuracy_over_the_shots(plan, tmp_path):
    compare(plan("mixup", shots='2, "all"', seeds="0"), out=tmp_path / "out", only=["original/*"])
    drawing = (tmp_path / "out" / "report" / "accuracy-over-shots.svg").read_text()
    assert drawing in (tmp_path / "out" / "report.html").read_text()
    assert "](report/accuracy-over-shots.svg)" in (tmp_path / "out" / "report.md").read_text()
    assert ">all</text>" in drawing
    assert "original" in drawing
    assert drawing.count("<circle") == 2
    # a row without a number has no curve
    assert "mixup" not in drawing
    compare(plan("mixup", shots="2", seeds="0"), out=tmp_path / "one", only=["original/*"])
    assert not (tmp_path / "one" / "report" / "accuracy-over-shots.svg").exists()


def test_failed_cells_are_shown_as_failed_and_tried_again(plan, tmp_path, monkeypatch):
    broken = compare_work._WORK["generate"]

    def fails(settings, out, needs, device):
        if settings["seed"] == 1:
            raise RuntimeError("no | luck")
        return broken(settings, out, needs, device)

    monkeypatch.setitem(compare_work._WORK, "generate", fails)
    file = plan("noisecutmix")
    done = compare(file, out=tmp_path / "out")
    assert states(done) == {
        "original/2/0": "done", "original/2/1": "done", "noisecutmix/2/0": "done", "noisecutmix/2/1": "failed",
    }  # fmt: skip
    assert done.failed == 1
    text = (tmp_path / "out" / "report.md").read_text()
    assert r"failed: generate: RuntimeError: no \| luck" in text
    assert "| noisecutmix | " in text
    assert "1, 1 failed" in text
    monkeypatch.undo()
    assert set(states(compare(file, out=tmp_path / "out")).values()) == {"done"}


def test_only_some_cells_are_run_and_the_report_tells_which_are_left(plan, tmp_path):
    file = plan("mixup")
    done = compare(file, out=tmp_path / "out", only=["mixup/2/0"])
    assert [name for name, state in states(done).items() if state == "done"] == ["mixup/2/0"]
    assert done.left == 3
    assert "not run" in (tmp_path / "out" / "report.md").read_text()
    with pytest.raises(InputError, match=r"No cell is called 'mixup/3/\*'. Cells are ROW/SHOTS/SEED, such as 'orig"):
        compare(file, out=tmp_path / "out", only=["mixup/3/*"])


def test_every_number_has_its_command_and_its_commit(plan, tmp_path):
    file = plan(seeds="0")
    (line,) = compare(file, out=tmp_path / "out").results
    assert line["command"] == f"ncm compare {file} --out {tmp_path / 'out'} --only original/2/0"
    assert line["commit"] is None or len(line["commit"]) == 40
    assert len(line["source"]) == 64
    assert line["command"] in (tmp_path / "out" / "report.md").read_text()
    again = compare(file, out=tmp_path / "out", only=[line["command"].split()[-1]])
    assert again.results[0]["accuracy"] == line["accuracy"]


def test_results_are_a_table_of_parquet_too(plan, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    done = compare(plan("mixup", seeds="0"), out=tmp_path / "out")
    table = parquet.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    assert table == list(done.results)
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == table


@pytest.mark.slow
def test_jobs_in_processes_find_the_same_numbers_even_when_one_is_killed(plan, tmp_path):
    file, killed = plan(), []

    def kill_one(*_):
        if not killed:
            killed.append(multiprocessing.active_children()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    one = compare(file, out=tmp_path / "one")
    two = compare(file, out=tmp_path / "two", jobs=2, on_task=kill_one)
    assert killed
    assert set(states(two).values()) == {"done"}
    assert [line["accuracy"] for line in one.results] == [line["accuracy"] for line in two.results]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("seeds = [0, 1]", "seeds = []"), r"plan.toml: seeds is \[\]; it takes a list with an entry or more.$"),
        (("seeds = [0, 1]", "seeds = [0, 0]"), "seeds has an entry twice"),
        (("seeds = [0, 1]", "sees = [0, 1]"), "plan.toml: seeds is missing.$"),
        (("seeds = [0, 1]", "seeds = [0, 1]\nthread = 1"), r"there is no option 'thread'; did you mean 'threads'\?$"),
        (("shots = [2]", 'shots = ["al"]'), "shots.0 is 'al'; it takes a whole number or 'all'.$"),
        (('baseline = "original"', 'baseline = "orig"'), "the baseline is 'orig', which is no row; there are original"),
        (
            ("epochs = 2", "epoch = 2"),
            r"plan.toml: classifier of row 'original': there is no option 'epoch'; did you mean 'epochs'\?$",
        ),
        (("epochs = 2", "epochs = 0"), "classifier of row 'original': epochs is 0; it takes 1 or more.$"),
        (
            ("render = { num_inference_steps", "render = { steps"),
            "render of row 'noisecutmix': there is no option 'ste",
        ),
        (('method = "noisecutmix"', 'method = "noisecutmax"'), "There is no method 'noisecutmax'; there are da-fusion"),
        (("alpha = 2.0", "alfa = 2.0"), r"gives noisecutmix the options \['alfa'\]; it has \['alpha'"),
        (("alpha = 2.0", "alpha = -1"), "options of row 'noisecutmix': alpha is -1; it takes a number above 0.$"),
        (("alpha = 2.0", 'class_a = "hat"'), "options of row 'noisecutmix': .*'hat'"),
        (('name = "noisecutmix"', 'name = "a/b"'), "a row is called 'a/b'; take a name without a slash"),
        (("[generators.tiny]", "[generator.tiny]"), "there is no option 'generator'; did you mean 'generators'"),
        (
            ("[generators.tiny]", "[generators.tiny]\nmode = 1"),
            r"generators.tiny: there is no option 'mode'; did you me",
        ),
        (
            ('model = "resnet-32px"', 'protocol = "mine"'),
            "There is no protocol 'mine'; there are noisecutmix, diff-ii.$",
        ),
        (
            ('name = "original"', 'name = "original"\nfilter = { model = "x" }'),
            "a filter and no method: there is nothin",
        ),
        (('method = "nois', 'filter = { model = "x" }\nmethod = "nois'), "There is no .*classifier.* 'x'"),
        (
            ('method = "nois', 'filter = { keep = 2, model = "x" }\nmethod = "nois'),
            "rows.1.filter.keep is 2; it takes 1 or",
        ),
        (('method = "nois', 'filter = { keep = 0.5 }\nmethod = "nois'), "either a model or a row"),
        (('method = "nois', 'filter = { model = "x", row = "original" }\nmethod = "nois'), "either a model or a row"),
        (('method = "nois', 'filter = { by = "clip", row = "original" }\nmethod = "nois'), "'?clip'?\"? takes a model"),
        (
            ('method = "nois', 'filter = { row = "orginal" }\nmethod = "nois'),
            "names the row 'orginal'; there are original, noisecutmix",
        ),
        (
            ('method = "nois', 'filter = { row = "noisecutmix" }\nmethod = "nois'),
            "names the row 'noisecutmix', which is filtered itself",
        ),
        (("render = {", "at.3 = { multiplier = 2 }\nrender = {"), "at has 3, and the shots are 2"),
        (("shots = [2]", "shots = [2"), "cannot be read as a plan"),
        (("shots = [2]", "shots = [9]"), "Classes with fewer images than were asked for"),
        (('test = "test"', 'test = "nowhere"'), "nowhere"),
    ],
)
def test_a_plan_that_is_not_legal_is_refused_before_anything_runs(plan, tmp_path, change, text):
    file = plan("noisecutmix")
    assert change[0] in file.read_text()
    file.write_text(file.read_text().replace(*change))
    with pytest.raises(InputError, match=text):
        compare(file, out=tmp_path / "out")
    assert not (tmp_path / "out" / "tasks").exists()

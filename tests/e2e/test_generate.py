"""`generate` from plan to data set, with a tiny real model."""

import json

import numpy as np
import pytest
from PIL import Image

from ncm_lib import ClassList, InputError, NoiseCutMix, RenderSettings, SyntheticDataset, generate, verify

CLASSES = ClassList.of(["sneaker", "bag", "coat"])
SETTINGS = RenderSettings(num_inference_steps=2, guidance_scale=3.0)


def make(model, out, count=7, **options):
    method = NoiseCutMix(classes=CLASSES, placement="inside", **options.pop("method", {}))
    return generate(
        method, model, out=out, count=count, batch_size=4, settings=options.pop("settings", SETTINGS), **options
    )


def content(folder):
    """Every image and mask by name, and every record by index: what a resumed run must reproduce."""
    files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.glob("*/*/*.png")}
    lines = (folder / "metadata.jsonl").read_text().splitlines()
    return files, {json.loads(line)["index"]: json.loads(line) for line in lines}


@pytest.fixture(scope="module")
def seven(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets") / "seven"
    make(tiny_model, folder)
    return folder


def test_a_data_set_has_all_that_the_format_promises(seven):
    files, records = content(seven)
    assert sorted(records) == list(range(7))
    assert len(files) == 14
    for name in ("dataset.json", "metadata.jsonl", "metadata-0.jsonl", "soft_labels.npy", "preview.png"):
        assert (seven / name).is_file(), name
    labels = np.load(seven / "soft_labels.npy")
    assert labels.shape == (7, 3)
    assert np.allclose(labels.sum(axis=1), 1)
    for index, record in records.items():
        dense = np.zeros(3)
        np.add.at(dense, record["class_ids"], record["weights"])
        assert np.allclose(labels[index], dense)


def test_a_data_set_that_was_just_made_verifies(seven):
    assert verify(seven).findings == ()


def test_the_label_of_class_a_is_the_mean_of_the_mask_on_disk(seven):
    for record in content(seven)[1].values():
        mask = np.asarray(Image.open(seven / record["mask_file_name"]).convert("L")) / 255
        assert mask.mean() == pytest.approx(record["weights"][0], abs=1e-6)


def test_the_reader_gives_images_with_soft_labels(seven):
    data = SyntheticDataset(seven)
    image, label = data[3]
    assert len(data) == 7
    assert tuple(image.shape) == (3, 16, 16)
    assert label.sum().item() == pytest.approx(1.0)
    assert np.array_equal(label.numpy(), np.load(seven / "soft_labels.npy")[3])


def test_records_and_images_are_those_of_the_plan(seven):
    method = NoiseCutMix(classes=CLASSES, placement="inside", latent_height=8, latent_width=8, latent_cell=2, seed=0)
    for index, record in content(seven)[1].items():
        sample = method.plan_one(index)
        assert record["seed"] == sample.seed
        assert record["class_ids"] == [share.class_id for share in sample.label]
        assert record["weights"] == [share.weight for share in sample.label]
        assert record["plan_hash"] == method.plan_hash()


def test_a_second_run_makes_nothing(tiny_model, seven):
    before = content(seven)
    summary = make(tiny_model, seven)
    assert (summary.made, summary.skipped) == (0, 7)
    assert content(seven) == before


def test_resume_makes_exactly_what_is_missing_and_the_same_bytes(tiny_model, tmp_path, seven):
    make(tiny_model, tmp_path / "set")
    for index in (1, 4, 6):
        next((tmp_path / "set" / "images").glob(f"*/{index:08d}.png")).unlink()
    summary = make(tiny_model, tmp_path / "set")
    assert (summary.made, summary.skipped) == (3, 4)
    assert content(tmp_path / "set") == content(seven)


def test_an_interrupted_run_keeps_what_is_finished_and_continues_to_the_same_bytes(tiny_model, tmp_path, seven):
    steps = 0

    def stop_in_the_second_batch(progress):
        nonlocal steps
        steps += 1
        if steps == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tiny_model, tmp_path / "set", on_progress=stop_in_the_second_batch)
    kept = sorted(content(tmp_path / "set")[1])
    assert kept == [0, 1, 2, 3]
    assert make(tiny_model, tmp_path / "set").made == 3
    assert content(tmp_path / "set") == content(seven)


def test_extension_keeps_the_first_samples_and_adds_those_of_the_longer_plan(tiny_model, tmp_path, seven):
    make(tiny_model, tmp_path / "set", count=4)
    summary = make(tiny_model, tmp_path / "set", count=7)
    assert (summary.made, summary.skipped) == (3, 4)
    assert content(tmp_path / "set") == content(seven)


def test_a_data_set_keeps_the_batch_shape_that_it_was_created_with(tiny_model, tmp_path, seven):
    method = NoiseCutMix(classes=CLASSES, placement="inside")
    make(tiny_model, tmp_path / "set", count=4)
    summary = generate(method, tiny_model, out=tmp_path / "set", count=7, batch_size=3, settings=SETTINGS)
    assert "created with batches of 4" in summary.notes[0]
    assert content(tmp_path / "set") == content(seven)


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_another_batch_size_plans_the_same_samples(tiny_model, tmp_path, seven, batch_size):
    method = NoiseCutMix(classes=CLASSES, placement="inside")
    generate(method, tiny_model, out=tmp_path / "set", count=7, batch_size=batch_size, settings=SETTINGS)
    files, records = content(tmp_path / "set")
    for index, record in content(seven)[1].items():
        assert records[index] | {"bytes": 0} == record | {"bytes": 0}
        for name, bytes_ in content(seven)[0].items():
            if name.startswith("masks"):
                assert files[name] == bytes_
        image, expected = (
            np.asarray(Image.open(folder / record["file_name"])).astype(int) for folder in (tmp_path / "set", seven)
        )
        assert abs(image - expected).max() <= 1


def test_a_smaller_target_is_refused(tiny_model, seven):
    with pytest.raises(InputError, match="7"):
        make(tiny_model, seven, count=5)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"settings": RenderSettings(num_inference_steps=3, guidance_scale=3.0)}, "num_inference_steps"),
        ({"settings": RenderSettings(num_inference_steps=2, guidance_scale=4.0)}, "guidance_scale"),
        ({"method": {"alpha": 2.0}}, "alpha"),
        ({"seed": 1}, "seed"),
    ],
)
def test_another_config_is_refused_field_by_field_and_nothing_changes(tiny_model, seven, options, field):
    before = content(seven)
    with pytest.raises(InputError, match=field):
        make(tiny_model, seven, **options)
    assert content(seven) == before


def test_progress_reaches_the_end_and_counts_images(tiny_model, tmp_path):
    reports = []
    make(tiny_model, tmp_path / "set", on_progress=reports.append)
    assert [report.fraction for report in reports] == sorted(report.fraction for report in reports)
    assert (reports[-1].done, reports[-1].made, reports[-1].fraction) == (7, 7, 1.0)


def test_a_sample_without_a_picture_is_recorded_as_failed_and_never_kept(tiny_model, tmp_path, monkeypatch):
    from ncm_lib.engine.render import Renderer

    stock = Renderer.images
    monkeypatch.setattr(Renderer, "images", lambda self, latents: [None, *stock(self, latents)[1:]])
    summary = make(tiny_model, tmp_path / "set", count=4)
    assert (summary.made, summary.failed) == (3, 1)
    assert json.loads((tmp_path / "set" / "failures.jsonl").read_text())["index"] == 0
    monkeypatch.undo()
    assert make(tiny_model, tmp_path / "set", count=4).made == 1


def test_an_error_while_writing_stops_the_run(tiny_model, tmp_path, monkeypatch):
    from ncm_lib.store.writer import DatasetWriter

    def full(*args):
        raise InputError("the disk is full")

    monkeypatch.setattr(DatasetWriter, "write_batch", full)
    with pytest.raises(InputError, match="disk is full"):
        make(tiny_model, tmp_path / "set")


@pytest.mark.parametrize("options", [{"count": 0}, {"count": -3}])
def test_an_impossible_count_writes_nothing(tiny_model, tmp_path, options):
    with pytest.raises(InputError, match="at least 1"):
        make(tiny_model, tmp_path / "set", **options)
    assert not (tmp_path / "set").exists()

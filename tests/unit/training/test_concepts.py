"""Whole trainings on a tiny model: what changes, what stays, and that stopping changes nothing."""

import copy
import json
import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from ncm_lib import InputError, load_model, load_source
from ncm_lib.training.concepts import train_concepts
from ncm_lib.training.concepts_config import ConceptTraining

# everything that is random, at once
CONFIG = ConceptTraining(
    steps=5, batch_size=4, gradient_accumulation=2, learning_rate=1e-3, embedding_learning_rate=1e-2, rank=2,
    tokens_per_class=2, crop="random", crop_scale=0.5, sampling="balanced", min_snr_gamma=5.0,
)  # fmt: skip


def changed(**options):
    return CONFIG.model_copy(update=options)


def learned_files(folder: Path) -> dict[str, bytes]:
    names = ["checkpoint.safetensors", "pytorch_lora_weights.safetensors", "concepts.json"]
    files = [*(folder / name for name in names), *sorted((folder / "embeddings").iterdir())]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def whole(tiny_model, pictures, tmp_path_factory):
    """An undisturbed training."""
    folder = tmp_path_factory.mktemp("concepts") / "whole"
    return train_concepts(tiny_model, pictures, out=folder, config=CONFIG)


def test_it_says_what_it_did_and_writes_the_concepts(whole):
    assert (whole.steps, whole.made) == (5, 5)
    assert whole.classes.names == ("owl", "robin", "wren")
    assert whole.classes.tokens[1] == "<class_1_0> <class_1_1>"
    assert sorted(path.name for path in whole.path.iterdir()) == [
        "checkpoint.safetensors", "concepts.json", "embeddings", "loss.jsonl", "loss.png",
        "pytorch_lora_weights.safetensors", "training.json",
    ]  # fmt: skip
    assert len(list((whole.path / "embeddings").iterdir())) == 3


def test_every_step_has_its_line_and_the_curve_is_a_picture(whole):
    lines = [json.loads(line) for line in (whole.path / "loss.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert all(0 < line["loss"] < 10 and line["gradient_norm"] > 0 and line["seconds"] > 0 for line in lines)
    assert whole.loss == pytest.approx(sum(line["loss"] for line in lines) / 5)
    with Image.open(whole.path / "loss.png") as picture:
        assert len(set(picture.convert("RGB").tobytes())) > 3


@pytest.mark.parametrize("stop", [1, 3])
def test_stopped_and_resumed_it_ends_in_the_same_bytes(tiny_model, pictures, whole, tmp_path, stop):
    def interrupt(progress):
        if progress.step == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=f"{stop} of 5 steps are kept, the same command continues"):
        train_concepts(tiny_model, pictures, out=tmp_path, config=CONFIG, on_progress=interrupt)
    with safe_open(tmp_path / "checkpoint.safetensors", framework="pt") as handle:
        assert json.loads(handle.metadata()["state"])["step"] == stop
    result = train_concepts(tiny_model, pictures, out=tmp_path, config=CONFIG)
    assert (result.steps, result.made) == (5, 5 - stop)
    assert learned_files(tmp_path) == learned_files(whole.path)
    lines = [json.loads(line) for line in (tmp_path / "loss.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]


def test_resumed_from_a_checkpoint_in_the_middle_it_ends_in_the_same_bytes(tiny_model, pictures, whole, tmp_path):
    """As after a crash: the checkpoint is of step 2, the log goes on to step 3 and is torn there."""

    class PowerCutError(Exception):
        pass

    def crash(progress):
        if progress.step == 3:
            raise PowerCutError

    with pytest.raises(PowerCutError):
        train_concepts(tiny_model, pictures, out=tmp_path, config=changed(checkpoint_every=2), on_progress=crash)
    with (tmp_path / "loss.jsonl").open("a") as log:
        log.write('{"step": 4, "lo')
    result = train_concepts(tiny_model, pictures, out=tmp_path, config=CONFIG)
    assert result.made == 3
    assert learned_files(tmp_path) == learned_files(whole.path)
    lines = [json.loads(line) for line in (tmp_path / "loss.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]


def test_a_shorter_training_made_longer_is_the_longer_one(tiny_model, pictures, whole, tmp_path):
    train_concepts(tiny_model, pictures, out=tmp_path, config=changed(steps=2))
    assert train_concepts(tiny_model, pictures, out=tmp_path, config=CONFIG).made == 3
    assert learned_files(tmp_path) == learned_files(whole.path)


def test_a_finished_training_is_left_as_it_is(tiny_model, pictures, whole):
    before = learned_files(whole.path)
    again = train_concepts(tiny_model, pictures, out=whole.path, config=CONFIG)
    assert (again.made, again.steps) == (0, 5)
    assert again.loss == whole.loss
    assert learned_files(whole.path) == before


def test_fewer_steps_than_there_are_are_refused(tiny_model, pictures, whole):
    with pytest.raises(InputError) as error:
        train_concepts(tiny_model, pictures, out=whole.path, config=changed(steps=4))
    assert str(error.value) == (
        f"{whole.path} has been trained for 5 steps and this run asks for 4: a training can grow but not shrink. Ask "
        "for 5 or more, or take a new folder."
    )


def test_the_model_is_bit_for_bit_what_it_was(tiny_model, pictures, tmp_path):
    parts = (tiny_model.family.unet, tiny_model.family.text_encoder, tiny_model.family.vae)
    before = [copy.deepcopy(part.state_dict()) for part in parts]
    train_concepts(tiny_model, pictures, out=tmp_path, config=changed(steps=2))
    for part, state in zip(parts, before, strict=True):
        after = part.state_dict()
        assert list(after) == list(state)
        assert all(torch.equal(after[name], state[name]) for name in state)


def test_only_the_new_rows_of_the_embedding_change(tiny_model, pictures, whole, monkeypatch):
    """Looked at in mid-training, where it could go wrong, and in the files."""
    from ncm_lib.training import concepts_run

    seen = []

    class Watched(concepts_run.TrainingRun):
        def _update(self):
            table = self.model.family.text_encoder.get_input_embeddings()
            before = table.table.weight.clone(), table.rows.detach().clone()
            result = super()._update()
            seen.append((torch.equal(table.table.weight, before[0]), (table.rows != before[1]).any(dim=1).all().item()))
            return result

    monkeypatch.setattr("ncm_lib.training.concepts.TrainingRun", Watched)
    folder = whole.path.parent / "watched"
    train_concepts(tiny_model, pictures, out=folder, config=CONFIG)
    assert learned_files(folder) == learned_files(whole.path)
    # balanced batches of four hold each of the three classes
    assert seen == [(True, True)] * 5
    stored = {name: value for file in (folder / "embeddings").iterdir() for name, value in load_file(file).items()}
    assert sum(math.prod(value.shape) for value in stored.values()) == 6 * 32


def test_accumulated_parts_and_recomputed_activations_change_nothing_but_rounding(
    tiny_model, pictures, whole, tmp_path
):
    expected = load_file(whole.path / "checkpoint.safetensors")
    for number, options in enumerate(
        [{"gradient_accumulation": 1}, {"gradient_accumulation": 4}, {"gradient_checkpointing": True}]
    ):
        folder = tmp_path / str(number)
        train_concepts(tiny_model, pictures, out=folder, config=changed(**options))
        got = load_file(folder / "checkpoint.safetensors")
        assert got.keys() == expected.keys()
        for name in (name for name in expected if name.startswith("value/")):
            # Adam divides by the gradient's size, so where that is all rounding the difference is up to the step
            assert (got[name] - expected[name]).abs().mean() < 2e-5, (options, name)


def test_latents_from_memory_are_those_that_are_computed(tiny_model, pictures, tmp_path):
    for name, cached in (("memory", True), ("computed", False)):
        config = changed(crop="center", cache_latents=cached, steps=4)
        train_concepts(tiny_model, pictures, out=tmp_path / name, config=config)
    assert learned_files(tmp_path / "memory") == learned_files(tmp_path / "computed")


def test_options_that_weights_depend_on_have_an_effect(tiny_model, pictures, tmp_path):
    options = [
        {}, {"seed": 1}, {"learning_rate": 1e-4}, {"embedding_learning_rate": 1e-3}, {"weight_decay": 0.5},
        {"max_gradient_norm": 1e-3}, {"prompt": "{class}"}, {"init_word": "sneaker"}, {"min_snr_gamma": None},
        {"flip": False}, {"crop": "center"}, {"crop_scale": 1.0}, {"sampling": "shuffled"},
        {"mixed_precision": "bf16"}, {"resolution": 32},
    ]  # fmt: skip
    outcomes = {}
    for number, changes in enumerate(options):
        config = changed(steps=2, batch_size=3, gradient_accumulation=1, **changes)
        train_concepts(tiny_model, pictures, out=tmp_path / str(number), config=config)
        outcomes[learned_files(tmp_path / str(number))["checkpoint.safetensors"]] = changes
    assert list(outcomes.values()) == options


def test_words_alone_leave_the_unet_alone(tiny_model, pictures, tmp_path):
    train_concepts(tiny_model, pictures, out=tmp_path, config=changed(rank=0, steps=2))
    names = {name for name in load_file(tmp_path / "checkpoint.safetensors") if name.startswith("value/")}
    assert names == {"value/rows"}


def test_weight_decay_is_the_loras_alone(tiny_model, pictures, tmp_path):
    values = []
    for decay in (0.0, 1.0):
        config = changed(steps=1, weight_decay=decay)
        train_concepts(tiny_model, pictures, out=tmp_path / str(decay), config=config)
        values.append(load_file(tmp_path / str(decay) / "checkpoint.safetensors"))
    assert torch.equal(values[0]["value/rows"], values[1]["value/rows"])
    down = next(name for name in values[0] if name.startswith("value/") and "lora_A" in name)
    # B is zero in the first step, so A has no gradient: it shrinks by the rate times the decay, and no more
    torch.testing.assert_close(values[1][down], values[0][down] * (1 - 1e-3))


def test_grids_show_the_first_classes_and_change_nothing(tiny_model, pictures, whole, tmp_path):
    config = changed(validation_every=2, validation_classes=2, validation_images=3)
    train_concepts(tiny_model, pictures, out=tmp_path, config=config)
    assert learned_files(tmp_path) == learned_files(whole.path)
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["00000002.png", "00000004.png"]
    with Image.open(tmp_path / "samples" / "00000004.png") as grid:
        assert grid.width > 3 * 96
        assert 2 * 96 < grid.height < 3 * 96


def test_progress_tells_every_step(tiny_model, pictures, tmp_path):
    told = []
    train_concepts(tiny_model, pictures, out=tmp_path, config=changed(steps=3), on_progress=told.append)
    assert [(one.step, one.steps, one.made) for one in told] == [(1, 3, 1), (2, 3, 2), (3, 3, 3)]
    assert 0 < told[0].seconds < told[-1].seconds


def test_another_config_model_or_data_is_refused_field_by_field(tiny_model, pictures, whole):
    before = learned_files(whole.path)
    fewer = pictures.take([0, 1, 3, 4, 8])
    with pytest.raises(InputError) as error:
        train_concepts(
            tiny_model, fewer, out=whole.path, config=changed(rank=3, learning_rate=1e-5, validation_every=1)
        )
    lines = str(error.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:-1]] == ["data", "images", "learning_rate", "rank"]
    assert lines[3] == "  learning_rate: the folder has 0.001, this run has 1e-05"
    assert learned_files(whole.path) == before


def test_a_head_without_a_checkpoint_binds_nobody(tiny_model, pictures, tmp_path):
    class PowerCutError(Exception):
        pass

    def crash(progress):
        raise PowerCutError

    with pytest.raises(PowerCutError):
        train_concepts(tiny_model, pictures, out=tmp_path, config=changed(rank=5), on_progress=crash)
    assert train_concepts(tiny_model, pictures, out=tmp_path, config=changed(steps=1)).made == 1


def test_a_folder_of_something_else_is_refused(tiny_model, pictures, tmp_path):
    (tmp_path / "thesis.txt").write_text("final")
    with pytest.raises(InputError, match=r"neither empty nor a concept training \(it holds thesis.txt\)"):
        train_concepts(tiny_model, pictures, out=tmp_path, config=CONFIG)


def test_a_loss_that_is_no_number_stops_the_training(tiny_model, pictures, tmp_path):
    with pytest.raises(InputError, match=r"The loss of step [2-9] is (nan|inf): the training has run away"):
        train_concepts(tiny_model, pictures, out=tmp_path, config=changed(learning_rate=1e30, max_gradient_norm=1e30))


def test_an_image_that_became_unreadable_is_named(tiny_model, picture_folder, tmp_path):
    import shutil

    shutil.copytree(picture_folder, tmp_path / "data")
    listing = load_source(tmp_path / "data")
    (tmp_path / "data" / "wren" / "1.png").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"wren.1\.png has changed since it was listed"):
        train_concepts(tiny_model, listing, out=tmp_path / "out", config=changed(sampling="shuffled"))


def test_bad_sides_and_devices_are_refused(tiny_folder, tiny_model, pictures, tmp_path):
    with pytest.raises(InputError, match="The resolution is 15; this model takes multiples of 2"):
        train_concepts(tiny_model, pictures, out=tmp_path, config=changed(resolution=15))
    with pytest.raises(InputError, match="The device 'tpu' is not to be had here"):
        train_concepts(tiny_folder, pictures, out=tmp_path, config=CONFIG, device="tpu")


def test_a_source_is_loaded_and_gives_the_same(tiny_folder, pictures, whole, tmp_path):
    train_concepts(tiny_folder, pictures, out=tmp_path, config=CONFIG, device="cpu")
    assert learned_files(tmp_path) == learned_files(whole.path)


def test_half_precision_learns_in_fp32(tiny_folder, pictures, tmp_path):
    half = load_model(tiny_folder, device="cpu", dtype="bf16")
    train_concepts(half, pictures, out=tmp_path, config=changed(mixed_precision="bf16", steps=2))
    tensors = load_file(tmp_path / "checkpoint.safetensors")
    assert {value.dtype for value in tensors.values()} == {torch.float32}
    assert (tensors["value/rows"] != tensors["value/rows"].bfloat16().float()).any()


def test_a_damaged_checkpoint_is_one_message(tiny_model, pictures, tmp_path):
    train_concepts(tiny_model, pictures, out=tmp_path, config=changed(steps=1))
    file = tmp_path / "checkpoint.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"checkpoint.safetensors is damaged .* Restore it from a copy, or delete it"):
        train_concepts(tiny_model, pictures, out=tmp_path, config=CONFIG)
    file.unlink()
    assert train_concepts(tiny_model, pictures, out=tmp_path, config=CONFIG).made == 5

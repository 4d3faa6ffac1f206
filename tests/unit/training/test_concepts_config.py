"""What a training is told, and what a resumed one must share."""

import pytest
from pydantic import ValidationError

from ncm_lib import InputError
from ncm_lib.training.concepts_config import HEAD, ConceptTraining, TrainingHead


def head(**changes):
    facts = {
        "classes": ("robin", "wren"), "meta_class": "bird", "data": "0" * 64, "images": 5, "model": "tiny",
        "model_fingerprint": "1" * 64, "config": {"rank": 10, "learning_rate": 5e-05},
    }  # fmt: skip
    return TrainingHead(**facts | changes)


def test_the_defaults_are_the_methods():
    config = ConceptTraining()
    assert (config.steps, config.batch_size, config.rank, config.tokens_per_class) == (35_000, 8, 10, 1)
    assert (config.learning_rate, config.embedding_learning_rate, config.weight_decay) == (5e-5, 5e-5, 1e-2)
    assert (config.max_gradient_norm, config.flip, config.min_snr_gamma) == (1.0, True, None)
    assert config.prompt == "a photo of a {class} {metaclass}"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batch_size": 6, "gradient_accumulation": 4}, "batch_size 6 cannot be split into 4 equal parts"),
        ({"dataset": "a/b"}, "the dataset's name is 'a/b'; it becomes part of file names"),
        ({"dataset": ""}, "the dataset's name is ''"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"steps": 0}, "greater than or equal to 1"),
        ({"crop_scale": 0.0}, "greater than 0"),
        ({"learningrate": 1.0}, "Extra inputs are not permitted"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, text):
    with pytest.raises(ValidationError) as error:
        ConceptTraining(**options)
    assert text in str(error.value)


def test_a_head_comes_back_from_its_file(tmp_path):
    (tmp_path / HEAD).write_bytes(head().to_bytes())
    assert TrainingHead.read(tmp_path) == head()


def test_another_training_is_refused_field_by_field(tmp_path):
    there = head()
    here = head(classes=("robin", "owl"), model="renamed", config={"rank": 4, "learning_rate": 5e-05, "new": None})
    with pytest.raises(InputError) as error:
        there.must_equal(here, tmp_path)
    assert str(error.value) == (
        f"{tmp_path} holds another concept training than this run's:\n"
        '  classes: the folder has ["robin", "wren"], this run has ["robin", "owl"]\n'
        "  rank: the folder has 10, this run has 4\n"
        "  new: the folder has no such field, this run has null\n"
        "Take a new folder for this run, or give the settings that the training there has; nothing was changed here."
    )


def test_the_same_training_of_a_renamed_model_folder_goes_on(tmp_path):
    head().must_equal(head(model="renamed"), tmp_path)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"format": "ncm-concept-training-2"}'])
def test_a_torn_head_is_one_message(tmp_path, content):
    (tmp_path / HEAD).write_bytes(content)
    with pytest.raises(InputError, match="is not the head of a concept training: "):
        TrainingHead.read(tmp_path)


def test_a_missing_head_is_one_message(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read .*has a checkpoint that needs it"):
        TrainingHead.read(tmp_path)

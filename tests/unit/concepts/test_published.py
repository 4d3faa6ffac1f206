"""Diff-Mix's checkpoints: read as they were published, or refused in words."""

import shutil
import zipfile

import pytest
import torch

from ncm_lib import InputError
from ncm_lib.concepts import read_concepts
from ncm_lib.plan.classes import ClassList

PICKLE = "learned_embeds-steps-last.bin"
LORA = "pytorch_lora_weights.safetensors"


def rewrite(checkpoint, **changes):
    content = torch.load(checkpoint / PICKLE, weights_only=True)
    torch.save({**content, **changes}, checkpoint / PICKLE)


def test_classes_stand_in_the_order_of_their_numbers(checkpoint):
    concepts = read_concepts(checkpoint)
    assert concepts.classes.tokens == tuple(f"<class_{k}>" for k in range(12))
    assert concepts.classes.names[10:] == ("Bird 10", "Black footed Albatross")
    assert concepts.vectors("clip_l", 11)[0, :2].tolist() == [12.0, 13.0]
    assert concepts.dataset == "cub"


def test_every_layer_has_both_sides_of_its_lora_at_scale_one(checkpoint, tiny_model):
    from .conftest import random_pairs

    wanted = random_pairs(tiny_model.family.unet, 4)
    lora = read_concepts(checkpoint).lora
    assert lora.keys() == wanted.keys()
    for path, (down, up) in wanted.items():
        assert torch.equal(lora[path].down, down)
        assert torch.equal(lora[path].up, up)
        assert lora[path].scale == 1


def test_the_last_pickle_counts_else_that_of_the_most_steps(checkpoint):
    (checkpoint / PICKLE).rename(checkpoint / "learned_embeds-steps-35000.bin")
    content = torch.load(checkpoint / "learned_embeds-steps-35000.bin", weights_only=True)
    vectors = {token: vector + 100 for token, vector in content["learned_embeds_dict"].items()}
    torch.save({**content, "learned_embeds_dict": vectors}, checkpoint / "learned_embeds-steps-5000.bin")
    assert read_concepts(checkpoint).vectors("clip_l", 0)[0, 0] == 1
    shutil.copy(checkpoint / "learned_embeds-steps-5000.bin", checkpoint / PICKLE)
    assert read_concepts(checkpoint).vectors("clip_l", 0)[0, 0] == 101


def test_names_match_with_slashes_and_underscores_as_spaces(checkpoint):
    concepts = read_concepts(checkpoint)
    chosen = concepts.classes_for(ClassList.of(["Black_footed/Albatross", "Bird_3"], meta_class="bird"))
    assert chosen.names == ("Black_footed/Albatross", "Bird_3")
    assert chosen.tokens == ("<class_11>", "<class_3>")


def test_a_class_that_was_not_learned_is_named_with_near_ones(checkpoint):
    with pytest.raises(InputError, match=r"not learned for 'Black_faced_Albatross'.*12 classes, near: 'Black footed"):
        read_concepts(checkpoint).classes_for(ClassList.of(["Bird 1", "Black_faced_Albatross"]))


def test_two_names_of_one_learned_class_are_refused(checkpoint):
    with pytest.raises(InputError, match="'Bird_1', 'Bird 1' mean the same learned class"):
        read_concepts(checkpoint).classes_for(ClassList.of(["Bird_1", "Bird 1"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learned_embeds_dict": {}}, "no 'learned_embeds_dict' with entries; expected is a dict of"),
        ({"name2placeholder": None}, "no 'name2placeholder' with entries"),
        ({"learned_embeds_dict": {"<class_0>": [1.0]}}, r"entry '<class_0>' in 'learned_embeds_dict', which is not"),
        ({"learned_embeds_dict": {"<class_0>": torch.ones(2, 32)}}, "which is not a token such as"),
        ({"learned_embeds_dict": {3: torch.ones(32)}}, "entry '3' in 'learned_embeds_dict'"),
        ({"learned_embeds_dict": {"<class_0>": torch.ones(1).expand(10**12)}}, "which is not a token such as"),
        ({"learned_embeds_dict": {"<class_0>": torch.ones(32)}}, "names the class 'Bird 1' and has no vector"),
        ({"placeholder2name": {"<class_0>": "Bird 1"}}, "not the reverse of 'name2placeholder'"),
        ({"name2placeholder": {"a": "<class_0>", "b": "<class_0>"}}, "<class_0> to two classes, 'a' and 'b'"),
        ({"name2placeholder": {"a": "class 0"}}, "that is not name -> token"),
    ],
)
def test_a_pickle_of_another_form_is_refused(checkpoint, changes, message):
    rewrite(checkpoint, **changes)
    with pytest.raises(InputError, match=message) as caught:
        read_concepts(checkpoint)
    assert PICKLE in str(caught.value)


def test_a_vector_without_a_class_is_refused(checkpoint):
    vectors = torch.load(checkpoint / PICKLE, weights_only=True)["learned_embeds_dict"]
    rewrite(checkpoint, learned_embeds_dict=vectors | {"<class_99>": torch.ones(32)})
    with pytest.raises(InputError, match="vector for <class_99> and no class of that token"):
        read_concepts(checkpoint)


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (torch.full((32,), torch.nan), r"The vector of <class_3> \(class 'Bird 3'\) has NaN"),
        (torch.ones(31), r"<class_3> \(class 'Bird 3'\) has the width 31, those before it 32"),
        (torch.ones(32, dtype=torch.int64), r"<class_3> \(class 'Bird 3'\) is torch.int64"),
    ],
)
def test_a_bad_vector_is_refused_by_name(checkpoint, vector, message):
    vectors = torch.load(checkpoint / PICKLE, weights_only=True)["learned_embeds_dict"]
    rewrite(checkpoint, learned_embeds_dict=vectors | {"<class_3>": vector})
    with pytest.raises(InputError, match=message):
        read_concepts(checkpoint)


def test_half_a_download_is_refused(checkpoint):
    (checkpoint / LORA).unlink()
    with pytest.raises(InputError, match=f"has {PICKLE} and no {LORA}"):
        read_concepts(checkpoint)


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (eval, (f"open({str(self.path)!r}, 'w').close()",))


class System(Canary):
    def __reduce__(self):
        import os

        return (os.system, (f"touch {self.path}",))


class Nested(Canary):
    def __reduce__(self):
        return (dict, ([("a", Canary(self.path))],))


@pytest.mark.parametrize("kind", [Canary, System, Nested])
@pytest.mark.parametrize("form", ["zip", "plain pickle", "zip with a foreign pickle", "the old format of torch"])
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(checkpoint, tmp_path, kind, form):
    import pickle

    canary, file = tmp_path / "canary", checkpoint / PICKLE
    content = {"learned_embeds_dict": {"<class_0>": kind(canary)}, "name2placeholder": {}, "placeholder2name": {}}
    if form == "zip":
        torch.save(content, file)
    elif form == "the old format of torch":
        torch.save(content, file, _use_new_zipfile_serialization=False)
    elif form == "plain pickle":
        file.write_bytes(pickle.dumps(content))
    else:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))
            archive.writestr("archive/version", "3\n")
    with pytest.raises(InputError, match=rf"{PICKLE} is refused: expected is a dict of learned_embeds_dict"):
        read_concepts(checkpoint)
    assert not canary.exists()
    # the file is what it says: read unsafely, it does run
    if form == "plain pickle":
        pickle.loads(file.read_bytes())  # noqa: S301
        assert canary.exists()


def test_a_small_archive_that_unpacks_to_much_is_refused(checkpoint):
    file = checkpoint / PICKLE
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10_000_000)
    assert file.stat().st_size < 100_000
    with pytest.raises(InputError, match="would unpack to more than it is"):
        read_concepts(checkpoint)


def test_a_torn_pickle_is_refused(checkpoint):
    file = checkpoint / PICKLE
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(InputError, match="another kind of file or a torn one"):
        read_concepts(checkpoint)

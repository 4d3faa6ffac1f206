"""Concept sets: what they are made of, and what they are not."""

from dataclasses import replace

import pytest
import torch

from ncm_lib import InputError
from ncm_lib.concepts import ConceptSet, class_tokens
from ncm_lib.plan.classes import ClassList
from ncm_lib.plan.prompts import class_prompts

BIRDS = ClassList(names=("robin", "wren"), meta_class="bird", tokens=class_tokens(2))
VECTORS = {"<class_0>": torch.zeros(4), "<class_1>": torch.ones(4)}


def test_prompts_hold_the_tokens_of_the_class():
    concepts = ConceptSet(classes=BIRDS, embeddings={"clip_l": VECTORS})
    chosen = concepts.classes_for(ClassList.of(["wren"]))
    assert class_prompts(chosen) == ("a photo of a <class_1> bird",)


def test_the_users_metaclass_counts_more():
    chosen = ConceptSet(classes=BIRDS, embeddings={"clip_l": VECTORS}).classes_for(ClassList.of(["wren"], "animal"))
    assert class_prompts(chosen) == ("a photo of a <class_1> animal",)


@pytest.mark.parametrize(
    ("classes", "vectors", "message"),
    [
        (replace(BIRDS, tokens=()), VECTORS, "needs tokens"),
        (replace(BIRDS, tokens=("<class_0>", "<class_0>")), VECTORS,
         "<class_0> stands twice: in the class 'robin' and in the class 'wren'"),
        (replace(BIRDS, tokens=("<class_0>", "<a> <class_0>")), VECTORS | {"<a>": torch.ones(4)}, "stands twice"),
        (replace(BIRDS, tokens=("<class_0>", "wren")), VECTORS, "'wren' has the token 'wren'; a token is written"),
        (replace(BIRDS, tokens=("<class_0>", "")), VECTORS, "'wren' has the token ''"),
        (BIRDS, {"<class_0>": torch.zeros(4)}, "class 'wren' has the token <class_1>, and clip_l no vector for it"),
        (BIRDS, VECTORS | {"<x>": torch.ones(4)}, "'<x>' has a vector and belongs to no class"),
        (BIRDS, VECTORS | {"<class_1>": torch.ones(5)}, "has the width 5, those before it 4"),
        (BIRDS, VECTORS | {"<class_1>": torch.full((4,), torch.inf)}, "<class_1> .class 'wren'. has NaN or infinite"),
    ],
)  # fmt: skip
def test_sets_that_cannot_be_meant_are_refused_by_name(classes, vectors, message):
    with pytest.raises(InputError, match=message):
        ConceptSet(classes=classes, embeddings={"clip_l": vectors})


@pytest.mark.parametrize("dataset", ["", "a/b", "..", "a b", "<cub>", "a" * 101])
def test_a_data_set_whose_name_cannot_begin_a_file_name_is_refused(dataset):
    with pytest.raises(InputError, match="cannot begin a file name"):
        ConceptSet(classes=BIRDS, embeddings={"clip_l": VECTORS}, dataset=dataset)


def test_the_fingerprint_is_that_of_the_content(make_concepts):
    concepts = make_concepts()
    assert make_concepts().fingerprint == concepts.fingerprint
    assert replace(concepts, dataset="other", base_model="x").fingerprint == concepts.fingerprint
    first = next(iter(concepts.lora))
    others = [
        make_concepts(seed=1),
        make_concepts(scale=0.5),
        make_concepts(count=2),
        replace(concepts, lora={path: pair for path, pair in concepts.lora.items() if path != first}),
    ]
    assert len({concepts.fingerprint, *(other.fingerprint for other in others)}) == 5

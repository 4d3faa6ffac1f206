"""What is found in captions by counting."""

import random

import pytest

from ncm_lib import ClassList
from ncm_lib.plan.contexts import Context, frequent_contexts

BIRDS = ClassList.of(["Black_footed_Albatross", "Tree Sparrow", "robin"], meta_class="bird")


def contexts(*captions, classes=BIRDS, count=100):
    return [context.text for context in frequent_contexts(captions, classes, count=count)]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a bird flying over water", ["flying over water"]),
        ("a black bird sitting on a branch in a tree", ["in a tree", "sitting on a branch"]),
        ("a bird standing on top of a wooden fence", ["standing on top of a wooden fence"]),
        ("a duck swimming in a pond, near the reeds.", ["near the reeds", "swimming in a pond"]),
        ("a car parked on the side of a road", ["parked on the side of a road"]),
        ("a house covered in snow", ["covered in snow"]),
        ("a plane that is flying in the sky", ["flying in the sky"]),
        ("a bird looking up at the sky", ["looking up at the sky"]),
        ("a dog running", ["running"]),
        ("a bird eating a small fish", ["eating a small fish"]),
        ("a bird sitting on a rock and looking at the sea", ["looking at the sea", "sitting on a rock"]),
        ("a plant in the grass and flowers", ["in the grass and flowers"]),
        ("a bird in flight over the", ["in flight"]),
        ("A BIRD  Flying\nOver Water!", ["flying over water"]),
        ("a flower next to a red wall", ["next to a red wall"]),
        ("a bird with a long beak in tall grass", ["in tall grass"]),
        ("a bird with a long beak", []),
        ("a plane with mountains in the background", ["with mountains in the background"]),
        ("a plane on a runway in the background", ["on a runway"]),
        ("a bird in the middle of the picture", []),
        ("a close up of a bird", []),
        ("a tall building near a lake", ["near a lake"]),
        ("a painting on a wall", ["on a wall"]),
        ("a carving in wood", ["in wood"]),
        ("a red bird", []),
        ("a bed", []),
        ("", []),
    ],
)
def test_contexts_of_a_caption(caption, expected):
    assert contexts(caption) == expected


@pytest.mark.parametrize(
    "caption",
    [
        "a bird sitting next to a robin",
        "three robins among the sparrows",
        "a bird near two albatrosses",
        "a man standing by a bird cage",
        "a picture of many things between birds",
    ],
)
def test_a_context_with_a_word_of_the_classes_is_left_out(caption):
    assert contexts(caption) == []
    assert contexts(caption, classes=None) != []


def test_other_words_of_a_name_stay():
    assert contexts("a tree sparrow in a tree", "a bird with black wings on black rocks") == [
        "in a tree", "on black rocks"
    ]  # fmt: skip


def test_a_class_in_the_plural_forbids_the_singular():
    assert contexts("a man on boats", "a man on a boat", classes=ClassList.of(["boats", "cars"])) == []


def test_the_most_frequent_come_first_and_each_counts_once_per_caption():
    captions = ["a cat on grass, on grass, on grass"] * 2 + ["a cat in snow"] * 3 + ["a cat at night", "a cat at dawn"]
    assert frequent_contexts(captions, None, count=3) == (
        Context(text="in snow", captions=3),
        Context(text="on grass", captions=2),
        Context(text="at dawn", captions=1),
    )


def test_forms_that_differ_in_articles_are_one_in_the_most_frequent_form():
    captions = ["a cat on branch", "a cat on the branch", "a cat on the branch", "a cat on a branch"]
    assert frequent_contexts(captions, None, count=9) == (Context(text="on the branch", captions=4),)


def test_the_order_of_the_captions_does_not_matter():
    captions = [f"a bird {doing} {place}" for doing in ("flying", "sitting") for place in ("over a sea", "in the sky")]
    expected = contexts(*captions, *captions[:2])
    for seed in range(5):
        shuffled = random.Random(seed).sample([*captions, *captions[:2]], 6)  # noqa: S311
        assert contexts(*shuffled) == expected


def test_very_long_contexts_are_left_out():
    assert contexts("a cat on one very old and small red wall") == ["on one very old and small red wall"]
    assert contexts("a cat on one very old and small red brick wall") == []

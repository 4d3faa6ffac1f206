import json
import unicodedata

import pytest

from ncm_lib import ClassList, InputError
from ncm_lib.plan.prompts import class_prompts


def test_names_keep_their_order_and_spelling():
    classes = ClassList.load("wren, robin ,blue jay")
    assert classes.names == ("wren", "robin", "blue jay")
    assert classes.id_of("blue jay") == 2


def test_a_json_file_reads_back_what_it_was_written_from(tmp_path):
    classes = ClassList(names=("a/b", "c_d"), meta_class="bird", tokens=("<class_0>", "<class_1>"))
    (tmp_path / "classes.json").write_text(json.dumps(classes.to_json()))
    assert ClassList.load(tmp_path / "classes.json") == classes


def test_a_folder_gives_its_visible_sub_folders_in_sorted_order(tmp_path):
    for name in ("wren", ".cache", "robin"):
        (tmp_path / name).mkdir()
    (tmp_path / "notes.txt").touch()
    assert ClassList.load(tmp_path).names == ("robin", "wren")


def test_a_text_file_has_a_name_per_line(tmp_path):
    (tmp_path / "birds.txt").write_text("\ufeffrobin\r\n\n  house wren \nwren", encoding="utf-8")
    assert ClassList.load(tmp_path / "birds.txt").names == ("robin", "house wren", "wren")


def test_a_text_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "birds.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"birds\.txt cannot be read as text"):
        ClassList.load(tmp_path / "birds.txt")


@pytest.mark.parametrize(
    ("name", "count", "first", "last", "meta_class"),
    [
        ("cub-200", 200, "Black footed Albatross", "Common Yellowthroat", "bird"),
        ("fgvc-aircraft", 100, "707-320", "Yak-42", "aircraft"),
        ("oxford-flowers", 102, "pink primrose", "blackberry lily", "flower"),
        ("oxford-pets", 37, "Abyssinian", "yorkshire terrier", "pet"),
        ("stanford-cars", 196, "AM General Hummer SUV 2000", "smart fortwo Convertible 2012", "car"),
        ("waterbirds", 2, "landbird", "waterbird", "bird"),
    ],
)
def test_the_classes_of_benchmarks_are_known_by_name(name, count, first, last, meta_class):
    classes = ClassList.load(name)
    assert (len(classes), classes.names[0], classes.names[-1]) == (count, first, last)
    assert classes.meta_class == meta_class
    assert not any(letter in found for found in classes.names for letter in "/_")


def test_a_folder_of_that_name_comes_before_a_benchmark(tmp_path, monkeypatch):
    (tmp_path / "waterbirds" / "gull").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert ClassList.load("waterbirds").names == ("gull",)


def test_names_that_differ_only_in_case_or_unicode_form_are_different_classes():
    composed = unicodedata.normalize("NFC", "é")
    classes = ClassList.of(["Wren", "wren", composed, unicodedata.normalize("NFD", composed)])
    assert len(classes) == 4


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("[]", "not an object"),
        ("{", "not readable as JSON"),
        ('{"classes": "wren"}', "form of a class list"),
        ('{"classes": [1]}', "form of a class list"),
        ('{"classes": []}', "empty"),
        ('{"classes": ["a", "a"]}', "'a' stands twice, as class 0 and class 1"),
        ('{"classes": ["a"], "metaclass": "bird"}', "unknown keys ['metaclass']"),
        ('{"classes": ["a"], "tokens": ["x", "y"]}', "2 tokens for 1 classes"),
        ('{"classes": ["a\\nb"]}', "visible characters on one line"),
        ('{"classes": [" "]}', "visible characters"),
        ("[" * 100_000, "not readable as JSON"),
        ('{"classes": ["a"], "classes": ["b"]}', "'classes' stands twice"),
    ],
)
def test_a_bad_file_is_refused_by_what_is_wrong_with_it(tmp_path, content, part):
    file = tmp_path / "classes.json"
    file.write_text(content)
    with pytest.raises(InputError) as error:
        ClassList.load(file)
    assert part in str(error.value)


@pytest.mark.parametrize("source", ["no-such-place", "no/such.json", "birds.json"])
def test_a_place_where_nothing_is_names_the_legal_forms(source):
    with pytest.raises(InputError, match=r"no class list at .*legal: a JSON file"):
        ClassList.load(source)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="no sub-folders"):
        ClassList.load(tmp_path)


def test_an_unknown_class_names_its_nearest_neighbours():
    with pytest.raises(InputError, match="no class 'wrenn' among the 2 classes; near: wren"):
        ClassList.of(["wren", "robin"]).id_of("wrenn")


def test_prompts_fill_class_and_metaclass():
    classes = ClassList.of(["Black_footed/Albatross", "wren"], meta_class="bird")
    assert class_prompts(classes) == ("a photo of a Black footed Albatross bird", "a photo of a wren bird")


def test_prompts_use_learned_tokens_where_there_are_any():
    classes = ClassList(names=("wren",), tokens=("<class_0> <class_0_1>",), meta_class="bird")
    assert class_prompts(classes) == ("a photo of a <class_0> <class_0_1> bird",)


def test_an_empty_metaclass_leaves_no_space():
    assert class_prompts(ClassList.of(["bag"]), "a {metaclass} {class} {metaclass}") == ("a bag",)


def test_braces_in_a_class_name_are_text():
    assert class_prompts(ClassList.of(["{metaclass}"], meta_class="x"), "a {class}") == ("a {metaclass}",)


@pytest.mark.parametrize(("template", "part"), [("a photo", "{class}"), ("a {class} {colour}", "colour")])
def test_a_bad_template_is_refused(template, part):
    with pytest.raises(InputError) as error:
        class_prompts(ClassList.of(["wren"]), template)
    assert part in str(error.value)

"""Tables that list images: metadata files of a folder, and lists of files anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ncm_lib import ClassList, InputError, load_source


def test_a_metadata_file_labels_the_images_of_its_folder(write):
    rows = b"file_name,label\n1.png,wren\nsub/2.png,robin\n"
    birds = load_source(write({"1.png": 1, "sub/2.png": 2, "metadata.csv": rows}))
    assert birds.form == "metadata.csv"
    assert birds.classes.names == ("robin", "wren")
    assert birds.class_counts().tolist() == [1, 1]
    assert birds.notes == ()


def test_jsonl_does_the_same(write):
    rows = b'{"file_name": "1.png", "label": "wren"}\n\n{"file_name": "2.png", "label": "robin", "age": 3}\n'
    birds = load_source(write({"1.png": 1, "2.png": 2, "metadata.jsonl": rows}))
    assert (birds.form, birds.classes.names) == ("metadata.jsonl", ("robin", "wren"))


def test_images_that_the_metadata_does_not_list_are_noted(write):
    root = write({"1.png": 1, "2.png": 2, "sub/3.png": 3, "metadata.csv": b"file_name,label\n1.png,wren\n"})
    notes = load_source(root).notes
    assert "images that metadata.csv does not list, left out: 2 (2.png, sub/3.png)" in notes


def test_metadata_without_labels_leaves_class_folders_in_charge(write):
    rows = b"file_name,text\nrobin/1.png,a robin\n"
    birds = load_source(write({"robin/1.png": 1, "wren/2.png": 2, "metadata.csv": rows}))
    assert (birds.form, len(birds)) == ("image folder", 2)
    assert "metadata.csv" in birds.notes[0]


def test_a_list_names_files_anywhere_on_this_machine(write, tmp_path):
    root = write({"1.png": 1, "2.png": 2})
    (tmp_path / "lists").mkdir()
    table = tmp_path / "lists" / "train.csv"
    table.write_text(f"path;class\n{root / '1.png'};wren\n../birds/2.png;robin\n", encoding="utf-8-sig")
    birds = load_source(table)
    assert (birds.form, birds.class_counts().tolist()) == ("csv list", [1, 1])
    assert birds.read(0).size == (8, 6)


def test_tabs_quotes_and_line_ends_of_other_systems_are_read(write):
    root = write({"a,b.png": 1, "2.png": 2})
    (root / "list.tsv").write_bytes(b'file_name\tlabel\r\n"a,b.png"\t"T-shirt ""x"""\r\n2.png\ta b\r\n')
    assert load_source(root / "list.tsv").classes.names == ('T-shirt "x"', "a b")


def test_numbers_are_ids_of_a_class_list(write):
    classes = ClassList.of(["wren", "robin"])
    for rows in (b"file_name,label\n1.png,1\n2.png,0\n", b"file_name,class_id\n1.png, 1\n2.png, 0\n"):
        root = write({"1.png": 1, "2.png": 2, "metadata.csv": rows})
        birds = load_source(root, classes=classes)
        assert [birds[row].where for row in range(2)] == [str(root / "2.png"), str(root / "1.png")]
        with pytest.raises(InputError, match=r"are numbers \(0, 1\) and nothing names them"):
            load_source(root)


def test_names_of_digits_are_names_where_the_class_list_says_so(write):
    root = write({"1.png": 1, "2.png": 2, "metadata.csv": b"file_name,label\n1.png,747\n2.png,707\n"})
    birds = load_source(root, classes=ClassList.of(["747", "707"]))
    assert [Path(image.where).name for image in birds] == ["1.png", "2.png"]


def test_the_column_of_labels_can_be_named(write):
    root = write({"1.png": 1, "2.png": 2, "metadata.csv": b"file_name,species,label\n1.png,wren,x\n2.png,robin,x\n"})
    assert load_source(root, label_column="species").classes.names == ("robin", "wren")
    with pytest.raises(InputError, match="has no column 'kind'; its columns are file_name, species, label"):
        load_source(root, label_column="kind")


def test_names_go_before_ids_and_that_is_noted(write):
    rows = b"file_name,class_id,class_name\n1.png,0,wren\n2.png,1,robin\n"
    birds = load_source(write({"1.png": 1, "2.png": 2, "metadata.csv": rows}))
    assert birds.classes.names == ("robin", "wren")
    assert birds.notes == ("the column class_id is not used: the names under class_name decide, in sorted order",)


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ("", "lists no images"),
        ("file_name,label\n", "lists no images"),
        ("name,label\n1.png,a\n", "has no column of files; its columns are name, label. Call it file_name."),
        (
            "file_name,kind\n1.png,a\n",
            "has no column of labels; its columns are file_name, kind. Call one of them",
        ),
        ("file_name,label\n1.png\n", "line 2 has 1 values; the header names 2 columns (file_name, label)"),
        ("file_name,label\n1.png,a,b\n", "line 2 has 3 values"),
        ("file_name,label\n1.png,\n", "line 2 has the label ''; legal is a name or a number"),
        ("file_name,class_id\n1.png,robin\n", "line 2 has the label 'robin'; legal is a number"),
        ("file_name,label\n,a\n", "line 2 has the file '': a file name is needed"),
        ('file_name,label\n"1.png,a\n', "cannot be read as CSV in UTF-8"),
        ("file_name,label\nhttps://example.com/1.png,a\n", "only local files are read; download it first"),
        ("file_name,label\n\\\\server\\share\\1.png,a\n", "only local files are read"),
        ("file_name,label\n//server/share/1.png,a\n", "only local files are read"),
        ("file_name,label\ngone.png,a\n", "gone.png is not there"),
        ("file_name,label\nsub,a\n", "sub is not a file"),
    ],
)
def test_a_bad_table_is_refused_by_its_line(write, rows, part):
    root = write({"1.png": 1, "sub/x.txt": b"x"})
    (root / "list.csv").write_text(rows)
    with pytest.raises(InputError) as error:
        load_source(root / "list.csv")
    assert part in str(error.value)
    assert "list.csv" in str(error.value)


@pytest.mark.parametrize(
    "name", ["../1.png", "sub/../../1.png", "/etc/hostname", "C:\\1.png", "c:1.png", "..\\1.png", "a\0b"]
)
def test_the_metadata_of_a_folder_names_nothing_outside_of_it(write, name):
    root = write({"1.png": 1})
    (root / "metadata.jsonl").write_text(json.dumps({"file_name": name, "label": "a"}))
    with pytest.raises(InputError, match=r"metadata\.jsonl, line 1 has the file .*(inside of that folder|no NUL)"):
        load_source(root)


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ('{"file_name": "1.png", "label": "a"}\n{"file_name": ', "line 2 is not readable as JSON"),
        ('["1.png", "a"]', "line 1 holds a list; legal is one object a line"),
        ('{"file_name": "1.png"}', "has no column of labels"),
        ('{"file_name": "1.png", "label": "a"}\n{"file_name": "1.png"}', "line 2 has the label None"),
        ('{"file_name": "1.png", "label": true}', "line 1 has the label True"),
        ('{"file_name": "1.png", "label": ["a"]}', "line 1 has the label ['a']"),
        ('{"file_name": 7, "label": "a"}', "line 1 has the file 7: a file name is needed"),
        ('{"file_name": "1.png", "label": "a"}\n{"file_name": "1.png", "label": 3}', "names and numbers mixed"),
        ("[" * 100_000, "is not readable as JSON"),
        (b"\xff\xfe\x00", "in UTF-8"),
    ],
)
def test_a_bad_jsonl_file_is_refused_by_its_line(write, rows, part):
    root = write({"1.png": 1, "list.jsonl": rows if isinstance(rows, bytes) else rows.encode()})
    with pytest.raises(InputError) as error:
        load_source(root / "list.jsonl")
    assert part in str(error.value)


def test_two_metadata_files_are_one_too_many(write):
    root = write({"1.png": 1, "metadata.csv": b"file_name,label\n1.png,a\n", "metadata.jsonl": b"{}"})
    with pytest.raises(InputError, match=r"holds metadata\.csv and metadata\.jsonl; delete one"):
        load_source(root)


def test_a_file_that_is_listed_twice_counts_once(write):
    root = write({"1.png": 1, "metadata.csv": b"file_name,label\n1.png,a\n./1.png,a\n"})
    birds = load_source(root)
    assert len(birds) == 1
    assert birds.notes[0].startswith("files that repeat another one of their class, left out: 1 (")


def test_a_file_that_is_listed_in_two_classes_is_refused(write):
    root = write({"1.png": 1, "metadata.csv": b"file_name,label\n1.png,a\n1.png,b\n"})
    with pytest.raises(InputError, match="Images in two classes: 1"):
        load_source(root)

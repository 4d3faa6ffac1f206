"""How many images each class of a source has."""

import os

import pytest
from PIL import Image

from ncm_lib import ClassList, InputError
from ncm_lib.sources.counts import count_images

BIRDS = ClassList.of(["robin", "wren", "owl"])


def test_an_image_folder_is_counted_at_any_depth_and_without_other_files(tmp_path):
    files = [
        "robin/1.JPG", "robin/far/down/2.png", "robin/notes.txt", "robin/.hidden.png", "wren/a.webp", "owl/readme",
        ".cache/x.png", "loose.png",
    ]  # fmt: skip
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert count_images(tmp_path, BIRDS) == [2, 1, 0]


def test_a_folder_of_other_classes_names_what_is_missing_and_what_is_unknown(tmp_path):
    for name in ("robin", "crow", "owls"):
        (tmp_path / name).mkdir()
    with pytest.raises(InputError) as error:
        count_images(tmp_path, BIRDS)
    assert "has no 'wren', 'owl'; has the unknown 'crow', 'owls'" in str(error.value)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="everything is readable here")
def test_a_class_folder_that_cannot_be_opened_is_no_class_without_images(tmp_path):
    for name in BIRDS.names:
        (tmp_path / name).mkdir()
    (tmp_path / "wren").chmod(0)
    try:
        with pytest.raises(InputError, match=r"wren cannot be opened .* give the counts as a JSON or CSV file"):
            count_images(tmp_path, BIRDS)
    finally:
        (tmp_path / "wren").chmod(0o755)


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "list.tsv"])
def test_images_that_a_table_lists_are_counted(tmp_path, name):
    rows = [("a.png", "wren"), ("b.png", "robin"), ("c.png", "wren"), ("d.png", "owl")]
    for number, (file, _) in enumerate(rows):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / file)
    if name.endswith(".jsonl"):
        text = "".join(f'{{"file_name": "{file}", "label": "{label}"}}\n' for file, label in rows)
    else:
        between = "\t" if name.endswith(".tsv") else ","
        text = "\n".join(between.join(row) for row in [("file_name", "label"), *rows])
    (tmp_path / name).write_text(text)
    assert count_images(tmp_path / name if name.startswith("list") else tmp_path, BIRDS) == [1, 2, 1]


def test_counts_in_a_file_are_taken_as_they_stand(tmp_path):
    (tmp_path / "counts.csv").write_text("wren,4\nowl,0\nrobin,30\n")
    assert count_images(tmp_path / "counts.csv", BIRDS) == [30, 4, 0]

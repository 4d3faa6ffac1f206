import json

import pytest

from ncm_lib import ClassList, InputError
from ncm_lib.plan.confusion import load_confusion

BIRDS = ClassList.of(["robin", "wren", "owl"])
MATRIX = ((50.0, 2.0, 0.0), (3.0, 40.0, 0.5), (0.0, 1.0, 9.0))


@pytest.mark.parametrize(
    "text",
    [
        ",robin,wren,owl\nrobin,50,2,0\nwren,3,40,0.5\nowl,0,1,9\n",
        "true,owl,robin,wren\nwren,0.5,3,40\nowl,9,0,1\nrobin,0,50,2\n",
        '\ufeff"","owl","wren","robin"\r\n"owl",9,1,0\r\n\r\n"robin", 0 ,2e0,50\r\n"wren",.5,4e1,3\r\n',
    ],
)
def test_rows_and_columns_of_a_csv_file_are_ordered_by_their_names(tmp_path, text):
    (tmp_path / "confusion.csv").write_text(text, encoding="utf-8", newline="")
    assert load_confusion(tmp_path / "confusion.csv", BIRDS) == MATRIX


def test_a_json_matrix_is_ordered_by_its_class_list(tmp_path):
    content = {"classes": ["owl", "robin", "wren"], "matrix": [[9, 0, 1], [0, 50, 2], [0.5, 3, 40]]}
    (tmp_path / "confusion.json").write_text(json.dumps(content))
    assert load_confusion(tmp_path / "confusion.json", BIRDS) == MATRIX


BAD = [
    ("confusion.csv", None, "cannot be read (No such file or directory); legal: a CSV file"),
    ("confusion.npy", "", "'confusion.npy', which is no such file; legal: a CSV file"),
    ("confusion.csv", "", "is empty"),
    ("confusion.csv", "a,b\n" + "robin,wren,owl\n", "Row 2 of confusion.csv has 3 cells and the first row has 2"),
    ("confusion.csv", ",robin,wren\nrobin,1,2\nwren,1,2", "confusion.csv (its rows) has no 'owl'"),
    ("confusion.csv", ",robin,wren,owl\nrobin,1,2,3\nwren,1,2,3", "confusion.csv (its rows) has no 'owl'"),
    (
        "confusion.csv",
        ",robin,wren,kiwi\nrobin,1,2,3\nwren,1,2,3\nowl,1,2,3",
        "confusion.csv (its columns) has no 'owl'; has the unknown 'kiwi'. It needs each of the 3 classes once",
    ),
    ("confusion.csv", ",robin,wren,owl\nrobin,1,2,3\nrobin,1,2,3\nowl,1,2,3", "has no 'wren'; has twice 'robin'"),
    ("confusion.csv", ",robin,wren,owl\nrobin,1,-2,3\nwren,1,2,3\nowl,1,2,3", "has -2.0 for 'robin' taken for 'wren'"),
    ("confusion.csv", ",robin,wren,owl\nrobin,1,nan,3\nwren,1,2,3\nowl,1,2,3", "has nan for 'robin'"),
    ("confusion.csv", ",robin,wren,owl\nrobin,1,1e400,3\nwren,1,2,3\nowl,1,2,3", "has inf for 'robin'"),
    ("confusion.csv", ",robin,wren,owl\nrobin,1,many,3\nwren,1,2,3\nowl,1,2,3", "has 'many' for 'robin'"),
    ("confusion.csv", ",robin,wren,owl\nrobin,1,,3\nwren,1,2,3\nowl,1,2,3", "has '' for 'robin' taken for 'wren'"),
    ("confusion.json", "[[1]]", "does not have the form of a confusion matrix"),
    ("confusion.json", '{"classes": ["robin", 2], "matrix": []}', "does not have the form of a confusion matrix"),
    ("confusion.json", '{"classes": ["robin"], "matrix": [[1]], "x": 1}', "does not have the form"),
    ("confusion.json", '{"classes": ["a", "b"], "matrix": [[1, 2], [3]]}', "does not have 2 rows of 2 numbers"),
    ("confusion.json", '{"classes": ["a"], "matrix": [3]}', "does not have 1 rows of 1 numbers"),
    ("confusion.json", '{"classes": ["robin", "wren", "owl"], "matrix": [[1, 2, "3"], [1, 2, 3], [1, 2, 3]]}', "'3'"),
    ("confusion.json", '{"classes": ["robin", "wren", "owl"], "matrix": [[1, 2, true], [1, 2, 3], [1, 2, 3]]}', "True"),
    ("confusion.json", f'{{"classes": ["robin", "wren", "owl"], "matrix": [[1, 2, {10**400}], [1, 2, 3], [1, 2, 3]]}}',
     "take a finite number, 0 or more"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "part"), BAD, ids=[f"{name}: {part}" for name, _, part in BAD])
def test_a_bad_matrix_is_refused_by_what_is_wrong_with_it(tmp_path, monkeypatch, name, text, part):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as error:
        load_confusion(name, BIRDS)
    assert part in str(error.value)

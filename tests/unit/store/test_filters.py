"""Marks of a filter beside the data set: written, read, honoured, refused, and in nobody's way."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ncm_lib import InputError, SyntheticDataset, export, index, repair, verify
from ncm_lib.store.filters import Filter, FilterHead, filter_path
from ncm_lib.store.ledger import Ledger
from ncm_lib.store.manifest import Manifest

ROOT = Path(__file__).parents[3]
WRITE_OFTEN = """
import sys
from pathlib import Path
from ncm_lib.store.filters import Filter
root = Path(sys.argv[1])
marks = Filter.read(root, "clip")
for _ in range(100):
    marks.write(root, "clip")
"""


@pytest.fixture
def marked(dataset):
    """A data set of whose samples a filter keeps all but the first and the last."""
    dataset = dataset()
    manifest = Manifest.read(dataset)
    ledger = Ledger.read(dataset, manifest)
    indices = np.flatnonzero(ledger.done)
    kept = np.ones(len(indices), dtype=np.bool_)
    kept[[0, -1]] = False
    head = FilterHead(by="clip", model="tiny", fingerprint="f", keep=0.5, per_class=False, plan_hash=manifest.plan_hash)
    scores = np.linspace(-1, 1, len(indices))
    Filter(head=head, index=indices, bytes=ledger.sizes[indices], score=scores, kept=kept).write(dataset, "clip")
    return dataset


def rewrite(dataset, change):
    path = filter_path(dataset, "clip")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(change(lines)) + "\n")


def test_two_processes_may_write_the_same_marks_at_once(marked):
    before = filter_path(marked, "clip").read_bytes()
    command = [sys.executable, "-c", WRITE_OFTEN, str(marked)]
    writers = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for writer in writers:
        _, error = writer.communicate(timeout=120)
        assert writer.returncode == 0, error
    assert filter_path(marked, "clip").read_bytes() == before
    assert [file.name for file in filter_path(marked, "clip").parent.iterdir()] == ["clip.jsonl"]


def test_a_filter_comes_back_as_it_was_written(marked):
    there = Filter.read(marked, "clip")
    there.write(marked, "again")
    assert filter_path(marked, "again").read_bytes() == filter_path(marked, "clip").read_bytes()
    assert (there.score[0], there.score[-1], there.head.by) == (-1, 1, "clip")


def test_the_reader_honours_a_filter_when_it_is_asked_to(marked):
    everything, kept = SyntheticDataset(marked), SyntheticDataset(marked, filter="clip")
    all_indices = [record.index for record in everything.records]
    assert [record.index for record in kept.records] == all_indices[1:-1]
    assert np.array_equal(kept[0][0], everything[1][0])


def test_an_export_leaves_out_what_is_not_kept_and_says_so(marked, tmp_path):
    done = len(SyntheticDataset(marked))
    out = export(marked, to="imagefolder-hard-labels", out=tmp_path / "out", filter="clip")
    assert out.count == done - 2
    assert f"2 of {done} samples left out by the filter 'clip'" in out.notes


def test_verify_index_and_repair_let_a_filter_be(marked):
    before = filter_path(marked, "clip").read_bytes()
    report = verify(marked)
    assert report.ok
    assert report.foreign == ()
    index(marked)
    repair(marked)
    assert filter_path(marked, "clip").read_bytes() == before
    assert verify(marked).ok


def test_a_sample_that_the_filter_does_not_know_is_refused(marked):
    rewrite(marked, lambda lines: lines[:-1])
    with pytest.raises(InputError, match=r"does not know 1 of its \d+ samples.*ncm filter.* again"):
        SyntheticDataset(marked, filter="clip")


def test_an_image_that_was_made_anew_is_not_known(marked):
    def other_size(lines):
        row = json.loads(lines[2])
        return [*lines[:2], json.dumps(row | {"bytes": row["bytes"] + 1}), *lines[3:]]

    rewrite(marked, other_size)
    with pytest.raises(InputError, match="does not know 1 of"):
        SyntheticDataset(marked, filter="clip")


def test_marks_of_another_plan_are_refused(marked):
    rewrite(marked, lambda lines: [json.dumps(json.loads(lines[0]) | {"plan_hash": "other"}), *lines[1:]])
    with pytest.raises(InputError, match="made after it"):
        SyntheticDataset(marked, filter="clip")


def test_a_filter_that_is_not_there_is_refused_by_name_with_those_that_are(marked):
    with pytest.raises(InputError, match="has no filter 'classifier'; it has clip"):
        SyntheticDataset(marked, filter="classifier")


@pytest.mark.parametrize("name", ["", "..", "a/b", "CLIP", ".hidden", "x" * 65, "con trol"])
def test_a_name_that_could_be_another_place_is_refused(marked, name):
    with pytest.raises(InputError, match="small letters, digits"):
        SyntheticDataset(marked, filter=name)


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [],
        lambda lines: lines[1:],
        lambda lines: [*lines[:-1], lines[-1][:-5]],
        lambda lines: [lines[0], "[1]"],
        lambda lines: [lines[0], '{"index": 0, "bytes": 1, "score": NaN, "kept": true}'],
        lambda lines: [lines[0], '{"index": 0, "bytes": 1, "score": 0.5, "kept": 1}'],
        lambda lines: [lines[0], '{"index": 0, "bytes": 1, "score": "high", "kept": true}'],
        lambda lines: [lines[0], '{"index": 0, "bytes": 1, "score": 0.5}'],
        lambda lines: [lines[0].replace("ncm-filter-1", "ncm-filter-2"), *lines[1:]],
    ],
)
def test_a_damaged_file_is_refused_and_named(marked, change):
    rewrite(marked, change)
    with pytest.raises(InputError, match=r"clip\.jsonl is no complete filter of format ncm-filter-1.*again"):
        SyntheticDataset(marked, filter="clip")

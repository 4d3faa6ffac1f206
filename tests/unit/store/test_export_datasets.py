"""Hugging Face's datasets reads every export as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncm_lib.store.export import export
from ncm_lib.store.writer import DatasetWriter

CLASSES = ("a/b", "..", "con", "Cat", "cat", ".hidden", "__x", "[a]", "a#b&c", "%41", "🎽", "x" * 300)
READ = """
import json, sys
import datasets

def rows(*words, **options):
    return datasets.load_dataset(*words, split="train", **options)

parquet, shards, folders = sys.argv[1:]
tables = [rows("parquet", data_dir=parquet), rows(parquet)]
tars = [rows("webdataset", data_dir=shards), rows(shards)]
trees = [rows("imagefolder", data_dir=folders), rows(folders)]
print(json.dumps({
    "names": [table.features["class_ids"].feature.names for table in tables],
    "tables": [[(row["index"], row["class_ids"], row["soft_label"], row["image"].size, row["mask"].size)
               for row in table] for table in tables],
    "tars": [[(row["json"]["index"], row["json"]["class_ids"], row["npy"], row["png"].size, row["mask.png"].size)
             for row in tar] for tar in tars],
    "trees": [sorted(tree.features["label"].int2str(row["label"]) for row in tree) for tree in trees],
}))
"""


@pytest.mark.slow
def test_hugging_face_datasets_reads_every_format(manifest: Any, item: Any, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    pytest.importorskip("webdataset")
    path = tmp_path / "data"
    count = len(CLASSES)
    items = [item(n, class_ids=(n, (n + 1) % count), weights=(0.75, 0.25)) for n in range(count)]
    with DatasetWriter(path, manifest(classes=CLASSES, count=count)) as writer:
        writer.write_batch(items)
    for to in ("parquet", "webdataset", "imagefolder-hard-labels"):
        export(path, to=to, out=tmp_path / to)
    folders = tmp_path / "imagefolder-hard-labels"
    command = [sys.executable, "-c", READ, str(tmp_path / "parquet"), str(tmp_path / "webdataset"), str(folders)]
    offline = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    run = subprocess.run(command, env=os.environ | offline, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    read = json.loads(run.stdout)
    assert read["names"] == [list(CLASSES)] * 2
    for rows in [*read["tables"], *read["tars"]]:
        for n, (index, class_ids, label, size, mask_size) in enumerate(rows):
            assert (index, class_ids, size, mask_size) == (n, [n, (n + 1) % count], [16, 16], [8, 8])
            np.testing.assert_array_equal(np.float32(label), items[n][0].soft_label(count))
        assert len(rows) == count
    names = json.loads((folders / "classes.json").read_text())["folders"]
    assert read["trees"] == [sorted(names)] * 2

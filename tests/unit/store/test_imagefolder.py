"""Other programs read a data set as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ncm_lib.store.index import index
from ncm_lib.store.repair import repair

READ = """
import json, sys
import datasets
for path in sys.argv[1:]:
    data = datasets.load_dataset("imagefolder", data_dir=path)["train"]
    keys = ("index", "class_ids", "weights", "box")
    rows = [{key: row[key] for key in keys} | {"size": row["image"].size} for row in data]
    print(json.dumps({"rows": rows, "columns": data.column_names}))
"""


def test_hugging_face_datasets_reads_images_and_records_beside_all_derived_files(
    dataset: Any, item: Any, tmp_path: Path
) -> None:
    pytest.importorskip("datasets")
    unfinished = tmp_path / "unfinished"
    dataset([3, 1]).rename(unfinished)
    finished = dataset()
    (finished / "failures.jsonl").write_text('{"index": 9, "reason": "x", "seeds": [], "kept": false}\n')
    # a damaged image that was moved aside, and the table that ncm index writes
    (finished / "images/000/00000002.png").write_bytes(b"\x89PNG")
    repair(finished)
    dataset()
    assert (finished / "damaged/images/000/00000002.png").is_file()
    index(finished)
    assert (finished / "index.parquet").is_file()
    offline = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    command = [sys.executable, "-c", READ, str(finished), str(unfinished)]
    run = subprocess.run(command, env=os.environ | offline, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    for line, indices in zip(run.stdout.splitlines(), ([0, 1, 2, 3, 4], [1, 3]), strict=True):
        read = json.loads(line)
        assert "mask" in read["columns"]
        assert [row["index"] for row in read["rows"]] == indices
        for row, record in zip(read["rows"], (item(sample)[0] for sample in indices), strict=True):
            assert (row["class_ids"], row["weights"]) == (list(record.class_ids), list(record.weights))
            assert (row["box"], row["size"]) == (list(record.box or ()), [16, 16])

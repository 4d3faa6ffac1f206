"""The same run on a GPU; skipped where there is none."""

import json

import numpy as np
import pytest
import torch

from ncm_lib import ClassList, NoiseCutMix, RenderSettings, generate, load_model

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
CLASSES = ClassList.of(["sneaker", "bag", "coat"])
SETTINGS = RenderSettings(num_inference_steps=2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_gpu_makes_the_same_plan_and_labels_as_the_cpu(tiny_folder, tmp_path, dtype):
    records = {}
    for device in ("cpu", "cuda"):
        model = load_model(tiny_folder, device=device, dtype=dtype)
        out = tmp_path / device
        generate(NoiseCutMix(classes=CLASSES), model, out=out, count=5, batch_size=2, settings=SETTINGS)
        lines = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
        records[device] = [
            {key: line[key] for key in ("index", "seed", "class_ids", "weights", "box")} for line in lines
        ]
        assert not np.isnan(np.load(out / "soft_labels.npy")).any()
    assert records["cpu"] == records["cuda"]

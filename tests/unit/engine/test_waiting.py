"""The loop never waits for its device: tensors on torch's meta device have no values that it could ask for."""

import dataclasses

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ncm_lib import Speed, load_model
from ncm_lib.engine.conditioning import stack
from ncm_lib.engine.denoise import EarlyConditions, denoise
from ncm_lib.engine.schedulers import make_scheduler

META = torch.device("meta")
# inference mode shows `to` as a whole
COPIES = (torch.ops.aten._to_copy, torch.ops.aten.copy_, torch.ops.aten.to)


class Transfers(TorchDispatchMode):
    """Counts copies between the CPU and the device, each of which stalls a GPU."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **kwargs or {})
        tensors = [value for value in (*args, result) if isinstance(value, torch.Tensor)]
        if func.overloadpacket in COPIES and len({tensor.device for tensor in tensors}) > 1:
            self.shapes.append(tuple(tensors[0].shape))
        return result


def on_meta(family):
    part = "unet" if hasattr(family, "unet") else "transformer"
    return dataclasses.replace(family, device=META, **{part: getattr(family, part).to(META)})


def to_meta(conditioning):
    if isinstance(conditioning, torch.Tensor):
        return conditioning.to(META)
    return {name: tensor.to(META) for name, tensor in conditioning.items()}


@pytest.mark.parametrize(
    ("name", "scheduler", "first_step", "cache"),
    [("sd2", "ddim", 0, "off"), ("sd2", "ddim", 1, "off"), ("sd2", "dpmsolver++", 0, "off"),
     ("sdxl", "euler", 1, "off"), ("sd35", "euler", 0, "off"), ("sd35", "dpmsolver++", 1, "off"),
     ("flux-dev", "euler", 1, "off"), ("sd35", "euler", 0, "taylor"), ("flux-dev", "euler", 0, "taylor-blocks"),
     ("flux-dev", "euler", 0, "broadcast")],
)  # fmt: skip
def test_no_step_waits_for_the_device(family_folder, name, scheduler, first_step, cache):
    family = load_model(family_folder(name), device="cpu", speed=Speed(cache=cache)).family
    with torch.inference_mode():
        late, early = (stack([*family.encode([text])] * 2) for text in ("a photo of a bag", "a photo of a coat"))
        conditions, first = [to_meta(late)] * 2, [to_meta(early)] * 2
        negative = to_meta(stack([family.encode_negative("")] * 2)) if family.guidance == "classifier-free" else None
    shape = (2, family.latent_channels, 8, 8)
    noise, images = (torch.empty(shape, device=META) for _ in range(2))
    masks, counts = [torch.empty(2, 1, 8, 8, device=META)] * 2, []
    absent = on_meta(family)
    with Transfers() as transfers:
        result = denoise(
            absent, make_scheduler(family.scheduler, scheduler), noise, conditions, masks,
            early=EarlyConditions(conditions=first, steps=[1, 3]), unconditional=negative, guidance_scale=5.0,
            num_inference_steps=8, generators=[torch.Generator()] * 2,
            images=images if first_step else None, first_step=first_step,
            on_step=lambda _: counts.append(len(transfers.shapes)),
        )  # fmt: skip
    assert result.shape == shape
    # adding noise to images takes the scheduler's tables along, once
    assert counts == [len(transfers.shapes)] * (8 - first_step)
    assert transfers.shapes == [(8,)] if not first_step else len(transfers.shapes) <= 4


def test_the_count_sees_what_it_is_for():
    tensor = torch.ones(3)
    with Transfers() as transfers:
        tensor.to(META)
    assert transfers.shapes == [(3,)]
    with pytest.raises(RuntimeError, match="meta"):
        tensor.to(META).sum().item()

"""The surroundings of every test, and fixtures that several folders of tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from .garments import GARMENTS

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from ncm_lib.engine.load import Model

# Nothing here may look for a model on the network.
os.environ["HF_HUB_OFFLINE"] = "1"
# The workers of pytest-xdist share the cores; torch reads this when it is imported, which has not happened yet.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# A busy machine is no failure, and a check of the same code says the same thing twice.
settings.register_profile("repository", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("repository")
# A shell's background commands ignore Ctrl-C, and so would every process that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests go first, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tests that ran in ComfyUI's own Python count as one per file; say how many they were."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    counts = [value for report in reports for name, value in report.user_properties if name == "inside ComfyUI"]
    if counts:
        terminalreporter.write_line(f"{sum(counts)} tests passed inside ComfyUI, in {len(counts)} files.")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SD 1.x model of real classes with random weights, small enough for unit tests: 16 px, 8x8 latents."""
    import torch
    from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    tokenizer = CLIPTokenizer.from_pretrained(GARMENTS / "tokenizer")
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=tokenizer.model_max_length, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(32, 64), layers_per_block=1, cross_attention_dim=32, attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(32, 32), layers_per_block=1, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    # SD 1.5's own noise schedule
    scheduler = DDPMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, steps_offset=1
    )
    folder = tmp_path_factory.mktemp("models") / "tiny-sd"
    StableDiffusionPipeline(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, unet=unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Path) -> Model:
    """``tiny_folder``, loaded on the CPU in float32."""
    from ncm_lib import load_model

    return load_model(tiny_folder, device="cpu")


@pytest.fixture(scope="session")
def family_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model of a family, one of ``tiny_families.FAMILIES``; each is built once."""
    folders: dict[str, Path] = {}

    def folder_of(family: str) -> Path:
        from .tiny_families import save_tiny

        if family not in folders:
            folders[family] = tmp_path_factory.mktemp("families") / family
            save_tiny(family, folders[family])
        return folders[family]

    return folder_of


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium that reaches no other machine; one for all, since Playwright starts once per process."""
    from .comfyui.browser import chromium, started

    executable = chromium()
    if executable is None:
        pytest.skip("No Chromium was found on the search path, and NCM_CHROMIUM names none.")
    with started(executable) as browser:
        yield browser

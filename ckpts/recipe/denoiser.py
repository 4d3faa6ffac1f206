"""The small models' text encoder and UNet, trained together on cached latents (epsilon prediction)."""

import json
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from checkpoint import Checkpoint
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.training_utils import EMAModel, compute_snr
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

EMPTY_PROMPT_SHARE = 0.1
MIN_SNR_GAMMA = 5.0
WIDTH = 64


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What makes one denoiser and not another."""

    steps: int
    batch: int
    peak_lr: float
    warmup: int
    decay: int
    """Steps at the end over which the learning rate falls to zero."""
    widths: tuple[int, int, int]
    """Channels of the UNet's levels."""
    templates: tuple[str, ...]
    """Prompts of a class, drawn with equal chances; a template may stand there more than once."""
    average: float = 0.999
    """Decay of the averaged weights."""
    bfloat16: bool = False
    """Compute in bfloat16 where torch's autocast does; the weights stay in float32."""


class Denoiser(torch.nn.Module):
    """Text encoder and UNet as one module, so that one optimizer, one average and one checkpoint hold both."""

    def __init__(self, vocabulary: int, end_token: int, max_tokens: int, widths: tuple[int, int, int]) -> None:
        super().__init__()
        self.text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=vocabulary, hidden_size=WIDTH, intermediate_size=4 * WIDTH, projection_dim=WIDTH,
                num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=max_tokens,
                bos_token_id=end_token - 1, eos_token_id=end_token, pad_token_id=end_token,
            )
        )  # fmt: skip
        # scale_shift: with one channel per norm group, adding the time embedding before the norm would cancel it.
        self.unet = UNet2DConditionModel(
            sample_size=16,
            in_channels=4,
            out_channels=4,
            block_out_channels=widths,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            cross_attention_dim=WIDTH,
            attention_head_dim=4,
            norm_num_groups=32,
            resnet_time_scale_shift="scale_shift",
        )

    def forward(self, noisy: Tensor, timesteps: Tensor, tokens: Tensor, prompt_of_row: Tensor) -> Tensor:
        """Noise predicted for each row [N, 4, 16, 16] under the prompt that it points to in ``tokens``."""
        wanted, place = prompt_of_row.unique(return_inverse=True)
        states = self.text_encoder(tokens[wanted]).last_hidden_state
        return self.unet(noisy, timesteps, states[place], return_dict=False)[0]


def noise_schedule() -> DDPMScheduler:
    """SD 1.5's schedule."""
    return DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False)


def learning_rate(step: int, settings: Settings) -> float:
    """Linear warm-up, constant, linear decay to zero over the last ``decay`` of all steps."""
    return settings.peak_lr * min((step + 1) / settings.warmup, 1.0, (settings.steps - step) / settings.decay)


def train(
    mean: Tensor,
    std: Tensor,
    scale: float,
    labels: Tensor,
    classes: tuple[str, ...],
    tokenizer: CLIPTokenizer,
    settings: Settings,
    work: Path,
    *,
    seconds: float,
    device: str = "cpu",
    compile_unet: bool = False,
    unfinished: bool = False,
) -> Denoiser | None:
    """Train and return the averaged weights; None when ``seconds`` ran out first.

    Args:
        mean: of the latents' posteriors [N, 4, 16, 16], on the CPU.
        std: of the same.
        scale: the autoencoder's scaling factor: what makes the latents' variance one.
        labels: int64 [N].
        classes: the nouns of the prompts.
        tokenizer: knows their words.
        settings: of the training.
        work: folder of the checkpoint and the log.
        seconds: stop after this time; the same call continues.
        device: where to compute; what is random is drawn on the CPU.
        compile_unet: with torch.compile.
        unfinished: do not train, return the averaged weights as they are.
    """
    torch.manual_seed(1)
    templates = settings.templates
    prompts = [template.format(name) for name in classes for template in templates] + [""]
    tokens = torch.tensor(
        tokenizer(prompts, padding="max_length", truncation=True, max_length=tokenizer.model_max_length).input_ids
    ).to(device)
    end_token = int(tokens[-1, 1])
    model = Denoiser(len(tokenizer), end_token, tokenizer.model_max_length, settings.widths).to(device)
    average = EMAModel(model.parameters(), decay=settings.average, use_ema_warmup=True, power=0.75)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.peak_lr, betas=(0.9, 0.99), weight_decay=1e-3, fused=True
    )
    parts = {"model": model, "average": average, "optimizer": optimizer}
    checkpoint = Checkpoint(work / "denoiser.pt", parts)
    step, started = checkpoint.load(), time.monotonic()
    average.to(device)
    noise_levels = noise_schedule()
    snr = compute_snr(noise_levels, torch.arange(1000))
    if compile_unet:
        model.unet.compile()
    while step < settings.steps and not unfinished:
        rng = torch.Generator().manual_seed(1_000_000 + step)
        rows = torch.randint(len(mean), (settings.batch,), generator=rng)
        latents = scale * (
            mean[rows].float() + std[rows].float() * torch.randn((len(rows), *mean.shape[1:]), generator=rng)
        )
        noise = torch.randn(latents.shape, generator=rng)
        timesteps = torch.randint(1000, (len(rows),), generator=rng)
        prompt_of_row = labels[rows] * len(templates) + torch.randint(len(templates), (len(rows),), generator=rng)
        prompt_of_row[torch.rand(len(rows), generator=rng) < EMPTY_PROMPT_SHARE] = len(prompts) - 1
        noisy = noise_levels.add_noise(latents, noise, timesteps).to(device)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=settings.bfloat16), _attention(device):
            predicted = model(noisy, timesteps.to(device), tokens, prompt_of_row.to(device))
        # min-SNR weighting for epsilon prediction: min(SNR, gamma) / SNR (Hang et al. 2023, Eq. 5)
        weight = (snr[timesteps].clamp(max=MIN_SNR_GAMMA) / snr[timesteps]).to(device)
        per_row = F.mse_loss(predicted.float(), noise.to(device), reduction="none").mean(dim=(1, 2, 3))
        loss = (weight * per_row).mean()
        optimizer.param_groups[0]["lr"] = learning_rate(step, settings)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.step(model.parameters())
        step += 1
        if step % 50 == 0:
            record = {"step": step, "loss": round(loss.item(), 5), "mse": round(per_row.mean().item(), 5)}
            record["seconds"] = round(time.monotonic() - started, 1)
            with (work / "denoiser.jsonl").open("a") as log:
                log.write(json.dumps(record) + "\n")
            print(record, flush=True)
        out_of_time = time.monotonic() - started > seconds
        if checkpoint.due() or step == settings.steps or out_of_time:
            checkpoint.save(step)
        if out_of_time and step < settings.steps:
            return None
    print(f"denoiser after {step} steps")
    average.copy_to(model.parameters())
    return model.eval()


def _attention(device: str) -> AbstractContextManager[None]:
    """On a CPU plain attention, which over 64 and 16 places is a fifth of a step faster than torch's choice."""
    return sdpa_kernel(SDPBackend.MATH) if torch.device(device).type == "cpu" else nullcontext()

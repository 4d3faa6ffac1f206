"""The demo model's text encoder and UNet, trained together on cached latents (epsilon prediction)."""

import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from checkpoint import Checkpoint
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.training_utils import EMAModel, compute_snr
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

STEPS = 5000
BATCH = 64
PEAK_LR = 1e-3
WARMUP = 300
DECAY = 1500
EMPTY_PROMPT_SHARE = 0.1
MIN_SNR_GAMMA = 5.0
WIDTH = 64
# "a photo of a {}" is the prompt that the demo promises; the others keep the text encoder from knowing one
# sentence only.
TEMPLATES = (
    "a photo of a {}",
    "a photo of a {}",
    "a photo of a {}",
    "a photo of a {} garment",
    "a picture of a {}",
    "{}",
)


class Denoiser(torch.nn.Module):
    """Text encoder and UNet as one module, so that one optimizer, one average and one checkpoint hold both."""

    def __init__(self, vocabulary: int, end_token: int, max_tokens: int) -> None:
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
            block_out_channels=(32, 64, 64),
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
        states = self.text_encoder(tokens).last_hidden_state
        return self.unet(noisy, timesteps, states[prompt_of_row], return_dict=False)[0]


def noise_schedule() -> DDPMScheduler:
    """SD 1.5's schedule."""
    return DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False)


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, constant, linear decay to zero over the last ``DECAY`` of all ``steps``."""
    return PEAK_LR * min((step + 1) / WARMUP, 1.0, (steps - step) / DECAY)


def train(
    mean: Tensor,
    std: Tensor,
    labels: Tensor,
    classes: tuple[str, ...],
    tokenizer: CLIPTokenizer,
    work: Path,
    *,
    seconds: float,
    compile_unet: bool,
    steps: int | None = None,
) -> Denoiser | None:
    """Train for ``steps`` (None: ``STEPS``) and return the averaged weights; None when ``seconds`` ran out first.

    ``mean``, ``std``: scaled latents [N, 4, 16, 16] in float32; ``labels``: int64 [N].
    """
    steps = STEPS if steps is None else steps
    torch.manual_seed(1)
    prompts = [template.format(name) for name in classes for template in TEMPLATES] + [""]
    tokens = torch.tensor(
        tokenizer(prompts, padding="max_length", truncation=True, max_length=tokenizer.model_max_length).input_ids
    )
    end_token = int(tokens[-1, 1])
    model = Denoiser(len(tokenizer), end_token, tokenizer.model_max_length)
    average = EMAModel(model.parameters(), decay=0.999, use_ema_warmup=True, power=0.75)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LR, betas=(0.9, 0.99), weight_decay=1e-3)
    parts = {"model": model, "average": average, "optimizer": optimizer}
    checkpoint = Checkpoint(work / "denoiser.pt", parts)
    step, started = checkpoint.load(), time.monotonic()
    noise_levels = noise_schedule()
    snr = compute_snr(noise_levels, torch.arange(1000))
    if compile_unet:
        model.unet.compile()
    while step < steps:
        rng = torch.Generator().manual_seed(1_000_000 + step)
        rows = torch.randint(len(mean), (BATCH,), generator=rng)
        latents = mean[rows] + std[rows] * torch.randn((BATCH, *mean.shape[1:]), generator=rng)
        noise = torch.randn(latents.shape, generator=rng)
        timesteps = torch.randint(1000, (BATCH,), generator=rng)
        prompt_of_row = labels[rows] * len(TEMPLATES) + torch.randint(len(TEMPLATES), (BATCH,), generator=rng)
        prompt_of_row[torch.rand(BATCH, generator=rng) < EMPTY_PROMPT_SHARE] = len(prompts) - 1
        predicted = model(noise_levels.add_noise(latents, noise, timesteps), timesteps, tokens, prompt_of_row)
        # min-SNR weighting for epsilon prediction: min(SNR, gamma) / SNR (Hang et al. 2023, Eq. 5)
        weight = snr[timesteps].clamp(max=MIN_SNR_GAMMA) / snr[timesteps]
        per_row = F.mse_loss(predicted, noise, reduction="none").mean(dim=(1, 2, 3))
        loss = (weight * per_row).mean()
        optimizer.param_groups[0]["lr"] = learning_rate(step, steps)
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
        if step % 250 == 0 or out_of_time:
            checkpoint.save(step)
        if out_of_time:
            return None
    average.copy_to(model.parameters())
    return model.eval()

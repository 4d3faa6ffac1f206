"""From real images to concept files: one new word per class, and a LoRA that they share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..concepts import ConceptSet, class_tokens, lora_pairs, save_concepts
from ..engine.load import Model, load_model
from ..errors import InputError
from ..plan.classes import ClassList
from ..sources.listing import SourceListing
from ..store.disk import plain_errors, replace_bytes
from ..store.lock import FolderLock
from .accelerators import one_accelerator
from .concepts_checkpoint import CHECKPOINT
from .concepts_config import HEAD, ConceptTraining, TrainingHead
from .concepts_latents import LatentSource
from .concepts_learner import Learner, learnable, learner
from .concepts_run import TrainingProgress, TrainingRun
from .concepts_sampler import ConceptSampler

_DTYPES = {"no": "float32", "fp16": "float16", "bf16": "bfloat16"}


@dataclass(frozen=True, kw_only=True)
class LearnedConcepts:
    """What one call of ``train_concepts`` did."""

    path: Path
    """The folder for ``load_concepts`` (``--concepts``)."""
    classes: ClassList
    """With the words that stand for them in prompts."""
    steps: int
    """Updates that the weights have seen."""
    made: int
    """Those of this call."""
    loss: float
    """Mean of the last hundred steps."""
    seconds: float


def train_concepts(
    model: Model | str | Path,
    images: SourceListing,
    *,
    out: str | Path,
    config: ConceptTraining | None = None,
    device: str | None = None,
    break_lock: bool = False,
    on_progress: Callable[[TrainingProgress], None] | None = None,
) -> LearnedConcepts:
    """Teach a model the classes of real images: textual inversion and LoRA together, or go on with it.

    Minimises mean((f(x_t, t, "a photo of a <class_k>") - eta)^2) over the vectors of the new words and a low-rank
    change W + B A of every attention projection of the UNet; all else stays as it is. Start values, order, noise
    levels, noise, flips and crops are functions of (seed, step, row), so a training that was stopped ends, on the same
    CPU with the same number of threads, in the very weights of one that was not.

    Several processes (``accelerate launch``, torchrun) share every batch; call this in each of them.

    Args:
        model: of ``load_model``, or what it takes. A model that is given is as it was when this returns.
        images: of ``load_source``; every class needs one image at least.
        out: folder for concept files, checkpoint, ``loss.jsonl``, ``loss.png`` and ``samples/``; created, or
            continued where it holds the same training.
        config: None takes the defaults, which are the paper's for SD 1.5 and take hours on a GPU.
        device: for a model that is loaded here; None takes the best there is, or the launcher's.
        break_lock: take the folder over from a holder that is known to be dead.
        on_progress: called in the first process after every step.

    Returns:
        Where the concepts are, and how the training went.

    Raises:
        InputError: a class without images, an unreadable image, another training in ``out`` (field by field), an
            unknown start word, a device that is not to be had, a loss that is no number, or a full disk.

    Example:
        >>> from PIL import Image
        >>> import ncm_lib as ncm
        >>> for name, colour in {"robin": "red", "wren": "tan"}.items():
        ...     Path("birds", name).mkdir(parents=True)
        ...     Image.new("RGB", (32, 32), colour).save(Path("birds", name, "1.png"))
        >>> quick = ncm.ConceptTraining(steps=2, batch_size=2, learning_rate=1e-3)
        >>> learned = ncm.train_concepts("demo", ncm.load_source("birds"), out="concepts", config=quick, device="cpu")
        >>> learned.steps, learned.classes.tokens
        (2, ('<class_0>', '<class_1>'))

    Reference:
        Wang et al., Enhance Image Classification via Inter-Class Image Mixup with Diffusion Model, CVPR 2024.
    """
    config, folder, started = config or ConceptTraining(), Path(out), time.monotonic()
    sampler = ConceptSampler(images=images, sampling=config.sampling, seed=config.seed)
    cpu = model.device.type == "cpu" if isinstance(model, Model) else device == "cpu"
    with one_accelerator(cpu=cpu, mixed_precision=config.mixed_precision, device_placement=False) as accelerator:
        if not isinstance(model, Model):
            if device is None and accelerator.num_processes > 1:
                device = str(accelerator.device)
            model = load_model(model, device=device, dtype=_DTYPES[config.mixed_precision])
        family = learnable(model, config)
        side = _side(model, config)
        lock = FolderLock(folder, break_lock=break_lock)
        if accelerator.is_main_process:
            with plain_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        try:
            if accelerator.is_main_process:
                _settle(folder, _head(model, images, config, side))
            accelerator.wait_for_everyone()
            classes = replace(images.classes, tokens=class_tokens(len(images.classes), config.tokens_per_class))
            with learner(model, classes, config) as learned:
                run = TrainingRun(
                    folder=folder,
                    model=model,
                    classes=classes,
                    learner=learned,
                    sampler=sampler,
                    source=LatentSource(
                        images=images,
                        vae=family.vae,
                        device=model.device,
                        resolution=side,
                        config=config,
                    ),
                    config=config,
                    accelerator=accelerator,
                    side=side,
                    keep=lambda: save_concepts(folder, _concepts(learned, classes, model, config, side)),
                    on_progress=on_progress,
                )
                made, loss = run.train()
            accelerator.wait_for_everyone()
        finally:
            lock.release()
    return LearnedConcepts(
        path=folder, classes=classes, steps=run.step, made=made, loss=loss, seconds=time.monotonic() - started
    )


def _side(model: Model, config: ConceptTraining) -> int:
    side, cell = config.resolution or model.family.default_size, model.family.latent_cell
    if side % cell:
        raise InputError(f"The resolution is {side}; this model takes multiples of {cell}.")
    return side


def _head(model: Model, images: SourceListing, config: ConceptTraining, side: int) -> TrainingHead:
    options: dict[str, Any] = config.model_dump(mode="json", exclude=set(config.free))
    return TrainingHead(
        classes=images.classes.names,
        meta_class=images.classes.meta_class,
        data=images.hash(),
        images=len(images),
        model=model.name,
        model_fingerprint=model.fingerprint,
        config=options | {"resolution": side},
    )


def _settle(folder: Path, head: TrainingHead) -> None:
    """Go on with the training that is there if it is this one, or begin it."""
    if (folder / CHECKPOINT).is_file():
        TrainingHead.read(folder).must_equal(head, folder)
        return
    # a head without a checkpoint holds nobody to anything
    found = (
        []
        if (folder / HEAD).is_file()
        else sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    )
    if found:
        raise InputError(
            f"{folder} is neither empty nor a concept training (it holds {found[0]}); take another folder."
        )
    with plain_errors(folder):
        replace_bytes(folder / HEAD, head.to_bytes())


def _concepts(learned: Learner, classes: ClassList, model: Model, config: ConceptTraining, side: int) -> ConceptSet:
    words = [word for token in classes.tokens for word in token.split()]
    tensors = {name: value.detach().cpu().clone() for name, value in learned.lora.items()}
    return ConceptSet(
        classes=classes,
        embeddings={
            name: dict(zip(words, rows.detach().float().cpu().clone(), strict=True))
            for name, rows in learned.rows.items()
        },
        lora=lora_pairs(tensors) if tensors else {},
        dataset=config.dataset,
        base_model=model.name,
        base_fingerprint=model.fingerprint,
        resolution=side,
    )

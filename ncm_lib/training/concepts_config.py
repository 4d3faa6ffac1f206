"""What a concept training is told: its options, and the frozen facts that a resumed one must share."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from ..errors import InputError
from ..plan.differences import differences
from ..plan.files import parse_model
from ..plan.prompts import DEFAULT_TEMPLATE

HEAD = "training.json"


class ConceptTraining(BaseModel):
    """Textual inversion and LoRA together; the defaults are Diff-Mix's.

    Example:
        >>> ConceptTraining(steps=1000, learning_rate=1e-3).batch_size
        8

    Reference:
        Wang et al., Enhance Image Classification via Inter-Class Image Mixup with Diffusion Model, CVPR 2024.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    steps: int = Field(default=35_000, ge=1)
    """Updates of the weights. A larger number than before goes on with a finished training."""
    batch_size: int = Field(default=8, ge=1)
    """Images per update, over all processes and accumulated parts."""
    gradient_accumulation: int = Field(default=1, ge=1)
    """Parts in which each process takes its share of a batch: less memory, the same result up to rounding."""
    gradient_checkpointing: bool = False
    """Compute the UNet's activations twice instead of keeping them: much less memory, about a third more time."""
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    """fp16 or bf16: the frozen weights and the activations take half the memory; what is learned stays in fp32."""
    resolution: int | None = Field(default=None, ge=8)
    """Image side in pixels. Without it: the side that the model was made for, which is what it generates later."""
    learning_rate: float = Field(default=5e-5, gt=0, allow_inf_nan=False)
    """Of the LoRA. Small models and short trainings want much more."""
    embedding_learning_rate: float = Field(default=5e-5, gt=0, allow_inf_nan=False)
    """Of the new words."""
    weight_decay: float = Field(default=1e-2, ge=0, allow_inf_nan=False)
    """Of the LoRA; the new words have none."""
    max_gradient_norm: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Longer gradients are scaled down to this norm."""
    rank: int = Field(default=10, ge=0, le=1024)
    """Of the LoRA on every attention layer of the UNet. 0: learn the words alone and leave the UNet as it is."""
    tokens_per_class: int = Field(default=1, ge=1, le=32)
    """Vectors that a class's word stands for: more hold more detail, and take room in the prompt."""
    init_word: str | None = None
    """A word of the text encoder's vocabulary from which all new words start. Without it: rare words, each its own."""
    prompt: str = DEFAULT_TEMPLATE
    """Template with {class} and, if wanted, {metaclass}; generate with the same one."""
    min_snr_gamma: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Weigh noise levels by min(SNR, gamma), 5 in its paper: often learns faster. Without it: all levels alike."""
    flip: bool = True
    """Mirror every second image. Switch it off where left and right mean something."""
    crop: Literal["center", "random"] = "center"
    """random: another square of the image each time; each is then encoded anew, which takes time."""
    crop_scale: float = Field(default=1.0, gt=0, le=1)
    """With crop random: the smallest square, as a share of the image's shorter side."""
    sampling: Literal["shuffled", "balanced"] = "shuffled"
    """balanced: each class equally often, whatever its number of images (long tails)."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Fixes the start values, the order, noise, noise levels, flips and crops."""
    dataset: str = "concepts"
    """Name in the embedding files, DATASET_class_0.safetensors."""
    checkpoint_every: int = Field(default=500, ge=1)
    """Steps between checkpoints, from which the same command goes on. Each takes the place of the one before."""
    validation_every: int = Field(default=0, ge=0)
    """Steps between grids of generated images in samples/, 0 for none. They change nothing in the training."""
    validation_classes: int = Field(default=8, ge=1)
    """Rows of such a grid: the first classes."""
    validation_images: int = Field(default=4, ge=1)
    """Images per class in a grid."""
    cache_latents: bool = True
    """With crop center: keep up to 2 GiB of encoded images in memory, so that each is encoded once."""

    free: ClassVar[frozenset[str]] = frozenset(
        {"steps", "checkpoint_every", "validation_every", "validation_classes", "validation_images", "cache_latents"}
    )
    """Fields that a resumed training may change, since no weight depends on them."""

    @model_validator(mode="after")
    def _fits(self) -> ConceptTraining:
        if self.batch_size % self.gradient_accumulation:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be split into {self.gradient_accumulation} equal parts "
                "(gradient_accumulation); take a multiple"
            )
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}", self.dataset):
            raise ValueError(
                f"the dataset's name is {self.dataset!r}; it becomes part of file names, so take up to 64 letters, "
                "digits, dots and dashes"
            )
        return self


class TrainingHead(BaseModel):
    """``training.json``: all that fixes the weights of every step; a folder of another head is not continued."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", protected_namespaces=())

    format: Literal["ncm-concept-training-1"] = "ncm-concept-training-1"
    classes: tuple[str, ...] = Field(min_length=1)
    meta_class: str
    data: str
    """Hash of the real images and their classes (``SourceListing.hash``)."""
    images: int = Field(ge=1)
    model: str
    model_fingerprint: str
    config: dict[str, JsonValue]
    """The options that weights depend on, each concrete."""

    @classmethod
    def read(cls, folder: Path) -> TrainingHead:
        """Read it from a training's folder.

        Raises:
            InputError: it is missing, torn, or of another format.
        """
        path = folder / HEAD
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"{path} cannot be read ({error.strerror}), and {folder} has a checkpoint that needs it. "
                "Restore it from a copy, or train into a new folder."
            ) from error
        return parse_model(
            data,
            cls,
            what=f"{path} is not the head of a concept training",
            remedy="Restore it from a copy, or train into a new folder.",
        )

    def to_bytes(self) -> bytes:
        """The file's content."""
        return f"{json.dumps(self.model_dump(mode='json'), indent=2, ensure_ascii=True)}\n".encode("ascii")

    def must_equal(self, other: TrainingHead, folder: Path) -> None:
        """Raise InputError with every field in which the training in ``folder`` (self) and this run (other) differ."""
        # a renamed model folder is the same model
        there, here = (_flat(head.model_dump(mode="json", exclude={"model"})) for head in (self, other))
        if lines := differences(there, here, "the folder").values():
            listed = "\n".join(f"  {line}" for line in lines)
            raise InputError(
                f"{folder} holds another concept training than this run's:\n{listed}\n"
                "Take a new folder for this run, or give the settings that the training there has; nothing was "
                "changed here."
            )


def _flat(head: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in head.items() if key != "config"} | head["config"]

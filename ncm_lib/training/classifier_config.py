"""What a classifier training is told."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import InputError
from ..plan.plain_words import plain_words

Pixel = Literal["none", "cutmix", "mixup", "cmo"]

PROTOCOLS: dict[str, dict[str, Any]] = {
    # Takezaki et al., 4.3
    "noisecutmix": {},
    # Wang and Chen, appendix; the learning rate of CUB-200 and Flowers (Cars and Aircraft 0.1, Pets 0.01)
    "diff-ii": {
        "optimizer": "sgd",
        "learning_rate": 0.05,
        "weight_decay": 5e-4,
        "schedule": "cosine",
        "warmup": 0.1,
        "label_smoothing": 0.1,
        "epochs": 128,
        "batch_size": 256,
        "resize": 256,
        "crop": "random",
        "flip": True,
        "use": "replace",
        "replace_probability": 0.5,
        "replace_by": "class",
    },
}


class ClassifierTraining(BaseModel):
    """How a classifier is trained; the defaults are NoiseCutMix's protocol.

    Example:
        >>> ClassifierTraining.of("diff-ii", epochs=5).optimizer
        'sgd'

    Reference:
        Takezaki et al., NoiseCutMix, ICCVW 2025, 4.3; Wang and Chen, Diff-II, CVPR 2025.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())

    model: str = "microsoft/resnet-50"
    """resnet-32px (0.3 M weights, made anew, for 32 px images and CPUs), a folder of a transformers image classifier,
    or a hub id (google/vit-base-patch16-224, timm/resnet50.a1_in1k with the extra timm)."""
    pretrained: bool = True
    """Start from the weights that the folder or hub id has, with a new last layer. False: from random ones."""
    resolution: int | None = Field(default=None, ge=8)
    """Image side that the classifier sees, in pixels. Without it: 32 for resnet-32px, else 224."""
    resize: int | None = Field(default=None, ge=8)
    """Shorter side before a square is cut out. Without it: the resolution."""
    crop: Literal["center", "random"] = "center"
    """Where the square is cut out in training; validation and test always take the centre."""
    flip: bool = False
    """Mirror every second training image. Not where left and right mean something."""
    epochs: int = Field(default=100, ge=1)
    """Passes over the training images."""
    batch_size: int = Field(default=64, ge=2)
    """Images per update, over all processes."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """sgd has momentum."""
    learning_rate: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    """Its largest value."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of sgd."""
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Of all weights."""
    schedule: Literal["constant", "cosine"] = "constant"
    """cosine: the learning rate falls to zero along half a cosine."""
    warmup: float = Field(default=0.0, ge=0, lt=1)
    """Share of the steps in which the learning rate rises to its value."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of every label that is spread over all classes."""
    validation: float = Field(default=0.2, gt=0, lt=1)
    """Share of every class's real images that choose the epoch; not used where validation images are given."""
    use: Literal["add", "replace"] = "add"
    """add: synthetic images beside the real ones. replace: each time a real image is due, perhaps a synthetic one."""
    replace_probability: float = Field(default=0.5, ge=0, le=1)
    """Of use replace: how often a synthetic image stands in."""
    replace_by: Literal["class", "any", "rare"] = "class"
    """class: by one of the same class (its largest weight). any: by any. rare: of a class drawn with weight 1/(n+1)."""
    pixel: Pixel = "none"
    """Mix training images in pixels: cutmix, mixup, or cmo (patches of evenly drawn classes on the others)."""
    pixel_on: Literal["all", "real", "synthetic"] = "all"
    """Which images are mixed with each other."""
    pixel_probability: float = Field(default=0.5, ge=0, le=1)
    """Share of the batches that are mixed."""
    pixel_alpha: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Of Beta(alpha, alpha), which lambda is drawn from. Without it: 1, and 0.2 for mixup."""
    cmo_margin: int = Field(default=3, ge=0)
    """Epochs at the start and at the end without cmo."""
    reweight: Literal["none", "class-balanced"] = "none"
    """class-balanced: rare classes weigh more, by the effective number of images."""
    reweight_beta: float = Field(default=0.9999, ge=0, lt=1)
    """Of the effective number (1 - beta^n) / (1 - beta)."""
    reweight_from: int = Field(default=160, ge=0)
    """First epoch with class weights, counted from 0."""
    ldam_margin: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Largest label-distribution-aware margin, 0.5 in its paper, whose last layer comes with it: 30 times the cosine of
    features and weights. 0: plain cross entropy, an ordinary last layer."""
    shared: Literal["refuse", "drop"] = "refuse"
    """What becomes of training images that are among the test images too."""
    filter: str | None = None
    """Name of a filter that all synthetic sets have (`ncm filter`): only the images that it keeps. Without it: all."""
    incomplete: Literal["refuse", "use"] = "refuse"
    """What becomes of synthetic sets that lack some of their planned images."""
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    """Half precision: less memory and time on GPUs that have it."""
    checkpoint_every: int = Field(default=10, ge=1)
    """Epochs between checkpoints, from which the same command goes on."""
    workers: int = Field(default=0, ge=0)
    """Processes that read images; what is read does not depend on it."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Fixes start weights, validation split, order and all that is drawn."""

    @model_validator(mode="after")
    def _fits(self) -> ClassifierTraining:
        if self.resize is not None and self.resolution is not None and self.resize < self.resolution:
            raise ValueError(
                f"resize is {self.resize} and resolution is {self.resolution}; the square that is cut out cannot be "
                "larger than the shorter side"
            )
        return self

    @classmethod
    def of(cls, protocol: str = "noisecutmix", **fields: Any) -> ClassifierTraining:
        """A published protocol, with some fields of one's own.

        Args:
            protocol: whose settings are the defaults.
            fields: take their place; None means the protocol's.

        Raises:
            InputError: there is no such protocol or field, or a value is not legal.
        """
        if protocol not in PROTOCOLS:
            raise InputError(f"There is no protocol {protocol!r}; there are {', '.join(PROTOCOLS)}.")
        own = PROTOCOLS[protocol] | {name: value for name, value in fields.items() if value is not None}
        try:
            return cls(**own)
        except ValidationError as error:
            raise InputError(f"{plain_words(error, cls, own)}.".replace("?.", "?")) from error

    def settled(self) -> ClassifierTraining:
        """The same with every value concrete."""
        own = 32 if self.model in SMALL_SIDES else 224
        resolution = self.resolution or min(own, self.resize or own)
        alpha = self.pixel_alpha or (0.2 if self.pixel == "mixup" else 1.0)
        fields = {"resolution": resolution, "resize": self.resize or resolution, "pixel_alpha": alpha}
        return ClassifierTraining.model_validate(dict(self) | fields)


SMALL_SIDES = {"resnet-32px": 32}
"""Named small classifiers, and the image side that they are made for."""

FREE = frozenset({"checkpoint_every", "workers"})
"""Fields that a resumed training may change, since no weight depends on them."""

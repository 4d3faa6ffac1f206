"""Images with soft labels, written to a data set on disk."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from comfy_api.latest import io
from torch import Tensor

from ..ncm_lib.errors import InputError
from ..ncm_lib.plan.planes import mask_planes
from ..ncm_lib.store.images import decode_image
from ..ncm_lib.store.layout import image_name
from ..ncm_lib.store.record import Array, Record
from ..ncm_lib.store.writer import DatasetWriter, Item
from .datasets import (
    DATASET,
    RENDERER,
    UNPLANNED,
    dataset_path,
    known_keys,
    planned_manifest,
    unplanned_manifest,
    writing,
)
from .latent_masks import mask_batch
from .sockets import CATEGORY, PlanBatch, Plans, SoftLabelBatch, SoftLabels


class SoftLabelWriter(io.ComfyNode):
    """The end of a graph that makes a data set."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="NCM_SoftLabelWriter",
            display_name="Soft Label Writer",
            category=CATEGORY,
            description="Writes images and their soft labels as a data set below ComfyUI's output folder. Each image "
            "is safe on disk when the node is done, carries its label inside the file, and is never overwritten. No "
            "prompt and no workflow goes into it.",
            is_output_node=True,
            inputs=[
                io.Image.Input("images", tooltip="The decoded images, one per label."),
                SoftLabels.Input(
                    "soft_label",
                    tooltip="From Soft Label or Plan Sample: one label per image; fewer labels start over, as masks "
                    "do.",
                ),
                io.String.Input("dataset", default="ncm/dataset", tooltip=DATASET),
                io.Combo.Input(
                    "image_format",
                    options=["png", "webp", "jpeg"],
                    default="png",
                    tooltip="png: lossless and fast. webp: lossless, smaller files, slower. jpeg: smallest, with "
                    "loss. One format per data set.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Kept beside each image, at its own resolution. With a plan it may be left out: the "
                    "plan's is kept.",
                ),
                Plans.Input(
                    "plan",
                    optional=True,
                    tooltip="From Plan Sample. Images then go to the plan's places, and a data set that was cut "
                    "short goes on exactly. Without it images are appended, and one that is there already is skipped.",
                ),
            ],
            outputs=[],
        )

    @classmethod
    def validate_inputs(cls, dataset: str = "-") -> str | bool:
        """Refuse a folder that cannot be meant, before anything runs."""
        try:
            dataset_path(dataset)
        except InputError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, **_: Any) -> float:
        """Never the same: a data set that was deleted since is written again, even from cached images."""
        return float("nan")

    @classmethod
    def execute(
        cls,
        images: Tensor,
        soft_label: SoftLabelBatch,
        dataset: str,
        image_format: Any,
        mask: Tensor | None = None,
        plan: PlanBatch | None = None,
    ) -> io.NodeOutput:
        """Write what is not there yet."""
        pictures = [_pixels(image) for image in images]
        masks = None if mask is None else mask_batch(mask).numpy()
        labels = [soft_label.rows[k % len(soft_label.rows)] for k in range(len(pictures))]
        path = dataset_path(dataset)
        if plan is None:
            manifest = unplanned_manifest(soft_label.classes, count=1, image_format=image_format)
            records = [
                Record(
                    file_name="-",
                    index=0,
                    # no plan, no seed: the field tells the image and its label apart from all others
                    seed=_key(picture, label),
                    class_ids=tuple(share.class_id for share in label),
                    weights=tuple(share.weight for share in label),
                    method=UNPLANNED,
                    plan_hash=manifest.plan_hash,
                    renderer=RENDERER,
                )
                for picture, label in zip(pictures, labels, strict=True)
            ]
        else:
            _check_plan(plan, dataset, soft_label, labels, len(pictures))
            manifest = planned_manifest(plan.method, count=plan.count, image_format=image_format)
            records = [
                Record.from_sample(sample, method=manifest.method, plan_hash=manifest.plan_hash, renderer=RENDERER)
                for sample in plan.samples
            ]
        kept = [None if masks is None else masks[k % len(masks)] for k in range(len(pictures))]
        if plan is not None and masks is None:
            grid = plan.method.latent_height, plan.method.latent_width
            kept = [mask_planes(sample.mask, *grid)[0].numpy() for sample in plan.samples]
        items = list(zip(records, pictures, kept, strict=True))
        with writing(path, manifest) as writer:
            new, shown = _appended(writer, items) if plan is None else _placed(writer, items)
            writer.write_batch(new)
            skipped = len(items) - len(new)
            there = writer.manifest.count - len(writer.missing())
            text = f"{len(new)} written" + (f", {skipped} there already" if skipped else "")
            text += f"; {there} of {writer.manifest.count} images in {dataset}"
            files = [image_name(index, writer.manifest.image_format).rpartition("/") for index in shown]
        results = [
            {"filename": name, "subfolder": f"{dataset}/{folder}", "type": "output"} for folder, _, name in files
        ]
        return io.NodeOutput(ui={"images": results, "text": [text]})


def _placed(writer: DatasetWriter, items: Sequence[Item]) -> tuple[list[Item], list[int]]:
    """The planned items that are not there yet; one that is there must be the same image."""
    missing = set(writer.missing())
    new: list[Item] = []
    for record, picture, mask in items:
        if record.index in missing:
            new.append((record, picture, mask))
            continue
        name = image_name(record.index, writer.manifest.image_format)
        there = np.asarray(decode_image((writer.path / name).read_bytes(), name))
        # jpeg loses a little, so there the plan's word that it is the same sample has to do
        if writer.manifest.image_format != "jpeg" and not np.array_equal(there, np.asarray(picture)):
            raise InputError(
                f"{name} is there already and shows another image than this run made of sample {record.index}: another "
                "model or other settings. Nothing was overwritten. Take another data set name for these settings, or "
                "delete that image to have it made anew."
            )
    return new, [record.index for record, _, _ in items]


def _appended(writer: DatasetWriter, items: Sequence[Item]) -> tuple[list[Item], list[int]]:
    """The items whose image and label are not there yet, with the next free indices."""
    known = known_keys(writer)
    free = iter(writer.missing())
    new: list[Item] = []
    shown: list[int] = []
    for record, picture, mask in items:
        if record.seed not in known:
            index = next(free, None)
            if index is None:
                index = writer.manifest.count
                writer.extend(index + 1)
            known[record.seed] = index
            new.append((dataclasses.replace(record, index=index), picture, mask))
        shown.append(known[record.seed])
    return new, shown


def _check_plan(plan: PlanBatch, dataset: str, soft_label: SoftLabelBatch, labels: list[Any], images: int) -> None:
    if plan.dataset != dataset:
        raise InputError(
            f"The plan is for the data set {plan.dataset!r} and this node writes {dataset!r}; give both nodes one name."
        )
    if images != len(plan.samples):
        raise InputError(
            f"{images} images came for {len(plan.samples)} planned samples; let the latent of Plan Sample, and nothing "
            "else, set the batch size."
        )
    planned = [sample.label for sample in plan.samples]
    if soft_label.classes != plan.method.classes or not all(map(_same_label, labels, planned)):
        raise InputError(
            "The soft label is not the plan's: it was made from another mask or other classes. Link the soft label of "
            "Plan Sample, or leave the plan out."
        )


def _same_label(label: Any, planned: Any) -> bool:
    return len(label) == len(planned) and all(
        one.class_id == other.class_id and abs(one.weight - other.weight) < 1e-6
        for one, other in zip(label, planned, strict=True)
    )


def _pixels(image: Tensor) -> Array:
    """uint8 [H, W, 3]; an image that shows nothing is refused, so that it never trains anybody's classifier."""
    values = image[..., :3].float().cpu().numpy()
    if not np.isfinite(values).all():
        raise InputError(
            "The image has NaN or infinite values, so it was not written. A VAE in half precision is the usual cause: "
            "start ComfyUI with --fp32-vae, or take a VAE that is mended for fp16."
        )
    pixels = (values.clip(0, 1) * 255).round().astype(np.uint8)
    if pixels.min() == pixels.max():
        raise InputError(
            f"The image is of one colour ({int(pixels.min())}), so it was not written. Look at the sampler's settings: "
            "an image like this comes of a failed run."
        )
    return pixels


def _key(picture: Array, label: Any) -> int:
    digest = hashlib.sha256(picture.tobytes())
    digest.update(repr((picture.shape, [(share.class_id, share.weight) for share in label])).encode())
    return int.from_bytes(digest.digest()[:8], "big") >> 11

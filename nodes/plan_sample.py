"""The next samples of a data set's plan."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io, ui
from comfy_execution.graph import ExecutionBlocker

from ..ncm_lib.errors import InputError
from ..ncm_lib.methods.noisecutmix import NoiseCutMix
from ..ncm_lib.plan.classes import ClassList
from ..ncm_lib.plan.planes import mask_planes
from .class_inputs import NOT_LINKED, check_classes, class_inputs, learned_input, read_classes
from .class_pair import CLASS_A, DIFFERENT, PAIR_POLICIES, PAIR_POLICY
from .cutmix_mask import ALPHA, BOX_CLASS, OWNERS, PLACEMENT, ROUNDING
from .datasets import DATASET, dataset_path, missing, planned_manifest
from .noise import MAX_SEED, PerSampleNoise
from .pictures import mask_pictures, shares_of
from .sockets import CATEGORY, PlanBatch, Plans, Prompts, SoftLabelBatch, SoftLabels

GRID = (
    "latent: boxes on latent cells, so that masks are binary. pixel: boxes on pixels, averaged to cells, which gives "
    "edge cells a share of both classes."
)


class PlanSample(io.ComfyNode):
    """What ``ncm generate`` would make next, for a graph to make."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="NCM_PlanSample",
            display_name="Plan Sample",
            category=CATEGORY,
            description="Takes the next samples that the data set lacks from its plan: classes, prompts, mask, noise "
            "and label. Queue it as often as you like, stop, and queue again: the result is the plan that `ncm "
            "generate` makes.",
            inputs=[
                io.String.Input("dataset", default="ncm/dataset", tooltip=DATASET),
                io.Latent.Input(
                    "latent_image",
                    tooltip="An empty latent of the image size. Its own batch size does not count: batch_size below "
                    "does.",
                ),
                *class_inputs(),
                io.Int.Input(
                    "count",
                    default=1000,
                    min=1,
                    max=MAX_SEED,
                    tooltip="Size of the whole data set. It may be raised later; the first samples stay as they are.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    # the page would otherwise roll it after every run, and the next run would be another data set
                    control_after_generate=False,
                    tooltip="Of the whole data set: it stays the same over all runs. Another seed is another data set.",
                ),
                io.Float.Input("alpha", default=1.0, min=0.001, max=1000.0, step=0.1, round=0.001, tooltip=ALPHA),
                io.Combo.Input("placement", options=["truncate", "inside"], default="truncate", tooltip=PLACEMENT),
                io.Combo.Input("box_class", options=list(OWNERS), default="B (the paper)", tooltip=BOX_CLASS),
                io.Combo.Input("rounding", options=["reference", "exact"], default="reference", tooltip=ROUNDING),
                io.Combo.Input("grid", options=["latent", "pixel"], default="latent", tooltip=GRID),
                io.Combo.Input("pair_policy", options=list(PAIR_POLICIES), default=DIFFERENT, tooltip=PAIR_POLICY),
                io.String.Input("class_a", default="", tooltip=CLASS_A),
                io.Int.Input(
                    "batch_size",
                    default=1,
                    min=1,
                    max=4096,
                    tooltip="Samples per run. Larger batches are faster on a GPU and need more memory.",
                ),
                io.Int.Input(
                    "index",
                    default=-1,
                    min=-1,
                    max=MAX_SEED,
                    tooltip="-1: the lowest samples that the data set lacks when the run starts, so queueing N runs "
                    "makes N batches. Otherwise the first sample to plan, whether it is there or not.",
                ),
                learned_input(),
            ],
            outputs=[
                Plans.Output(
                    id="plan", display_name="plan", tooltip="For the Soft Label Writer: which samples these are."
                ),
                Prompts.Output(id="prompts_a", display_name="prompts A", tooltip="Class A's prompt, one per sample."),
                Prompts.Output(id="prompts_b", display_name="prompts B", tooltip="Class B's prompt, one per sample."),
                io.Mask.Output(id="mask", display_name="mask", tooltip="Class A's share of each latent cell."),
                io.Noise.Output(id="noise", display_name="noise", tooltip="Each sample's own start noise."),
                io.Latent.Output(id="latent", display_name="latent", tooltip="Empty, one per sample."),
                SoftLabels.Output(id="soft_label", display_name="soft label", tooltip="The planned labels."),
            ],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(
        cls,
        dataset: str = "-",
        class_file: str = "",
        class_names: str = "",
        meta_class: str = "",
        prompt: str = "",
        learned_classes: Any = NOT_LINKED,
    ) -> str | bool:
        """Refuse a folder or classes that cannot be meant, before anything runs."""
        try:
            dataset_path(dataset)
        except InputError as error:
            return str(error)
        return check_classes(class_file, class_names, meta_class, prompt, linked=learned_classes != NOT_LINKED)

    @classmethod
    def fingerprint_inputs(cls, index: int = -1, **_: Any) -> float | int:
        """With index -1 the data set is looked at anew in every run."""
        return float("nan") if index < 0 else index

    @classmethod
    def execute(
        cls,
        dataset: str,
        latent_image: dict[str, Any],
        class_file: str,
        class_names: str,
        meta_class: str,
        prompt: str,
        count: int,
        seed: int,
        alpha: float,
        placement: Any,
        box_class: str,
        rounding: Any,
        grid: Any,
        pair_policy: str,
        class_a: str,
        batch_size: int,
        index: int,
        learned_classes: ClassList | None = None,
    ) -> io.NodeOutput:
        """Plan the batch; a data set that lacks nothing stops the rest of the graph without an error."""
        template = latent_image["samples"]
        if template.is_nested or template.ndim != 4:
            raise InputError("Plan Sample makes pictures: give it an empty image latent, [N, C, height, width].")
        height, width = template.shape[-2:]
        method = NoiseCutMix.checked(
            classes=read_classes(class_file, class_names, meta_class, learned_classes),
            prompt=prompt,
            alpha=alpha,
            placement=placement,
            box_class=OWNERS[box_class],
            rounding=rounding,
            grid=grid,
            pair_policy=PAIR_POLICIES[pair_policy],
            class_a=class_a.strip() or None,
        ).resolved(
            seed=seed,
            latent_height=height,
            latent_width=width,
            # ComfyUI's key for latents of another factor than 8
            latent_cell=latent_image.get("downscale_ratio_spacial", 8),
        )
        todo = missing(dataset_path(dataset), planned_manifest(method, count=count))
        if index >= 0:
            if index >= count:
                raise InputError(f"The index is {index} and the data set has {count} samples, 0 to {count - 1}.")
            todo = range(index, min(index + batch_size, count))
        if not todo:
            return io.NodeOutput(*[ExecutionBlocker(None)] * 7, ui={"text": [f"all {count} samples are there"]})
        samples = tuple(method.plan_one(position) for position in todo[:batch_size])
        masks = torch.stack([mask_planes(sample.mask, height, width)[0] for sample in samples])
        labels = SoftLabelBatch(classes=method.classes, rows=tuple(sample.label for sample in samples))
        empty = torch.zeros(len(samples), *template.shape[1:], dtype=template.dtype)
        latent = {key: value for key, value in latent_image.items() if key not in ("batch_index", "noise_mask")}
        shown = mask_pictures(masks, [shares_of(row, method.classes) for row in labels.rows])
        return io.NodeOutput(
            PlanBatch(dataset=dataset, method=method, count=count, samples=samples),
            tuple(sample.conditions[0].prompt for sample in samples),
            tuple(sample.conditions[1].prompt for sample in samples),
            masks,
            PerSampleNoise(samples[0].seed, lambda position: samples[position].seed),
            {**latent, "samples": empty},
            labels,
            ui=ui.PreviewImage(shown, cls=cls),
        )

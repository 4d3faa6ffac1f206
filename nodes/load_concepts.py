"""Learned class concepts on a MODEL and a CLIP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import comfy.lora
import comfy.utils
from comfy_api.latest import io

from ..ncm_lib.concepts.lora import LoraPair, kohya_key, lora_tensors
from ..ncm_lib.concepts.read import read_concepts
from ..ncm_lib.errors import InputError
from .concept_folders import KIND, concept_folder, concept_folders, state_of
from .concept_tokens import with_tokens
from .sockets import CATEGORY, Classes


class LoadConcepts(io.ComfyNode):
    """What ``load_concepts`` of the library does, by ComfyUI's own patches and embeddings."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="NCM_LoadConcepts",
            display_name="Load Concepts",
            category=CATEGORY,
            description="Teaches the model the classes that were learned from real images: a word for each class, such "
            "as <class_7>, and a LoRA that all share. Prompts of the linked class list use these words.",
            inputs=[
                io.Model.Input("model", tooltip="The model that the concepts were learned with. It stays as it is."),
                io.Clip.Input("clip", tooltip="Its text encoder. It stays as it is."),
                io.Combo.Input(
                    "concepts",
                    options=[*concept_folders()],
                    tooltip=f"A folder below models/{KIND} of ComfyUI or below ckpts of this pack: what ncm "
                    "train-concepts made, a checkpoint that Diff-Mix published, or files of diffusers. Press R after "
                    "you have put one there.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="With the LoRA. Speed and memory stay what they were."),
                io.Clip.Output(display_name="clip", tooltip="Understands the words in any prompt."),
                Classes.Output(
                    id="classes",
                    display_name="classes",
                    tooltip="The learned classes and their words, for Class Pair and Plan Sample.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, concepts: str = "") -> str | bool:
        """Refuse a name that is not in the list, before anything runs."""
        try:
            concept_folder(concepts)
        except InputError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, concepts: str = "", **_: Any) -> str:
        """Concepts that were trained on are loaded again."""
        folders = concept_folders()
        return state_of(folders[concepts]) if concepts in folders else ""

    @classmethod
    def execute(cls, model: Any, clip: Any, concepts: str) -> io.NodeOutput:
        """Read them and put them on."""
        if clip is None:
            raise InputError("The CLIP input is empty: this checkpoint holds no text encoder. Load one and link it.")
        learned = read_concepts(concept_folder(concepts))
        return io.NodeOutput(_with_lora(model, learned.lora), with_tokens(clip, learned), learned.classes)


def _with_lora(model: Any, lora: Mapping[str, LoraPair]) -> Any:
    """A clone with a patch on every adapted layer.

    Raises:
        InputError: the model lacks a layer, or has it in another shape.
    """
    names = comfy.lora.model_lora_keys_unet(model.model, {})
    for path, pair in lora.items():
        name = names.get(kohya_key(path))
        shape = [pair.up.shape[0], pair.down.shape[1]]
        there = None if name is None else [*comfy.utils.get_attr(model.model, name).shape]
        if there != shape:
            what = "does not have" if there is None else f"has as a matrix {there}"
            raise InputError(
                f"The concepts adapt the layer {path!r} as a matrix {shape}, which this model {what}: they were "
                "learned with a model of another family. Link the model that they were learned with."
            )
    clone = model.clone()
    clone.add_patches(comfy.lora.load_lora(lora_tensors(lora), names))
    return clone

"""Which two classes each sample mixes."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..ncm_lib.methods.noisecutmix import NoiseCutMix
from ..ncm_lib.plan.classes import ClassList
from ..ncm_lib.plan.pairs import PairPolicy
from ..ncm_lib.plan.prompts import class_prompts
from .class_inputs import NOT_LINKED, check_classes, class_inputs, learned_input, read_classes
from .noise import MAX_SEED
from .sockets import CATEGORY, Classes, ClassIds, Prompts

DIFFERENT, ANY, BALANCED = "different classes", "any two classes", "balanced pairs"
PAIR_POLICIES: dict[str, PairPolicy] = {DIFFERENT: "uniform", ANY: "any", BALANCED: "balanced"}
PAIR_POLICY = (
    "different classes: class B is never class A. any two classes: it may be, as in the published code; such a sample "
    "shows one class only. balanced pairs: class B goes through all other classes equally often, for each class A."
)
CLASS_A = "A class name fixes class A for all samples; empty goes through all classes equally often."


class ClassPair(io.ComfyNode):
    """The pairs that ``NoiseCutMix.plan`` draws for the same classes and seed."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="NCM_ClassPair",
            display_name="Class Pair",
            category=CATEGORY,
            description="Draws a pair of classes for every sample and writes their prompts. Class A goes through all "
            "classes equally often; class B is drawn.",
            inputs=[
                *class_inputs(),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="Other seeds draw other pairs. The Python library draws the same ones from the same seed.",
                ),
                io.Int.Input(
                    "count",
                    default=1,
                    min=1,
                    max=4096,
                    tooltip="How many pairs: the batch size of the LATENT, so that each sample has its own.",
                ),
                io.Combo.Input(
                    "pair_policy",
                    options=list(PAIR_POLICIES),
                    default=DIFFERENT,
                    tooltip=PAIR_POLICY,
                ),
                io.String.Input("class_a", default="", tooltip=CLASS_A),
                io.String.Input(
                    "class_b", default="", tooltip="A class name fixes class B for all samples; empty draws it."
                ),
                learned_input(),
            ],
            outputs=[
                Prompts.Output(id="prompts_a", display_name="prompts A", tooltip="Class A's prompt, one per sample."),
                Prompts.Output(id="prompts_b", display_name="prompts B", tooltip="Class B's prompt, one per sample."),
                ClassIds.Output(id="class_ids", display_name="class ids", tooltip="For the Soft Label node."),
                Classes.Output(
                    id="classes", display_name="classes", tooltip="The class list, for the Soft Label node."
                ),
            ],
        )

    @classmethod
    def validate_inputs(
        cls,
        class_file: str = "",
        class_names: str = "",
        meta_class: str = "",
        prompt: str = "",
        learned_classes: Any = NOT_LINKED,
    ) -> str | bool:
        """Refuse a class list or a template that cannot be meant, before anything runs."""
        return check_classes(class_file, class_names, meta_class, prompt, linked=learned_classes != NOT_LINKED)

    @classmethod
    def execute(
        cls,
        class_file: str,
        class_names: str,
        meta_class: str,
        prompt: str,
        seed: int,
        count: int,
        pair_policy: str,
        class_a: str,
        class_b: str,
        learned_classes: ClassList | None = None,
    ) -> io.NodeOutput:
        """Draw the pairs."""
        classes = read_classes(class_file, class_names, meta_class, learned_classes)
        fixed_b = classes.id_of(class_b.strip()) if class_b.strip() else None
        method = NoiseCutMix.checked(
            classes=classes,
            seed=seed,
            class_a=class_a.strip() or None,
            prompt=prompt,
            pair_policy="any" if fixed_b is not None else PAIR_POLICIES[pair_policy],
        )
        ids = [(int(a), int(b) if fixed_b is None else fixed_b) for a, b in method.plan(0, count).class_ids]
        prompts = class_prompts(classes, prompt)
        return io.NodeOutput(tuple(prompts[a] for a, _ in ids), tuple(prompts[b] for _, b in ids), tuple(ids), classes)

"""Inputs that name the classes: a file in ComfyUI's input folder, or names typed into the node."""

from __future__ import annotations

from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..ncm_lib.concepts.learned import learned_classes
from ..ncm_lib.errors import InputError
from ..ncm_lib.plan.classes import ClassList
from ..ncm_lib.plan.prompts import DEFAULT_TEMPLATE, class_prompts
from ..ncm_lib.store.layout import safe_join
from .sockets import Classes

TYPED = "typed below"
NOT_LINKED = "not linked"
"""For ``validate_inputs``, which gets None for a link and nothing where there is none."""


def class_inputs() -> list[io.Input]:
    """The four inputs that ``read_classes`` and ``class_prompts`` take."""
    files = sorted(path.name for path in Path(folder_paths.get_input_directory()).glob("*.json"))
    return [
        io.Combo.Input(
            "class_file",
            options=[TYPED, *files],
            default=TYPED,
            tooltip='A JSON file in ComfyUI\'s input folder: {"classes": ["robin", "wren"], "meta_class": "bird"}. It '
            "then replaces the names and the metaclass that are typed below.",
        ),
        io.String.Input(
            "class_names",
            multiline=True,
            default="",
            placeholder="robin\nwren",
            tooltip="All classes of your data set, one per line or with commas between them, in the order of their "
            "labels: the first is class 0.",
        ),
        io.String.Input(
            "meta_class",
            default="",
            tooltip='What all classes are kinds of, such as "bird". It stands behind the class name in the prompt; '
            "empty leaves no trace.",
        ),
        io.String.Input(
            "prompt",
            default=DEFAULT_TEMPLATE,
            tooltip="The prompt of a class, with {class} and, if wanted, {metaclass}.",
        ),
    ]


def learned_input() -> io.Input:
    """The optional last input: classes with learned words."""
    return Classes.Input(
        "learned_classes",
        optional=True,
        tooltip="From Load Concepts: prompts then have the learned words of the classes. Without class names or a "
        "class file all learned classes are meant; with them, those that they name.",
    )


def read_classes(class_file: str, class_names: str, meta_class: str, learned: ClassList | None = None) -> ClassList:
    """The class list that the inputs mean.

    Raises:
        InputError: no names, a name that stands twice or was not learned, or a file that is no class list inside of the
            input folder.
    """
    if learned is not None:
        typed = class_file == TYPED and not class_names.strip()
        wanted = (
            ClassList.of(learned.names, meta_class.strip())
            if typed
            else read_classes(class_file, class_names, meta_class)
        )
        return learned_classes(wanted, learned)
    if class_file != TYPED:
        return ClassList.load(safe_join(Path(folder_paths.get_input_directory()), class_file))
    separator = "\n" if "\n" in class_names.strip() else ","
    names = [name.strip() for name in class_names.split(separator) if name.strip()]
    if not names:
        raise InputError(
            "No classes are named. Type their names into class_names, one per line, choose a class_file, or link the "
            "classes of Load Concepts."
        )
    return ClassList.of(names, meta_class=meta_class.strip())


def check_classes(
    class_file: str, class_names: str, meta_class: str, prompt: str, *, linked: bool = False
) -> str | bool:
    """For ``validate_inputs``: True, or what is wrong; ``linked`` classes are only known in the run."""
    try:
        unnamed = linked and class_file == TYPED and not class_names.strip()
        classes = ClassList.of(["any"]) if unnamed else read_classes(class_file, class_names, meta_class)
        class_prompts(classes, prompt)
    except InputError as error:
        return str(error)
    return True

"""Doing one task of a comparison, in this process or in another."""

from __future__ import annotations

import functools
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..engine.concepts import load_concepts
from ..engine.generate import generate
from ..engine.invert import invert
from ..engine.load import Model, load_model
from ..engine.pool_settings import settings_for_pool
from ..engine.settings import RenderSettings
from ..errors import InputError
from ..plan.pool import PoolListing
from ..sources.listing import SourceListing
from ..sources.load import load_source
from ..sources.pool import InversionPool
from ..store.disk import replace_bytes
from ..version import __version__
from .classifier import train_classifier
from .classifier_config import ClassifierTraining
from .compare_filter import mark
from .compare_plan import method_of
from .compare_tasks import Task
from .concepts import train_concepts
from .concepts_config import ConceptTraining
from .provenance import commit, source_hash

DONE, FAILED, OUT = "done.json", "failed.json", "out"


def task_folder(root: Path, name: str) -> Path:
    """Where a task's result is."""
    return root / "tasks" / name


def do_task(task: Task, root: Path, needs: tuple[str, ...], threads: int, device: str) -> None:
    """Do a task, or go on with it, and mark it as done.

    Args:
        task: what to do.
        root: folder of the comparison.
        needs: folder names of the tasks that it needs, all done.
        threads: of torch.
        device: where it runs.

    Raises:
        InputError: it cannot be done; anything else that what it calls raises.
    """
    folder = task_folder(root, task.name)
    (folder / OUT).mkdir(parents=True, exist_ok=True)
    (folder / FAILED).unlink(missing_ok=True)
    before, began = torch.get_num_threads(), time.monotonic()
    torch.set_num_threads(threads)
    try:
        found = _WORK[task.kind](task.settings, folder / OUT, [task_folder(root, name) / OUT for name in needs], device)
    finally:
        torch.set_num_threads(before)
    line = {
        "key": task.key,
        "kind": task.kind,
        "identity": task.identity,
        "version": __version__,
        "commit": commit(),
        "source": source_hash(),
        "seconds": round(time.monotonic() - began, 3),
        "found": found,
    }
    replace_bytes(folder / DONE, f"{json.dumps(line, indent=2)}\n".encode("ascii"))


@functools.cache
def _source(path: str, like: str | None = None) -> SourceListing:
    return load_source(path, classes=None if like is None else _source(like).classes)


@functools.cache
def _model(name: str, device: str, dtype: str | None = None) -> Model:
    return load_model(name, device=device, dtype=dtype)


def _images(source: dict[str, Any]) -> SourceListing:
    """The real images of a cell."""
    if "other" in source:
        return _source(source["other"], source["train"])
    images = _source(source["train"])
    return images.subset(source["shots"], source["seed"]) if "shots" in source else images


def _prepared(settings: dict[str, Any], concepts: list[Path], device: str) -> tuple[Model, SourceListing]:
    """The model with its concepts, and the images under the class list that it was taught."""
    images, model = _images(settings["source"]), _model(settings["model"], device, settings["dtype"])
    if settings["concepts"]:
        model = load_concepts(model, concepts[0])
        if model.classes is None:
            raise InputError(f"The concepts in {concepts[0]} have no class list.")
        return model, images.with_classes(model.classes)
    return model, images.with_classes(replace(images.classes, meta_class=settings["meta_class"]))


def _concepts(settings: dict[str, Any], out: Path, needs: list[Path], device: str) -> dict[str, Any]:
    images = _images(settings["source"])
    images = images.with_classes(replace(images.classes, meta_class=settings["meta_class"]))
    config = ConceptTraining(**settings["config"])
    train_concepts(_model(settings["model"], device), images, out=out, config=config)
    return {"needs": len(needs), "images": len(images)}


def _invert(settings: dict[str, Any], out: Path, needs: list[Path], device: str) -> dict[str, Any]:
    model, images = _prepared(settings, needs, device)
    done = invert(model, images, out=out, batch_size=settings["batch_size"], **settings["inversion"])
    return {"psnr": done.psnr, "psnr_autoencoder": done.psnr_autoencoder}


def _generate(settings: dict[str, Any], out: Path, needs: list[Path], device: str) -> dict[str, Any]:
    model, images = _prepared(settings, needs, device)
    kind, render = method_of(settings["method"]), RenderSettings(**settings["render"])
    fields: dict[str, Any] = {"classes": images.classes, **settings["options"]}
    if settings["class_counts"] is not None:
        fields["class_counts"] = tuple(settings["class_counts"])
    lookup = None
    if "images" in kind.model_fields:
        hashes = tuple(images.hashes_of(class_id) for class_id in range(len(images.classes)))
        fields["images"] = PoolListing(images=hashes)
    if "pool" in kind.model_fields:
        pool = InversionPool(needs[-1])
        fields |= {"pool": pool.listing, "prompt": pool.head.prompt}
        render = settings_for_pool(render, pool, prompt=pool.head.prompt, fingerprint=model.fingerprint)
        lookup = pool.latent
    summary = generate(
        kind.checked(**fields),
        model,
        out=out,
        count=settings["count"],
        seed=settings["seed"],
        batch_size=settings["batch_size"],
        settings=render,
        inversion=lookup,
        images=images,
    )
    return {"made": summary.made + summary.skipped, "failed": summary.failed}


def _classifier(settings: dict[str, Any], out: Path, needs: list[Path], device: str) -> dict[str, Any]:
    images = _images(settings["source"])
    test = _source(settings["test"], settings["source"]["train"])
    config = ClassifierTraining(**settings["config"])
    if "filter" in settings:
        needs, judges = needs[:1], needs[1:]
        row = settings["filter"]["row"]
        model = str(judges[0] / "model") if judges else row["model"]
        marked = mark(str(needs[0]), row, settings["filter"]["identity"], device, model)
        config = config.model_copy(update={"filter": marked.name})
    done = train_classifier(images, out=out, synthetic=needs, test=test, config=config, device=device)
    return {"test": done.test, "validation": done.validation, "images": done.images, "notes": list(done.notes)}


_WORK = {"concepts": _concepts, "invert": _invert, "generate": _generate, "classifier": _classifier}

"""Learned concepts on a loaded model: new tokens, and LoRA merged into copies of the weights that it changes."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..concepts.concept_set import ConceptSet
from ..concepts.lora import LoraPair
from ..concepts.read import read_concepts
from ..errors import InputError
from .families.stable_diffusion_xl import Inverted
from .load import Model


def load_concepts(model: Model, path: str | Path, *, any_base: bool = False) -> Model:
    """Put the learned concepts in a folder on a model.

    Every adapted weight becomes W + scale * up @ down, and every token a new row behind those of the text encoder's
    embedding. Where nothing changes, the two models share their weights, so this costs the adapted projections only.

    Args:
        model: an SD 1.x, 2.x or SDXL model; it stays as it is.
        path: a folder of concepts: ours, diffusers' files, or what Diff-Mix published; see ``read_concepts``.
        any_base: also take concepts that were learned with another model, as long as they fit by shape.

    Returns:
        A model whose ``classes`` are those of the concepts, with their tokens, and whose fingerprint tells model and
        concepts.

    Raises:
        InputError: what ``read_concepts`` raises; or the concepts do not fit the model: another base model, width,
            family, a token that it has already, or a layer that it lacks. The message names it.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from ncm_lib import ClassList, class_prompts, load_model
        >>> from ncm_lib.concepts import save_concepts
        >>> boots = ClassList(names=("rain boot",), tokens=("<class_0>",))
        >>> with TemporaryDirectory() as folder:
        ...     learned = ConceptSet(classes=boots, embeddings={"clip_l": {"<class_0>": torch.ones(64)}})
        ...     save_concepts(folder, learned)
        ...     model = load_concepts(load_model("demo", device="cpu"), folder)
        >>> class_prompts(model.classes)
        ('a photo of a <class_0>',)
    """
    return with_concepts(model, read_concepts(path), any_base=any_base)


def with_concepts(model: Model, concepts: ConceptSet, *, any_base: bool = False) -> Model:
    """The same, of concepts that are in memory."""
    family = model.family
    if not isinstance(family, Inverted):
        raise InputError(
            f"The model {model.name} is of the family {type(family).__name__}; concepts can be put on SD 1.x, 2.x and "
            "SDXL."
        )
    check_base(model.name, model.fingerprint, concepts, any_base=any_base)
    several = len(family.clips) > 1
    if len(concepts.embeddings) != len(family.clips) or (several and concepts.embeddings.keys() != family.clips.keys()):
        raise InputError(
            f"The concepts hold vectors for {_listed(concepts.embeddings)}, and the model {model.name} has "
            f"{_listed(family.clips)}: they were learned with a model of another family."
        )
    parts: dict[str, Any] = {}
    for name, suffix in family.clips.items():
        # a lone encoder's vectors are its own, whatever name they have: SD 2.x's is ComfyUI's clip_h
        vectors = concepts.embeddings[name] if several else next(iter(concepts.embeddings.values()))
        tokenizer, encoder = f"tokenizer{suffix}", f"text_encoder{suffix}"
        parts[tokenizer], parts[encoder] = _with_tokens(
            model.name, getattr(family, tokenizer), getattr(family, encoder), vectors
        )
    unet = _merged(model.name, family.unet, concepts.lora)
    return replace(
        model,
        family=replace(family, **parts, unet=unet),
        fingerprint=joint_fingerprint(model.fingerprint, concepts),
        classes=concepts.classes,
    )


def _listed(encoders: Iterable[str]) -> str:
    names = [*encoders]
    return f"{len(names)} text encoder{'s' * (len(names) > 1)} ({', '.join(names)})"


def joint_fingerprint(fingerprint: str, concepts: ConceptSet) -> str:
    """The fingerprint that a model has with concepts on it, from that of the model alone."""
    return hashlib.sha256(f"{fingerprint} {concepts.fingerprint}".encode()).hexdigest()


def check_base(name: str, fingerprint: str, concepts: ConceptSet, *, any_base: bool = False) -> None:
    """Refuse concepts that were learned with another model.

    Args:
        name: of the model.
        fingerprint: of the model.
        concepts: what is to be put on it; those of unknown origin are let be.
        any_base: let all be.

    Raises:
        InputError: another base model; with the names of both.
    """
    if any_base or concepts.base_fingerprint in ("", fingerprint):
        return
    raise InputError(
        f"The concepts were learned with the model {concepts.base_model!r} ({concepts.base_fingerprint[:12]}), and "
        f"this is {name!r} ({fingerprint[:12]}). Give the model that they were learned with; if it is the same one in "
        "another form (such as fp16), say any_base=True, or --any-base on the command line."
    )


def _with_tokens(name: str, tokenizer: Any, encoder: Any, vectors: Mapping[str, Tensor]) -> tuple[Any, Any]:
    """Copies of tokenizer and text encoder that know the tokens."""
    from transformers import AddedToken

    old = encoder.get_input_embeddings().weight
    width = len(next(iter(vectors.values())))
    if width != old.shape[1]:
        raise InputError(
            f"The concepts' vectors have the width {width}, and the text encoder of the model {name} expects "
            f"{old.shape[1]}: they were learned with a model of another family."
        )
    if taken := [token for token in vectors if token in tokenizer.get_vocab()]:
        raise InputError(f"The model {name} has the token {taken[0]} already; concepts are put on a model once.")
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in vectors])
    ids = tokenizer.convert_tokens_to_ids(list(vectors))
    # a tokenizer may have fewer words than the embedding has rows
    rows = torch.cat([old.detach(), old.new_zeros(max(0, max(ids) + 1 - len(old)), width)])
    rows[ids] = torch.stack([vector.detach() for vector in vectors.values()]).to(rows)
    encoder = _twin(encoder)
    encoder.set_input_embeddings(nn.Embedding.from_pretrained(rows, freeze=True))
    encoder.config.vocab_size = len(rows)
    return tokenizer, encoder


def _merged(name: str, unet: Any, lora: Mapping[str, LoraPair]) -> Any:
    """A twin of the UNet with W + scale * up @ down in every adapted layer."""
    if not lora:
        return unet
    twin = _twin(unet)
    layers = {path: layer for path, layer in twin.named_modules() if isinstance(layer, nn.Linear)}
    for path, pair in lora.items():
        layer = layers.get(path)
        if layer is None:
            raise InputError(
                f"The concepts adapt the layer {path!r}, which the model {name} does not have; its attention layers "
                f"are such as {next((path for path in layers if path.endswith('.to_q')), None)!r}."
            )
        shape = [pair.up.shape[0], pair.down.shape[1]]
        if shape != [*layer.weight.shape]:
            raise InputError(
                f"The concepts adapt the layer {path!r} as a matrix {shape}; in the model {name} it is "
                f"{[*layer.weight.shape]}: they were learned with a model of another family."
            )
        weight = layer.weight.detach()
        delta = replace(pair, up=pair.up.to(weight.device), down=pair.down.to(weight.device)).delta()
        layer.weight = nn.Parameter((weight.float() + delta).to(weight.dtype), requires_grad=False)
    return twin


def _twin(module: Any) -> Any:
    """A copy that shares all tensors with the original until one is replaced."""
    shared = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in shared})

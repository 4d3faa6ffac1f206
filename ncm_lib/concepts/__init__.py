"""Learned class concepts: token embeddings and LoRA weights, and the files that hold them."""

from .concept_set import ConceptSet, class_tokens
from .lora import LoraPair, lora_pairs
from .read import read_concepts
from .save import save_concepts

__all__ = ["ConceptSet", "LoraPair", "class_tokens", "lora_pairs", "read_concepts", "save_concepts"]

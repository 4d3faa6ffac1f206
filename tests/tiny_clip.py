"""A CLIP model of the real class with random weights, small enough for unit tests."""

from __future__ import annotations

from pathlib import Path

from .garments import GARMENTS


def save_tiny_clip(folder: Path) -> Path:
    """Write it in transformers' layout: pictures of 16 px, the tokenizer of ``garments``."""
    import torch
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    torch.manual_seed(0)
    tokenizer = CLIPTokenizer.from_pretrained(GARMENTS / "tokenizer")
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    text = small | ends | {"vocab_size": len(tokenizer), "max_position_embeddings": tokenizer.model_max_length}
    vision = small | {"image_size": 16, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

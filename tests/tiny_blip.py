"""A captioner of real classes with random weights, saved to disk."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessorPil

WORDS = ["flying", "over", "water", "on", "snow", "robin"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]"]


def save_tiny_blip(folder: Path) -> None:
    """Build a BLIP captioner for images of 16 px that knows a few words, and save it as transformers does."""
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, *WORDS]) + "\n")
    tokenizer = BertTokenizer(str(folder / "vocab.txt"), additional_special_tokens=["[DEC]", "[ENC]"])
    shared = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "initializer_range": 1.0,
    }
    text = shared | {
        "vocab_size": len(tokenizer), "encoder_hidden_size": 16, "max_position_embeddings": 40, "pad_token_id": 0,
        "bos_token_id": SPECIAL.index("[DEC]"), "eos_token_id": SPECIAL.index("[SEP]"), "sep_token_id": 3,
    }  # fmt: skip
    vision = shared | {"image_size": 16, "patch_size": 8}
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=8)
    BlipForConditionalGeneration(config).eval().save_pretrained(folder)
    BlipImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    tokenizer.save_pretrained(folder)

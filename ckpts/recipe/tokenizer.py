"""A CLIP tokenizer over a small vocabulary: bytes, the words of a small model's prompts, nothing else."""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
MAX_TOKENS = 32


def build(prompts: Iterable[str], folder: Path) -> CLIPTokenizer:
    """Learn byte-pair merges until every word of ``prompts`` is one token; other words are spelt in bytes."""
    trainer = trainers.BpeTrainer(
        vocab_size=4096,
        min_frequency=1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    bpe.train_from_iterator(
        sorted({word for prompt in prompts for word in prompt.lower().replace("-", " - ").split()}), trainer
    )
    merges = json.loads(bpe.to_str())["model"]["merges"]
    # CLIP's own order: bytes, bytes that end a word, merges, then the two specials.
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = alphabet + [letter + "</w>" for letter in alphabet] + ["".join(pair) for pair in merges] + [START, END]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text(
        "\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges)]) + "\n", encoding="utf-8"
    )
    settings = {
        "tokenizer_class": "CLIPTokenizer", "model_max_length": MAX_TOKENS, "add_prefix_space": False,
        "bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    (folder / "special_tokens_map.json").write_text(
        json.dumps({key: value for key, value in settings.items() if key.endswith("_token")}, indent=2) + "\n",
        encoding="utf-8",
    )
    return CLIPTokenizer.from_pretrained(folder)

"""New words in a text encoder that is otherwise left alone."""

from __future__ import annotations

import copy
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AddedToken

from ..errors import InputError
from ..typing import Float32


class NewRows(nn.Module):
    """An embedding table and the rows of new words behind it, of which only those can change.

    The table itself is neither copied nor trained, so its rows keep their bits by construction.
    """

    def __init__(self, table: nn.Embedding, rows: Float32[Tensor, "words width"], first_id: int) -> None:
        super().__init__()
        self.table = table
        self.rows = nn.Parameter(rows)
        self.first_id = first_id

    def forward(self, ids: Tensor) -> Tensor:
        """The vectors of token ids, in the table's dtype."""
        new = ids >= self.first_id
        # both are looked up everywhere, so that the rows have a gradient in every step and process
        own = F.embedding((ids - self.first_id).clamp(min=0), self.rows).to(self.table.weight.dtype)
        return torch.where(new[..., None], own, self.table(ids.masked_fill(new, 0)))


@contextmanager
def new_words(
    tokenizer: Any, text_encoder: Any, words: Sequence[str], start: Float32[Tensor, "words width"]
) -> Generator[tuple[Any, NewRows]]:
    """Inside, ``text_encoder`` reads the new words, and a copy of the tokenizer writes them.

    Args:
        tokenizer: of transformers; not changed.
        text_encoder: of transformers; as it was when the block ends.
        words: each becomes one token.
        start: the vectors that they begin with.

    Raises:
        InputError: the tokenizer has one of the words already.
    """
    known = tokenizer.get_vocab()
    if there := [word for word in words if word in known]:
        raise InputError(
            f"The model's vocabulary has the word {there[0]!r} already, so concepts were loaded into it. "
            "Train on the base model."
        )
    copied = copy.deepcopy(tokenizer)
    copied.add_tokens([AddedToken(word, normalized=False) for word in words])
    table = text_encoder.get_input_embeddings()
    extended = NewRows(table, start, copied.convert_tokens_to_ids(words[0]))
    extended.to(table.weight.device)
    text_encoder.set_input_embeddings(extended)
    try:
        yield copied, extended
    finally:
        text_encoder.set_input_embeddings(table)


def start_rows(tokenizer: Any, text_encoder: Any, count: int, init_word: str | None) -> Float32[Tensor, "count width"]:
    """The vectors that new words begin with: copies of a word's, or of rare words', each of another one.

    The rare words are the whole words that byte-pair encoding merged last, the rarest first.

    Raises:
        InputError: ``init_word`` is not one token of the vocabulary, or there are too few words to begin with.
    """
    table: Tensor = text_encoder.get_input_embeddings().weight
    ids = rare_words(tokenizer, count) if init_word is None else [word_id(tokenizer, init_word)] * count
    return table.detach()[ids].float().cpu().clone()


def word_id(tokenizer: Any, word: str) -> int:
    """The id of a word that is one token."""
    ids = tokenizer(word, add_special_tokens=False).input_ids
    if len(ids) == 1 and ids[0] != tokenizer.unk_token_id:
        return int(ids[0])
    pieces = ", ".join(repr(piece.replace("</w>", "")) for piece in tokenizer.convert_ids_to_tokens(ids)[:8])
    raise InputError(
        f"The init word {word!r} is {len(ids)} tokens of this text encoder ({pieces or 'none'}), and a new word can "
        "begin as one only. Take another word, such as a more common one for the same thing, or leave it out."
    )


def rare_words(tokenizer: Any, count: int) -> list[int]:
    """Ids of ``count`` different whole words, by falling id; they repeat where the vocabulary has fewer."""
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_encoder.values())
    words = [(number, word) for word, number in tokenizer.get_vocab().items() if number not in special]
    whole = sorted((number for number, word in words if word.endswith("</w>")), reverse=True)
    if not whole:
        raise InputError("This tokenizer has no whole words for new ones to begin as; give init_word.")
    return [whole[place % len(whole)] for place in range(count)]

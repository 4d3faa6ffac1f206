"""New words, and everything in the text encoder that is not new."""

import copy

import pytest
import torch

from ncm_lib import InputError
from ncm_lib.training.concepts_words import new_words, rare_words, start_rows


@pytest.fixture
def parts(tiny_model):
    return tiny_model.family.tokenizer, tiny_model.family.text_encoder


def test_a_new_word_is_its_vector_and_every_other_token_the_tables(parts):
    tokenizer, encoder = parts
    table = encoder.get_input_embeddings()
    start = torch.arange(64.0).reshape(2, 32)
    with new_words(tokenizer, encoder, ["<one>", "<two>"], start) as (words, extended):
        ids = words("a <two> photo <one>", return_tensors="pt").input_ids
        vectors = extended(ids)[0]
        pieces = words.convert_ids_to_tokens(ids[0])
        assert pieces[1:5] == ["a</w>", "<two>", "photo</w>", "<one>"]
        assert torch.equal(vectors[2], start[1])
        assert torch.equal(vectors[4], start[0])
        assert torch.equal(vectors[[0, 1, 3, 5]], table.weight[ids[0, [0, 1, 3, 5]]])


def test_the_gradient_reaches_the_new_rows_only(parts):
    tokenizer, encoder = parts
    with new_words(tokenizer, encoder, ["<one>", "<two>"], torch.ones(2, 32)) as (words, extended):
        states = encoder(words("a photo of a <two>", return_tensors="pt").input_ids)[0]
        states.square().sum().backward()
        trainable = [name for name, parameter in encoder.named_parameters() if parameter.requires_grad]
        assert [name.rpartition(".")[2] for name in trainable] == ["rows"]
        assert extended.rows.grad[1].abs().sum() > 0
        assert extended.rows.grad[0].abs().sum() == 0
        assert extended.table.weight.grad is None


def test_tokenizer_and_encoder_are_as_they_were_afterwards(parts):
    tokenizer, encoder = parts
    before, names, size = copy.deepcopy(encoder.state_dict()), list(dict(encoder.named_modules())), len(tokenizer)
    with pytest.raises(KeyError), new_words(tokenizer, encoder, ["<one>"], torch.ones(1, 32)):
        raise KeyError
    assert list(dict(encoder.named_modules())) == names
    assert len(tokenizer) == size
    after = encoder.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_without_a_word_each_new_one_begins_as_another_rare_word(parts):
    tokenizer, encoder = parts
    chosen = rare_words(tokenizer, 5)
    words = tokenizer.convert_ids_to_tokens(chosen)
    assert len(set(chosen)) == 5
    assert chosen == sorted(chosen, reverse=True)
    assert all(word.endswith("</w>") for word in words)
    assert not set(chosen) & set(tokenizer.all_special_ids)
    assert torch.equal(start_rows(tokenizer, encoder, 5, None), encoder.get_input_embeddings().weight[chosen])


def test_rare_words_repeat_where_the_vocabulary_has_fewer(parts):
    tokenizer, _ = parts
    many = rare_words(tokenizer, 2 * len(tokenizer))
    first_again = many.index(many[0], 1)
    assert many[first_again : 2 * first_again] == many[:first_again]


def test_a_given_word_is_where_all_begin(parts):
    tokenizer, encoder = parts
    rows = start_rows(tokenizer, encoder, 3, "sneaker")
    own = encoder.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids("sneaker</w>")]
    assert torch.equal(rows, own.expand(3, -1))
    assert rows.data_ptr() != own.data_ptr()


def test_a_word_of_several_tokens_is_refused_with_its_pieces(parts):
    tokenizer, encoder = parts
    with pytest.raises(InputError) as error:
        start_rows(tokenizer, encoder, 1, "ankle boot")
    assert str(error.value) == (
        "The init word 'ankle boot' is 2 tokens of this text encoder ('ankle', 'boot'), and a new word can begin as "
        "one only. Take another word, such as a more common one for the same thing, or leave it out."
    )
    with pytest.raises(InputError, match="is 0 tokens of this text encoder \\(none\\)"):
        start_rows(tokenizer, encoder, 1, "")


def test_a_word_that_is_there_already_is_refused(parts):
    tokenizer, encoder = parts
    with (
        pytest.raises(InputError, match=r"has the word 'sneaker</w>' already, so concepts were loaded into it"),
        new_words(tokenizer, encoder, ["<one>", "sneaker</w>"], torch.ones(2, 32)),
    ):
        pass

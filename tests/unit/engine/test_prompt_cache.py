import pytest
import torch

from ncm_lib.engine.prompt_cache import PromptCache, size_in_bytes


@pytest.fixture
def counted(tiny_model, monkeypatch):
    """The tiny model's family, and the prompts that it was asked to encode, call by call."""
    calls, family = [], tiny_model.family
    encode = type(family).encode

    def counting(self, prompts):
        calls.append(tuple(prompts))
        return encode(self, prompts)

    monkeypatch.setattr(type(family), "encode", counting)
    return family, calls


def test_a_prompt_is_encoded_once_and_alone(counted):
    family, calls = counted
    cache = PromptCache(family)
    cache.learn(["a coat", "a bag", "a coat"])
    batch = cache.batch(["a bag", "a coat", "a bag"])
    assert calls == [("a coat",), ("a bag",)]
    assert torch.equal(batch[0], batch[2])
    assert torch.equal(batch[1], family.encode(["a coat"])[0])


def test_bits_do_not_depend_on_which_prompts_came_before(counted):
    family, _ = counted
    words = ["a coat", "a bag", "a dress", "a sandal"]
    forward, alone = PromptCache(family), PromptCache(family)
    forward.learn(words)
    assert torch.equal(forward["a sandal"], alone["a sandal"])


def test_beyond_its_room_the_cache_forgets_what_was_asked_for_longest_ago(counted):
    family, calls = counted
    one = size_in_bytes(family.encode(["a coat"])[0])
    calls.clear()
    cache = PromptCache(family, limit_bytes=2 * one)
    cache.learn(["a coat", "a bag"])
    cache.learn(["a coat", "a dress"])
    cache.batch(["a coat", "a dress", "a bag"])
    assert calls == [("a coat",), ("a bag",), ("a dress",), ("a bag",)]


def test_a_batch_larger_than_the_room_is_complete(counted):
    family, _ = counted
    words = ["a coat", "a bag", "a dress"]
    rows = PromptCache(family, limit_bytes=1).batch(words)
    assert [torch.equal(row, family.encode([word])[0]) for row, word in zip(rows, words, strict=True)] == [True] * 3


def test_of_several_tensors_the_sizes_add_up():
    assert size_in_bytes({"states": torch.zeros(2, 3), "pooled": torch.zeros(5, dtype=torch.float16)}) == 34

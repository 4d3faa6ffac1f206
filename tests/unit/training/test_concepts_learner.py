"""The loss that concepts are learned by, against formulas written out."""

from dataclasses import replace

import pytest
import torch

from ncm_lib import ClassList, InputError
from ncm_lib.training.concepts_config import ConceptTraining
from ncm_lib.training.concepts_learner import learner

CLASSES = ClassList(names=("robin", "wren"), tokens=("<class_0_0> <class_0_1>", "<class_1_0> <class_1_1>"))
TIMES = torch.tensor([3, 420, 999])


def with_prediction(model, kind):
    scheduler = type(model.family.scheduler).from_config(model.family.scheduler.config, prediction_type=kind)
    return replace(model, family=replace(model.family, scheduler=scheduler))


def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 4, 8, 8, generator=generator), torch.randn(3, 4, 8, 8, generator=generator)


@pytest.mark.parametrize("gamma", [None, 5.0])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_loss_is_the_papers(tiny_model, kind, gamma):
    model = with_prediction(tiny_model, kind)
    x0, eta = batch()
    with torch.no_grad(), learner(model, CLASSES, ConceptTraining(min_snr_gamma=gamma)) as learned:
        got = learned.losses(learned.denoiser, x0, eta, TIMES, torch.tensor([0, 1, 0]))
        states = model.family.text_encoder(learned.ids[0][[0, 1, 0]])[0]
        # SD 1.5's schedule, written out
        beta = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        alpha_bar = torch.cumprod(1 - beta, 0)[TIMES].float().reshape(3, 1, 1, 1)
        signal, spread = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        predicted = model.family.unet(signal * x0 + spread * eta, TIMES, states, return_dict=False)[0]
    velocity = kind == "v_prediction"
    target = signal * eta - spread * x0 if velocity else eta
    expected = (predicted - target).square().mean(dim=(1, 2, 3))
    snr = (alpha_bar / (1 - alpha_bar)).flatten()
    if gamma is not None:
        expected = expected * torch.minimum(snr, torch.tensor(gamma)) / (snr + 1 if velocity else snr)
    torch.testing.assert_close(got, expected, rtol=2e-4, atol=1e-6)


def test_every_class_has_its_own_words_in_its_prompt(tiny_model):
    with learner(tiny_model, CLASSES, ConceptTraining()) as learned:
        (ids,) = learned.ids
        first = ids[0, 5].item()
        assert ids[:, :9].tolist()[1][5:7] == [first + 2, first + 3]
        assert ids[0, 5:7].tolist() == [first, first + 1]
        assert ids[0, :5].tolist() == ids[1, :5].tolist()
        assert learned.rows["clip_l"].shape == (4, 32)


def test_only_words_and_lora_have_gradients(tiny_model):
    x0, eta = batch()
    with learner(tiny_model, CLASSES, ConceptTraining()) as learned:
        learned.losses(learned.denoiser, x0, eta, TIMES, torch.tensor([0, 0, 0])).mean().backward()
        with_gradient = {id(value) for value in learned.denoiser.parameters() if value.grad is not None}
        assert with_gradient == {id(value) for value in learned.parameters().values()}
        assert learned.rows["clip_l"].grad[:2].abs().sum() > 0
        assert learned.rows["clip_l"].grad[2:].abs().sum() == 0


BAD = [
    ({"prompt": "a photo"}, {}, "does not contain {class}"),
    ({"prompt": f"{'very ' * 10}good {{class}}"}, {}, "Take fewer tokens_per_class or a shorter prompt"),
    ({"init_word": "no-such-word"}, {}, "The init word 'no-such-word' is "),
    ({"mixed_precision": "fp16"}, {}, "mixed_precision fp16 needs a CUDA device, and this is cpu; take bf16 or no."),
    ({}, {"dtype": torch.float16}, "weights are float16 and mixed_precision is no; load it with dtype float32"),
]


@pytest.mark.parametrize(("options", "changes", "text"), BAD, ids=[text for *_, text in BAD])
def test_what_does_not_fit_is_refused(tiny_model, options, changes, text):
    model = replace(tiny_model, **changes)
    with pytest.raises(InputError) as error, learner(model, CLASSES, ConceptTraining(**options)):
        pass
    assert text in str(error.value)


def test_a_model_that_predicts_the_image_is_refused(tiny_model):
    with (
        pytest.raises(InputError, match="predicts 'sample'; concepts are learned on epsilon or v_prediction"),
        learner(with_prediction(tiny_model, "sample"), CLASSES, ConceptTraining()),
    ):
        pass

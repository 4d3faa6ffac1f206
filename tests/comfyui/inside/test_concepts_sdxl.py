"""Learned concepts on SDXL: each of two text encoders has vectors of its own."""

import shutil
import zlib

import pytest
import torch
from harness.graph import Graph
from harness.internals import our_module

NAMES = ("rain boot", "scarf", "top_hat")
WIDTHS = {"clip_l": 32, "clip_g": 32}


@pytest.fixture
def small(comfy, monkeypatch):
    """The tiny SDXL, whose tokenizers are the real one's and expect its widths; its text encoders are narrower."""
    graph = Graph()
    tiny = graph.add("NCMTest_TinyModel", family="sdxl")
    for slot, name in enumerate(("model", "clip")):
        graph.capture(name, tiny[slot])
    found = comfy.run(graph).captured
    for name, width in WIDTHS.items():
        monkeypatch.setattr(getattr(found["clip"].tokenizer, name), "embedding_size", width)
    return found


@pytest.fixture
def make(comfy, small):
    """Concepts for it, written below models/ncm_concepts."""
    concepts = our_module(comfy, "ncm_lib.concepts")
    classes = our_module(comfy, "ncm_lib.plan.classes")
    model = small["model"].model
    names = comfy_utils().unet_to_diffusers(model.model_config.unet_config)
    weights = model.diffusion_model.state_dict()
    ends = ("to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight")

    def write(name, *, per_class=1, encoders=("clip_l", "clip_g")):
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        tokens = concepts.class_tokens(len(NAMES), per_class)
        lora = {
            path.removesuffix(".weight"): concepts.LoraPair(
                down=torch.randn(4, weights[own].shape[1], generator=generator) / 8,
                up=torch.randn(weights[own].shape[0], 4, generator=generator) / 8,
            )
            for path, own in names.items()
            if path.endswith(ends)
        }
        words = [word for own in tokens for word in own.split()]
        made = concepts.ConceptSet(
            classes=classes.ClassList(names=NAMES, meta_class="garment", tokens=tokens),
            embeddings={
                encoder: {word: torch.randn(WIDTHS[encoder], generator=generator) for word in words}
                for encoder in encoders
            },
            lora=lora,
            dataset=name,
        )
        folder = comfy.base / "models" / "ncm_concepts" / name
        concepts.save_concepts(folder, made)
        return made, folder

    return write


def comfy_utils():
    import comfy.utils

    return comfy.utils


def load(name):
    graph = Graph()
    tiny = graph.add("NCMTest_TinyModel", family="sdxl")
    loaded = graph.add("NCM_LoadConcepts", model=tiny[0], clip=tiny[1], concepts=name)
    for slot, key in enumerate(("model", "clip", "classes")):
        graph.capture(key, loaded[slot])
    return graph


def vectors_of(row) -> torch.Tensor:
    return torch.stack([token for token, _ in row if torch.is_tensor(token)])


@pytest.mark.parametrize("per_class", [1, 2])
def test_each_encoder_reads_its_own_vectors_and_the_original_clip_none(per_class, make, small, run_graph):
    made, _ = make(f"sdxl{per_class}", per_class=per_class)
    found = run_graph(load(f"sdxl{per_class}")).captured
    for class_id, tokens in enumerate(made.classes.tokens):
        rows = found["clip"].tokenize(f"a photo of a {tokens}, flying")
        for key, encoder in (("l", "clip_l"), ("g", "clip_g")):
            assert torch.equal(vectors_of(rows[key][0]), made.vectors(encoder, class_id))
    assert not any(
        torch.is_tensor(token) for row in small["clip"].tokenize("<class_0>").values() for token, *_ in row[0]
    )
    assert found["classes"] == made.classes


def test_every_projection_is_base_plus_up_times_down(make, small, run_graph):
    made, _ = make("projections")
    base = {name: weight.clone() for name, weight in small["model"].model.diffusion_model.state_dict().items()}
    model = run_graph(load("projections")).captured["model"]
    names = comfy_utils().unet_to_diffusers(model.model.model_config.unet_config)
    own = {names[f"{path}.weight"]: pair for path, pair in made.lora.items()}
    model.patch_model()
    adapted = {name: weight.clone() for name, weight in model.model.diffusion_model.state_dict().items()}
    model.unpatch_model()
    assert len(own) == len(made.lora) > 0
    for name, weight in adapted.items():
        wanted = base[name] + own[name].up @ own[name].down if name in own else base[name]
        assert torch.allclose(weight, wanted, atol=1e-5), name


def encoder_of(kind, network, activation):
    """The same text encoder in transformers."""
    from transformers import CLIPTextConfig

    config = CLIPTextConfig(
        vocab_size=49408, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2,
        projection_dim=32, hidden_act=activation, eos_token_id=49407,
    )  # fmt: skip
    encoder = kind(config)
    theirs = network.state_dict()
    ours = encoder.state_dict()
    encoder.load_state_dict({name: theirs.get(name, theirs.get(f"text_model.{name}")) for name in ours})
    return encoder.eval()


def test_the_conditioning_is_that_of_transformers_with_the_tokens_added(make, small, run_graph):
    """As the library does it, where it is compared with stock diffusers; the pooled text is at the prompt's end."""
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    made, _ = make("parity", per_class=2)
    graph = load("parity")
    prompts = [f"a photo of a {tokens}, worn" for tokens in made.classes.tokens]
    for prompt in prompts:
        graph.capture(prompt, graph.add("CLIPTextEncode", clip=["2", 1], text=prompt)[0])
    found = run_graph(graph).captured
    parts = {
        "clip_l": (CLIPTextModel, "l", "quick_gelu"),
        "clip_g": (CLIPTextModelWithProjection, "g", "gelu"),
    }
    encoders = {}
    for name, (kind, _, activation) in parts.items():
        encoder = encoder_of(kind, getattr(small["clip"].cond_stage_model, name).transformer, activation)
        table = encoder.get_input_embeddings().weight.detach()
        vectors = torch.stack([*made.embeddings[name].values()])
        encoder.set_input_embeddings(torch.nn.Embedding.from_pretrained(torch.cat([table, vectors])))
        encoders[name] = encoder
    for class_id, prompt in enumerate(prompts):
        states = []
        for name, (_, key, _) in parts.items():
            (row,) = found["clip"].tokenize(prompt)[key]
            new = iter(range(49408 + 2 * class_id, 49408 + 2 * class_id + 2))
            ids = torch.tensor([[next(new) if torch.is_tensor(token) else token for token, _ in row]])
            with torch.inference_mode():
                output = encoders[name](ids, output_hidden_states=True)
            states.append(output.hidden_states[-2])
        theirs = torch.cat(states, dim=-1)
        (ours, extra), *_ = found[prompt]
        assert (ours.float() - theirs).abs().max() < 1e-4 * theirs.abs().max()
        pooled = output.text_embeds
        assert (extra["pooled_output"].float() - pooled).abs().max() < 1e-4 * pooled.abs().max()


def test_the_stock_embedding_loader_finds_each_encoders_vectors_by_name(make, comfy, small):
    made, folder = make("stock-sdxl", per_class=2)
    target = comfy.base / "models" / "embeddings"
    target.mkdir(parents=True, exist_ok=True)
    for file in (folder / "embeddings").iterdir():
        shutil.copy(file, target / file.name)
    for class_id in range(3):
        for encoder, width in WIDTHS.items():
            found = sd1_clip().load_embed(f"stock-sdxl_class_{class_id}", [str(target)], width, encoder)
            assert torch.equal(found, made.vectors(encoder, class_id))


def sd1_clip():
    import comfy.sd1_clip

    return comfy.sd1_clip


def test_concepts_for_one_encoder_are_refused(make, run_graph):
    make("lone", encoders=("clip_l",))
    failure = run_graph(load("lone"), check=False).failure
    assert "2 tokenizers of Stable Diffusion's kind (clip_g, clip_l), and the concepts hold vectors" in failure.message
    assert "for 1 text encoders (clip_l). Load Concepts is for SD 1.x and 2.x" in failure.message

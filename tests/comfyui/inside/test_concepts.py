"""Learned concepts in graphs: our node, and ComfyUI's own loaders, beside the library's arithmetic."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from harness.graph import Graph
from harness.internals import our_module
from harness.run import GraphError
from safetensors.torch import save_file

NAMES = ("rain boot", "scarf", "top_hat")
WIDTH = 64


def paths_of(unet_config) -> list[str]:
    import comfy.utils

    names = comfy.utils.unet_to_diffusers(unet_config)
    ends = ("to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight")
    return [name.removesuffix(".weight") for name in names if name.endswith(ends)]


@pytest.fixture(scope="module")
def demo(comfy, tmp_path_factory):
    """The demo model's MODEL and CLIP as a graph gives them."""
    graph = Graph()
    loaded = graph.add("NCM_LoadDemoModel", batch_size=1)
    graph.capture("model", loaded[0])
    graph.capture("clip", loaded[1])
    return comfy.run(graph).captured


def weights_of(model) -> dict[str, torch.Tensor]:
    return dict(model.model.diffusion_model.state_dict())


@pytest.fixture(scope="module")
def make(comfy, demo):
    """Concepts for the demo model, written below models/ncm_concepts."""
    concepts = our_module(comfy, "ncm_lib.concepts")
    classes = our_module(comfy, "ncm_lib.plan.classes")
    shapes = diffusers_shapes(demo["model"])

    def write(name, *, names=NAMES, per_class=1, seed=0, first=0):
        generator = torch.Generator().manual_seed(seed)
        tokens = tuple(
            words.replace("<class_", f"<c{first}_") for words in concepts.class_tokens(len(names), per_class)
        )
        words = [word for pair in tokens for word in pair.split()]
        lora = {
            path: concepts.LoraPair(
                down=torch.randn(4, into, generator=generator) / 8,
                up=torch.randn(out, 4, generator=generator) / 8,
                scale=0.5,
            )
            for path, (out, into) in shapes.items()
        }
        made = concepts.ConceptSet(
            classes=classes.ClassList(names=names, meta_class="garment", tokens=tokens),
            embeddings={"clip_l": {word: torch.randn(WIDTH, generator=generator) / 50 for word in words}},
            lora=lora,
            dataset=name.replace("/", "-"),
        )
        folder = comfy.base / "models" / "ncm_concepts" / name
        concepts.save_concepts(folder, made)
        return made, folder

    return write


def diffusers_shapes(model) -> dict[str, list[int]]:
    import comfy.utils

    config, weights = model.model.model_config.unet_config, weights_of(model)
    names = comfy.utils.unet_to_diffusers(config)
    return {path: [*weights[names[f"{path}.weight"]].shape] for path in paths_of(config)}


def adapted_weights(model) -> dict[str, torch.Tensor]:
    """What the network computes with: ComfyUI patches when it loads a model, and takes the patches off again."""
    model.patch_model()
    weights = {name: weight.clone() for name, weight in weights_of(model).items()}
    model.unpatch_model()
    return weights


def load(graph, name, model=None, clip=None):
    if model is None:
        loaded = graph.add("NCM_LoadDemoModel", batch_size=1)
        model, clip = loaded[0], loaded[1]
    return graph.add("NCM_LoadConcepts", model=model, clip=clip, concepts=name)


def class_pair(graph, learned, **changes):
    defaults = {"class_file": "typed below", "class_names": "", "meta_class": "", "prompt": "a {class}", "seed": 0,
                "count": 1, "pair_policy": "different classes", "class_a": "", "class_b": ""}  # fmt: skip
    return graph.add("NCM_ClassPair", **{**defaults, **changes}, learned_classes=learned)


def delta(made, path):
    pair = made.lora[path]
    return pair.scale * pair.up @ pair.down


def assert_adapted(model, base, *sets):
    import comfy.utils

    names = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
    weights, wanted = adapted_weights(model), {name: weight.clone() for name, weight in base.items()}
    for made in sets:
        for path in made.lora:
            wanted[names[f"{path}.weight"]] += delta(made, path)
    assert sum(not torch.equal(wanted[name], base[name]) for name in base) == len(sets[0].lora) > 0
    for name, weight in weights.items():
        assert torch.allclose(weight, wanted[name], atol=1e-5), name


def test_the_node_gives_base_plus_up_times_down_on_every_projection(make, run_graph):
    made, _ = make("garments")
    graph = Graph()
    loaded = load(graph, "garments")
    for slot, key in enumerate(("model", "clip", "classes")):
        graph.capture(key, loaded[slot])
    graph.capture("bare", ["1", 0])
    found = run_graph(graph).captured
    base = {name: weight.clone() for name, weight in weights_of(found["bare"]).items()}
    assert_adapted(found["model"], base, made)
    assert found["classes"] == made.classes
    # the original has no patches, before and after
    assert found["bare"].patches == {}
    assert all(torch.equal(weight, base[name]) for name, weight in adapted_weights(found["bare"]).items())


@pytest.mark.parametrize("per_class", [1, 2])
def test_a_prompt_with_a_token_has_the_vectors_at_its_place(per_class, make, demo, run_graph):
    made, _ = make(f"words{per_class}", per_class=per_class)
    graph = Graph()
    loaded = load(graph, f"words{per_class}")
    graph.capture("clip", loaded[1])
    clip = run_graph(graph).captured["clip"]
    for class_id, tokens in enumerate(made.classes.tokens):
        ((*row,),) = clip.tokenize(f"a photo of a {tokens}, flying")["l"]
        ((*plain,),) = demo["clip"].tokenize("a photo of a banana, flying")["l"]
        given = [token for token, _ in row]
        at = next(place for place, token in enumerate(given) if torch.is_tensor(token))
        vectors = torch.stack(given[at : at + per_class])
        assert torch.equal(vectors, made.vectors("clip_l", class_id))
        # without the tokens of begin and end, which are the vocabulary's last two
        banana = [token for token, _ in demo["clip"].tokenize("banana")["l"][0] if token < 754]
        around = given[:at] + banana + given[at + per_class :]
        assert all(token == word for token, (word, _) in zip(around, plain, strict=False))


def test_a_weighted_token_keeps_its_weight(make, run_graph):
    make("weighted")
    graph = Graph()
    loaded = load(graph, "weighted")
    graph.capture("clip", loaded[1])
    (row,) = run_graph(graph).captured["clip"].tokenize("(<c0_1>:1.3) and <c0_0>")["l"]
    assert [weight for token, weight in row if torch.is_tensor(token)] == [1.3, 1.0]


def test_stock_and_our_text_encoding_agree_and_the_original_clip_knows_nothing(make, demo, run_graph):
    made, _ = make("encode")
    graph = Graph()
    loaded = load(graph, "encode")
    pair = class_pair(graph, loaded[2], prompt="a photo of a {class}", count=3)
    graph.capture("prompts", pair[0])
    graph.capture("classes", pair[3])
    graph.capture("ours", graph.add("NCM_EncodePrompts", clip=loaded[1], prompts=pair[0])[0])
    for token in made.classes.tokens:
        stock = graph.add("CLIPTextEncode", clip=loaded[1], text=f"a photo of a {token}")
        graph.capture(f"a photo of a {token}", stock[0])
    graph.capture("bare", graph.add("CLIPTextEncode", clip=["1", 1], text="a photo of a <c0_0>")[0])
    found = run_graph(graph).captured
    assert sorted(found["prompts"]) == [f"a photo of a {token}" for token in made.classes.tokens]
    assert found["classes"] == made.classes
    for row, prompt in zip(found["ours"][0][0], found["prompts"], strict=True):
        assert torch.equal(row, found[prompt][0][0][0])
    rows = [found[f"a photo of a {token}"][0][0] for token in made.classes.tokens]
    assert not torch.allclose(rows[0], rows[1])
    assert not torch.allclose(rows[0], found["bare"][0][0], atol=1e-3)


def test_the_conditioning_is_that_of_transformers_with_the_tokens_added(make, run_graph):
    """As the library does it; there it is compared with stock diffusers."""
    from transformers import CLIPTextModel, CLIPTokenizer

    made, _ = make("parity", per_class=2, seed=6)
    vectors = made.embeddings["clip_l"]
    folder = Path(__file__).resolve().parents[3] / "ckpts" / "demo"
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    tokenizer.add_tokens([*vectors])
    words = torch.cat([encoder.get_input_embeddings().weight.detach(), torch.stack([*vectors.values()])])
    encoder.set_input_embeddings(torch.nn.Embedding.from_pretrained(words))
    graph = Graph()
    loaded = load(graph, "parity")
    prompts = [f"a photo of a {tokens}, worn" for tokens in made.classes.tokens]
    for prompt in prompts:
        graph.capture(prompt, graph.add("CLIPTextEncode", clip=loaded[1], text=prompt)[0])
    found = run_graph(graph).captured
    for prompt in prompts:
        ids = tokenizer(prompt, padding="max_length", max_length=32, return_tensors="pt").input_ids
        with torch.inference_mode():
            theirs = encoder(ids)[0]
        ours = found[prompt][0][0].float()
        assert (ours - theirs).abs().max() < 1e-4 * theirs.abs().max()


def test_two_sets_of_concepts_and_a_stock_lora_compose(make, comfy, run_graph):
    first, _ = make("first", seed=1)
    second, folder = make("second", seed=2, first=5)
    lora = comfy.base / "models" / "loras" / "third.safetensors"
    lora.parent.mkdir(parents=True, exist_ok=True)
    third, folder = make("third", seed=3, first=6)
    shutil.copy(folder / "pytorch_lora_weights.safetensors", lora)
    graph = Graph()
    one = load(graph, "first")
    two = load(graph, "second", one[0], one[1])
    three = graph.add("LoraLoader", model=two[0], clip=two[1], lora_name="third.safetensors", strength_model=1.0,
                      strength_clip=1.0)  # fmt: skip
    graph.capture("bare", ["1", 0])
    graph.capture("one", one[0])
    graph.capture("three", three[0])
    graph.capture("clip", three[1])
    found = run_graph(graph).captured
    base = {name: weight.clone() for name, weight in weights_of(found["bare"]).items()}
    assert_adapted(found["three"], base, first, second, third)
    assert_adapted(found["one"], base, first)
    (row,) = found["clip"].tokenize("<c5_1> and <c0_2>")["l"]
    vectors = [token for token, _ in row if torch.is_tensor(token)]
    assert torch.equal(vectors[0], second.vectors("clip_l", 1)[0])
    assert torch.equal(vectors[1], first.vectors("clip_l", 2)[0])


def test_equal_tokens_of_two_sets_are_refused(make, run_graph):
    make("mine", seed=1)
    make("yours", seed=2)
    graph = Graph()
    one = load(graph, "mine")
    graph.capture("clip", load(graph, "yours", one[0], one[1])[1])
    failure = run_graph(graph, check=False).failure
    assert "has the token <c0_0> from concepts that were loaded before" in failure.message


def test_stock_loaders_read_our_files(make, comfy, run_graph):
    """LoraLoader, and embedding:NAME in a prompt, where each of the names gives its own vectors."""
    made, folder = make("stock", per_class=2, seed=4)
    for kind, name in (("loras", "pytorch_lora_weights.safetensors"), ("embeddings", None)):
        target = comfy.base / "models" / kind
        target.mkdir(parents=True, exist_ok=True)
        for file in [folder / name] if name else (folder / "embeddings").iterdir():
            shutil.copy(file, target / ("stock.safetensors" if name else file.name))
    graph = Graph()
    loaded = graph.add("NCM_LoadDemoModel", batch_size=1)
    stock = graph.add("LoraLoader", model=loaded[0], clip=loaded[1], lora_name="stock.safetensors", strength_model=1.0,
                      strength_clip=1.0)  # fmt: skip
    graph.capture("bare", loaded[0])
    graph.capture("model", stock[0])
    graph.capture("clip", stock[1])
    found = run_graph(graph).captured
    base = {name: weight.clone() for name, weight in weights_of(found["bare"]).items()}
    assert_adapted(found["model"], base, made)
    # the demo's loader knows no folder of embeddings, as CheckpointLoaderSimple does
    import folder_paths

    found["clip"].tokenizer.clip_l.embedding_directory = folder_paths.get_folder_paths("embeddings")
    for class_id in range(3):
        (row,) = found["clip"].tokenize(f"a photo of a embedding:stock_class_{class_id} garment")["l"]
        vectors = torch.stack([token for token, _ in row if torch.is_tensor(token)])
        assert torch.equal(vectors, made.vectors("clip_l", class_id))


def test_a_published_checkpoint_is_read(make, comfy, run_graph):
    made, _ = make("source", seed=5)
    folder = comfy.base / "models" / "ncm_concepts" / "cub" / "shot-1-lora-rank10"
    folder.mkdir(parents=True)
    vectors = {f"<class_{k}>": made.vectors("clip_l", k)[0] for k in range(3)}
    names = {name.replace("_", " "): f"<class_{k}>" for k, name in enumerate(NAMES)}
    back = {token: name for name, token in names.items()}
    content = {"learned_embeds_dict": vectors, "name2placeholder": names, "placeholder2name": back}
    torch.save(content, folder / "learned_embeds-steps-last.bin")
    tensors = {}
    for path, pair in made.lora.items():
        block, _, projection = path.rpartition(".to_")
        key = f"{block}.processor.to_{projection.removesuffix('.0')}_lora"
        tensors |= {f"{key}.down.weight": pair.down, f"{key}.up.weight": pair.up * pair.scale}
    save_file(tensors, folder / "pytorch_lora_weights.safetensors")
    graph = Graph()
    loaded = load(graph, "cub/shot-1-lora-rank10")
    pair = class_pair(
        graph,
        loaded[2],
        class_names="top_hat, scarf",
        meta_class="garment",
        prompt="a {class} {metaclass}",
        class_a="scarf",
    )
    for key, link in {"bare": ["1", 0], "model": loaded[0], "a": pair[0], "b": pair[1], "classes": pair[3]}.items():
        graph.capture(key, link)
    found = run_graph(graph).captured
    base = {name: weight.clone() for name, weight in weights_of(found["bare"]).items()}
    assert_adapted(found["model"], base, made)
    assert (found["a"], found["b"]) == (("a <class_1> garment",), ("a <class_2> garment",))
    assert found["classes"].names == ("top_hat", "scarf")


def test_a_plan_is_made_under_the_learned_words(make, run_graph):
    make("planned")
    graph = Graph()
    loaded = load(graph, "planned")
    plan = graph.add("NCM_PlanSample", dataset="concepts/planned", latent_image=["1", 3], class_file="typed below",
                     class_names="", meta_class="", prompt="a {class}", count=4, seed=0, alpha=1.0,
                     placement="truncate",
                     box_class="B (the paper)", rounding="reference", grid="latent", pair_policy="different classes",
                     class_a="scarf", batch_size=2, index=-1, learned_classes=loaded[2])  # fmt: skip
    graph.capture("prompts", plan[1])
    assert run_graph(graph).captured["prompts"] == ("a <c0_1>", "a <c0_1>")


def test_a_class_that_was_not_learned_is_named(make, run_graph):
    make("few")
    graph = Graph()
    loaded = load(graph, "few")
    pair = class_pair(graph, loaded[2], class_names="scarf, sari")
    graph.capture("prompts", pair[0])
    assert "not learned for 'sari'; they know 3 classes, near: 'scarf'" in run_graph(graph, check=False).failure.message


@pytest.mark.parametrize("name", ["../garments", "/etc", "garments/../../secret", "nothing", ""])
def test_a_name_that_is_not_in_the_list_is_refused_before_anything_runs(name, make, comfy, run_graph):
    make("garments")
    with pytest.raises(GraphError, match=r"NCM_LoadConcepts \(node 2\).*There are no concepts called"):
        run_graph(load_graph(name))
    folders = our_module(comfy, "nodes.concept_folders")
    with pytest.raises(our_module(comfy, "ncm_lib.errors").InputError, match="There are no concepts called"):
        folders.concept_folder(name)


def load_graph(name):
    graph = Graph()
    graph.capture("model", load(graph, name)[0])
    return graph


def test_the_list_holds_concepts_of_both_places_and_no_whole_models(make, comfy, tmp_path, monkeypatch):
    make("deep/down/here")
    folders = our_module(comfy, "nodes.concept_folders")
    root = comfy.base / "models" / "ncm_concepts"
    (root / "loop").symlink_to(root, target_is_directory=True)
    pack = tmp_path / "ckpts"
    shutil.copytree(root / "deep" / "down" / "here", pack / "in-the-pack")
    model = pack / "model"
    model.mkdir()
    (model / "model_index.json").write_text("{}")
    (model / "pytorch_lora_weights.safetensors").write_bytes(b"")
    monkeypatch.setattr(folders, "_PACK", pack)
    listed = folders.concept_folders()
    (root / "loop").unlink()
    assert {"deep/down/here", "in-the-pack"} <= set(listed)
    assert not any(name.startswith("model") for name in listed)
    assert listed["in-the-pack"] == pack / "in-the-pack"


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda folder: (folder / "embeddings/harmed_class_1.safetensors").write_bytes(b"\0" * 20), "is damaged or no"),
        (lambda folder: (folder / "embeddings/harmed_class_1.safetensors").unlink(), "cannot be read"),
        (lambda folder: (folder / "concepts.json").write_text('{"format": "x"}'), "is not of format ncm-concepts-1"),
    ],
)
def test_damaged_concepts_are_refused_by_name(harm, says, make, run_graph):
    _, folder = make("harmed")
    harm(folder)
    failure = run_graph(load_graph("harmed"), check=False).failure
    assert says in failure.message
    assert "harmed" in failure.message


def test_concepts_of_another_family_are_refused(make, run_graph):
    make("garments")
    for family, says in (("sd15", "were learned with a model of another family"), ("sdxl", "learned with a model")):
        graph = Graph()
        tiny = graph.add("NCMTest_TinyModel", family=family)
        graph.capture("model", load(graph, "garments", tiny[0], tiny[1])[0])
        assert says in run_graph(graph, check=False).failure.message


def test_a_picture_with_concepts_differs_from_one_without(make, run_graph):
    make("picture")
    graph = Graph()
    loaded = load(graph, "picture")
    for key, model in (("with", loaded[0]), ("without", ["1", 0])):
        positive = graph.add("CLIPTextEncode", clip=loaded[1], text="a photo of a <c0_0>")
        sampled = graph.add("KSampler", model=model, positive=positive[0], negative=positive[0],
                            latent_image=["1", 3], seed=0, steps=2, cfg=1.0,
                            sampler_name="euler", scheduler="normal", denoise=1.0)  # fmt: skip
        graph.capture(key, sampled[0])
    found = run_graph(graph).captured
    assert not torch.allclose(found["with"]["samples"], found["without"]["samples"], atol=1e-2)


def test_concepts_that_were_trained_on_are_loaded_again(make, comfy, run_graph):
    make("trained", seed=0)
    graph = Graph()
    graph.capture("classes", load(graph, "trained")[2])
    executor = comfy.executor()
    assert "2" in comfy.run(graph, executor=executor).executed
    assert "2" not in comfy.run(graph, executor=executor).executed
    make("trained", names=(*NAMES, "belt"), seed=1)
    again = comfy.run(graph, executor=executor)
    assert again.captured["classes"].names[-1] == "belt"
    assert json.loads((comfy.base / "models/ncm_concepts/trained/concepts.json").read_text())["rank"] == 4

"""The nodes' pair policies are the library's."""

import sys

import pytest
from harness.graph import Graph

NAMES = "robin, wren, tit, owl"
POLICIES = {"different classes": "uniform", "any two classes": "any", "balanced pairs": "balanced"}


@pytest.fixture
def planned(comfy):
    """The pairs that the library plans."""
    package = comfy.nodes["NCM_ClassPair"].__module__.rpartition(".nodes.")[0]
    classes = sys.modules[f"{package}.ncm_lib.plan.classes"].ClassList.load(NAMES)
    method = sys.modules[f"{package}.ncm_lib.methods.noisecutmix"].NoiseCutMix

    def pairs(policy: str, count: int) -> list[tuple[int, int]]:
        table = method(classes=classes, seed=5, pair_policy=POLICIES[policy]).plan(0, count)
        return [(int(a), int(b)) for a, b in table.class_ids]

    return pairs


def class_pairs(run_graph, policy: str, count: int, **changed) -> list[tuple[int, int]]:
    graph = Graph()
    ids = graph.add("NCM_ClassPair", **({
        "class_file": "typed below", "class_names": NAMES, "meta_class": "bird", "prompt": "a {class}", "seed": 5,
        "count": count, "pair_policy": policy, "class_a": "", "class_b": "",
    } | changed))  # fmt: skip
    graph.capture("ids", ids[2])
    return [tuple(pair) for pair in run_graph(graph).captured["ids"]]


@pytest.mark.parametrize("policy", POLICIES)
def test_class_pair_draws_what_the_library_plans(run_graph, planned, policy):
    assert class_pairs(run_graph, policy, 40) == planned(policy, 40)


def test_balanced_pairs_are_all_pairs_before_one_comes_again(run_graph):
    pairs = class_pairs(run_graph, "balanced pairs", 24)
    assert len(set(pairs[:12])) == len(set(pairs[12:])) == 12


@pytest.mark.parametrize("policy", POLICIES)
def test_a_fixed_class_b_leaves_class_a_as_it_is(run_graph, planned, policy):
    pairs = class_pairs(run_graph, policy, 8, class_b="owl")
    assert [first for first, _ in pairs] == [first for first, _ in planned(policy, 8)]
    assert {second for _, second in pairs} == {3}


@pytest.mark.parametrize("policy", POLICIES)
def test_plan_sample_plans_what_the_library_plans(run_graph, planned, policy):
    graph = Graph()
    latent = graph.add("EmptyLatentImage", width=64, height=64, batch_size=1)
    plan = graph.add(
        "NCM_PlanSample", latent_image=latent[0], dataset=f"tests/{policy}", class_file="typed below", index=-1,
        class_names=NAMES, meta_class="", prompt="a {class}", count=6, seed=5, alpha=1.0, placement="truncate",
        rounding="reference", box_class="B (the paper)", grid="latent", pair_policy=policy, class_a="", batch_size=6,
    )  # fmt: skip
    graph.capture("plan", plan[0])
    samples = run_graph(graph).captured["plan"].samples
    assert [tuple(share.class_id for share in sample.label) for sample in samples] == planned(policy, 6)

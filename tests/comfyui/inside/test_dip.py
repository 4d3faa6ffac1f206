"""Forward Noise, Deep Image Prior and Load Demo Photograph."""

import math

import pytest
import torch
from harness.graph import Graph
from harness.internals import our_module

torch.set_num_threads(1)

QUICK = {"task": "denoise", "iterations": 12, "input": "gaussian", "t_first": 50, "t_last": 50, "network": "u-net",
         "learning_rate": 0.01, "loss": "mse", "early_stopping": False, "seed": 3}  # fmt: skip
PLAIN = {"t": 100, "seed": 5, "schedule": "linear", "latent_scale": 1.0}


def random(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def noised(run_graph, key="noised", slot=0, **inputs):
    """What Forward Noise makes of its inputs, and the text under it."""
    graph = Graph()
    links = {name: graph.add("NCMTest_Given", value=value)[0] for name, value in inputs.items()
             if name in ("image", "latent")}  # fmt: skip
    node = graph.add("NCM_ForwardNoise", **{**PLAIN, **inputs, **links})
    graph.capture(key, node[slot])
    run = run_graph(graph)
    return run.captured.get(key), run.ui[node.id]["text"][0]


def restored(run_graph, image, mask=None, **changes):
    """The run of a graph with a Deep Image Prior."""
    graph = Graph()
    links = {"image": graph.add("NCMTest_Given", value=image)[0]}
    if mask is not None:
        links["mask"] = graph.add("NCMTest_Given", value=mask)[0]
    options = {name: changes.pop(name) for name in ("on_event", "check", "executor") if name in changes}
    graph.capture("restored", graph.add("NCM_DeepImagePrior", **{**QUICK, **changes, **links})[0])
    return run_graph(graph, **options)


class TestForwardNoise:
    # sqrt(alpha_bar) of DDPM's schedule, from its closed form in float64
    @pytest.mark.parametrize(("t", "alpha_bar"), [(0, 0.9999), (100, 0.895141590898), (500, 0.077796658365)])
    def test_pictures_go_the_closed_form_towards_noise(self, t, alpha_bar, run_graph):
        image = torch.full((1, 128, 128, 3), 0.5)
        found, text = noised(run_graph, image=image, t=t)
        assert found.shape == image.shape
        assert float(found.mean()) == pytest.approx(0.5 * alpha_bar**0.5, abs=0.02)
        assert float(found.std()) == pytest.approx((1 - alpha_bar) ** 0.5, rel=0.02)
        assert text.startswith(f"t = {t}: alpha_bar {alpha_bar:.6g}; x_t = {alpha_bar**0.5:.4f} x + ")

    @pytest.mark.parametrize(
        ("schedule", "name"), [("linear", "LinearSchedule"), ("scaled linear", "ScaledLinearSchedule")]
    )
    def test_it_is_the_librarys(self, schedule, name, comfy, run_graph):
        schedules = our_module(comfy, "ncm_lib.maths.schedules")
        image = random(2, 8, 10, 3)
        found, _ = noised(run_graph, image=image, schedule=schedule)
        expected = schedules.forward_noise(image.movedim(-1, 1), 100, seed=5, schedule=getattr(schedules, name)())
        assert torch.equal(found.movedim(-1, 1), expected)

    def test_latents_are_noised_at_unit_variance(self, run_graph):
        latent = {"samples": random(2, 4, 8, 8) * 11, "batch_index": [3, 4]}
        found, _ = noised(run_graph, slot=1, latent=latent, latent_scale=0.2)
        unit, _ = noised(run_graph, slot=1, latent={"samples": latent["samples"] * 0.2})
        torch.testing.assert_close(found["samples"] * 0.2, unit["samples"])
        assert found["batch_index"] == [3, 4]

    def test_sample_k_of_a_batch_is_the_same_in_every_batch(self, run_graph):
        image = random(3, 8, 8, 3)
        assert torch.equal(noised(run_graph, image=image)[0][:2], noised(run_graph, image=image[:2])[0])

    def test_an_output_without_its_input_gives_nothing_on(self, run_graph):
        assert noised(run_graph, slot=1, image=random(1, 8, 8, 3))[0] is None

    def test_without_anything_to_noise_it_says_so(self, run_graph):
        graph = Graph()
        graph.add("NCM_ForwardNoise", **PLAIN)
        failure = run_graph(graph, check=False).failure
        assert failure.message == ("Forward Noise has nothing to noise; link pictures to image or latents to latent.")


class TestDeepImagePrior:
    @pytest.mark.parametrize("task", ["denoise", "inpaint", "enlarge 2x", "enlarge 4x", "reconstruct"])
    @pytest.mark.parametrize("input_", ["gaussian", "ddpm"])
    def test_it_makes_the_librarys_picture(self, task, input_, comfy, run_graph):
        dip = our_module(comfy, "ncm_lib.dip")
        image, mask = random(1, 12, 10, 3), (random(1, 12, 10) < 0.5).float()
        found = restored(run_graph, image, mask, task=task, input=input_, t_first=10, t_last=90).captured["restored"]
        config = dip.DipConfig(network=dip.UNetConfig(), iterations=12, stopping=None,
                               input=dip.InputConfig(kind=input_, t=(10, 90)))  # fmt: skip
        times = int(task[-2]) if task.startswith("enlarge") else 1
        expected = dip.restore(
            image.movedim(-1, 1), "super-resolve" if times > 1 else task, config=config, seed=3,
            mask=mask if task == "inpaint" else None, factor=times if times > 1 else 4,
        )  # fmt: skip
        assert found.shape == (1, 12 * times, 10 * times, 3)
        assert torch.equal(found.movedim(-1, 1), expected.image)

    @pytest.mark.parametrize(("network", "rate"), [("small", 0.01), ("paper", 0.01), ("u-net", 0.002)])
    def test_every_network_learns_in_the_node_though_comfyui_runs_it_in_inference_mode(self, network, rate, run_graph):
        image = torch.full((1, 16, 16, 3), 0.8)
        image[:, :8] = 0.2

        def error(iterations: int) -> float:
            run = restored(run_graph, image, network=network, iterations=iterations, task="reconstruct",
                           learning_rate=rate)  # fmt: skip
            return float((run.captured["restored"] - image).square().mean())

        assert error(100) < error(1) / 2

    def test_a_batch_is_restored_picture_by_picture(self, run_graph):
        image = random(2, 8, 8, 3)
        both = restored(run_graph, image).captured["restored"]
        assert torch.equal(both[:1], restored(run_graph, image[:1]).captured["restored"])
        assert not torch.equal(both[0], both[1])

    def test_early_stopping_says_where_the_picture_is_from(self, run_graph):
        run = restored(run_graph, random(1, 8, 8, 3), iterations=130, early_stopping=True)
        (text,) = next(shown["text"] for shown in run.ui.values() if "text" in shown)
        place = int(text.removeprefix("from iteration ").removesuffix(" of 130"))
        assert 100 <= place <= 130

    def test_every_iteration_is_told_and_pictures_are_shown(self, run_graph, comfy):
        run = restored(run_graph, random(2, 8, 8, 3), iterations=60)
        told = [data["value"] for event, data in run.events if event == "progress"]
        assert told == list(range(1, 121))
        previews = [data for event, data in run.events if isinstance(data, tuple) and data and data[0] == "JPEG"]
        assert 40 <= len(previews) <= 60
        assert previews[0][1].size == (8, 8)

    def test_an_interrupt_shows_what_there_is_ends_the_queue_and_the_next_run_is_the_same(self, comfy, run_graph):
        image, executor = random(1, 16, 16, 3), comfy.executor()
        undisturbed = restored(run_graph, image).captured["restored"]

        def cancel(event, data):
            if event == "progress" and data["value"] == 7:
                comfy.interrupt()

        run = restored(run_graph, image, on_event=cancel, check=False, executor=executor)
        assert (run.interrupted, run.failure, run.captured) == (True, None, {})
        assert not comfy.interrupted()
        told = [data["value"] for event, data in run.events if event == "progress"]
        # the flag is looked at before the 8th is told; then the picture of the 8th is left on the page
        assert told == [1, 2, 3, 4, 5, 6, 7, 8]
        (shown,) = [data for event, data in run.events if event == "executed" and "images" in (data["output"] or {})]
        (picture,) = shown["output"]["images"]
        assert picture["type"] == "temp"
        assert (comfy.base / "temp" / picture["subfolder"] / picture["filename"]).is_file()
        assert torch.equal(restored(run_graph, image, executor=executor).captured["restored"], undisturbed)

    def test_the_mask_of_another_task_is_not_looked_at(self, run_graph):
        image = random(1, 8, 8, 3)
        with_mask = restored(run_graph, image, torch.full((1, 64, 64), math.nan)).captured["restored"]
        assert torch.equal(with_mask, restored(run_graph, image).captured["restored"])

    @pytest.mark.parametrize(
        ("image", "mask", "changes", "message"),
        [
            (random(1, 8, 8, 4), None, {}, "Leave an alpha channel out"),
            (random(1, 7, 8, 3), None, {}, "at least one of 8 x 8 pixels is needed"),
            (torch.full((1, 8, 8, 3), math.nan), None, {}, "without NaN"),
            (random(1, 8, 8, 3), None, {"task": "inpaint"}, "needs a mask"),
            (random(1, 8, 8, 3), torch.ones(1, 8, 8), {"task": "inpaint"}, "covers the whole image"),
            (random(1, 8, 8, 3), torch.zeros(1, 64, 64), {"task": "inpaint"}, "the mask needs their height and width"),
            (random(1, 8, 8, 3), torch.full((1, 8, 8), math.nan), {"task": "inpaint"}, "holds NaN"),
            (random(1, 8, 8, 3), None, {"t_first": 9, "t_last": 8}, "t_first is 9 and t_last 8"),
        ],
        ids=["alpha", "small", "nan", "no mask", "all masked", "other size", "nan mask", "range"],
    )
    def test_what_cannot_be_restored_is_refused_in_one_line(self, image, mask, changes, message, run_graph):
        failure = restored(run_graph, image, mask, check=False, **changes).failure
        assert failure is not None
        assert failure.exception_type.endswith(".InputError"), failure
        assert message in failure.message
        assert "\n" not in failure.message


def test_the_demo_photograph_is_a_picture_and_half_of_it_is_masked(run_graph):
    graph = Graph()
    node = graph.add("NCM_LoadDemoPhotograph")
    graph.capture("image", node[0])
    graph.capture("mask", node[1])
    captured = run_graph(graph).captured
    assert captured["image"].shape == (1, 96, 96, 3)
    assert float(captured["image"].std()) > 0.1
    assert captured["mask"].shape == (1, 96, 96)
    assert set(captured["mask"].unique().tolist()) == {0.0, 1.0}
    assert float(captured["mask"].mean()) == pytest.approx(0.5, abs=0.02)

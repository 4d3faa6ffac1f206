"""The baselines from real images on disk to a data set: made, resumed, extended, shared out."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from ncm_lib import (
    DAFusion,
    DiffAug,
    DiffMix,
    InputError,
    RealFilter,
    RealGuidance,
    RealMix,
    RenderSettings,
    SDRandom,
    Shard,
    SyntheticDataset,
    generate,
    load_model,
    load_source,
    verify,
)

from ..garments import GARMENTS

SETTINGS = RenderSettings(num_inference_steps=4, guidance_scale=3.0)
FROM_NOISE, WITHIN, ACROSS = (SDRandom, RealFilter), (RealGuidance, DAFusion, DiffAug), (DiffMix, RealMix)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Five real images of three classes."""
    folder = tmp_path_factory.mktemp("real")
    random = np.random.default_rng(0)
    for name, count in {"sneaker": 2, "bag": 1, "coat": 2}.items():
        (folder / name).mkdir()
        for number in range(count):
            picture = random.integers(0, 255, (4, 5, 3), dtype=np.uint8)
            Image.fromarray(picture).resize((40, 32)).save(folder / name / f"{number}.png")
    return load_source(folder)


def method(kind, images, **fields):
    return kind(classes=images.classes, **({} if kind in FROM_NOISE else {"images": images.listing}), **fields)


def content(folder):
    """Every image by name, and every record by index."""
    files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.glob("images/*/*.png")}
    lines = (folder / "metadata.jsonl").read_text().splitlines()
    return files, {json.loads(line)["index"]: json.loads(line) for line in lines}


def make(model, images, out, count=9, kind=DiffMix, plan=None, **options):
    options = {"batch_size": 2, "settings": SETTINGS} | options
    return generate(method(kind, plan or images), model, out=out, count=count, images=images, **options)


@pytest.fixture(scope="module")
def whole(tiny_model, images, tmp_path_factory):
    """Nine samples of Diff-Mix, whose batches start at three different steps."""
    folder = tmp_path_factory.mktemp("sets") / "whole"
    make(tiny_model, images, folder)
    return folder


@pytest.fixture(scope="module")
def garments():
    return load_model(GARMENTS, device="cpu", dtype="float32")


@pytest.mark.parametrize("kind", [*FROM_NOISE, *WITHIN, *ACROSS])
def test_a_trained_model_makes_a_sound_data_set_by_every_method(kind, garments, images, tmp_path):
    out = tmp_path / "set"
    summary = make(garments, images, out, count=2, kind=kind)
    assert (summary.made, summary.failed) == (2, 0)
    assert verify(out).findings == ()
    listed = {image.content_hash: image.class_id for image in images}
    for planned, record in zip(method(kind, images).plan(0, 2), content(out)[1].values(), strict=True):
        assert record["method"] == kind.name
        assert record["class_ids"] == [share.class_id for share in planned.label]
        assert record["mask_file_name"] is None
        if kind in FROM_NOISE:
            assert (record["start"], record["source"], record["strength"]) == ("noise", None, None)
        else:
            assert (record["start"], record["strength"]) == ("image", planned.start.strength)
            assert listed[record["source"]] == record["class_ids"][0]
    data = SyntheticDataset(out)
    assert all(float(label.sum()) == pytest.approx(1) for _, label in data)


def test_samples_of_several_strengths_are_those_that_each_gives_alone(whole, tiny_model, images, tmp_path):
    strengths = {record["strength"] for record in content(whole)[1].values()}
    assert len(strengths) > 1
    # the same data set with all but one image there: that one is then made in a batch of its own
    for index in (0, 8):
        lone = tmp_path / str(index)
        shutil.copytree(whole, lone)
        (lone / f"images/000/{index:08d}.png").unlink()
        assert make(tiny_model, images, lone).made == 1
        assert content(lone) == content(whole)


def test_an_interrupted_run_goes_on_to_the_same_bytes(whole, tiny_model, images, tmp_path):
    def stop(progress):
        if progress.made >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tiny_model, images, tmp_path / "set", on_progress=stop)
    summary = make(tiny_model, images, tmp_path / "set")
    assert 0 < summary.skipped < 9
    assert content(tmp_path / "set") == content(whole)


def test_extension_keeps_what_is_there(whole, tiny_model, images, tmp_path):
    make(tiny_model, images, tmp_path / "set", count=5)
    make(tiny_model, images, tmp_path / "set", count=9)
    assert content(tmp_path / "set") == content(whole)


def test_shards_make_the_same_data_set(whole, tiny_model, images, tmp_path):
    for index in (1, 0):
        make(tiny_model, images, tmp_path / "set", shard=Shard(index=index, count=2))
    assert content(tmp_path / "set") == content(whole)


def test_other_images_are_another_plan(whole, tiny_model, images, tmp_path):
    shutil.copytree(whole, tmp_path / "set")
    fewer = images.take([row for row in range(len(images)) if row != 1])
    with pytest.raises(InputError, match="image_counts"):
        make(tiny_model, fewer, tmp_path / "set")


def test_without_the_real_images_nothing_is_begun(tiny_model, images, tmp_path):
    with pytest.raises(InputError, match=r"starts from real images, and none came"):
        make(tiny_model, None, tmp_path / "set", plan=images)
    with pytest.raises(InputError, match=r"strength 0\.5 leaves none of 1 steps"):
        make(tiny_model, images, tmp_path / "set", settings=RenderSettings(num_inference_steps=1))
    assert not (tmp_path / "set").exists()


def test_a_real_image_that_has_changed_ends_the_run_by_name(tiny_model, images, tmp_path):
    folder = tmp_path / "real"
    for image in images:
        (folder / images.classes.names[image.class_id]).mkdir(parents=True, exist_ok=True)
        shutil.copy(image.where, folder / images.classes.names[image.class_id])
    copied = load_source(folder)
    (folder / "bag" / "0.png").write_bytes((folder / "coat" / "0.png").read_bytes())
    with pytest.raises(InputError, match=r"bag.0\.png has changed since it was listed"):
        make(tiny_model, copied, tmp_path / "set", count=30)

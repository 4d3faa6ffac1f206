"""Published data sets, in miniature, with their official files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from ncm_lib import InputError, load_source
from ncm_lib.metrics.scores import group_accuracies
from ncm_lib.sources.benchmarks import load_benchmark, save_list, waterbirds_groups


@pytest.fixture
def put(tmp_path, encode):
    """Writes images (numbered noise) and text files below a folder."""

    def make(images=(), **texts: str) -> Path:
        for number, name in enumerate(images):
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode(number))
        for name, text in texts.items():
            file = tmp_path / name.replace("__", "/").replace("_txt", ".txt").replace("_csv", ".csv")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path

    return make


def rows(listing) -> set[tuple[str, str]]:
    return {(Path(image.where).name, listing.classes.names[image.class_id]) for image in listing}


def test_cub(put):
    folder = put(
        ["images/001.Black_footed_Albatross/A_1.jpg", "images/002.Laysan_Albatross/B_1.jpg",
         "images/002.Laysan_Albatross/B_2.jpg"],
        images_txt="1 001.Black_footed_Albatross/A_1.jpg\n2 002.Laysan_Albatross/B_1.jpg\n"
        "3 002.Laysan_Albatross/B_2.jpg\n",
        image_class_labels_txt="1 1\n2 2\n3 2\n", train_test_split_txt="1 1\n2 1\n3 0\n",
        classes_txt="1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n",
    )  # fmt: skip
    train = load_benchmark("cub-200", folder, "train")
    assert train.classes.names == ("Black footed Albatross", "Laysan Albatross")
    assert train.classes.meta_class == "bird"
    assert rows(train) == {("A_1.jpg", "Black footed Albatross"), ("B_1.jpg", "Laysan Albatross")}
    test = load_benchmark("cub-200", folder, "test")
    assert rows(test) == {("B_2.jpg", "Laysan Albatross")}
    assert test.classes == train.classes


def test_flowers_and_the_swapped_split_of_the_paper(put):
    folder = put([f"jpg/image_{number:05d}.jpg" for number in range(1, 6)])
    savemat(folder / "imagelabels.mat", {"labels": np.array([[1, 2, 102, 1, 2]])})
    savemat(folder / "setid.mat", {"trnid": [[1]], "valid": [[3]], "tstid": [[5, 2, 4]]})
    official = {part: rows(load_benchmark("oxford-flowers", folder, part)) for part in ("train", "test")}
    assert official["train"] == {("image_00001.jpg", "pink primrose"), ("image_00003.jpg", "blackberry lily")}
    assert len(official["test"]) == 3
    swapped = {
        part: rows(load_benchmark("oxford-flowers", folder, part, split="noisecutmix")) for part in ("train", "test")
    }
    assert (swapped["train"], swapped["test"]) == (official["test"], official["train"])
    assert len(load_benchmark("oxford-flowers", folder, "train").classes) == 102


@pytest.mark.parametrize("split", ["official", "noisecutmix"])
def test_aircraft(put, split):
    folder = put(
        ["data/images/1.jpg", "data/images/2.jpg"],
        data__variants_txt="707-320\nF/A-18\n", data__images_variant_trainval_txt="1 F/A-18\n",
        data__images_variant_test_txt="2 707-320\n",
    )  # fmt: skip
    assert rows(load_benchmark("fgvc-aircraft", folder, "train", split=split)) == {("1.jpg", "F A-18")}
    assert rows(load_benchmark("fgvc-aircraft", folder, "test", split=split)) == {("2.jpg", "707-320")}


def test_cars(put):
    folder = put(["cars_train/00001.jpg", "cars_test/00001.jpg", "cars_test/00002.jpg"])
    (folder / "devkit").mkdir()
    names = np.array(["Audi TT 2012", "BMW M3/M4 2012"], dtype=object)
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": names})
    kind = [("class", "O"), ("fname", "O")]
    savemat(folder / "devkit" / "cars_train_annos.mat", {"annotations": np.array([(2, "00001.jpg")], dtype=kind)})
    test = np.array([(1, "00001.jpg"), (2, "00002.jpg")], dtype=kind)
    savemat(folder / "cars_test_annos_withlabels.mat", {"annotations": test})
    assert rows(load_benchmark("stanford-cars", folder, "train")) == {("00001.jpg", "BMW M3 M4 2012")}
    assert load_benchmark("stanford-cars", folder, "test").class_counts().tolist() == [1, 1]


def test_pets(put):
    folder = put(
        ["images/Abyssinian_100.jpg", "images/great_pyrenees_7.jpg", "images/Abyssinian_2.jpg"],
        annotations__trainval_txt="#Image CLASS-ID SPECIES BREED ID\ngreat_pyrenees_7 2 2 1\nAbyssinian_100 1 1 1\n",
        annotations__test_txt="Abyssinian_2 1 1 1\n",
    )  # fmt: skip
    train = load_benchmark("oxford-pets", folder, "train")
    assert train.classes.names == ("Abyssinian", "great pyrenees")
    assert rows(train) == {("Abyssinian_100.jpg", "Abyssinian"), ("great_pyrenees_7.jpg", "great pyrenees")}


def test_waterbirds_and_the_accuracy_of_its_groups(put):
    head = "img_id,img_filename,y,split,place,place_filename"
    lines = [f"{number},b/{number}.jpg,{number // 2},2,{number % 2},x.jpg" for number in range(4)]
    lines += ["4,b/4.jpg,1,0,1,x.jpg", "5,b/5.jpg,1,1,1,x.jpg"]
    folder = put([f"b/{number}.jpg" for number in range(6)], metadata_csv="\n".join([head, *lines]))
    test = load_benchmark("waterbirds", folder, "test")
    groups = waterbirds_groups(folder, test)
    assert {Path(image.where).stem: int(group) for image, group in zip(test, groups, strict=True)} == {
        "0": 0, "1": 1, "2": 2, "3": 3,
    }  # fmt: skip
    always_water = np.ones(4, dtype=np.int64)
    assert group_accuracies(always_water, test.class_ids.astype(np.int64), groups) == {0: 0.0, 1: 0.0, 2: 1.0, 3: 1.0}
    assert len(load_benchmark("waterbirds", folder, "train")) == 1


@pytest.mark.parametrize("name", ["cub-200", "oxford-flowers", "fgvc-aircraft", "stanford-cars", "oxford-pets"])
def test_a_folder_that_is_something_else_is_refused_by_its_missing_file(tmp_path, name):
    with pytest.raises(InputError, match=f"is not {name} as its authors pack it: .* cannot be read"):
        load_benchmark(name, tmp_path, "train")


def test_a_label_that_no_list_names_is_refused(put):
    folder = put(["images/a.jpg"], variants_txt="707\n", images_variant_trainval_txt="a 727\n")
    with pytest.raises(InputError, match=r"variants.txt lacks 727"):
        load_benchmark("fgvc-aircraft", folder, "train")


def test_a_part_can_be_kept_as_a_list_that_every_command_reads(put, tmp_path):
    folder = put(["images/a.jpg", "images/b.jpg"], variants_txt="707\nF/A-18\n",
                 images_variant_trainval_txt="a 707\nb F/A-18\n")  # fmt: skip
    train = load_benchmark("fgvc-aircraft", folder, "train")
    save_list(train, tmp_path / "train.jsonl")
    again = load_source(tmp_path / "train.jsonl")
    assert again == train
    assert rows(again) == {("a.jpg", "707"), ("b.jpg", "F A-18")}

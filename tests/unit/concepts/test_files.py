"""Folders of concepts: written whole, read back, and refused in one line where they are damaged."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file

from ncm_lib import InputError
from ncm_lib.concepts import read_concepts, save_concepts

ROOT = Path(__file__).parents[3]
LORA = "pytorch_lora_weights.safetensors"


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_a_set_is_read_back_as_it_was(tmp_path, make_concepts):
    concepts = make_concepts(12, base_model="tiny", base_fingerprint="f" * 64, resolution=512)
    save_concepts(tmp_path / "set", concepts)
    again = read_concepts(tmp_path / "set")
    assert again.fingerprint == concepts.fingerprint
    assert again.classes == concepts.classes
    fields = ("dataset", "base_model", "base_fingerprint", "resolution", "rank")
    assert [getattr(again, name) for name in fields] == ["cub", "tiny", "f" * 64, 512, 4]


def test_several_tokens_of_a_class_are_rows_of_its_file(tmp_path, make_concepts):
    concepts = make_concepts(2, per_class=3)
    save_concepts(tmp_path, concepts)
    again = read_concepts(tmp_path)
    assert again.classes.tokens[1] == "<class_1_0> <class_1_1> <class_1_2>"
    assert torch.equal(again.vectors("clip_l", 1), concepts.vectors("clip_l", 1))
    assert load_file(tmp_path / "embeddings/cub_class_1.safetensors")["<class_1>"].shape == (3, 32)


def test_each_embedding_file_has_one_key_and_a_name_without_brackets(tmp_path, make_concepts):
    save_concepts(tmp_path, make_concepts(12))
    files = sorted((tmp_path / "embeddings").iterdir())
    assert [file.name for file in files] == sorted(f"cub_class_{k}.safetensors" for k in range(12))
    for file in files:
        with safe_open(file, "pt") as tensors:
            (key,) = tensors.keys()
        assert file.stem == f"cub_{key[1:-1]}"


def test_equal_sets_give_equal_bytes_and_foreign_files_stay(tmp_path, make_concepts):
    (tmp_path / "notes.txt").write_text("mine")
    save_concepts(tmp_path, make_concepts())
    first = contents(tmp_path)
    save_concepts(tmp_path, make_concepts())
    assert contents(tmp_path) == first
    assert first["notes.txt"] == b"mine"


def test_a_smaller_set_leaves_no_files_of_the_larger_one(tmp_path, make_concepts):
    save_concepts(tmp_path / "a", make_concepts(3))
    save_concepts(tmp_path / "a", make_concepts(2))
    save_concepts(tmp_path / "b", make_concepts(2))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_place_that_cannot_be_written_is_named(tmp_path, make_concepts):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written to .*file"):
        save_concepts(tmp_path / "file", make_concepts())


# The child is killed just before its k-th file operation, which Python announces to audit hooks.
SCRIPT = """
import json, os, shutil, signal, sys
from pathlib import Path
import torch
from ncm_lib.concepts import ConceptSet, LoraPair, class_tokens, read_concepts, save_concepts
from ncm_lib.plan.classes import ClassList

base = Path(sys.argv[1])

def concepts(count, value):
    tokens = class_tokens(count)
    classes = ClassList(names=tuple(f"n{k}" for k in range(count)), tokens=tokens)
    vectors = {token: torch.full((4,), value) for token in tokens}
    lora = {"a.to_q": LoraPair(down=torch.full((2, 4), value), up=torch.ones(4, 2))}
    return ConceptSet(classes=classes, embeddings={"clip_l": vectors}, lora=lora)

old, new = concepts(3, 1.0), concepts(2, 2.0)
ticks = fatal = 0

def hook(event, arguments):
    global ticks
    if event in {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"} and str(base) in str(arguments[0]):
        ticks += 1
        if ticks == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
save_concepts(base / "whole", old)
ticks = 0
save_concepts(base / "whole", new)
total, results = ticks, []

def contents(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}

def child(action, kill):
    global ticks, fatal
    pid = os.fork()
    if not pid:
        ticks, fatal = 0, kill
        action()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def seen(path):
    return {old.fingerprint: "old", new.fingerprint: "new"}[read_concepts(path).fingerprint]

for kill in range(1, total + 1):
    path = base / f"killed-{kill}"
    save_concepts(path, old)
    code = child(lambda: save_concepts(path, new), kill)
    after = seen(path)
    # the next save may be killed as well
    child(lambda: save_concepts(path, new), 2)
    again = seen(path)
    save_concepts(path, new)
    results.append([code, after, again, contents(path) == contents(base / "whole")])
    shutil.rmtree(path)
print(json.dumps(results))
"""


@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_killed_at_any_file_operation_a_save_leaves_the_old_set_or_the_new_one_whole(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    results = json.loads(run.stdout)
    assert len(results) >= 20
    assert all(code == -signal.SIGKILL for code, *_ in results)
    states = [after for _, after, *_ in results]
    assert states == sorted(states, reverse=True), "once the new set is there it stays"
    assert set(states) == {"old", "new"}
    assert all(again == "new" or after == "old" for _, after, again, _ in results)
    assert all(same for *_, same in results)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda head: head.update(extra=1),
            "no option 'extra'; there are base_fingerprint, base_model",
        ),
        (lambda head: head.update(format="ncm-concepts-9"), "format is 'ncm-concepts-9'; it takes 'ncm-concepts-1'"),
        (lambda head: head.update(resolution=0), "resolution is 0; it takes 1 or more"),
        (
            lambda head: head["classes"][1].update(file="../../secret.safetensors"),
            "by its rule that is 'embeddings/cub",
        ),
        (lambda head: head["classes"][1].update(tokens=["<class_0>"]), "<class_0> stands twice"),
        (lambda head: head["classes"][1].update(tokens=["<a>", "<b>"]), r"expected is one tensor \[2, 32\]"),
        (lambda head: head["encoders"].update(clip_l=768), r"for the class 'bird 0' expected is one tensor \[1, 768\]"),
        (lambda head: head["lora"].update(file="/etc/passwd"), "by its rule that is 'pytorch_lora_weights"),
        (lambda head: head["lora"].update(sha256="0" * 64), f"{LORA} is not the file that .* describes"),
    ],
)
def test_a_manifest_that_cannot_be_meant_is_refused(tmp_path, make_concepts, change, message):
    save_concepts(tmp_path, make_concepts())
    head = json.loads((tmp_path / "concepts.json").read_text())
    change(head)
    (tmp_path / "concepts.json").write_text(json.dumps(head))
    with pytest.raises(InputError, match=message):
        read_concepts(tmp_path)


@pytest.mark.parametrize("text", ["", "[" * 100_000, '{"format": 1, "format": 2}', "[]", '{"resolution": 1e400}'])
def test_a_manifest_that_is_no_json_object_is_refused(tmp_path, make_concepts, text):
    save_concepts(tmp_path, make_concepts())
    (tmp_path / "concepts.json").write_text(text)
    with pytest.raises(InputError, match=r"concepts\.json"):
        read_concepts(tmp_path)


def header(entries, data=b""):
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"abc",
        (1 << 60).to_bytes(8, "little") + b"{}",
        header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, b"\0" * 8),
        header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
                "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, b"\0" * 12),
        header({"a": {"dtype": "X99", "shape": [2], "data_offsets": [0, 8]}}, b"\0" * 8),
        header({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 8]}}, b"\0" * 8),
        b"\x80\x04\x95" + b"\0" * 32,
    ],
    ids=["empty", "short", "header too long", "data too short", "overlap", "unknown dtype", "huge shape", "a pickle"],
)  # fmt: skip
@pytest.mark.parametrize("name", [LORA, "embeddings/cub_class_1.safetensors"])
def test_a_damaged_tensor_file_is_refused_in_one_line_that_names_it(tmp_path, make_concepts, data, name):
    save_concepts(tmp_path, make_concepts())
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_concepts(tmp_path)
    assert f"{tmp_path / name} is damaged or no safetensors file" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_set_is_found_by_its_hash(tmp_path, make_concepts):
    save_concepts(tmp_path / "a", make_concepts(seed=0))
    save_concepts(tmp_path / "b", make_concepts(seed=1))
    name = "embeddings/cub_class_2.safetensors"
    (tmp_path / "b" / name).replace(tmp_path / "a" / name)
    with pytest.raises(InputError, match=r"cub_class_2\.safetensors is not the file that .*sha256 differs"):
        read_concepts(tmp_path / "a")


def test_a_missing_file_is_named(tmp_path, make_concepts):
    save_concepts(tmp_path, make_concepts())
    (tmp_path / "embeddings/cub_class_2.safetensors").unlink()
    with pytest.raises(InputError, match=r"cub_class_2\.safetensors cannot be read"):
        read_concepts(tmp_path)


def test_places_without_concepts_are_refused_with_what_would_be_some(tmp_path):
    with pytest.raises(InputError, match=r"is not there; concepts are a folder that ncm wrote \(concepts\.json\)"):
        read_concepts(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no concepts; concepts are"):
        read_concepts(tmp_path)
    (tmp_path / "lora.safetensors").write_bytes(save({"a": torch.ones(1)}))
    with pytest.raises(InputError, match="is a file; concepts are"):
        read_concepts(tmp_path / "lora.safetensors")


def test_files_of_diffusers_scripts_are_read(tmp_path, make_concepts):
    (tmp_path / "embeddings").mkdir()
    for k in (10, 2, 0):
        save_file({f"<class_{k}>": torch.full((32,), float(k))}, tmp_path / f"embeddings/any_{k}.safetensors")
    save_file({"<cat-toy>": torch.ones(2, 32)}, tmp_path / "learned_embeds.safetensors")
    lora = make_concepts().lora
    tensors = {f"unet.{path}.lora_{side}.weight": tensor for path, pair in lora.items()
               for side, tensor in (("A", pair.down), ("B", pair.up))}  # fmt: skip
    settings = {"unet.lora_alpha": 2, "unet.r": 4, "unet.use_dora": False}
    save_file(tensors, tmp_path / LORA, {"lora_adapter_metadata": json.dumps(settings)})
    concepts = read_concepts(tmp_path)
    assert concepts.classes.names == ("cat-toy", "class_0", "class_2", "class_10")
    assert concepts.classes.tokens == ("<cat-toy_0> <cat-toy_1>", "<class_0>", "<class_2>", "<class_10>")
    assert concepts.vectors("clip_l", 3)[0, 0] == 10
    assert concepts.lora.keys() == lora.keys()
    assert {pair.scale for pair in concepts.lora.values()} == {0.5}


def test_a_class_list_beside_the_files_of_diffusers_names_the_classes(tmp_path):
    for k in range(3):
        save_file({f"<class_{k}>": torch.full((32,), float(k))}, tmp_path / f"{k}.safetensors")
    listed = {"classes": ["wren", "robin"], "meta_class": "bird", "tokens": ["<class_2>", "<class_0>"]}
    (tmp_path / "classes.json").write_text(json.dumps(listed))
    concepts = read_concepts(tmp_path)
    assert concepts.classes.to_json() == listed
    assert concepts.lora == {}
    (tmp_path / "classes.json").write_text(json.dumps(listed | {"tokens": ["<class_2>", "<class_7>"]}))
    with pytest.raises(InputError, match="'robin' the token '<class_7>', and no embedding file holds it"):
        read_concepts(tmp_path)


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({"weight": torch.ones(2, 2)}, {}, "have 0 layers of a UNet"),
        ({"a.lora_A.weight": torch.ones(1, 2), "a.lora_B.weight": torch.ones(2, 1)},
         {"lora_adapter_metadata": '{"unet.use_dora": true}'}, "was trained with use_dora, which is not read"),
        ({"a.lora_A.weight": torch.ones(1, 2), "a.lora_B.weight": torch.ones(2, 1)},
         {"lora_adapter_metadata": '{"unet.r": 0, "unet.lora_alpha": 1}'}, "unreadable settings in its metadata"),
    ],
)  # fmt: skip
def test_a_lora_file_of_another_kind_is_refused(tmp_path, tensors, metadata, message):
    save_file({"<a>": torch.ones(4)}, tmp_path / "a.safetensors")
    save_file(tensors, tmp_path / LORA, metadata)
    with pytest.raises(InputError, match=message):
        read_concepts(tmp_path)


@pytest.mark.parametrize("content", [{"a": torch.ones(2, 2, 2)}, {"a b": torch.ones(4)}, {"<>": torch.ones(4)}])
def test_an_embedding_file_of_another_kind_is_refused(tmp_path, content):
    save_file(content, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="which is no token with vectors; expected is an embedding file"):
        read_concepts(tmp_path)

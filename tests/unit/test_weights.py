"""Weights: told by content, read once, put in strictly, with every difference named."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.unit import bench_models
from workbench.protocol.failures import Failure, WorkbenchError
from workbench.worker import tensorfile
from workbench.worker.bench import fitting, on_meta, weights


def values_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def saved(path: Path, state: dict[str, Any]) -> str:
    if path.suffix == ".safetensors":
        tensorfile.save(str(path), state)
    else:
        torch.save(state, path)
    return str(path)


def refused(path: str) -> Failure:
    with pytest.raises(WorkbenchError) as caught:
        weights.read(path)
    assert caught.value.failure.kind == "weights"
    return caught.value.failure


def does_not_fit(model: nn.Module, path: str) -> Failure:
    with pytest.raises(WorkbenchError) as caught:
        fitting.put(model, weights.read(path), assign=False)
    assert caught.value.failure.kind == "weights"
    return caught.value.failure


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.safetensors", "w.bin"])
@pytest.mark.parametrize("assign", [False, True])
def test_a_checkpoint_loads_by_its_content(tmp_path: Path, name: str, assign: bool) -> None:
    source, model = bench_models.Net(), bench_models.Net()
    path = saved(tmp_path / name, source.state_dict())
    checkpoint = weights.read(path)
    assert checkpoint.sha256 == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert fitting.put(model, checkpoint, assign) == []
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in values_of(source).items())
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in model.parameters())


def test_the_old_format_of_torch_save_loads(tmp_path: Path) -> None:
    source, model = bench_models.Net(), bench_models.Net()
    torch.save(source.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    fitting.put(model, weights.read(str(tmp_path / "old.pt")), assign=False)
    assert torch.equal(model.fc1.weight, source.fc1.weight)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_file_that_is_cut_off_after_it_was_read_harms_nothing(tmp_path: Path, name: str) -> None:
    source, model = bench_models.Net(), bench_models.Net()
    path = saved(tmp_path / name, source.state_dict())
    fitting.put(model, weights.read(path), assign=True)
    os.truncate(path, 5)
    assert torch.equal(model.fc1.weight, source.fc1.weight)
    with torch.no_grad():
        model.fc1.weight.zero_()


def test_the_complete_difference_is_told(tmp_path: Path) -> None:
    state = {"fc1.weight": torch.zeros(16, 10), "fc2.weight": torch.zeros(7, 16), "extra.bias": torch.zeros(1)}
    failure = does_not_fit(bench_models.Net(), saved(tmp_path / "w.pt", state))
    assert "2 missing (fc1.bias, fc2.bias), 1 unexpected (extra.bias)" in failure.message
    assert "1 of another shape: fc2.weight [7,16] in the file, [5,16] in the model" in failure.message
    assert failure.difference.splitlines() == [
        "missing     fc1.bias",
        "missing     fc2.bias",
        "unexpected  extra.bias",
        "shape       fc2.weight [7, 16] in the file, [5, 16] in the model",
    ]


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod."])
def test_a_prefix_that_explains_the_difference_is_named(tmp_path: Path, prefix: str) -> None:
    state = {prefix + name: value for name, value in bench_models.Net().state_dict().items()}
    failure = does_not_fit(bench_models.Net(), saved(tmp_path / "w.pt", state))
    assert "4 missing" in failure.message
    assert f"0 of 4 → 4 of 4 after removing '{prefix}'" in failure.remedy
    assert failure.repair == "auto"


def test_a_prefix_that_the_model_has_and_the_file_lacks(tmp_path: Path) -> None:
    wrapped = nn.DataParallel(bench_models.Net())
    failure = does_not_fit(wrapped, saved(tmp_path / "w.pt", bench_models.Net().state_dict()))
    assert "putting 'module.' before them" in failure.remedy


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_a_training_checkpoint_is_opened_and_that_is_said(tmp_path: Path, key: str) -> None:
    path = saved(tmp_path / "w.pt", {"epoch": 3, key: bench_models.Net().state_dict(), "optimizer": {"lr": 0.1}})
    checkpoint = weights.read(path)
    assert set(checkpoint.tensors) == set(bench_models.Net().state_dict())
    assert repr(key) in checkpoint.notes[0]


def test_a_pickled_module_is_explained_and_never_run(tmp_path: Path) -> None:
    failure = refused(saved(tmp_path / "net.pt", bench_models.Net()))  # type: ignore[arg-type]
    assert "tests.unit.bench_models.Net" in failure.message
    assert "torch.save(model.state_dict(), 'net_state.pt')" in failure.remedy

    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (os.mkdir, (str(tmp_path / "exploded"),))

    assert "mkdir" in refused(saved(tmp_path / "bomb.pt", {"x": Bomb()})).message
    assert not (tmp_path / "exploded").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_other_archives_are_called_what_they_are(tmp_path: Path) -> None:
    torch.jit.script(nn.Linear(2, 2)).save(str(tmp_path / "script.pt"))
    assert "TorchScript" in refused(str(tmp_path / "script.pt")).message
    assert "list" in refused(saved(tmp_path / "list.pt", [1, 2])).message  # type: ignore[arg-type]
    assert "'a', 'b'" in refused(saved(tmp_path / "odd.pt", {"a": 1, "b": 2})).message


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"PK\x03\x04broken", b"\xff" * 64, b"\x80\x02garbage", b"hello"])
def test_what_is_no_weights_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pt").write_bytes(content)
    assert "w.pt" in refused(str(tmp_path / "w.pt")).message


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pt", bench_models.Net().state_dict())
    data = Path(path).read_bytes()
    for size in range(20, len(data), 97):
        Path(path).write_bytes(data[:size])
        refused(path)


def test_paths_that_hold_nothing(tmp_path: Path) -> None:
    saved(tmp_path / "net.pt", {})
    assert "Did you mean 'net.pt'" in refused(str(tmp_path / "nett.pt")).remedy
    (tmp_path / "folder").mkdir()
    assert "no single weights file" in refused(str(tmp_path / "folder")).message
    os.mkfifo(tmp_path / "fifo")
    assert "regular" in refused(str(tmp_path / "fifo")).message


@pytest.mark.parametrize("assign", [False, True])
def test_a_file_of_another_dtype_is_cast_to_the_models_and_that_is_said(tmp_path: Path, assign: bool) -> None:
    path = saved(tmp_path / "w.pt", bench_models.Net().half().state_dict())
    model = bench_models.Net()
    notes = fitting.put(model, weights.read(path), assign)
    assert model.fc1.weight.dtype == torch.float32
    assert notes == ["4 tensors of the file are float16 and became the model's float32"]


@pytest.mark.parametrize("assign", [False, True])
def test_ties_are_kept_and_one_name_is_enough(tmp_path: Path, assign: bool) -> None:
    state = bench_models.Tied().state_dict()
    del state["head.weight"]
    model = bench_models.Tied()
    notes = fitting.put(model, weights.read(saved(tmp_path / "w.safetensors", dict(state))), assign)
    assert model.head.weight is model.embed.weight
    assert torch.equal(model.head.weight, state["embed.weight"])
    assert notes == ["head.weight is not in the file, and came from embed.weight, to which it is tied"]
    state["head.weight"] = state["embed.weight"] + 1
    notes = fitting.put(model, weights.read(saved(tmp_path / "w.safetensors", dict(state))), assign)
    assert notes == [
        "embed.weight, head.weight are tied in the model and differ in the file: head.weight's values were taken"
    ]
    assert torch.equal(model.embed.weight, state["head.weight"])
    assert model.head.weight is model.embed.weight


def test_parameters_on_meta_cost_nothing_and_everything_else_is_real() -> None:
    with on_meta.parameters_on_meta():
        model = bench_models.Tied()
    assert model.head.weight is model.embed.weight
    assert model.head.weight.is_meta
    assert model.places.tolist() == [0, 1, 2, 3]
    assert set(on_meta.left_on_meta(model)) == {"embed.weight", "norm.weight", "norm.bias"}
    assert not nn.Linear(2, 2).weight.is_meta


def test_plain_tensors_left_on_meta_are_found() -> None:
    model = nn.Identity()
    model.cache = [torch.empty(2, device="meta")]
    assert on_meta.left_on_meta(model) == ["cache"]


def test_versions_beside_a_state_dict_survive(tmp_path: Path) -> None:
    source = bench_models.Tied()
    source.norm.num_batches_tracked += 5
    state: OrderedDict[str, torch.Tensor] = source.state_dict()
    model = bench_models.Tied()
    fitting.put(model, weights.read(saved(tmp_path / "w.pt", state)), assign=True)
    assert int(model.norm.num_batches_tracked) == 5


@pytest.mark.parametrize(
    ("data", "words", "remedy"),
    [
        (b"", "is empty", "Get it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "pointer of Git LFS", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>404</html>", "is a web page", "Get it again"),
        (b"something else entirely", "is neither", "workbench inspect"),
    ],
)
def test_what_is_often_taken_for_weights_is_called_by_its_name(
    tmp_path: Path, data: bytes, words: str, remedy: str
) -> None:
    (tmp_path / "w.pt").write_bytes(data)
    with pytest.raises(WorkbenchError) as caught:
        weights.read(str(tmp_path / "w.pt"))
    assert words in caught.value.failure.message
    assert remedy in caught.value.failure.remedy


@pytest.mark.parametrize(
    ("wrap", "key"),
    [
        (lambda state: {"params_ema": state, "iter": 3}, "params_ema"),
        (lambda state: {"checkpoint": {"model": state}, "epoch": 1}, "checkpoint.model"),
        (lambda state: {"a": {"b": {"c": state}}}, "a.b.c"),
        (
            lambda state: {
                "net_g": state,
                "optim": {"state": {"0": {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]},
                "rng": {"torch": torch.get_rng_state()},
                "metrics": {"loss": torch.tensor(0.5)},
            },
            "net_g",
        ),
    ],
)
def test_the_one_state_dict_in_a_checkpoint_is_found_under_any_key(tmp_path: Path, wrap: Any, key: str) -> None:
    state = bench_models.Net().state_dict()
    path = saved(tmp_path / "w.pt", wrap(state))
    checkpoint = weights.read(path)
    assert checkpoint.tensors.keys() == state.keys()
    assert f"took {key!r} of the training checkpoint" in checkpoint.notes[0]
    assert weights.read(f"{path}#{key}").tensors.keys() == state.keys()


def test_several_state_dicts_are_named_and_none_is_guessed(tmp_path: Path) -> None:
    state = bench_models.Net().state_dict()
    path = saved(tmp_path / "gan.pt", {"generator": state, "nets": {"discriminator": state}})
    failure = refused(path)
    assert "holds 2 state_dicts: generator, nets.discriminator" in failure.message
    assert failure.remedy == f"Name one: --weights '{path}#generator'"
    assert weights.read(f"{path}#nets.discriminator").tensors.keys() == state.keys()
    assert "generator, nets.discriminator" in refused(f"{path}#nothing").remedy


@pytest.mark.parametrize("key", ["1", "[1]"])
@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_of_state_dicts_is_picked_from_by_number(tmp_path: Path, key: str, kind: type) -> None:
    one, other = bench_models.Net().state_dict(), bench_models.Tied().state_dict()
    path = saved(tmp_path / "list.pt", kind([one, other, {"epoch": 3}]))
    failure = refused(path)
    assert "holds 2 state_dicts: 0, 1" in failure.message
    assert failure.remedy == f"Name one: --weights '{path}#0'"
    assert weights.read(f"{path}#{key}").tensors.keys() == other.keys()
    for absent in ("2", "9", "x", "[9]", "-1", "²"):
        assert "There is one under 0, 1" in refused(f"{path}#{absent}").remedy


def test_a_list_with_one_state_dict_and_keys_that_lead_into_lists(tmp_path: Path) -> None:
    state = bench_models.Net().state_dict()
    path = saved(tmp_path / "list.pt", [{"epoch": 3}, state])
    checkpoint = weights.read(path)
    assert checkpoint.tensors.keys() == state.keys()
    assert checkpoint.notes == ["took '1' of the training checkpoint (beside it: 0)"]
    inner = saved(tmp_path / "inner.pt", {"members": [{"model": state}], "model": bench_models.Tied().state_dict()})
    for key in ("members.0.model", "members[0].model"):
        assert weights.read(f"{inner}#{key}").tensors.keys() == state.keys()


def test_tensors_without_values_are_no_weights(tmp_path: Path) -> None:
    path = saved(tmp_path / "meta.pt", nn.Linear(2, 2, device="meta").state_dict())
    assert "describes weight, bias and holds no values of them" in refused(path).message


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize(
    ("value", "form"),
    [(torch.ones(6, 4).to_sparse(), "sparse_coo"), ([1.0], "a list"), ({}, "a dict")],
)
def test_what_cannot_become_a_tensor_of_the_model_is_named(tmp_path: Path, value: Any, form: str, assign: bool) -> None:
    model = bench_models.Tied()
    state = {name: one.clone() for name, one in model.state_dict().items()}
    checkpoint = weights.Checkpoint(str(tmp_path / "w.pt"), {**state, "head.weight": value}, (0, 0, 0), ())
    with pytest.raises(WorkbenchError, match=f"head.weight is {form} in the file, dense in the model") as caught:
        fitting.put(model, checkpoint, assign)
    assert caught.value.failure.kind == "weights"

"""Two files beside each other: names, shapes, dtypes, and the values of whatever both hold."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.artifact_bench import eager, quiet_job
from tests.unit.artifact_models import training
from workbench.protocol.artifacts import Inspection
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.inspected import InspectedPair, InspectPair
from workbench.protocol.messages import Inspect
from workbench.worker import tensorfile
from workbench.worker.artifact.inspect import inspect
from workbench.worker.artifact.inspect_pair import inspect_pair
from workbench.worker.artifact.inspect_values import compare_values
from workbench.worker.bench.weights import read


def look(path: Path) -> Inspection:
    return inspect(Inspect(str(path)), quiet_job())


def pair(one: Path, other: Path, values: bool = False) -> InspectedPair:
    return inspect_pair(InspectPair(str(one), str(other), values), quiet_job())


def test_two_files_with_the_same_tensors_are_the_same(tmp_path: Path) -> None:
    state = eager("Net").state_dict()
    torch.save(state, tmp_path / "a.pt")
    tensorfile.save(str(tmp_path / "b.safetensors"), state)
    found = pair(tmp_path / "a.pt", tmp_path / "b.safetensors", values=True)
    assert found.kinds == ("state_dict", "safetensors")
    assert (found.first, found.second, found.shapes, found.dtypes, found.differing) == ((), (), (), (), ())
    assert found.compared == found.alike == len(state)
    assert "same bits" in found.words[-1]


def test_names_shapes_and_dtypes_that_differ_are_listed(tmp_path: Path) -> None:
    one = {"a": torch.zeros(2), "b": torch.zeros(3), "c": torch.zeros(4), "d": torch.zeros(1)}
    other = {"a": torch.zeros(2), "b": torch.zeros(5), "c": torch.zeros(4, dtype=torch.float16), "e": torch.zeros(1)}
    torch.save(one, tmp_path / "a.pt")
    torch.save(other, tmp_path / "b.pt")
    found = pair(tmp_path / "a.pt", tmp_path / "b.pt")
    assert (found.first, found.second) == (("d",), ("e",))
    assert found.shapes == ("b [3] against [5]",)
    assert found.dtypes == ("c float32 against float16",)


def test_a_wrapper_s_or_a_checkpoint_s_key_is_taken_off_and_said(tmp_path: Path) -> None:
    state = eager("Net").state_dict()
    torch.save(state, tmp_path / "a.pt")
    torch.save({"epoch": 1, "state_dict": state}, tmp_path / "b.pt")
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "c.pt")
    for other, key in (("b.pt", "state_dict."), ("c.pt", "module.")):
        found = pair(tmp_path / "a.pt", tmp_path / other, values=True)
        assert found.alike == found.compared == len(state)
        assert not found.differing
        assert any(repr(key) in words for words in found.words)


def test_values_that_differ_are_ranked(tmp_path: Path) -> None:
    one = {"a": torch.ones(1000), "b": torch.ones(10), "c": torch.ones(3)}
    other = {name: value.clone() for name, value in one.items()}
    other["a"][7] += 0.5
    other["b"] *= 2
    torch.save(one, tmp_path / "a.pt")
    torch.save(other, tmp_path / "b.pt")
    first, second = pair(tmp_path / "a.pt", tmp_path / "b.pt", values=True).differing
    assert (first.name, first.differing, first.relative) == ("b", 10, 1.0)
    assert (second.name, second.differing, second.max_abs) == ("a", 1, 0.5)
    assert second.relative == pytest.approx(math.sqrt(0.25 / 1000))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8, torch.bool, torch.complex64])
def test_values_of_every_dtype_are_compared_by_their_bits(dtype: torch.dtype) -> None:
    one = torch.ones(5, dtype=dtype)
    other = one.clone()
    assert compare_values("x", one, other) is None
    other[2] = 0
    found = compare_values("x", one, other)
    assert found is not None
    assert (found.differing, found.elements) == (1, 5)


def test_values_of_four_bits_are_compared_by_their_numbers() -> None:
    one, other = (torch.tensor(bytes_, dtype=torch.uint8).view(torch.float4_e2m1fn_x2) for bytes_ in ([0x27], [0xF7]))
    found = compare_values("x", one, other)  # 6 and 1 against 6 and -6
    assert found is not None
    assert (found.differing, found.max_abs, found.relative) == (1, 7.0, pytest.approx(math.sqrt(49 / 37)))


def test_nan_in_one_file_only_is_counted_and_the_same_nan_is_no_difference() -> None:
    one, other = torch.tensor([1.0, float("nan")]), torch.tensor([float("nan"), float("nan")])
    found = compare_values("x", one, other)
    assert found is not None
    assert (found.differing, found.nonfinite) == (1, 1)
    assert compare_values("x", other, other.clone()) is None


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"ema": {"fc.weight": torch.zeros(3, 2)}}, ["ema.fc.weight"]),
        ({"optimizer": {"state": {0: {"step": torch.tensor(6.0)}}}}, ["optimizer.state.0.step"]),
        ({"model": {"fc.weight": torch.zeros(3, 2)}}, ["model.fc.weight"]),
        ({}, []),
    ],
)
def test_every_tensor_of_a_training_checkpoint_is_compared(
    tmp_path: Path, changes: dict[str, Any], names: list[str]
) -> None:
    torch.save(training(), tmp_path / "a.pt")
    torch.save(training(**changes), tmp_path / "b.pt")
    found = pair(tmp_path / "a.pt", tmp_path / "b.pt", values=True)
    assert [one.name for one in found.differing] == names
    assert found.compared == found.alike == (4 if "optimizer" not in changes else 3)
    assert ("all 4 that fit hold the same bits" in found.words[-1]) == (not names)


def test_values_that_a_file_only_describes_are_not_called_equal(tmp_path: Path) -> None:
    for name in "ab":
        torch.save({"here": torch.ones(2), "there": torch.ones(2, device="meta")}, tmp_path / name)
    found = pair(tmp_path / "a", tmp_path / "b", values=True)
    assert (found.alike, found.compared, found.uncompared, found.differing) == (2, 1, ("there",), ())
    assert found.words[-1] == "1 that fit hold the same bits. 1 that fit could not be compared: there."


def odd_layouts(value: float) -> dict[str, torch.Tensor]:
    dense = torch.tensor([[0.0, value], [3.0, 0.0]])
    return {
        "coo": dense.to_sparse(),
        "csr": dense.to_sparse_csr(),
        "csc": dense.to_sparse_csc(),
        "quantised": torch.quantize_per_tensor(dense, 0.1, 0, torch.qint8),
        "channels": torch.quantize_per_channel(dense, torch.tensor([0.1, 0.2]), torch.tensor([0, 1]), 0, torch.qint8),
    }


def test_tensors_of_every_layout_are_compared() -> None:
    one, same, other = odd_layouts(1.0), odd_layouts(1.0), odd_layouts(2.0)
    for name, tensor in one.items():
        assert compare_values(name, tensor, same[name]) is None
        assert compare_values(name, tensor, other[name]) is not None, name


def test_sparse_tensors_in_two_files_are_compared(tmp_path: Path) -> None:
    for name, value in (("a.pt", 1.0), ("b.pt", 2.0)):
        torch.save({"s": torch.tensor([[0.0, value]]).to_sparse()}, tmp_path / name)
    assert not pair(tmp_path / "a.pt", tmp_path / "a.pt", values=True).differing
    assert (
        pair(tmp_path / "a.pt", tmp_path / "b.pt", values=True).words[-1].endswith("1 differs: s holds other values.")
    )


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (1.0, float("nan"), "x has 1 value that is finite in one file only"),
        (0.0, -0.0, "x has the same values in other bits"),
        (0.0, 2.0, "x is 0 in the first file, and at most 2 in the second"),
    ],
)
def test_a_difference_that_has_no_measure_is_said_as_it_is(
    tmp_path: Path, one: float, other: float, words: str
) -> None:
    torch.save({"x": torch.tensor([one])}, tmp_path / "a.pt")
    torch.save({"x": torch.tensor([other])}, tmp_path / "b.pt")
    assert words in pair(tmp_path / "a.pt", tmp_path / "b.pt", values=True).words[-1]


def test_a_file_without_tensors_is_said_to_have_none(tmp_path: Path) -> None:
    torch.save({"x": torch.zeros(1)}, tmp_path / "a.pt")
    (tmp_path / "b.txt").write_text("notes\n")
    words = pair(tmp_path / "a.pt", tmp_path / "b.txt").words
    assert "b.txt holds no tensors that are listed: nothing this knows" in words[0]
    assert words[1:] == ("there is nothing to compare.",)


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [(torch.float16, torch.float64), (torch.bfloat16, torch.float32), (torch.float8_e4m3fn, torch.float32)],
)
def test_floats_of_two_widths_are_compared_in_the_narrower(
    tmp_path: Path, narrow: torch.dtype, wide: torch.dtype
) -> None:
    values = torch.linspace(-3, 3, 50, dtype=wide)
    tensorfile.save(str(tmp_path / "wide"), {"w": values, "v": values * 2, "n": torch.ones(2), "same": values})
    tensorfile.save(
        str(tmp_path / "narrow"),
        {"w": values.to(narrow), "v": values.to(narrow), "n": torch.ones(2, dtype=torch.int64), "same": values},
    )
    name = str(narrow)[6:]
    for one, other in (("wide", "narrow"), ("narrow", "wide")):
        found = pair(tmp_path / one, tmp_path / other, values=True)
        assert [one.name for one in found.differing] == ["v"]
        assert (found.alike, found.compared, len(found.dtypes)) == (1, 3, 3)
        assert found.words[-2] == "the one that fits holds the same bits."
        assert found.words[-1].startswith(f"2 tensors in floats of two widths: 1 differ after rounding to {name}: v ")
    assert not any("rounding" in words for words in pair(tmp_path / "wide", tmp_path / "wide", values=True).words)


@pytest.mark.parametrize(
    ("data", "remedy"),
    [
        (b"notes\n", "Name files of tensors"),
        (b"cos\nsystem\n(S'ls'\ntR.", "workbench convert"),
        (b"import os\n", "Name"),
    ],
)
def test_what_has_no_values_is_told_what_to_do_with_its_own_kind(tmp_path: Path, data: bytes, remedy: str) -> None:
    torch.save({"x": torch.zeros(1)}, tmp_path / "a.pt")
    (tmp_path / "b").write_bytes(data)
    with pytest.raises(WorkbenchError) as caught:
        pair(tmp_path / "a.pt", tmp_path / "b", values=True)
    assert caught.value.failure.remedy.startswith(remedy)


@pytest.mark.parametrize(
    "names", [("adapter_model", "model"), ("model", "pytorch_model"), ("only",), ("pytorch_model",)]
)
def test_a_directory_is_looked_at_and_compared_by_the_weights_that_are_loaded(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    folders = []
    for value in (1.0, 2.0):
        folder = tmp_path / str(value)
        folder.mkdir()
        for name in names:
            content = {name: torch.full((2,), value)}
            if name == "pytorch_model":
                torch.save(content, folder / "pytorch_model.bin")
            else:
                tensorfile.save(str(folder / f"{name}.safetensors"), content)
        folders.append(folder)
    loaded = read(str(folders[0])).tensors
    assert [one.name for one in look(folders[0]).tensors] == list(loaded)
    found = pair(*folders, values=True)
    assert [one.name for one in found.differing] == list(loaded)


def test_values_of_what_runs_code_are_refused(tmp_path: Path) -> None:
    torch.save(eager("Net"), tmp_path / "a.pt")
    torch.save(eager("Net").state_dict(), tmp_path / "b.pt")
    with pytest.raises(WorkbenchError, match="its values are not read"):
        pair(tmp_path / "a.pt", tmp_path / "b.pt", values=True)

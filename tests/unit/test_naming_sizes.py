"""A size that an artifact is fixed at is named, and no size is blamed for what is wrong with every answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.unit.artifact_bench import eager, failed, make, proven, row
from tests.unit.test_artifact_foreign import verified
from workbench.worker.artifact.naming_sizes import sizes_words

TWO = ("x=float32[batch:1..8,rows:2..9,5]",)


def exported(path: Path, shape: tuple[int, ...], free: dict[int, str]) -> Path:
    dims = {axis: torch.export.Dim(name, min=1, max=64) for axis, name in free.items()}
    program = torch.export.export(eager("Steps"), (torch.randn(shape),), dynamic_shapes={"x": dims})
    torch.export.save(program, str(path))
    return path


def asked(*served: tuple[int, int], refused: tuple[tuple[int, int], ...]) -> Any:
    return [({"batch": batch, "seq": seq}, (batch, seq) in served) for batch, seq in (*served, *refused)]


@pytest.mark.parametrize(
    ("cases", "fixed", "words"),
    [
        (asked((3, 9), refused=((4, 9), (4, 2))), {}, "its batch is fixed at 3: "),
        (asked((3, 9), (3, 2), refused=((4, 9),)), {}, "its batch is fixed at 3: "),
        (
            asked((3, 9), refused=((4, 9), (3, 2))),
            {},
            "its batch is fixed at 3, its seq at 9: the example's sizes were",
        ),
        (asked((3, 9), refused=((4, 9), (4, 2))), {"batch": 3, "seq": 9}, "its batch is fixed at 3, its seq at 9: "),
        (asked(refused=((4, 7), (3, 2))), {"seq": 9}, "its seq is fixed at 9: "),
        (asked(refused=((4, 9), (3, 9))), {"seq": 9}, ""),
        (
            asked((4, 9), (4, 2), refused=((3, 7),)),
            {"seq": 9},
            "its batch is fixed at 4: ",
        ),  # an answer belies the graph
        (asked((1, 9), (2, 9), refused=((4, 9),)), {}, "of the sizes asked it serves batch 1, 2, and not 4"),
        (asked((1, 9), (4, 2), refused=((4, 9), (1, 2))), {}, ""),
        (asked(refused=((4, 9),)), {}, ""),
    ],
)
def test_the_size_that_tells_the_served_from_the_refused_is_named(
    cases: Any, fixed: dict[str, int], words: str
) -> None:
    found = sizes_words(cases, fixed)
    assert found.startswith(words)
    assert bool(found) == bool(words)


def test_a_batch_that_is_fixed_is_named_beside_another_free_size(tmp_path: Path) -> None:
    path = exported(tmp_path / "three.pt2", (3, 4, 5), {1: "rows"})
    proof = verified(path, "Steps", inputs=TWO)
    assert row(proof, "sizes").cause == "its batch is fixed at 3: the example's size was baked in"
    assert row(proof, "sizes").evidence.count("Guard failed") == 1
    assert "dynamic_shapes" in row(proof, "sizes").remedy


def test_a_size_that_no_case_has_is_named_in_every_row(tmp_path: Path) -> None:
    path = exported(tmp_path / "six.pt2", (4, 6, 5), {0: "batch"})
    proof = verified(path, "Steps", inputs=TWO)
    assert failed(proof) == {"structure", "values", "sizes"}
    for check in failed(proof):
        assert row(proof, check).cause == "its rows is fixed at 6: the example's size was baked in"
        assert "dynamic_shapes" in row(proof, check).remedy


def test_an_onnx_model_says_itself_which_size_is_fixed(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    pytest.importorskip("onnxscript", reason="the extra [onnx] is not installed")
    path = tmp_path / "six.onnx"
    shapes = ({0: torch.export.Dim("batch", min=1, max=64)},)
    torch.onnx.export(eager("Steps"), (torch.randn(4, 6, 5),), str(path), dynamo=True, dynamic_shapes=shapes,
                      external_data=False, verbose=False)  # fmt: skip
    assert "its rows is fixed at 6" in row(verified(path, "Steps", inputs=TWO), "sizes").cause


def test_no_size_is_blamed_for_an_answer_that_is_wrong_at_every_size(tmp_path: Path) -> None:
    """Five rows and five columns: the transposed answer of that batch alone has eager's shape."""

    class Turned(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((1, 2)).t()

    path = tmp_path / "turned.ts"
    torch.jit.save(torch.jit.trace(Turned(), torch.randn(4, 3, 5, 5), check_trace=False), str(path))
    proof = verified(path, "Steps", inputs=("x=float32[batch:1..8,3,5,5]",))
    assert "permuted" in row(proof, "structure").cause
    assert row(proof, "sizes").cause == row(proof, "structure").cause


def test_another_shape_than_every_call_has_is_named(tmp_path: Path) -> None:
    path = exported(tmp_path / "six.pt2", (4, 6, 5), {0: "batch"})
    proof = verified(path, "Steps", inputs=("x=float32[batch:1..8,4,5]",))
    for check in ("structure", "values", "sizes"):
        assert row(proof, check).cause == "it takes x as [any, 6, 5], and is given [4, 4, 5]"
        assert row(proof, check).remedy.startswith("Give it what it takes")


def test_a_size_that_only_broadcasts_is_not_said_to_be_served(tmp_path: Path) -> None:
    """What ignores its input answers one row with four, and more than one not at all."""

    class Baked(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.arange(20.0).reshape(4, 5) + x * 0

    path = tmp_path / "baked.ts"
    torch.jit.save(torch.jit.trace(Baked(), torch.randn(4, 5), check_trace=False), str(path))
    proof = verified(path, "Reads", inputs=("x=float32[batch:1..8,5]",))
    assert row(proof, "values").cause.startswith("its answer does not depend on x")
    assert row(proof, "sizes").cause == "its batch is fixed at 4: the example's size was baked in"


def test_where_every_size_is_answered_the_reason_is_that_of_the_values(tmp_path: Path) -> None:
    make(tmp_path, "Loop", "trace")
    proof = proven(tmp_path)
    assert row(proof, "sizes").cause == "it answers every size, and its values part: see values"
    assert row(proof, "sizes").remedy == row(proof, "values").remedy

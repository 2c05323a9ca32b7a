"""What to declare is written in the words of the model's own inputs, and what helps is chosen by the operator."""

from __future__ import annotations

import pytest
import torch

from workbench.protocol.spec_reader import parse
from workbench.worker.bench.arguments import Argument
from workbench.worker.bench.given import from_specs
from workbench.worker.bench.inputs import Example
from workbench.worker.judge.batch_words import batch_declared, declare, remedy_at


def of(*specs: str) -> Example:
    return Example(tuple(from_specs(specs)))


@pytest.mark.parametrize(
    ("specs", "axis", "more", "expected"),
    [
        (("ids=int64[4,12]{0..29}",), 0, False, "--input 'ids=int64[batch:2..8,12]{0..29}'"),
        (("a=float32[16,3]", "b=bool[16]"), 0, False,
         "--input 'a=float32[batch:2..16,3]' --input 'b=bool[batch:2..16]'"),
        (("x=float32[6,8]", "edge=int64[2,10]{0..5}"), 0, False, "--input 'x=float32[batch:2..8,8]'"),
        (("x=float32[7,4,6]", "n=int64[4]{1..7}"), 1, False,
         "--input 'x=float32[7,batch:2..8,6]' --input 'n=int64[batch:2..8]{1..7}'"),
        (("x=float32[3,8,8]",), 0, True, "--input 'x=float32[batch:2..8,3,8,8]'"),
    ],
)  # fmt: skip
def test_what_is_to_be_declared_reads_back_and_is_of_this_model(
    specs: tuple[str, ...], axis: int, more: bool, expected: str
) -> None:
    found = batch_declared(of(*specs), axis, more)
    assert found == expected
    for text in found.split("--input ")[1:]:
        assert any(dim.name == "batch" for dim in parse(text.strip(" '")).dynamic)  # type: ignore[union-attr]


def test_a_tensor_that_was_given_as_a_value_is_written_as_a_spec() -> None:
    example = Example((Argument("image", None, torch.zeros(2, 3, 8, 8), "given"),))
    assert "--input 'image=float32[batch:2..8,3,8,8]'" in declare(example)


@pytest.mark.parametrize(
    ("operator", "words"),
    [
        ("aten.mean", "dimensions of one row"),
        ("aten.amax", "scale"),
        ("aten.slice", "length"),
        ("aten.view", "reshape"),
        ("aten.nonzero", "capacity"),
        ("aten.roll", "dims=1"),
        ("aten.cumsum", "dim=1"),
        ("aten.topk", "each row"),
        ("aten.bmm", "batch_first"),
        ("aten.never_heard_of", "dimension 0"),
        ("", "dimension 0"),
    ],
)
def test_what_helps_fits_the_operator_and_says_how_to_declare_that_rows_belong_together(
    operator: str, words: str
) -> None:
    remedy = remedy_at(operator)
    assert words in remedy
    assert "batch_coupled = true" in remedy

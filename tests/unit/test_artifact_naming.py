"""Relations between answers, and differences between weights, are named only where they hold."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from workbench.protocol.artifacts import CheckRow
from workbench.protocol.runs import Yardstick
from workbench.worker.artifact import naming
from workbench.worker.artifact.alignment import FUSED
from workbench.worker.artifact.naming_values import alike, relation, swapped
from workbench.worker.artifact.naming_weights import difference, kept, weights_words
from workbench.worker.artifact.prove_rows import repeat_row, rows_again
from workbench.worker.judge.compare import compare_leaf


def pairs(change: object, seeds: int = 3) -> list[tuple[Tensor, Tensor]]:
    found = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        eager = torch.randn(seed + 2, 6) * 2
        found.append((eager, change(eager)))  # type: ignore[operator]
    return found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda y: y.softmax(-1), "softmax of eager's values, along dimension -1"),
        (lambda y: y.softmax(0), "softmax of eager's values, along dimension -2"),
        (lambda y: y.argmax(-1), "argmax of eager's values, along dimension -1"),
        (lambda y: y.argmax(-1, keepdim=True), "argmax (kept dimension) of eager's"),
        (lambda y: y.t(), "dimensions permuted to (1, 0)"),
        (lambda y: y.relu(), "relu of eager's"),
        (lambda y: y * 0.25, "0.25 times eager's values"),
        (lambda y: y + 3, "eager's values and +3"),
        (lambda y: y * 2 + 1, "2 times eager's values, +1"),
        (lambda y: -y, "negated"),
        (lambda y: torch.full_like(y, 4.0), "the constant 4"),
        (lambda y: y.half(), "given as float16 in place of float32"),
        (lambda y: y.bfloat16().float(), "rounded to bfloat16"),
        (lambda y: (y * 100).round() / 100, "eager's values rounded to 2 decimals"),
        (lambda y: (y * 1e5).round() / 1e5, "eager's values rounded to 5 decimals"),
        (lambda y: y.round(), "eager's values rounded to 0 decimals"),
        (lambda y: (y * 10).floor() / 10, ""),
        (lambda y: (y * 4).round() / 4, ""),
        (lambda y: y.round().int(), "rounded to int32"),
        (lambda y: y.flip(-1), "in reverse along dimension -1"),
        (lambda y: y[:, [0, 2, 1, 3, 4, 5]], "1 holds 2, 2 holds 1"),
        (lambda y: y.unsqueeze(1), "in the shape [2, 1, 6] in place of [2, 6]"),
        (lambda y: y[:1].expand_as(y).clone(), "eager's first row, repeated"),
        (lambda y: y.roll(1, 0), "another order|rows moved by one"),
        (lambda y: y / y.norm(dim=-1, keepdim=True), "unit-length form"),
        (lambda y: y.clone(), ""),
        (lambda y: torch.sin(y * 3), ""),
    ],
)
def test_a_known_function_of_the_answer_is_named(change: object, words: str) -> None:
    found = relation(pairs(change))
    assert any(part in found for part in words.split("|"))
    assert bool(found) == bool(words)


def test_what_holds_in_one_case_only_is_not_named() -> None:
    first, second = pairs(lambda y: y.softmax(-1), 2)
    assert relation([first, (second[0], second[0].sigmoid())]) == ""


def test_a_missing_activation_is_named_from_the_other_side() -> None:
    assert "the softmax is missing" in relation([(a.softmax(-1), a) for a, _ in pairs(lambda y: y)])


def test_what_is_one_function_of_eagers_is_not_called_another_that_is_missing() -> None:
    """Logits, and their log_softmax, have one softmax: the more exact statement is made."""
    logits = [y for y, _ in pairs(lambda y: y)]
    softmax = [y.softmax(-1) for y in logits]
    assert relation(list(zip(softmax, [y.log_softmax(-1) for y in logits], strict=True))) == (
        "the logarithm of eager's values"
    )
    assert "the softmax is missing" in relation(list(zip(softmax, logits, strict=True)))
    assert "the log_softmax is missing" in relation([(y.log_softmax(-1), y + at) for at, y in enumerate(logits, 1)])
    unit = [y / y.norm(dim=-1, keepdim=True) for y in logits]
    assert relation([(y, y * 2) for y in unit]) == "2 times eager's values"
    assert "unit-length form is missing" in relation(list(zip(unit, logits, strict=True)))
    assert relation([(y.abs(), -y.abs()) for y in logits]) == "eager's values negated"
    peaked = [(y * 60).softmax(-1) for y in logits]  # of some the logarithm is no number any more
    assert "the logarithm" in relation([(y, (z * 60).log_softmax(-1)) for y, z in zip(peaked, logits, strict=True)])


def test_whole_numbers_and_few_values_are_not_called_rounded() -> None:
    counts = torch.arange(12.0).reshape(3, 4)
    assert "rounded" not in relation([(counts, counts + 0.0)])
    assert "rounded" not in relation([(torch.tensor([0.1, 0.2]), torch.tensor([0.0, 0.0]))])
    assert "rounded" not in relation([(counts + 0.3, counts * 3)])
    nan = counts + 0.26
    nan[0, 0] = float("nan")
    assert "rounded to 1 decimal" in relation([(nan, (nan * 10).round() / 10)])


def test_values_that_are_eagers_to_the_last_half_are_named_rounded() -> None:
    eager = torch.randn(4, 4).half().float()
    assert "rounded to float16" in relation([(eager * (1 + 1e-5), eager)])


def test_nan_and_other_layouts_are_alike_to_nothing() -> None:
    nan = torch.full((3,), float("nan"))
    assert not alike(torch.ones(3), nan)
    assert not alike(torch.eye(3), torch.eye(3).to_sparse())
    assert relation([(nan, torch.ones(3))]) == ""


def test_other_orders_of_outputs_are_found_and_the_usual_one_is_none() -> None:
    a, b = torch.randn(3), torch.randn(3)
    assert swapped([[a, b]], [[b, a]]) == [1, 0]
    assert swapped([[a, b]], [[a, b]]) is None
    assert swapped([[a, b]], [[b]]) == [1]
    assert swapped([[a, a.clone()]], [[a, a]]) is None
    assert swapped([[a, b]], [[a, a + 1]]) is None


def test_differences_of_weights_are_told_apart() -> None:
    torch.manual_seed(0)
    weight, other = torch.randn(4, 4), torch.randn(4, 4)
    off = weight.clone()
    off[1, 2] += 0.5
    assert difference(weight, off, {}) == "one element of 16, [1, 2], is off by +0.5"
    assert difference(weight, weight + 1e-3, {}) == "every element is off by +0.001"
    assert difference(weight, weight * 2, {}) == "2 times the checkpoint's"
    assert difference(weight, weight.t().clone(), {}) == "transposed"
    assert difference(weight, other, {"fc.weight": other}) == "the values of fc.weight"
    assert difference(weight, weight * 0, {}) == "all zeros"
    assert difference(weight, weight.double(), {}) == "float64 in place of float32"
    assert "16 of 16 elements" in difference(weight, other, {})


def test_a_bias_alone_is_not_called_quantised() -> None:
    torch.manual_seed(0)
    bias = torch.randn(6)
    words = weights_words({"b": bias + 1e-3}, {"b": "b"}, 3, {"b": bias})
    assert words == "1 of 3 tensors differ: b: every element is off by +0.001"


def test_the_smallest_tensors_are_kept_first_and_vast_ones_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.worker.artifact.naming_weights.CHECKPOINT_BYTES", 100)
    found = kept(
        [("large", torch.zeros(100)), ("small", torch.zeros(4)), ("odd", torch.zeros(1, dtype=torch.complex128))]
    )
    assert set(found) == {"small"}


def test_a_tensor_of_one_value_is_nobody_elses() -> None:
    ones, variance = torch.ones(4), torch.tensor([0.5, 1.5, 2.0, 1.0])
    words = difference(variance, ones, {"norm.weight": ones, "norm.running_var": variance})
    assert words == "every element is 1"
    assert difference(ones * 2, variance, {"norm.running_var": variance}) == "the values of norm.running_var"


def test_where_the_reason_is_known_no_other_is_guessed() -> None:
    row = CheckRow("values", "fail", "far apart", f"where they part: {FUSED}; furthest in case 3")
    said = naming._explained(row, "the outputs are swapped: a holds eager's b, b holds eager's a", "")
    assert said.evidence == "far apart; furthest in case 3"


def test_what_to_do_about_answers_that_vary_follows_what_varies() -> None:
    diff = compare_leaf("output", torch.zeros(3), torch.ones(3))
    remedies = [repeat_row("", (diff,), Yardstick("tolerance"), kind).remedy for kind in ("runner", "trace")]
    assert "The command keeps a state" in remedies[0]
    assert "in eval mode" in remedies[1]


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("the outputs are swapped: a holds eager's b", "in the model's own order"),
        (
            "a is what eager's are the softmax of, along dimension -1: the softmax is missing",
            "against the model without",
        ),
        ("a is the logarithm of eager's values", "Take exp()"),
        ("a is eager's values with dimensions permuted to (1, 0)", "or undo that"),
        ("its batch is fixed at 3: the example's size was baked in", "dynamic_shapes"),
        ("its answer does not depend on x: the example's values may be baked in", "as an argument"),
        (
            "the checkpoint's weights cast to bfloat16: w: bfloat16 in place of float32",
            "In the dtype of this checkpoint",
        ),
    ],
)
def test_what_to_do_fits_the_reason(words: str, remedy: str) -> None:
    row = CheckRow("values", "fail", "far apart", "nothing was compared")
    assert remedy.lower() in naming._explained(row, words, "").remedy.lower()


def test_a_row_without_a_reason_still_says_what_to_do() -> None:
    row = CheckRow("structure", "fail", "another shape", "19 of 19 cases differ from eager")
    assert (
        naming._explained(row, "", rows_again("export")).remedy == "Export it again from this model and these weights."
    )
    assert "what the command runs" in naming._explained(row, "", rows_again("runner")).remedy
    assert naming._explained(row, "", "").cause == row.cause

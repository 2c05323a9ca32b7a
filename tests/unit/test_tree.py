"""Tensors of a file as a tree of their names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workbench.protocol.artifacts import InspectedTensor
from workbench.report.sharing import shared
from workbench.report.tree import Branch, group_words, tensor_tree


def tensor(name: str, size: int = 4, storage: str = "") -> InspectedTensor:
    return InspectedTensor(name, "float32", (size,), 4 * size, storage)


def shown(*tensors: InspectedTensor) -> list[str]:
    rows = tensor_tree(tensors, shared(tensors))
    return ["  " * one.depth + one.label + ("" if one.tensor else f" [{group_words(one)}]") for one in rows]


def test_parts_of_names_are_levels_and_a_single_way_is_one_row() -> None:
    assert shown(tensor("a.b.weight"), tensor("a.b.bias"), tensor("head")) == [
        "a.b [2 tensors]",
        "  weight",
        "  bias",
        "head",
    ]
    assert shown(tensor("embed.weight")) == ["embed.weight"]


def test_layers_that_hold_the_same_are_told_once_in_the_order_of_their_numbers() -> None:
    names = [f"layers.{number}.{part}" for number in (0, 10, 11, 1, 2, 3) for part in ("weight", "bias")]
    assert shown(*map(tensor, names)) == [
        "layers [12 tensors]",
        "  0..3 [4 alike, 8 tensors]",
        "    weight",
        "    bias",
        "  10..11 [2 alike, 4 tensors]",
        "    weight",
        "    bias",
    ]
    rows = tensor_tree(map(tensor, names), {})
    assert [(one.tensors, one.bytes, one.alike) for one in rows[:3]] == [(12, 192, 1), (8, 128, 4), (1, 16, 1)]


def test_a_layer_of_another_size_and_a_tied_one_stand_alone() -> None:
    sizes = [tensor("l.0.w"), tensor("l.1.w", 8), tensor("l.2.w"), tensor("l.3.w")]
    assert shown(*sizes) == ["l [4 tensors]", "  0.w", "  1.w", "  2..3 [2 alike, 2 tensors]", "    w"]
    tied = [tensor("e", storage="s"), tensor("l.0.w", storage="s"), tensor("l.1.w", storage="t")]
    assert shown(*tied) == ["e", "l [2 tensors]", "  0.w", "  1.w"]


def test_odd_names_lose_nothing() -> None:
    names = ["", ".", "a", "a.b", "a..b", "x" * 300, ".".join("d" * 400), "1", "²", "٣"]
    rows = tensor_tree(map(tensor, names), {})
    assert sorted(one.tensor.name for one in rows if one.tensor) == sorted(names)
    assert max(one.depth for one in rows) <= 17


@given(st.lists(st.text("ab.01", max_size=8), max_size=30))
def test_every_tensor_is_counted_once(names: list[str]) -> None:
    rows: list[Branch] = tensor_tree([tensor(name) for name in names], {})
    total, times = 0, {0: 1}
    for one in rows:
        times[one.depth + 1] = times[one.depth] * one.alike
        total += times[one.depth] if one.tensor is not None else 0
    assert total == len(names)

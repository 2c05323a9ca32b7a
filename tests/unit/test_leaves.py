"""Taking outputs apart: paths, trees, constants, and everything that could hang or blow up the walk."""

from __future__ import annotations

import collections
import enum
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from workbench.protocol.runs import BEYOND, IDENTICAL, NOISE, Yardstick
from workbench.worker.judge.compare import compare
from workbench.worker.judge.leaves import (
    LEAF_DEPTH,
    LEAF_NODES,
    LEAF_OBJECTS,
    flatten,
    flatten_plain,
    structure_difference,
)
from workbench.worker.judge.verdict import judge_all


@dataclass
class Answer:
    hidden: torch.Tensor
    loss: float | None = None


Pair = collections.namedtuple("Pair", ["first", "second"])


def paths(output: Any) -> list[str]:
    return [path for path, _ in flatten(output).leaves]


def test_paths_read_like_python() -> None:
    t = torch.zeros(1)
    assert paths(t) == ["output"]
    assert paths((t, [t, t])) == ["output[0]", "output[1][0]", "output[1][1]"]
    assert paths(OrderedDict(logits=t, cache=(t,))) == ["output['logits']", "output['cache'][0]"]
    assert paths(Answer(t)) == ["output.hidden"]
    assert paths(Pair(t, {3: t})) == ["output.first", "output.second[3]"]


def test_leaves_are_the_tensors_themselves() -> None:
    t, s = torch.zeros(2), torch.eye(2).to_sparse()
    assert [leaf for _, leaf in flatten({"a": t, "s": s, "m": torch.zeros(1, device="meta")}).leaves][:2] == [t, s]


def test_same_tree_whatever_the_container_or_order() -> None:
    t = torch.zeros(1)
    assert structure_difference(flatten((t, t)).structure, flatten([t, t]).structure) == ""
    one, other = flatten({"a": t, "b": t}), flatten(OrderedDict(b=t, a=t))
    assert structure_difference(one.structure, other.structure) == ""


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ((1, 2), (1, 3), "output[1] is 2 against 3"),
        ({"x": None}, {"x": torch.zeros(1)}, "output['x'] is None against tensor"),
        ({"x": 1}, {"x": 1, "y": "a: b"}, "output['y'] ('a: b') is new"),
        ([1, 2], [1], "output[1] (2) is missing"),
        (True, 1, "output is True against 1"),
        ("a\tb\nc", "a b c", "output is 'a\\tb\\nc' against 'a b c'"),
    ],
)
def test_differences_are_named_by_path(a: Any, b: Any, words: str) -> None:
    assert words in structure_difference(flatten(a).structure, flatten(b).structure)


def test_many_differences_are_counted() -> None:
    words = structure_difference(flatten(list(range(10))).structure, flatten(list(range(1, 11))).structure)
    assert words.endswith("; and 7 more")


def test_long_constants_differ_beyond_what_is_kept() -> None:
    assert flatten("x" * 999 + "a").structure != flatten("x" * 999 + "b").structure
    assert len(flatten("x" * 9999).structure) < 300
    assert "<int>" in flatten(10**5000).structure


def test_opaque_is_said_with_its_path() -> None:
    flat = flatten({"cache": object(), "x": torch.zeros(1)})
    assert flat.opaque == (("output['cache']", "object is no tensor, container or constant"),)
    assert paths({"cache": object(), "x": torch.zeros(1)}) == ["output['x']"]


def test_a_structure_that_contains_itself_ends() -> None:
    loop: list[Any] = [torch.zeros(1)]
    loop.append(loop)
    assert flatten(loop).opaque == (("output[1]", "list contains itself"),)
    shared = [torch.zeros(1)]
    assert len(flatten([shared, shared]).leaves) == 2


def test_depth_and_size_are_bounded() -> None:
    deep: Any = torch.zeros(1)
    for _ in range(LEAF_DEPTH + 5):
        deep = [deep]
    assert "deeper" in flatten(deep).opaque[0][1]
    flat = flatten([[0] * (LEAF_NODES + 1), torch.zeros(1)])
    assert flat.opaque[0][0] == "output[0]"
    assert [path for path, _ in flat.leaves] == ["output[1]"]


def test_a_container_that_raises_is_opaque() -> None:
    class Bad(dict[str, int]):
        def __getitem__(self, key: str) -> int:
            raise OSError("no")

    assert flatten(Bad(a=1)).opaque == (("output", "Bad cannot be read: OSError"),)


class Layer:
    """What a layer of a cache is like."""

    def __init__(self, keys: torch.Tensor, **more: Any) -> None:
        self.keys, self.device, self.kind = keys, keys.device, type(self)
        self.__dict__.update(more)


class Slots:
    __slots__ = ("below", "unset", "values")

    def __init__(self, values: torch.Tensor) -> None:
        self.values, self.below = values, [values]


class Colour(enum.Enum):
    RED = "red"


def test_objects_are_followed_by_their_attributes() -> None:
    t = torch.zeros(1)
    cache = Layer(t, layers=[Layer(t), Slots(t)], colour=Colour.RED, made_by=flatten)
    flat = flatten({"cache": cache})
    assert [path for path, _ in flat.leaves] == [
        "output['cache'].keys",
        "output['cache'].layers[0].keys",
        "output['cache'].layers[1].below[0]",
        "output['cache'].layers[1].values",
    ]
    assert flat.opaque == ()
    assert "output['cache'].colour\tColour.RED" in flat.structure
    assert "output['cache'].made_by\tworkbench.worker.judge.leaves.flatten" in flat.structure
    assert flatten({"cache": cache}).structure == flat.structure
    # which device and dtype it is, the tensors say
    assert "output['cache'].device\tdevice\n" in flat.structure


def test_no_property_of_an_object_is_called() -> None:
    class Loud:
        def __init__(self) -> None:
            self.t = torch.zeros(1)

        @property
        def other(self) -> Any:
            raise AssertionError

        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    assert [path for path, _ in flatten(Loud()).leaves] == ["output.t"]


def test_a_part_that_knows_its_whole_is_no_riddle() -> None:
    whole = Layer(torch.zeros(1))
    whole.__dict__["part"] = Layer(torch.zeros(1), whole=whole)
    flat = flatten((whole,))
    assert flat.opaque == ()
    assert "output[0].part.whole\tback to output[0]" in flat.structure


def test_what_cannot_be_looked_into_is_opaque_within_an_object_too() -> None:
    flat = flatten(Layer(torch.zeros(1), other=iter(()), model=torch.nn.ReLU()))
    assert [path for path, _ in flat.opaque] == ["output.model", "output.other"]
    deep: Any = Layer(torch.zeros(1))
    for _ in range(LEAF_OBJECTS + 1):
        deep = Layer(torch.zeros(1), below=deep)
    assert "deeper" in flatten(deep).opaque[0][1]


def test_an_artifact_is_taken_apart_without_objects_and_numbers() -> None:
    flat = flatten_plain({"cache": Layer(torch.zeros(1)), "score": 0.5})
    assert (flat.leaves, flat.structure.splitlines()[-1]) == ([], "output['score']\t0.5")
    assert [path for path, _ in flat.opaque] == ["output['cache']"]


@pytest.mark.parametrize(
    ("one", "other", "dtype", "mark"),
    [
        (0.1, 0.10000000149, torch.float32, NOISE),
        (0.1, 0.1000001, torch.float64, BEYOND),
        (0.1, 0.1, torch.float32, IDENTICAL),
        (math.nan, math.nan, torch.float32, IDENTICAL),
        (0.1, math.nan, torch.float32, BEYOND),
        (0.1, 0.1004, torch.bfloat16, NOISE),
        (0.1, 0.1004, torch.float32, BEYOND),
        (1 + 0.1j, 1 + 0.10000000149j, torch.float32, NOISE),
        (0.0, 0, torch.float32, BEYOND),
        (1, 2, torch.float32, BEYOND),
    ],
)
def test_a_number_has_the_digits_of_the_tensors_beside_it(one: Any, other: Any, dtype: torch.dtype, mark: str) -> None:
    y = torch.ones(2, dtype=dtype)
    structure, leaves = compare(flatten({"y": y, "score": one}), flatten({"y": y, "score": other}))
    assert judge_all(structure, leaves, Yardstick("tolerance"))[0] == mark


def test_a_number_alone_is_judged_as_float32() -> None:
    flat = flatten(0.25)
    assert (flat.numbers, flat.tensors, flat.number_dtype) == ({"output"}, [], torch.float32)
    _, (diff,) = compare(flat, flatten(0.25 + 2**-26))
    assert (diff.dtype, diff.max_ulp) == ("float32", 0)
    assert compare(flat, flatten(0.25 + 2**-25))[1][0].max_ulp == 1

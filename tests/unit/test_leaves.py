"""Taking outputs apart: paths, trees, constants, and everything that could hang or blow up the walk."""

from __future__ import annotations

import collections
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from workbench.worker.judge.leaves import LEAF_DEPTH, LEAF_NODES, flatten, structure_difference


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

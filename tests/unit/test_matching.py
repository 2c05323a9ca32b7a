"""Two sequences are matched in their order, and in a time that does not blow up where items repeat."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import pytest

from workbench.worker.artifact.matching import WINDOW, matched


def rebuilt(mine: Sequence[Hashable], its: Sequence[Hashable]) -> list[tuple[str, int, int, int, int]]:
    """The blocks, which cover both sides in order and call equal what is."""
    blocks = matched(mine, its)
    here = there = 0
    for word, a, b, c, d in blocks:
        assert (a, c) == (here, there)
        assert (word == "equal") == (mine[a:b] == its[c:d])
        assert {"delete": c == d, "insert": a == b, "replace": a < b and c < d, "equal": a < b}[word]
        here, there = b, d
    assert (here, there) == (len(mine), len(its))
    return blocks


@pytest.mark.parametrize(
    ("mine", "its", "said"),
    [
        ("", "", []),
        ("abc", "abc", ["equal"]),
        ("abc", "abxc", ["equal", "insert", "equal"]),
        ("abc", "ac", ["equal", "delete", "equal"]),
        ("abc", "axc", ["equal", "replace", "equal"]),
        ("", "ab", ["insert"]),
        ("abab", "ababab", ["equal", "insert"]),
    ],
)
def test_what_is_the_same_stands_in_order(mine: str, its: str, said: list[str]) -> None:
    assert [block[0] for block in rebuilt(list(mine), list(its))] == said


def test_a_long_loop_with_a_line_more_costs_a_look_at_each_window() -> None:
    mine, its = ["a", "b", "c", "d"] * 800, ["a", "b", "x", "c", "d"] * 800
    blocks = rebuilt(mine, its)
    assert [block[0] for block in blocks[:3]] == ["equal", "insert", "equal"]
    assert sum(block[0] == "insert" for block in blocks) == 800
    looks: list[None] = []
    matched(mine, its, lambda: looks.append(None))
    assert len(its) // WINDOW <= len(looks) <= 8 * len(its) // WINDOW


def test_what_stands_before_all_that_is_known_is_passed_over_however_long_it_is() -> None:
    own = [f"own {number}" for number in range(300)]
    blocks = rebuilt(own, [f"other {number}" for number in range(900)] + own)
    assert [block[0] for block in blocks] == ["insert", "equal"]
    wrapped = rebuilt([*own, "end"], [f"other {number}" for number in range(900)] + own)
    assert wrapped[:2] == [("insert", 0, 0, 0, 900), ("equal", 0, 300, 900, 1200)]
    assert rebuilt(own, [f"other {number}" for number in range(900)]) == [("replace", 0, 300, 0, 900)]


def test_what_the_look_raises_ends_it() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        matched(["a"], ["b"], stop)

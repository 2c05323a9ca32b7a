"""Exit codes are a contract: their numbers, which failure leads to which, and which one wins."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

import workbench
from workbench.protocol.exits import KINDS, Exit, exit_for, worst

PACKAGE = Path(workbench.__file__).parent


def test_the_numbers_are_the_published_ones() -> None:
    assert {code.name: code.value for code in Exit} == {
        "OK": 0, "VERDICT_NO": 1, "USAGE": 2, "LOAD": 3, "ENGINE": 4, "TRUST": 5, "WRITE": 6, "INTERNAL": 70,
        "INTERRUPTED": 130,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("verdict", 1), ("export", 1), ("usage", 2), ("exists", 2), ("terminal", 2), ("load", 3), ("weights", 3),
        ("inputs", 3), ("forward", 3), ("engine", 4), ("timeout", 4), ("trust", 5), ("write", 6), ("internal", 70),
        ("cancelled", 130),
    ],
)  # fmt: skip
def test_a_failure_leads_to_its_code(kind: str, code: int) -> None:
    assert exit_for(kind) == code
    assert kind in KINDS


def test_a_kind_that_nobody_knows_is_an_error_of_our_own() -> None:
    assert exit_for("surprise") is Exit.INTERNAL


def test_no_failure_leads_to_success() -> None:
    assert Exit.OK not in {exit_for(kind) for kind in KINDS}


def test_where_several_apply_the_order_is_the_published_one() -> None:
    order = [130, 70, 5, 4, 6, 3, 2, 1, 0]
    for first, second in itertools.combinations(order, 2):
        assert worst([Exit(second), Exit(first), Exit.OK]) == first
    assert worst([]) is Exit.OK
    assert worst(iter(Exit)) is Exit.INTERRUPTED


def test_every_kind_of_failure_in_the_source_is_known() -> None:
    used = {
        kind: path.name
        for path in PACKAGE.rglob("*.py")
        for kind in re.findall(r"\b(?:error|Failure)\(\s*\"([a-z_]+)\"\s*,", path.read_text("utf-8"))
    }
    assert {kind: name for kind, name in used.items() if kind not in KINDS} == {}
    assert "write" in used

"""A small share of the damaged files; `python -m tests.fuzz` reads ten thousand."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.protocol.failures import error

from .mutate import damaged
from .readers import unfair
from .run import fuzz


def test_damaged_files_of_every_format_are_refused_in_plain_words() -> None:
    outcome = fuzz(260, seed=1)
    assert outcome.found == []
    assert len(outcome.by_format) >= 12


def test_a_number_names_the_same_damage_for_ever() -> None:
    data = bytes(range(256)) * 4
    assert damaged(data, "0 a 1") == damaged(data, "0 a 1")
    assert len({damaged(data, f"0 a {number}") for number in range(50)}) > 40


def test_an_exception_that_says_nothing_is_unfair(tmp_path: Path) -> None:
    def fails(path: str) -> object:
        raise KeyError("x")

    def refuses(path: str) -> object:
        raise error("weights", f"{path} is cut off.")

    def shrugs(path: str) -> object:
        raise error("weights", "No.")

    assert "KeyError" in unfair(fails, tmp_path)
    assert "say nothing" in unfair(shrugs, tmp_path)
    assert unfair(refuses, tmp_path) == ""


@pytest.mark.slow
def test_ten_thousand_damaged_files() -> None:
    assert fuzz(10_000).found == []

"""Words on the memory pane's time axis."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from workbench.protocol.model import Modes
from workbench.supervisor.marks import fire_label, modes_label


@pytest.mark.parametrize(
    ("change", "label"),
    [
        ({"training": False}, "eval"),
        ({"grad": "no_grad"}, "no_grad"),
        ({"training": False, "grad": "inference_mode"}, "eval inference_mode"),
        ({"flips": ("drop",)}, "drop flipped"),
        ({"flips": ("drop", "body")}, "mix"),
        ({"rng": "fixed", "seed": 3}, "rng fixed 3"),
        ({"seed": 3}, ""),
        ({"dtype": "float16"}, "float16"),
        ({"device": "cuda"}, "cuda"),
        ({"threads": 4}, "4 threads"),
        ({"keep_outputs": True}, "keep outputs"),
        ({}, ""),
    ],
)
def test_what_changed(change: dict[str, Any], label: str):
    assert modes_label(Modes(), replace(Modes(), **change)) == label


def test_the_way_back_has_words_too():
    before = Modes(flips=("drop",), dtype="float16", threads=2, keep_outputs=True, rng="fixed")
    assert modes_label(before, Modes()) == "drop as its parent rng free dtype as loaded threads free drop outputs"


def test_fires():
    assert [fire_label(3, 1), fire_label(4, 100), fire_label(5, 0)] == ["#3", "#4 ×100", "#5 …"]

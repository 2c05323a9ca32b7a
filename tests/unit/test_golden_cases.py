"""Which cases a model is proven on: a cold first forward takes none away, and what a slow model is spared is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from tests.unit.artifact_bench import make
from workbench.worker.artifact import golden_cases, subject
from workbench.worker.artifact.subject import run_untouched


def taking(seconds: float) -> Callable[..., tuple[Any, float]]:
    """One forward, with the time that it is to have taken."""

    def run(model: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, float]:
        return run_untouched(model, args, kwargs)[0], seconds

    return run


def test_a_cold_first_forward_takes_no_case_away(tmp_path: Path) -> None:
    with patch.object(subject, "run_untouched", taking(9.0)), patch.object(golden_cases, "run_untouched", taking(0.01)):
        made = make(tmp_path, "Net", "trace", ("x=float32[batch:1..8,5]",))
    assert made.manifest["layouts"] == ["transposed", "strided", "expanded"]
    assert "slow" not in [one.id for one in made.findings]


def test_what_a_slow_model_is_spared_is_a_finding(tmp_path: Path) -> None:
    with patch.object(subject, "run_untouched", taking(9.0)), patch.object(golden_cases, "run_untouched", taking(8.0)):
        made = make(tmp_path, "Net", "trace", ("x=float32[batch:1..8,5]",))
    assert made.manifest["layouts"] == []
    (said,) = [one.words for one in made.findings if one.id == "slow"]
    asked = len(made.manifest["cases"])
    assert said.startswith(f"one forward takes 8 s: {asked} of ")
    assert said.endswith("cases are asked, and no other memory layout")

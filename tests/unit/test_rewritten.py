"""Weights that an artifact of others holds otherwise and undoes elsewhere: then the answers decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.artifact_bench import eager, failed, row
from tests.unit.test_artifact_foreign import exported, traced, verified


class Scaled(torch.nn.Module):
    """A network that is fed a smaller input than it is given, by weights that are larger by as much."""

    def __init__(self, net: Any, factor: float) -> None:
        super().__init__()
        self.net, self.factor = net, factor
        with torch.no_grad():
            net.fc1.weight.mul_(factor)

    def forward(self, x: torch.Tensor) -> Any:
        return self.net(x / self.factor)


SPEC = ("x=float32[batch:1..64,5]",)

FREE = {"dynamic_shapes": {"x": {0: torch.export.Dim("batch", min=1, max=64)}}}


@pytest.mark.parametrize("kind", ["trace", "export"])
def test_a_factor_that_is_undone_elsewhere_is_no_other_checkpoint(kind: str, tmp_path: Path) -> None:
    model = Scaled(eager("Net"), 256.0)
    path = tmp_path / ("a.ts" if kind == "trace" else "a.pt2")
    proof = verified(traced(model, path) if kind == "trace" else exported(model, path, **FREE), inputs=SPEC)
    weights = row(proof, "weights_match")
    assert (failed(proof), proof.verdict, weights.status) == (set(), "pass", "skip")
    assert "fc1.weight" in weights.evidence
    assert "the answers decide" in weights.evidence


def test_what_hides_in_the_noise_is_refused_beside_it(tmp_path: Path) -> None:
    model = Scaled(eager("Net"), 256.0)
    with torch.no_grad():
        bias = model.net.fc2.bias
        bias[1] = torch.nextafter(bias[1], torch.tensor(9.0))
    proof = verified(traced(model, tmp_path / "a.ts"), inputs=SPEC)
    weights = row(proof, "weights_match")
    assert failed(proof) == {"weights_match"}
    assert "fc2.bias" in weights.evidence
    assert "fc1.weight" not in weights.evidence


def test_a_factor_that_nothing_undoes_is_refused(tmp_path: Path) -> None:
    model = Scaled(eager("Net"), 256.0)
    proof = verified(traced(model.net, tmp_path / "a.ts"), inputs=SPEC)
    assert {"values", "weights_match"} <= failed(proof)

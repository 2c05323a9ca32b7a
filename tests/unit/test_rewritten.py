"""Weights that an artifact of others holds otherwise and undoes elsewhere: then the answers decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.artifact_bench import eager, failed, row
from tests.unit.test_artifact_foreign import exported, traced, verified
from workbench.worker.artifact.rewritten import times_a_factor


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


def test_a_stale_row_inside_a_scaled_tensor_is_refused(tmp_path: Path) -> None:
    model = Scaled(eager("Net"), 256.0)
    with torch.no_grad():
        model.net.fc1.weight[2, 3] *= 1 + 1e-5
    proof = verified(traced(model, tmp_path / "a.ts"), inputs=SPEC)
    assert "weights_match" in failed(proof)


OWN = torch.randn(8, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("value", "known"),
    [
        (OWN * 255, True),
        (OWN / 0.3, True),
        (OWN * torch.linspace(0.2, 3, 8)[:, None], True),
        (OWN * torch.linspace(0.2, 3, 6), True),
        ((OWN.bfloat16() * 4), True),
        (OWN * 1.001, False),  # it may hide in the noise
        (OWN + 1, False),
        (torch.zeros(8, 6), False),
        (OWN.index_fill(0, torch.tensor(2), 1.0) * 2, False),
        ((OWN.bfloat16() * 4 * (1 + 2**-6 * (OWN > 1))).bfloat16(), False),
        (OWN.t(), False),
        (OWN.double() * 2, False),
        (torch.full((8, 6), torch.inf), False),
    ],
)
def test_times_a_factor_is_one_known_thing(value: torch.Tensor, known: bool) -> None:
    own = OWN.bfloat16() if value.dtype == torch.bfloat16 else OWN
    assert times_a_factor(own, value) is known


def test_a_vector_has_one_factor_and_not_one_for_each_element() -> None:
    bias = OWN[0]
    assert times_a_factor(bias, bias * 3)
    assert not times_a_factor(bias, bias * torch.linspace(1, 2, 6))
    assert not times_a_factor(OWN[:, :1], OWN[:, :1] * torch.linspace(1, 2, 8)[:, None])

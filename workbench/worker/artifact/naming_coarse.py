"""Inputs that an artifact sees no finer than a coarser dtype holds them, though the model sees them as they are.

Eager cannot be asked here, so three things must hold: what the dtype cannot tell apart changes no bit of an answer,
what it tells apart does, and the difference from eager is of the size that rounding makes, none where it makes none.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import torch

from workbench.worker.artifact.loading import Opened
from workbench.worker.artifact.naming_inputs import agrees, answer_to, ignored_inputs, only, same_bits
from workbench.worker.artifact.prove_cases import Golden
from workbench.worker.judge.leaves import Flat

_SECONDS = 20.0
"""For all inputs: an artifact may take seconds a call."""

_DTYPES = (torch.bfloat16, torch.float16)
"""The coarser first: what is seen no finer than the one is seen no finer than the other."""

_ELEMENTS = 16
"""Of one input that are moved by themselves."""

_SEEN = 4
"""So many of these must change the answer."""

_FAR = 16
"""Steps of the dtype by which an element is moved that was not seen to move by one."""

_BLIND = 1 / 3
"""Elements that are seen to move far only, as a share of those that are seen to move one step: the largest of a few may
be another after a far move. What is rounded to coarser steps has far more of them."""

_SHARE = 0.75
"""Largest difference from eager, as a share of what random steps up and down make: rounding makes 1/√12 = 0.29."""


def coarse_inputs(opened: Opened, golden: Golden, cases: Sequence[int], device: str) -> str:
    """Which input the artifact sees no finer than which dtype, in words; empty where that explains no difference."""
    until = time.monotonic() + _SECONDS
    ignored = set(ignored_inputs(opened, golden, cases[0], device))
    for name, sample in golden.part(cases[0], "input").items():
        if sample.dtype not in (torch.float32, torch.float64) or name in ignored:
            continue
        for dtype in _DTYPES:
            if time.monotonic() > until:
                return ""
            try:
                holds = _Coarse(opened, golden, device, name, dtype).holds(cases)
            except Exception:  # noqa: BLE001 (an artifact may raise whatever it likes; then nothing is known)
                return ""
            if holds:
                return f"it does not see {name} finer than {str(dtype)[6:]}"
    return ""


class _Coarse:
    """One input and one dtype. Its methods raise whatever the artifact raises."""

    def __init__(self, opened: Opened, golden: Golden, device: str, name: str, dtype: torch.dtype) -> None:
        self.opened, self.golden, self.device, self.name, self.dtype = opened, golden, device, name, dtype

    def holds(self, cases: Sequence[int]) -> bool:
        asked: list[tuple[int, Flat]] = []
        for index in cases:
            value = self._value(index)
            rounded = self._rounded(value)
            if not bool(torch.isfinite(rounded).all()) or torch.equal(rounded, value):
                continue
            as_is = self._answer(index, value)
            if not same_bits(as_is, self._answer(index, rounded)):
                return False
            asked.append((index, as_is))
        if not asked or (len(asked) == 1 and len(cases) > 1):
            return False
        return self._exact_agree() and self._of_its_size(asked) and self._steps_seen(*asked[0])

    def _value(self, index: int) -> torch.Tensor:
        return self.golden.part(index, "input")[self.name]

    def _rounded(self, value: torch.Tensor) -> torch.Tensor:
        return value.to(self.dtype).to(value.dtype)

    def _answer(self, index: int, value: torch.Tensor) -> Flat:
        found = answer_to(self.opened, self.golden, index, self.device, only(self.name, lambda _: value))
        return Flat(found.structure, [(path, leaf.clone()) for path, leaf in found.leaves])

    def _stepped(self, value: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """So many steps of the dtype further from zero; negative: nearer, but for what is at zero."""
        coarse = value.to(self.dtype).contiguous()
        bits = coarse.view(torch.int16) + steps.to(torch.int16)
        return torch.where(coarse == 0, coarse, bits.view(self.dtype)).to(value.dtype)

    def _exact_agree(self) -> bool:
        """Where there is nothing to round the artifact must answer as eager does: zeros, above all."""
        for index in range(self.golden.count):
            value = self._value(index)
            if self.golden.given_nan(index) or not torch.equal(self._rounded(value), value):
                continue
            if any(bool(torch.isfinite(leaf).any()) for _, leaf in self.golden.eager(index).leaves) and not agrees(
                self.opened, self.golden, index, self.device, dict
            ):
                return False
        return True

    def _of_its_size(self, asked: list[tuple[int, Flat]]) -> bool:
        """Whether all differences together are as large as rounding makes them, by what random steps make."""
        generator = torch.Generator().manual_seed(0)
        differences = moves = 0.0
        for index, as_is in asked:
            value = self._rounded(self._value(index))
            signs = torch.randint(0, 2, value.shape, generator=generator) * 2 - 1
            moved = self._answer(index, self._stepped(value, signs))
            for wanted, found, beside in _floating(self.golden.eager(index), as_is, moved):
                size = float(wanted.square().sum()) or 1.0
                differences += float((found - wanted).square().sum()) / size
                moves += float((beside - found).square().sum()) / size
        return bool(0 < differences <= _SHARE**2 * moves)

    def _steps_seen(self, index: int, as_is: Flat) -> bool:
        """Whether single elements that matter at all are seen to move by one step."""
        value = self._rounded(self._value(index))
        flat = value.reshape(-1).abs()
        places = (flat >= flat.median()).nonzero().reshape(-1)
        places = places[:: max(1, len(places) // _ELEMENTS)][:_ELEMENTS]
        seen = blind = 0
        for place in places.tolist():
            steps = torch.zeros(flat.numel(), dtype=torch.int16)
            steps[place] = 1
            if not same_bits(as_is, self._answer(index, self._stepped(value, steps.reshape(value.shape)))):
                seen += 1
            elif not same_bits(as_is, self._answer(index, self._stepped(value, _FAR * steps.reshape(value.shape)))):
                blind += 1
        return seen >= min(_SEEN, flat.numel()) and blind <= _BLIND * seen


def _floating(*answers: Flat) -> Iterator[list[torch.Tensor]]:
    """Finite floating leaves of one shape, wide."""
    for leaves in zip(*(one.leaves for one in answers)):  # noqa: B905 (what does not pair is not compared)
        tensors = [leaf for _, leaf in leaves]
        if tensors[0].is_floating_point() and len({one.shape for one in tensors}) == 1:
            wide = [one.double() for one in tensors]
            if all(bool(torch.isfinite(one).all()) for one in wide):
                yield wide

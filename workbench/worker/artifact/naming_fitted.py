"""A scale and a shift of its inputs that an artifact has inside and the model has not.

They are fitted: the artifact is asked with changed inputs until it answers as eager does. What is told is what was
measured, for another scale of a first layer's weights looks the same. Named only where they hold in every case that
is asked, and mend one input alone.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterator, Sequence

import torch

from workbench.worker.artifact.loading import Opened
from workbench.worker.artifact.naming_inputs import answer_to, only
from workbench.worker.artifact.prove_cases import Golden

_SECONDS = 10.0
"""For all inputs: an artifact may take seconds a call."""

_CHANNELS = range(2, 5)
"""Of an image, which may each have their own scale and shift."""

_STARTS = ((1.0, 0.0), (0.25, 0.5), (64.0, 64.0))
"""(scale, shift) from which a fit begins: none, that of values in 0..1, that of values in 0..255."""

_STEPS = 15
"""Of a fit; one that leads anywhere takes fewer."""

_NEAR = 5e-5
"""Root mean square of what a fit may leave, as a share of the answer's."""

_MENDED = 30
"""Times that the difference must become smaller: another small difference may look a little like a scale."""

_NOISE = 2e-6
"""What float32 itself leaves, as a share of the answer's root mean square."""

_CLOSE = 2e-4
"""What a mended case may be off at most, as a share of the answer's root mean square: kernels sum in another order."""

_FITTED = 1 << 16
"""Elements of an answer that a fit looks at, evenly; what it finds must hold for all."""

_CHUNK = 1 << 20
"""Elements that are compared at once."""

_SAME_WAY = 0.9999
"""Cosine of two columns of slopes from which on they cannot be told apart."""

_TYPICAL = (255.0, 127.5)
"""Scales that are a normalisation's."""


def scaled_inputs(opened: Opened, golden: Golden, cases: Sequence[int], device: str) -> str:
    """With which scale and shift of which input the artifact answers as eager does, in words; empty where none mends
    its answers, and where more than one does: then neither is known to be the reason."""
    until, found = time.monotonic() + _SECONDS, []
    for name, sample in golden.part(cases[0], "input").items():
        if not sample.is_floating_point() or sample.numel() < 2:
            continue
        scales = _scales_of(opened, golden, cases, device, name, until)
        if scales is not None:
            found.append(_words(name, scales))
        if len(found) > 1 or (scales is None and time.monotonic() > until):
            return ""
    return found[0] if found else ""


def _scales_of(
    opened: Opened, golden: Golden, cases: Sequence[int], device: str, name: str, until: float
) -> torch.Tensor | None:
    """The scales and shifts that mend every case; None where none do."""
    sample = golden.part(cases[0], "input")[name]
    image = sample.dim() == 4 and sample.shape[1] in _CHANNELS
    ask = functools.partial(_rest, opened, golden, cases[0], device, name)
    for count, start in itertools.product((1, sample.shape[1]) if image else (1,), _STARTS):
        found = _fit(ask, torch.tensor([start] * count, dtype=torch.float64).t().reshape(-1), until)
        for neat in () if found is None else _simpler(found):
            # where the cases agree as they are, what is wrong is something else
            if not torch.equal(neat, _unchanged(count)) and all(
                _mends(opened, golden, one, device, name, neat) for one in cases
            ):
                return neat
    return None


def _simpler(found: torch.Tensor) -> Iterator[torch.Tensor]:
    """The same with few digits, and first of all without a shift: one that changes nothing was not measured."""
    for digits in (2, 3, 4):
        neat = _to_digits(found, digits)
        scale, shift = neat.chunk(2)
        if bool(shift.any()):
            yield torch.cat([scale, torch.zeros_like(shift)])
        yield neat


def _unchanged(count: int) -> torch.Tensor:
    """The scales and shifts of nothing."""
    return torch.tensor([1.0] * count + [0.0] * count, dtype=torch.float64)


def _mends(opened: Opened, golden: Golden, index: int, device: str, name: str, scales: torch.Tensor) -> bool:
    """Whether a case agrees with these, and by them: what is left is next to nothing of what it was without."""
    after = _furthest(opened, golden, index, device, name, scales)
    if after is None or after > _CLOSE:
        return False
    before = _furthest(opened, golden, index, device, name, _unchanged(len(scales) // 2))
    return before is not None and after <= max(before / _MENDED, _NOISE)


def _scaled(scales: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """What undoes a normalisation: value · scale + shift, for all values or for each channel. scales: (2·channels,)."""

    def change(value: torch.Tensor) -> torch.Tensor:
        scale, shift = scales.chunk(2)
        form = (1, -1, *([1] * (value.dim() - 2))) if scale.numel() > 1 else ()
        return (value.double() * scale.reshape(form) + shift.reshape(form)).to(value.dtype)

    return change


def _answers(
    opened: Opened, golden: Golden, index: int, device: str, name: str, scales: torch.Tensor
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(eager's answer to a case, the artifact's to the case with scaled inputs) by leaf; empty where these do not
    compare."""
    try:
        found = answer_to(opened, golden, index, device, only(name, _scaled(scales))).leaves
    except Exception:  # noqa: BLE001 (an artifact may raise whatever it likes; then nothing is known)
        return []
    wanted = golden.eager(index).leaves
    pairs = [(mine, its) for (_, mine), (_, its) in zip(wanted, found)]  # noqa: B905 (compared next)
    fit = all(mine.is_floating_point() and mine.shape == its.shape for mine, its in pairs)
    return pairs if fit and len(found) == len(wanted) else []


def _rest(
    opened: Opened, golden: Golden, index: int, device: str, name: str, scales: torch.Tensor
) -> torch.Tensor | None:
    """The artifact's answer to scaled inputs less eager's to the case, as a share of eager's RMS, at some elements of
    each leaf; None where these do not compare."""
    rests = []
    for mine, its in _answers(opened, golden, index, device, name, scales):
        step = max(1, -(-mine.numel() // _FITTED))
        a, b = (one.reshape(-1)[::step].double() for one in (mine, its))
        rests.append((b - a) / a.square().mean().sqrt().clamp_min(1e-30))
    rest = torch.cat(rests) if rests else torch.zeros(0)
    return rest if rest.numel() and bool(torch.isfinite(rest).all()) else None


def _furthest(opened: Opened, golden: Golden, index: int, device: str, name: str, scales: torch.Tensor) -> float | None:
    """The largest of all elements of what `_rest` tells some of; None where these do not compare."""
    worst: float | None = None
    for mine, its in _answers(opened, golden, index, device, name, scales):
        squares = furthest = 0.0
        flat, other = mine.reshape(-1), its.reshape(-1)
        for start in range(0, flat.numel(), _CHUNK):
            wide = flat[start : start + _CHUNK].double()
            squares += float(wide.square().sum())
            distance = (other[start : start + _CHUNK].double() - wide).abs_()
            if not bool(torch.isfinite(distance).all()):
                return None
            furthest = max(furthest, float(distance.max()))
        size = max((squares / max(mine.numel(), 1)) ** 0.5, 1e-30)
        worst = max(worst or 0.0, furthest / size)
    return worst


def _fit(ask: Callable[[torch.Tensor], torch.Tensor | None], start: torch.Tensor, until: float) -> torch.Tensor | None:
    """Levenberg and Marquardt's method with differences in place of derivatives; None where it leads nowhere, and where
    two of the numbers do the same, so that neither is known."""
    here, rest, damping = start, ask(start), 1e-3
    slopes: torch.Tensor | None = None
    for _ in range(_STEPS):
        if rest is None:
            return None
        before = float(rest.square().mean().sqrt())
        if before <= _NEAR:
            return None if slopes is not None and _alike(slopes) else here
        slopes = _slopes(ask, here, rest, until)
        if slopes is None:
            return None
        normal, pull = slopes.t() @ slopes, slopes.t() @ rest
        least = max(float(normal.diagonal().max()) * 1e-6, 1e-12)  # what changes nothing stays where it is
        for _ in range(8):
            damped = normal + damping * torch.diag(normal.diagonal().clamp_min(least))
            new = here - torch.linalg.lstsq(damped, pull.unsqueeze(1)).solution.squeeze(1)
            tried = ask(new)
            if tried is not None and float(tried.square().mean().sqrt()) < before:
                here, rest, damping = new, tried, damping / 10
                break
            damping *= 10
            if time.monotonic() > until:
                return None
        else:
            return None
    return None


def _slopes(
    ask: Callable[[torch.Tensor], torch.Tensor | None], here: torch.Tensor, rest: torch.Tensor, until: float
) -> torch.Tensor | None:
    """How the rest moves with each number, a column each; None where it is not known, or not in time."""
    columns = []
    for place in range(len(here)):
        step = 1e-3 * max(abs(float(here[place])), 0.1)
        beside = here.clone()
        beside[place] += step
        moved = ask(beside)
        if moved is None or time.monotonic() > until:
            return None
        columns.append((moved - rest) / step)
    return torch.stack(columns, 1)


def _alike(slopes: torch.Tensor) -> bool:
    """Whether two columns point the same way, or opposite ways."""
    units = slopes / slopes.norm(dim=0).clamp_min(1e-30)
    cosines = (units.t() @ units).fill_diagonal_(0.0)
    return bool((cosines.abs() > _SAME_WAY).any())


def _to_digits(values: torch.Tensor, digits: int) -> torch.Tensor:
    """Each value to so many decimal digits after its scale's first, which the shifts share."""
    return torch.tensor([float(f"{one:.{digits}g}") if abs(one) > 1e-4 else 0.0 for one in values.tolist()]).double()


def _words(name: str, scales: torch.Tensor) -> str:
    """ "it normalises x: (x - [0.5, 0.4]) / [0.2, 0.3]" where that is what such numbers are for; elsewhere what was
    measured: "it answers as eager does when x is fed as 0.22·x + 0.45"."""
    scale, shift = scales.chunk(2)
    below = bool((shift <= 0).all())
    if scale.numel() > 1 or any(abs(abs(float(scale)) / one - 1) < 5e-3 for one in _TYPICAL):
        moved = f"({name} {'+' if below else '-'} {_numbers(-shift if below else shift)})" if shift.any() else name
        return f"it normalises {name}: {moved} / {_numbers(scale)}"
    fed = name if bool(scale == 1) else f"{_numbers(scale)}·{name}"
    fed += f" {'-' if below else '+'} {_numbers(shift.abs())}" if bool(shift) else ""
    return f"it answers as eager does when {name} is fed as {fed}"


def _numbers(values: torch.Tensor) -> str:
    said = [f"{one:g}" for one in values.tolist()]
    return said[0] if len(said) == 1 else f"[{', '.join(said)}]"

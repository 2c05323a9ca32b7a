"""A step on its inputs that an artifact has inside and the model has not: a scale and a shift, or a rounding.

A scale and a shift are fitted: the artifact is asked with changed inputs until it answers as eager does. A rounding
shows in answers that do not change when the inputs are rounded before. Both are named only where they hold in every
case that is asked.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence

import torch

from workbench.worker.artifact.loading import Opened
from workbench.worker.artifact.naming_inputs import Change, agrees, answer_to, ignored_inputs, only, same_bits
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

_ROUNDED = (torch.bfloat16, torch.float16)


def normalised_inputs(opened: Opened, golden: Golden, cases: Sequence[int], device: str) -> str:
    """Which scale and shift by constants the artifact has inside, in words; empty where none mends its answers."""
    until = time.monotonic() + _SECONDS
    for name, sample in golden.part(cases[0], "input").items():
        if not sample.is_floating_point() or sample.numel() < 2:
            continue
        image = sample.dim() == 4 and sample.shape[1] in _CHANNELS
        for count in (1, sample.shape[1]) if image else (1,):
            ask = functools.partial(_rest, opened, golden, cases[0], device, name)
            for start in _STARTS:
                found = _fit(ask, torch.tensor([start] * count, dtype=torch.float64).t().reshape(-1), until)
                if found is None:
                    continue
                for digits in (2, 3, 4):
                    neat = _to_digits(found, digits)
                    if torch.equal(neat, _unchanged(count)):
                        continue  # the cases agree as they are: what is wrong is something else
                    if all(_mends(opened, golden, one, device, name, neat) for one in cases):
                        return f"it normalises {name}: {_words(name, neat)}"
    return ""


def rounded_inputs(opened: Opened, golden: Golden, cases: Sequence[int], device: str) -> str:
    """Which inputs the artifact rounds, in words: it answers with the same bits when they are rounded before."""
    ignored = set(ignored_inputs(opened, golden, cases[0], device))
    for name, sample in golden.part(cases[0], "input").items():
        if sample.dtype not in (torch.float32, torch.float64) or name in ignored:
            continue
        for dtype in _ROUNDED:
            if _is_rounded(opened, golden, cases, device, name, dtype):
                return f"it rounds {name} to {str(dtype)[6:]}"
    return ""


def _unchanged(count: int) -> torch.Tensor:
    """The scales and shifts of nothing."""
    return torch.tensor([1.0] * count + [0.0] * count, dtype=torch.float64)


def _mends(opened: Opened, golden: Golden, index: int, device: str, name: str, scales: torch.Tensor) -> bool:
    """Whether a case agrees with these, and by them: what is left is next to nothing of what it was without."""
    unchanged = _unchanged(len(scales) // 2)
    before, after = (_rest(opened, golden, index, device, name, one) for one in (unchanged, scales))
    if before is None or after is None:
        return False
    left = max(float(before.abs().max()) / _MENDED, _NOISE)
    return float(after.abs().max()) <= left and agrees(opened, golden, index, device, only(name, _scaled(scales)))


def _is_rounded(
    opened: Opened, golden: Golden, cases: Sequence[int], device: str, name: str, dtype: torch.dtype
) -> bool:
    """Whether no answer changes by the rounding, in cases that it changes, while all change by twice its step."""
    step = 2 * torch.finfo(dtype).eps
    asked = 0
    for index in cases:
        value = golden.part(index, "input")[name]
        if torch.equal(_through(value, dtype).nan_to_num(), value.nan_to_num()):
            continue
        asked += 1
        try:
            as_is = answer_to(opened, golden, index, device)
            rounded = answer_to(opened, golden, index, device, only(name, functools.partial(_through, dtype=dtype)))
            moved = answer_to(opened, golden, index, device, only(name, lambda value: value * (1 + step)))
        except Exception:  # noqa: BLE001 (an artifact may raise whatever it likes; then nothing is known)
            return False
        if not same_bits(as_is, rounded) or same_bits(as_is, moved):
            return False
    return asked > 1 or asked == len(cases)


def _through(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return value.to(dtype).to(value.dtype)


def _scaled(scales: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """What undoes a normalisation: value · scale + shift, for all values or for each channel. scales: (2·channels,)."""

    def change(value: torch.Tensor) -> torch.Tensor:
        scale, shift = scales.chunk(2)
        form = (1, -1, *([1] * (value.dim() - 2))) if scale.numel() > 1 else ()
        return (value.double() * scale.reshape(form) + shift.reshape(form)).to(value.dtype)

    return change


def _rest(
    opened: Opened, golden: Golden, index: int, device: str, name: str, scales: torch.Tensor
) -> torch.Tensor | None:
    """The artifact's answer to scaled inputs less eager's to the case, as a share of eager's RMS; None where these do
    not compare."""
    change: Change = only(name, _scaled(scales))
    try:
        found = answer_to(opened, golden, index, device, change).leaves
    except Exception:  # noqa: BLE001 (an artifact may raise whatever it likes; then nothing is known)
        return None
    wanted = golden.eager(index).leaves
    if len(found) != len(wanted):
        return None
    rests = []
    for (_, mine), (_, its) in zip(wanted, found):  # noqa: B905 (compared above)
        if not mine.is_floating_point() or mine.shape != its.shape:
            return None
        size = mine.double().square().mean().sqrt().clamp_min(1e-30)
        rests.append(((its.double().cpu() - mine.double()) / size).reshape(-1))
    rest = torch.cat(rests) if rests else torch.zeros(0)
    return rest if rest.numel() and bool(torch.isfinite(rest).all()) else None


def _fit(ask: Callable[[torch.Tensor], torch.Tensor | None], start: torch.Tensor, until: float) -> torch.Tensor | None:
    """Levenberg and Marquardt's method with differences in place of derivatives; None where it leads nowhere."""
    here, rest, damping = start, ask(start), 1e-3
    for _ in range(_STEPS):
        if rest is None:
            return None
        before = float(rest.square().mean().sqrt())
        if before <= _NEAR:
            return here
        columns = []
        for place in range(len(here)):
            step = 1e-3 * max(abs(float(here[place])), 0.1)
            beside = here.clone()
            beside[place] += step
            moved = ask(beside)
            if moved is None or time.monotonic() > until:
                return None
            columns.append((moved - rest) / step)
        slopes = torch.stack(columns, 1)
        normal, pull = slopes.t() @ slopes, slopes.t() @ rest
        for _ in range(8):
            damped = normal + damping * torch.diag(normal.diagonal().clamp_min(1e-12))
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


def _to_digits(values: torch.Tensor, digits: int) -> torch.Tensor:
    """Each value to so many decimal digits after its scale's first, which the shifts share."""
    return torch.tensor([float(f"{one:.{digits}g}") if abs(one) > 1e-4 else 0.0 for one in values.tolist()]).double()


def _words(name: str, scales: torch.Tensor) -> str:
    """ "(x - 0.45) / 0.22"."""
    scale, shift = scales.chunk(2)
    moved = f"{name} - {_numbers(shift)}" if bool(shift.any()) else name
    if bool((scale == 1).all()):
        return moved
    return f"{f'({moved})' if moved != name else name} / {_numbers(scale)}"


def _numbers(values: torch.Tensor) -> str:
    said = [f"{one:g}" for one in values.tolist()]
    return said[0] if len(said) == 1 else f"[{', '.join(said)}]"

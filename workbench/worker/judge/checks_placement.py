"""Owns the check that tensors have the dtype and the device that they should: nothing widened, nothing elsewhere."""

from __future__ import annotations

from typing import Any

import torch

from workbench.protocol.artifacts import CheckRow
from workbench.worker.bench.failing import first_line
from workbench.worker.bench.words import counted, some
from workbench.worker.job import Cancelled
from workbench.worker.judge.checks_elsewhere import half_words, tied_to_a_device
from workbench.worker.judge.checks_run import Subject
from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.replay import Parts
from workbench.worker.judge.widening import MET, WIDTH, Origin, Widening, dtype_name, widened

REMEDY = "Make it in the dtype of the input: torch.tensor(…, dtype=x.dtype), or buffer.to(x.dtype)."
CAST_REMEDY = "Compute in x.dtype, or cast the answer back: y.to(x.dtype)."


def check_dtype_device(subject: Subject) -> CheckRow:
    """No tensor is left on another device or on meta, and the model computes and answers in its own dtype.

    It fails where two floating dtypes met in one operator (the wider no parameter) and the answer is wide for it, or
    the operator raised; and where a conversion was written down, what it gave was computed with, and the answer is
    wide. Healthy are a part that computes in float32 and casts back, a conversion of the finished answer (a finding),
    integer buffers, parameters kept in float32 in a half-precision model, and complex tensors of its own precision.
    """
    model = subject.bench.model
    held = [*model.named_parameters(), *model.named_buffers()]
    elsewhere = _elsewhere(subject, held)
    if elsewhere:
        return subject.failed(*elsewhere)
    own = Parts(model).dtype() or "float32"
    width = WIDTH.get(getattr(torch, own), 2)
    watch = Widening(width, model.buffers())
    try:
        with watch:
            output = subject.forward()
    except (Cancelled, KeyboardInterrupt):
        raise
    except Exception as problem:
        if not watch.refused:
            raise
        cause = f"{watch.refused}, in a {own} model."
        remedy = CAST_REMEDY if watch.converted else REMEDY
        return subject.failed(f"The model does not run in {own}: {first_line(problem)}.", cause, remedy)
    leaves = flatten(output).tensors
    double = [name for name, tensor in held if WIDTH.get(tensor.dtype, 0) > max(width, 2) and tensor.dim()]
    wide = _wide(subject, own, widened(leaves, watch), watch, double)
    if wide is not None:
        return wide
    if double:
        words = f"Held in float64 in a {own} model, and converted where they are used: {some(double, 4)}."
        subject.found("float64_tensors", words)
    if watch.narrowed:
        words = f"The model is {own}, and computes in part with fewer digits: {watch.narrowed}."
        subject.found("narrow_inside", words, "If it is not meant, take the conversion out.")
    away = [f"{path} on {leaf.device}" for path, leaf in leaves if leaf.device != _home(subject)]
    if away:
        subject.found("output_device", f"The model is on {_home(subject)}, and answers {some(away, 3)}.")
    if own == "float32" and subject.spent < 0.5 and (half := half_words(subject))[0]:
        subject.found("half", f"In bfloat16 it would not stay so. {half[0]}", CAST_REMEDY if half[1] else REMEDY)
    mixture = ", ".join(f"{name} ({count})" for name, count in _counts(held).items()) or "no tensors"
    return _elsewhere_too(subject, f"Held: {mixture}, all on {_home(subject)}; {counted(len(leaves), 'output')}: "
                          f"{', '.join(dict.fromkeys(dtype_name(leaf) for _, leaf in leaves)) or 'none'}.")  # fmt: skip


def _wide(
    subject: Subject, own: str, wide: list[tuple[str, Any, Origin]], watch: Widening, double: list[str]
) -> CheckRow | None:
    """The row of a model whose answers are wider than it by accident, or were computed so; findings for the others."""
    by_accident = [one for one in wide if one[2].kind == MET]
    computed = [one for one in wide if one[2].computed]
    holds = f" Held in it: {some(double, 4)}." if double else ""
    if by_accident or (watch.first and double):
        names = [f"{path} is {dtype_name(leaf)}" for path, leaf, _ in by_accident]
        evidence = f"The model is {own}, and {some(names or [f'it computes in {watch.wide}'], 3)}."
        first = by_accident[0][2].words if by_accident else watch.first
        return subject.failed(evidence, f"Widened first in {first}.{holds}", REMEDY)
    if computed:
        names = [f"{path} is {dtype_name(leaf)}" for path, leaf, _ in computed]
        origin = computed[0][2]
        cause = f"Converted in {origin.words}, and computed so from there, in {origin.computed}.{holds}"
        return subject.failed(f"The model is {own}, and {some(names, 3)}.", cause, CAST_REMEDY)
    if wide:
        names = [f"{path} is {dtype_name(leaf)}, of {origin.words}" for path, leaf, origin in wide]
        words = f"The model is {own}, and {some(names, 3)}; it computes nothing more in it."
        subject.found("output_dtype", words, f"If it is not meant: {CAST_REMEDY[0].lower()}{CAST_REMEDY[1:]}")
    if watch.computed:
        words = f"The model is {own}, and computes in part with more digits, cast back afterwards: {watch.computed}."
        subject.found("wide_inside", words, "If it is not meant, take the conversion out.")
    return None


def _elsewhere_too(subject: Subject, evidence: str) -> CheckRow:
    """The row of a model that is right here, by whether it would be on another device."""
    place, explicit = tied_to_a_device(subject)
    if not place:
        return subject.passed(evidence)
    remedy = "Make tensors where the input is: device=x.device; and register those that the model holds as buffers."
    if explicit:
        return subject.failed("The forward runs on this device only.", place, remedy)
    subject.found("other_device", f"It would not run on another device. {place}", remedy)
    return subject.passed(evidence)


def _elsewhere(subject: Subject, held: list[tuple[str, Any]]) -> tuple[str, str, str] | None:
    """Evidence, cause and remedy where parameters or buffers are not where the model is; None when all are."""
    meta = [name for name, tensor in held if tensor.is_meta]
    if meta:
        cause = "A checkpoint did not fill them, or they were made on the meta device and never materialised."
        return f"{counted(len(meta), 'tensor')} on meta hold no values: {some(meta, 4)}.", cause, "Load all of them."
    home = _home(subject)
    away = [f"{name} on {tensor.device}" for name, tensor in held if tensor.device != home and tensor.dim()]
    placed = hasattr(subject.bench.model, "hf_device_map") or any(
        hasattr(module, "_hf_hook") for module in subject.bench.model.modules()
    )
    if away and not placed:
        return f"The model is on {home}, and {some(away, 4)}.", "", "Move all of it: model.to(device)."
    return None


def _home(subject: Subject) -> torch.device:
    """Where the model should be."""
    wanted = torch.device(subject.bench.modes.device)
    return next((one.device for one in subject.bench.model.parameters() if one.device.type == wanted.type), wanted)


def _counts(held: list[tuple[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for _, tensor in held:
        counts[dtype_name(tensor)] = counts.get(dtype_name(tensor), 0) + 1
    return counts

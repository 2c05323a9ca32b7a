"""What an artifact does with calls outside its contract: refuses them, or answers as if nothing were wrong.

A trace cannot guard itself, so what it answers is a finding. What one of ours could guard, and was declared, is a
fault. Every such call is one that the artifact answers, changed in one thing: of a call that it refuses anyway a
refusal says nothing. Carried into a bundle's verify.py: torch, the standard library and carried modules only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from workbench.protocol.artifacts import CheckRow, Finding
from workbench.worker.artifact.loading import Opened
from workbench.worker.artifact.prove_cases import CaseResult, Golden, call_artifact

Changed = Callable[[torch.Tensor], torch.Tensor]

GUARDS_UNASKED = "could not be asked: no call of the contract is answered"
"""The finding where a refusal would say nothing."""

_GUARDS_ROWS = 4096
"""A declared size beyond this is not exceeded on purpose: the trial must stay small."""


@dataclass(frozen=True)
class Violation:
    """One call that the contract forbids."""

    words: str
    change: dict[str, Changed] = field(default_factory=dict)
    """Name of an input tensor → what is done to it."""
    arguments: int = 0
    """-1: the last argument is left away; 1: there is one too many."""
    row: str = ""
    """Check that fails when one of our own artifacts answers it all the same: "sizes" or "structure"; empty: none."""


@dataclass(frozen=True)
class Tried:
    """A violation, and what came of it."""

    violation: Violation
    answer: str
    """The first tensor of the answer: "float32[9,3]"; empty when it was refused."""
    asked: bool = True
    """False: nothing is known, for the trial ended before."""

    @property
    def words(self) -> str:
        """The violation, with the answer where there was one."""
        return f"{self.violation.words} (with {self.answer})" if self.answer else self.violation.words


def guards_base(results: Sequence[CaseResult]) -> int | None:
    """Number of the first case that the artifact answers, which every violation changes; None where it answers none."""
    return next((one.index for one in results if not one.raised), None)


def guards(opened: Opened, golden: Golden, device: str, base: int) -> list[Tried]:
    """Try every violation that the golden data has inputs for. base: of `guards_base`."""
    violations = guards_violations(golden, device, base)
    return [Tried(one, guards_answer(opened, golden, device, one, base)) for one in violations]


def guards_finding(tried: Sequence[Tried]) -> Finding | None:
    """What was answered and what was refused; None where nothing was tried."""
    accepted = ", ".join(one.words for one in tried if one.answer)
    refused = ", ".join(one.words for one in tried if not one.answer)
    if not tried:
        return None
    if not accepted:
        return Finding("guards", f"guarded: refuses {refused}")
    rest = f"; refuses {refused}" if refused else ""
    remedy = "Check inputs before the call" if refused else "Check rank, dtype and sizes before the call"
    return Finding("guards", f"unguarded: answers {accepted}{rest}", f"{remedy}: what it answers is not proven.")


def guards_rows(tried: Sequence[Tried], rows: dict[str, CheckRow]) -> list[CheckRow]:
    """`rows` that fail because a declared promise is not kept by an artifact that could have kept it, or are an error
    because that could not be asked."""
    failed = []
    for check in ("structure", "sizes"):
        broken = [one for one in tried if one.answer and one.violation.row == check]
        unasked = [one.words for one in tried if not one.asked and one.violation.row == check]
        row = rows.get(check)
        if row is None or row.status == "fail" or not (broken or unasked):
            continue
        if not broken:
            evidence = f"not asked: {', '.join(unasked)}"
            remedy = "Prove it again: workbench verify. The finding guards says how far it came."
            failed.append(replace(row, status="error", evidence=evidence, cause="its guards could not all be tried",
                                  remedy=remedy))  # fmt: skip
            continue
        evidence = f"answers {', '.join(one.words for one in broken)}"
        remedy = "Export it again with the ranges that it really serves, or check the inputs before every call."
        failed.append(replace(row, status="fail", evidence=evidence, cause="a declared contract that it does not guard",
                              remedy=remedy))  # fmt: skip
    return failed


def guards_violations(golden: Golden, device: str, base: int) -> list[Violation]:
    """Calls outside the contract: wrong ranks and dtypes, sizes and values beyond their range, arguments too few and
    too many. Of tensors those that promise something are asked, and the first where none does.

    base: number of the case whose inputs are changed; the words hold its shapes.
    """
    samples = golden.part(base, "input")
    if not golden.count or not samples:
        return []
    contract = golden.manifest.get("contract") or {}
    strict = bool(contract.get("guarded"))
    declared = set(contract.get("declared") or ()) if strict else set()
    found = []
    for name in [one for one in samples if one in declared] or [next(iter(samples))]:
        found += _guards_form(name, samples[name], "structure" if name in declared else "")
    for dim in contract.get("dims") or ():
        found += _guards_sizes(dim, samples, strict and bool(dim.get("declared")))
    for name, (low, high) in (contract.get("ranges") or {}).items():
        if name in samples:
            found += _guards_range(name, samples[name], float(low), float(high), device, name in declared)
    strictly = "structure" if strict else ""
    last = golden.manifest["inputs"][-1]["name"]
    found.append(Violation(f"no {last}", arguments=-1, row=strictly if len(golden.manifest["inputs"]) == 1 else ""))
    found.append(Violation("one argument too many", arguments=1, row=strictly))
    return found


def _guards_form(name: str, sample: torch.Tensor, row: str) -> list[Violation]:
    """Another rank, in the shapes that get furthest, and another dtype.

    A further dimension in front is what a batch too many looks like. One at the end leaves every size where a guard of
    torch.export looks for it, for these know sizes by their place only (torch 2.13); what does not refuse that would
    compute with it, so only those that promise something are asked.
    """
    changes: list[Changed] = [lambda value: value.unsqueeze(0)]
    if sample.dim() and row:
        changes.append(lambda value: value.unsqueeze(-1).expand(*value.shape, value.shape[-1]))
    if sample.dim():
        changes.append(lambda value: value.select(0, 0).clone() if value.shape[0] else value.sum(0))
    if sample.dtype != torch.bool:
        other = torch.float64 if sample.dtype == torch.float32 else torch.float32
        changes.append(lambda value: value.to(other))
    return [Violation(f"{name} as {_guards_text(change(sample))}", {name: change}, row=row) for change in changes]


def _guards_text(value: torch.Tensor) -> str:
    """ "float32[9,3]"."""
    return f"{str(value.dtype).removeprefix('torch.')}[{','.join(map(str, value.shape))}]"


def _guards_sizes(dim: dict[str, Any], samples: dict[str, torch.Tensor], strict: bool) -> list[Violation]:
    """One size above and one below the range of a dynamic dimension."""
    name, low, high, found = dim["name"], int(dim["minimum"]), dim.get("maximum"), []
    axes = {path: int(axis) for path, axis in dim["axes"].items() if path in samples and axis < samples[path].dim()}
    word = "declared" if dim.get("declared") else "served"
    if not axes:
        return []
    if isinstance(high, int) and 0 < high < _GUARDS_ROWS:
        words = f"{name} {high + 1} where at most {high} is {word}"
        change = {path: _guards_resized(high + 1, axis) for path, axis in axes.items()}
        found.append(Violation(words, change, row="sizes" if strict else ""))
    if low > 0:
        change = {path: _guards_resized(low - 1, axis) for path, axis in axes.items()}
        words = f"{name} {low - 1} where at least {low} is {word}"
        found.append(Violation(words, change, row="sizes" if strict else ""))
    return found


def _guards_range(
    name: str, sample: torch.Tensor, low: float, high: float, device: str, strict: bool
) -> list[Violation]:
    """One element above and one below the declared range of values, where the dtype can hold it.

    Not for integers on an accelerator: an index outside its table ends the whole process there.
    """
    exact = not sample.is_floating_point()
    if not sample.numel() or sample.dtype == torch.bool or (exact and not device.startswith("cpu")):
        return []
    step = 1.0 if exact else max(high - low, 1.0)
    limits = torch.iinfo(sample.dtype) if exact else torch.finfo(sample.dtype)
    found = []
    for value, words in ((high + step, "above"), (low - step, "below")):
        if limits.min <= value <= limits.max:
            text = f"{name} = {value:g}, {words} its range"
            found.append(Violation(text, {name: _guards_element(value)}, row="structure" if strict else ""))
    return found


def _guards_element(number: float) -> Changed:
    def change(value: torch.Tensor) -> torch.Tensor:
        value = value.contiguous()
        value.view(-1)[-1] = number
        return value

    return change


def _guards_resized(size: int, axis: int) -> Changed:
    def change(value: torch.Tensor) -> torch.Tensor:
        times = max(1, -(-size // max(1, value.shape[axis])))
        return torch.cat([value] * times, axis).narrow(axis, 0, size).contiguous()

    return change


def guards_answer(opened: Opened, golden: Golden, device: str, violation: Violation, index: int) -> str:
    """What a call with the changed inputs of case `index` answers, in a word; empty when it raises anything."""
    args, kwargs = golden.inputs(index, device, violation.change)
    if violation.arguments > 0:
        spare = next(iter(golden.part(index, "input").values()))
        args = (*args, spare.to(device))
    elif violation.arguments < 0:
        if kwargs:
            kwargs = dict(list(kwargs.items())[:-1])
        else:
            args = args[:-1]
    try:
        flat = call_artifact(opened, golden.manifest, args, kwargs)
    except Exception:  # noqa: BLE001 (any exception is a refusal)
        return ""
    if not flat.leaves:
        return "nothing"
    return _guards_text(flat.leaves[0][1])

"""Owns the check that a forward leaves its inputs as they were."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import nn

from workbench.protocol.artifacts import CheckRow
from workbench.worker.bench.modes import running
from workbench.worker.bench.sampling import map_tensors, tensors_in
from workbench.worker.bench.words import counted, some
from workbench.worker.judge.checks_places import FirstOperator, named
from workbench.worker.judge.checks_run import Subject, fresh
from workbench.worker.judge.leaves import flatten_plain
from workbench.worker.judge.mixing import Stack

INPUTS = 3
"""Inputs that are tried: a write may depend on the values."""


def check_inputs_untouched(subject: Subject) -> CheckRow:
    """A forward writes into none of its inputs: not their values, shapes or flags, and not the dicts they come in."""
    names = names_of_inputs(subject)
    inputs = 0
    for number in subject.times(INPUTS):
        seed = subject.bench.recipe.seed + number
        given = (subject.args, subject.kwargs) if number == 0 else subject.example.sample(seed)
        args, kwargs = map_tensors(given[0], fresh), map_tensors(given[1], fresh)
        watched = [_Watched(tensor) for tensor in tensors_in((args, kwargs))]
        tree = flatten_plain((args, kwargs)).structure
        _run(subject, args, kwargs)
        inputs += 1
        changed = [(name, words) for name, one in zip(names, watched) if (words := one.changed())]  # noqa: B905
        loud = [(name, words) for name, words in changed if not subject.policy.may_move(name)]
        if excused := [name for name, _ in changed if subject.policy.may_move(name)]:
            subject.excuse(f"mutates {some(excused, 4)}")
        if loud:
            words = some([f"{name} ({how})" for name, how in loud], 4)
            flags = all(how.startswith("only") for _, how in loud)
            if flags:
                subject.found(
                    "input_flags", f"The forward leaves a mark on its inputs: {words}.", "Work on x.detach()."
                )
                continue
            return subject.failed(
                f"The forward writes into its inputs: {words}.", *_operator(subject, given, loud[0][0])
            )
        if flatten_plain((args, kwargs)).structure != tree:
            evidence = "The forward takes entries out of, or puts entries into, a container among its inputs."
            return subject.failed(evidence, "", "Work on a copy: dict(batch), not batch.pop().")
    if not names:
        return subject.passed("The forward takes no tensor.")
    return subject.passed(f"{counted(len(names), 'input')} as before after {counted(inputs, 'forward')}.")


class _Watched:
    """One input and what it was."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._tensor = tensor
        self._before = tensor.detach().clone()
        self._version = tensor._version
        self._requires_grad, self._grad = tensor.requires_grad, tensor.grad

    def changed(self) -> str:
        """What happened to it, in words; empty when nothing did."""
        now, before = self._tensor.detach(), self._before
        if now.shape != before.shape or now.dtype != before.dtype:
            return f"{list(before.shape)} became {list(now.shape)} {now.dtype}"
        same = now == before if now.layout is torch.strided else None
        if same is not None and not bool((same | ((now != now) & (before != before))).all()):
            return f"{int((~same).sum())} of {now.numel()} elements"
        if self._tensor._version != self._version:
            return "written to, with the values that it had"
        if self._tensor.requires_grad != self._requires_grad:
            return "only requires_grad"
        return "only its .grad" if self._tensor.grad is not self._grad else ""


def _run(subject: Subject, args: Any, kwargs: Any) -> None:
    """One forward on these very inputs."""
    subject.job.raise_if_cancelled()
    if subject.policy.mutates:
        subject.snapshot.put_back(subject.policy.may_move)
    began = time.perf_counter()
    with running(subject.bench.modes):
        subject.bench.model(*args, **kwargs)
    subject.last = time.perf_counter() - began


def _operator(subject: Subject, given: tuple[Any, Any], name: str) -> tuple[str, str]:
    """(cause, remedy): the first operator that writes into memory of an input, its line and module; `name`: of an
    input that was written to."""
    args, kwargs = map_tensors(given[0], fresh), map_tensors(given[1], fresh)
    memory = {_address(tensor) for tensor in tensors_in((args, kwargs)) if tensor.numel()}
    stack, inside = Stack(), []
    seen: list[str] = []

    def writes(func: Any, operands: Any, keywords: Any, output: Any) -> bool:
        for number, argument in enumerate(func._schema.arguments):
            if argument.alias_info is None or not argument.alias_info.is_write:
                continue
            value = operands[number] if number < len(operands) else (keywords or {}).get(argument.name)
            if any(_address(tensor) in memory for tensor in tensors_in(value)):
                inside.extend(stack.names[-1:] or ["the model itself, in a hook"])
                seen.append(str(func.overloadpacket).rpartition(".")[2])
                return True
        return False

    with stack.on(subject.bench.model), FirstOperator(writes) as watch:
        _run(subject, args, kwargs)
    if not watch.words:
        copy = f"Work on a copy: {name}.clone()."
        return "No operator of torch's was seen to write them: look for .data or .numpy().", copy
    modules = {named(path, module): module for path, module in subject.bench.model.named_modules()}
    remedy = _remedy(seen[0], name, inside[0], modules.get(inside[0]))
    return f"Written by {watch.words}, in {inside[0]}.", remedy


_BY_PLACE = ("index_put_", "_index_put_impl_", "masked_fill_", "masked_scatter_", "fill_", "zero_", "copy_",
             "index_fill_", "index_copy_", "scatter_")  # fmt: skip
"""What `x[mask] = value` and its like become."""


def _remedy(operator: str, name: str, where: str, module: nn.Module | None) -> str:
    """What to write in the place of an operator that writes into the input `name`."""
    if getattr(module, "inplace", False) is True:
        return f"Make {where} with inplace=False, or give it a copy."
    if operator in _BY_PLACE:
        return (
            f"Make a new tensor: torch.where(mask, value, {name}) or {name}.masked_fill(mask, value); "
            f"or write into a copy, {name}.clone()."
        )
    if operator.endswith("_") and not operator.startswith("_"):
        plain = operator.rstrip("_")
        return (
            f"Take the operator without the underscore, {plain} in the place of {operator}, or work on {name}.clone()."
        )
    return f"Give it another out=, or work on {name}.clone()."


def _address(tensor: torch.Tensor) -> int:
    if tensor.layout is not torch.strided or tensor.is_meta:
        return id(tensor)
    return tensor.untyped_storage().data_ptr()


def names_of_inputs(subject: Subject) -> list[str]:
    """A name for each tensor of the inputs, in order."""
    names = []
    for place, argument in enumerate(subject.example.arguments):
        name = argument.name or f"input {place}"
        names += [name] if argument.count == 1 else [f"{name}[{number}]" for number in range(argument.count)]
    return names

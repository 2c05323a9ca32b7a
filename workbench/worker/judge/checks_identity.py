"""Owns the question whether an answer belongs to the values of its input: a caller may fill one tensor again and again.

A cache by id() or data_ptr() answers what the tensor held before; so it does when memory is used again by chance.
"""

from __future__ import annotations

from typing import Any

import torch

from workbench.worker.bench.modes import generators_kept, running
from workbench.worker.bench.sampling import map_tensors, tensors_in
from workbench.worker.judge.checks_run import Subject, fresh
from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.taken import Answer, taken_apart

COPIES = 3
"""Tensors with the right values, all alive: one of them may stand where one stood that the model remembers."""

IDENTITY_REMEDY = "Key such a cache by the values, or keep none: memory and ids are used again for other inputs."


def by_identity(subject: Subject, first: Any, second: Any) -> str:
    """The evidence where tensors that hold `second` are answered as if they held `first`, since they did so before.

    Empty where they are not, and where the two have other trees or shapes. Raises what the forward raises.
    """
    if flatten(first).structure != flatten(second).structure:
        return ""
    args, kwargs = (map_tensors(part, fresh) for part in first)
    held, values = tensors_in((args, kwargs)), tensors_in(second)
    if [one.shape for one in held] != [one.shape for one in values] or any(
        one.layout is not torch.strided or one.is_quantized for one in held
    ):
        return ""
    subject.snapshot.restore()
    old = _on_these(subject, args, kwargs)
    with torch.no_grad():
        for tensor, value in zip(held, values):  # noqa: B905 (of the same shapes)
            tensor.copy_(value)
    again = _on_these(subject, args, kwargs)
    copies = [[map_tensors(part, fresh) for part in second] for _ in range(COPIES)]
    for one in copies:
        subject.snapshot.restore()
        found = subject.compared(_on_these(subject, *one), again)
        if found.differs and not found.nothing:
            break
    else:
        return ""
    as_before = "" if subject.compared(old, again).differs else ", and as A was"
    return f"A tensor that held A and now holds B is not answered as B is{as_before}: {found.words}.{found.left_out}"


def _on_these(subject: Subject, args: Any, kwargs: Any) -> Answer:
    """The answer to these very tensors, not to copies of them."""
    subject.job.raise_if_cancelled()
    if subject.policy.mutates:
        subject.snapshot.put_back(subject.policy.may_move)
    with generators_kept(subject.bench.recipe.seed), running(subject.bench.modes):
        return taken_apart(subject.bench.model(*args, **kwargs))

"""Owns what is said of parameters that a forward writes into, Embedding's max_norm above all: by whom, where, the cure.

Whether an answer depends on it is the check's business that asks.
"""

from __future__ import annotations

import torch
from torch import nn

from workbench.worker.bench.words import some
from workbench.worker.judge.checks_places import named
from workbench.worker.judge.checks_run import Subject
from workbench.worker.judge.evidence import short
from workbench.worker.judge.writes import Write, writes

ROUNDING = 8
"""Times eps of the weight's dtype, of its own length: so much a row may be longer than max_norm and count as short."""
PLAIN_REMEDY = "Write to no parameter in forward; if it is meant, make it a buffer and declare it: mutates."


def parameters_written(subject: Subject) -> tuple[str, str]:
    """(which parameters are not as they were and who wrote into them, remedy); empty where all are.

    Runs one more forward, from where the check began, where any has moved.
    """
    model = subject.bench.model
    names = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    moved = [name for name, _ in subject.snapshot.moved() if name in names and not subject.policy.may_move(name)]
    if not moved:
        return "", ""
    subject.snapshot.restore()
    moved = [name for name in moved if name not in _short(model)]
    if not moved:
        return "", ""
    found = writes(model, subject.bench.modes, subject.args, subject.kwargs, subject.job)
    seen = [one for one in found if one.what in moved]
    if not seen:
        return f"A forward writes into {some(moved, 4)}.", PLAIN_REMEDY
    words, remedies = zip(*(_told(model, one) for one in seen[:3]), strict=True)
    return " ".join(words), " ".join(dict.fromkeys(remedies))


def _short(model: nn.Module) -> set[str]:
    """Names of the weights under max_norm whose rows are no longer than that but for rounding: shortening a row once
    may leave it an ulp too long, and it is shortened again."""
    found = set()
    for path, module in model.named_modules():
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and module.max_norm is not None:
            with torch.no_grad():
                longest = torch.linalg.vector_norm(module.weight.double(), module.norm_type, dim=1).max()
            if longest <= module.max_norm * (1 + ROUNDING * torch.finfo(module.weight.dtype).eps):
                found.add(f"{path}.weight" if path else "weight")
    return found


def _told(model: nn.Module, write: Write) -> tuple[str, str]:
    module = model.get_submodule(write.path)
    at = f" at {short(write.where)}" if write.where else ""
    who = f"{named(write.path, module)} writes into {write.what}: {write.operator}{at}"
    if not isinstance(module, (nn.Embedding, nn.EmbeddingBag)) or module.max_norm is None:
        return f"{who}.", PLAIN_REMEDY
    words = f"{who}, for max_norm={module.max_norm:g}: rows longer than that are shortened when they are looked up."
    remedy = (
        f"Renormalise once before serving, under no_grad: {write.what}.renorm_({module.norm_type:g}, 0, "
        f"{module.max_norm:g}), then {'.'.join(filter(None, (write.path, 'max_norm')))} = None; and save that."
    )
    return words, remedy

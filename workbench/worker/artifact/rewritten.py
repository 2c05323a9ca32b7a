"""Which parameters an artifact holds otherwise and answers as eager all the same: what was done to them is undone
elsewhere in it, as where a factor or the scale of a normalisation is folded into a layer.

A parameter that is off by little hides in the noise of the answers; one that was rewritten does not: eager with it is
far from its own answers, and the artifact, which has it, is not. That tells the two apart. Judges nothing.
"""

from __future__ import annotations

import torch

from workbench.protocol.failures import WorkbenchError
from workbench.protocol.runs import INCOMPARABLE
from workbench.worker.artifact.fixed_cases import FixedCases
from workbench.worker.artifact.loading import Opened, named_tensors
from workbench.worker.artifact.parameters import differing_parameters, tensor_sha256
from workbench.worker.artifact.prove_cases import CaseResult, Golden, named_as_golden, yardstick_of
from workbench.worker.artifact.subject import Subject, run_eager
from workbench.worker.job import Job
from workbench.worker.judge.cases import judge_leaves, measured

FAR = 30.0
"""Multiple of the yardstick from which eager's answers are another model's: the verdict's own limit is 3."""

_MOST = 256
"""Tensors that are tried, each by a few forwards; where more differ none is."""

_CASES = 3


def rewritten(subject: Subject, opened: Opened, golden: Golden, fixed: FixedCases, job: Job) -> dict[str, str]:
    """The artifact's name of each such tensor → the sha256 of its values there; none where the fixed cases refuse the
    artifact, whose weights then are what is wrong.

    The model's tensors are changed one after the other, and put back. Raises `Cancelled`.
    """
    prefix = golden.manifest.get("prefix") or ""
    values, names, _ = differing_parameters(named_tensors(opened), golden.manifest["parameters"], prefix)
    own = dict(subject.model.state_dict(keep_vars=True))
    tried = {name: own[known] for name, known in names.items() if known in own and _fits(own[known], values[name])}
    if not 0 < len(tried) <= _MOST or fixed.part():
        return {}
    found = {}
    for number, (name, target) in enumerate(tried.items()):
        job.progress("looking whether other weights are undone elsewhere", number, len(tried))
        if _moves(subject, golden, target, values[name]):
            found[name] = tensor_sha256(values[name])
    return found


def _fits(target: torch.Tensor, value: torch.Tensor) -> bool:
    ordinary = target.layout is torch.strided and value.layout is torch.strided and not value.is_meta
    return ordinary and (target.shape, target.dtype) == (value.shape, value.dtype)


def _moves(subject: Subject, golden: Golden, target: torch.Tensor, value: torch.Tensor) -> bool:
    """Whether eager with `value` in place of `target` is far from its own answers."""
    before = target.detach().clone()
    with torch.no_grad():
        target.copy_(value)
        try:
            return _far(subject, golden)
        finally:
            target.copy_(before)


def _far(subject: Subject, golden: Golden) -> bool:
    device = next((leaf.device.type for _, leaf in subject.tensors), "cpu")
    results = []
    for index in [one for one in range(golden.count) if not golden.given_nan(one)][:_CASES]:
        args, kwargs = golden.inputs(index, device)
        try:
            answer = named_as_golden(run_eager(subject.model, args, kwargs), golden.manifest)
        except WorkbenchError:
            return False
        exact = golden.part(index, "float64")
        results.append(measured(CaseResult(index, golden.batch(index)), golden.eager(index), answer, exact))
    leaves = judge_leaves(results, yardstick_of(golden.manifest))
    return any(leaf.mark == INCOMPARABLE or leaf.multiple > FAR for leaf in leaves)

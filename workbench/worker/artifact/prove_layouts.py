"""The same values laid out otherwise in memory: an artifact answers them as it answers contiguous ones.

Carried into a bundle's verify.py: torch, the standard library and carried modules only.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from workbench.protocol.runs import BEYOND, INCOMPARABLE
from workbench.worker.artifact.loading import Opened
from workbench.worker.artifact.prove_cases import Golden, case_answer
from workbench.worker.judge.compare import compare
from workbench.worker.judge.leaves import Flat
from workbench.worker.judge.verdict import verdict_eps


def layout_transposed(value: torch.Tensor) -> torch.Tensor:
    """The same values, the last two dimensions in the other order in memory."""
    return value.transpose(-1, -2).contiguous().transpose(-1, -2) if value.dim() > 1 else value


def layout_strided(value: torch.Tensor) -> torch.Tensor:
    """The same values, every second place in memory."""
    return torch.stack([value, value], -1)[..., 0] if value.dim() else value


def layout_expanded(value: torch.Tensor) -> torch.Tensor:
    """The first row in place of every row, and only once in memory: stride 0."""
    return value[:1].expand(value.shape) if value.dim() and value.shape[0] else value


LAYOUTS_SHARE = 1e-3

LAYOUTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "transposed": layout_transposed,
    "strided": layout_strided,
    "expanded": layout_expanded,
}
"""Name → what is done to every input tensor. The last one has other values than the case, and is compared with its own
contiguous copy."""


def layouts_wrong(opened: Opened, golden: Golden, device: str) -> dict[str, str]:
    """Layout → what is wrong with the answer, for those layouts that the manifest says eager serves."""
    wrong: dict[str, str] = {}
    plain: Flat | str | None = None
    for name in golden.manifest.get("layouts") or ():
        if name == "expanded":
            usual = case_answer(opened, golden, 0, device, _layouts_whole)
        else:
            usual = plain = plain if plain is not None else case_answer(opened, golden, 0, device)
        if isinstance(usual, str):
            continue  # it does not even answer the ordinary call: other rows say so
        answer = case_answer(opened, golden, 0, device, LAYOUTS[name])
        words = answer if isinstance(answer, str) else layouts_difference(usual, answer, golden)
        if words:
            wrong[name] = words
    return wrong


def _layouts_whole(value: torch.Tensor) -> torch.Tensor:
    return layout_expanded(value).contiguous()


def layouts_difference(one: Flat, other: Flat, golden: Golden) -> str:
    """How two answers of one artifact to the same values differ in earnest; empty when they do not.

    Memory laid out otherwise is summed in another order, and one case alone says little about noise: what counts is a
    difference of a thousandth (16 eps where that is more) of what the leaf's answers usually are, as reading the wrong
    place makes.
    """
    structure, diffs = compare(one, other)
    if structure:
        return structure
    for diff in diffs:
        if diff.mark == INCOMPARABLE or (diff.mark == BEYOND and diff.reason):
            return f"{diff.path}: {diff.reason}"
        eps = verdict_eps(diff.dtype)
        usual = max(diff.peak, _layouts_usual(golden, diff.path)) if eps else 0.0
        if diff.mismatched and diff.max_abs > max(LAYOUTS_SHARE, 16 * eps) * usual:
            return f"{diff.path} differs by {diff.max_abs:.3g}"
    return ""


def _layouts_usual(golden: Golden, path: str) -> float:
    """The largest finite value that eager has for a leaf in any case."""
    found = 0.0
    for index in range(golden.count):
        leaf = golden.part(index, "output").get(path)
        if leaf is not None and leaf.is_floating_point() and leaf.numel():
            found = max(found, float(torch.nan_to_num(leaf.float(), 0.0, 0.0, 0.0).abs().max()))
    return found

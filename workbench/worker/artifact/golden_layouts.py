"""Which memory layouts of its inputs the eager model itself serves: only these are asked of an artifact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from workbench.protocol.failures import WorkbenchError
from workbench.protocol.runs import BEYOND, INCOMPARABLE, Yardstick
from workbench.worker.artifact.prove_layouts import LAYOUTS, layout_expanded
from workbench.worker.bench.sampling import map_tensors
from workbench.worker.judge.compare import compare
from workbench.worker.judge.leaves import Flat
from workbench.worker.judge.verdict import judge

Answer = Callable[[tuple[Any, ...], dict[str, Any]], Flat]


def eager_layouts(args: tuple[Any, ...], kwargs: dict[str, Any], answer: Answer, writes: bool) -> list[str]:
    """Names of `LAYOUTS` in which eager answers as it does from contiguous memory.

    answer: one call of eager, which may raise `WorkbenchError`. writes: eager changes its inputs in place, which memory
    that stands for several places does not allow.
    """
    served = []
    for name, change in LAYOUTS.items():
        if name == "expanded" and writes:
            continue
        try:
            given = map_tensors(args, change), map_tensors(kwargs, change)
            if _same_layout(given):
                continue
            usual = (
                (map_tensors(args, _expanded_whole), map_tensors(kwargs, _expanded_whole))
                if name == "expanded"
                else (map_tensors(args, torch.clone), map_tensors(kwargs, torch.clone))
            )
            structure, diffs = compare(answer(*usual), answer(*given))
        except WorkbenchError:
            continue  # it needs contiguous memory itself, by .view() perhaps
        bad = [one for one in diffs if judge(one, Yardstick("tolerance")).mark in (BEYOND, INCOMPARABLE)]
        if not structure and not bad:
            served.append(name)
    return served


def _expanded_whole(value: torch.Tensor) -> torch.Tensor:
    return layout_expanded(value).contiguous()


def _same_layout(given: Any) -> bool:
    """Whether nothing was laid out otherwise: a single number or a single row has one layout only."""
    changed: list[bool] = []
    map_tensors(given, lambda value: changed.append(not value.is_contiguous()))
    return not any(changed)

"""Sums of many numbers in a compiled program: left to torch's own kernels, which sum in pairs.

Inductor's C++ sums up to 4096 numbers one after the other, so that the mean of an almost even picture was 150 eps off
where torch's own kernel was 2. Owns which nodes are meant.
"""

from __future__ import annotations

import torch

from workbench.worker.artifact.entry_copies import EAGER

LONG = 128
"""Numbers in a sum from which the order matters: √128/6 is 2 eps, what the verdict takes for noise anyway."""

_SUMS = ("mean", "sum", "adaptive_avg_pool2d", "adaptive_avg_pool1d", "avg_pool2d")
"""Operators of aten."""


def summed_in_pairs(program: torch.export.ExportedProgram) -> None:
    """Mark those sums of float32 numbers in `program` that are long, or whose length is not known before a call."""
    for node in program.graph_module.graph.nodes:
        if node.op != "call_function" or getattr(node.target, "namespace", "") != "aten" or not node.args:
            continue
        given, made = (one.meta.get("val") if isinstance(one, torch.fx.Node) else None for one in (node.args[0], node))
        if not (isinstance(given, torch.Tensor) and isinstance(made, torch.Tensor)):
            continue
        name = node.target.name().partition("::")[2].partition(".")[0]
        if name in _SUMS and given.dtype == torch.float32 and given.device.type == "cpu" and _long(given, made):
            node.meta["custom"] = {**(node.meta.get("custom") or {}), **EAGER["custom"]}


def _long(given: torch.Tensor, made: torch.Tensor) -> bool:
    """Of the sizes that are numbers; a dynamic one that is summed over counts as long."""
    sizes, left = list(given.shape), list(made.shape)
    for size in left:
        if size in sizes:
            sizes.remove(size)
    if any(not isinstance(size, int) for size in sizes):
        return True
    numbers = 1
    for size in sizes:
        numbers *= int(size)
    return numbers > LONG

"""torch.compile for a cell of the matrix: what it made, what it took, and in words why it could not.

Owns the knowledge about dynamo and inductor; it never judges an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench.worker.bench.failing import first_line

RECOMPILES = 64
"""Variants of one forward that dynamo may keep: every cell is one, and torch's own limit is 8."""


@dataclass(frozen=True)
class Counts:
    """Dynamo's counters at one moment."""

    graphs: int
    breaks: int
    hits: int
    """Graphs that came from a cache on disk."""
    misses: int

    @classmethod
    def take(cls) -> Counts:
        from torch._dynamo.utils import counters

        kept: Any = counters
        inductor, autograd = kept["inductor"], kept["aot_autograd"]
        return cls(
            int(kept["stats"]["unique_graphs"]),
            int(sum(kept["graph_break"].values())),
            int(inductor["fxgraph_cache_hit"] + autograd["autograd_cache_hit"]),
            int(inductor["fxgraph_cache_miss"] + inductor["fxgraph_cache_bypass"]),
        )

    def since(self, before: Counts) -> Counts:
        return Counts(
            self.graphs - before.graphs,
            self.breaks - before.breaks,
            self.hits - before.hits,
            self.misses - before.misses,
        )

    @property
    def cached(self) -> bool:
        """All of it came from the disk."""
        return self.hits > 0 and self.misses == 0


def compiled(model: nn.Module) -> Any:
    """The model under torch.compile with its defaults; compiled at its first call in each mode."""
    import torch._dynamo.config as settings

    settings.recompile_limit = max(RECOMPILES, settings.recompile_limit)
    return torch.compile(model)


def impossible() -> tuple[str, str]:
    """Why torch.compile cannot work here at all, with a remedy; ("", "") when it can, or that is not known before."""
    if not hasattr(torch, "compile"):
        return "this torch has no torch.compile", "Use torch 2 or newer."
    try:
        from torch._inductor.cpp_builder import get_cpp_compiler
    except ImportError:
        return "", ""
    try:
        get_cpp_compiler()
    except Exception as problem:  # noqa: BLE001 (its own InvalidCxxCompiler, or what asking the compiler for its version raised)
        words = f"torch.compile is not possible here: {first_line(problem)}"
        return words, "Install g++, or name a compiler with CXX."
    return "", ""


def refusal(problem: BaseException) -> str:
    """What torch.compile could not do, in a line: dynamo wraps the backend's own error, which is the one that tells."""
    inner = getattr(problem, "inner_exception", None)
    return first_line(inner if isinstance(inner, BaseException) else problem)

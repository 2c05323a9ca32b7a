"""What somebody declared about a model before it is checked: budgets, the domain of its inputs, exceptions.

Stdlib only, both sides. It holds what was declared, and never decides what a check makes of it.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class Budgets:
    """Limits that a check holds the model to; 0: none."""

    latency_median_ms: float = 0.0
    """Milliseconds of the median forward, warm."""
    latency_p99_ms: float = 0.0
    """Milliseconds of the 99th percentile of warm forwards."""
    latency_first_ms: float = 0.0
    """Milliseconds of the first forward of the worker's process."""
    saved_mib: float = 0.0
    """MiB (2**20 bytes) that the graph of one forward under grad keeps for backward, without parameters."""
    peak_mib: float = 0.0
    """MiB that one forward takes at its highest on top of what the process held before: resident memory on the CPU,
    the allocator's own count on CUDA."""

    @property
    def latency(self) -> bool:
        """Whether any time was declared, so that `latency` votes."""
        return bool(self.latency_median_ms or self.latency_p99_ms or self.latency_first_ms)


@dataclass(frozen=True)
class Policy:
    """Everything declared about one model. The empty one declares nothing."""

    budgets: Budgets = field(default_factory=Budgets)
    domain: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Input name → (smallest, largest) value that it may have, both inclusive."""
    stochastic: bool = False
    """It draws random numbers on purpose: it must repeat under the same seed."""
    batch_coupled: bool = False
    """The rows of a batch may depend on each other, or dimension 0 is no batch."""
    mutates: tuple[str, ...] = ()
    """Shell patterns of buffers, attributes and inputs that a forward may change, with all below: "*.count"."""
    discrete: dict[str, float] = field(default_factory=dict)
    """Output path → least share of elements, above 0 to 1, that must agree: for what comes from an arg-max or a top-k,
    and flips on near ties."""
    source: str = ""
    """File it was read from; empty: none."""

    def may_move(self, name: str) -> bool:
        """Whether `mutates` names this buffer, attribute or input, or what holds it."""
        above = [name, *(name[: found.start()] for found in re.finditer(r"[.\[]", name))]
        return any(fnmatch.fnmatchcase(one, pattern) for one in above for pattern in self.mutates)

    @property
    def declared(self) -> tuple[str, ...]:
        """Each thing declared in a few words, for people: "stochastic", "mutates count"."""
        words = [f"{one.name} {getattr(self.budgets, one.name):g}" for one in fields(Budgets)
                 if getattr(self.budgets, one.name)]  # fmt: skip
        words += [f"{name} in {low:g}..{high:g}" for name, (low, high) in self.domain.items()]
        words += ["stochastic"] if self.stochastic else []
        words += ["batch_coupled"] if self.batch_coupled else []
        words += [f"mutates {', '.join(self.mutates)}"] if self.mutates else []
        words += [f"discrete {path} ≥ {share:g}" for path, share in self.discrete.items()]
        return tuple(words)


@dataclass(frozen=True)
class CheckPolicy:
    """Run the model on the bench, and raise `WorkbenchError("usage")` for an output or a state that it has not.
    Result: None."""

    policy: Policy

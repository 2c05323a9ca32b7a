"""What comes from outside into a verdict: a command that answers in a model's place, a number that a person computes.

Both are named on the command line, which counts as a yes to running them. Stdlib only, both sides.
"""

from __future__ import annotations

from dataclasses import dataclass

RUNNER_SECONDS = 60.0
"""For one call of a runner where nobody says."""

INPUTS, OUTPUTS = "{inputs}", "{outputs}"
"""What a runner's command has in the places of the two files."""

AT_MOST, AT_LEAST = "<=", ">="


@dataclass(frozen=True)
class Runner:
    """A command that is given a .safetensors file of named inputs, and writes one of named outputs: one case a call."""

    command: str
    """With `{inputs}` and `{outputs}` in the places of the two paths."""
    directory: str
    """Where it runs; absolute."""
    shell: bool = False
    """A shell reads the command; otherwise it is split into words and no shell is asked."""
    timeout: float = RUNNER_SECONDS
    """Seconds for one call."""


@dataclass(frozen=True)
class Metric:
    """A function `f(reference_outputs, candidate_outputs) -> number` in a person's own file.

    Both arguments are dicts of tensors by output name; it is called once for each case.
    """

    path: str
    """The Python file; absolute."""
    function: str
    relation: str = ""
    """`AT_MOST` or `AT_LEAST`: how every case's number must stand to `limit`. Empty: it is shown and does not vote."""
    limit: float = 0.0


METRIC_ID = "metric:"
"""With the function's name behind it: the id of a metric's row."""


@dataclass(frozen=True)
class Baseline:
    """The last release: a bundle whose golden answers today's model is held to."""

    bundle: str
    """Directory, absolute."""
    metrics: tuple[Metric, ...] = ()
    """With the release's outputs as the reference."""

"""Example inputs where none were given: from the modules that take the arguments of forward.

Owns the guessing. What it cannot know for sure it tries on the model, in eval and without a graph, with everything
put back afterwards; what it cannot find out it asks for by name.
"""

from __future__ import annotations

from torch import nn

from workbench.worker.bench.signature import Forward, wanted
from workbench.worker.bench.spec import InputSpec


def infer(model: nn.Module, forward: Forward, seed: int) -> list[tuple[InputSpec, str]]:
    """(spec, why) for each required argument of forward. Raises `WorkbenchError("inputs")` naming what is wanted."""
    if not forward.required:
        return []
    if len(forward.required) == 1:
        name = forward.required[0]
        for path, module in model.named_modules():
            if isinstance(module, nn.Linear):
                return [(InputSpec(name, "float32", (4, module.in_features)), f"from {path}.weight")]
    names = list(forward.required)
    raise wanted(
        names, f"no input was given, and what {', '.join(names)} should be cannot be told from the layers", forward
    )

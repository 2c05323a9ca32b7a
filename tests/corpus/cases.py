"""One entry of the corpus: a healthy model that no verdict may accuse, or a seeded fault that one must."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

WIDE = ("float32", "float64")
NARROW = ("float32", "bfloat16", "float16", "float64")


@dataclass(frozen=True)
class Healthy:
    """A model that is right, however awkward it looks."""

    name: str
    """Class or factory in `file`."""
    inputs: tuple[str, ...]
    """Specs, as for --input."""
    file: str = "healthy.py"
    kwargs: dict[str, Any] = field(default_factory=dict)
    dtypes: tuple[str, ...] = NARROW
    """Dtypes that it runs in; the first is the one it is built in."""
    artifacts: tuple[str, ...] = ()
    """Kinds that it exports to; each proof is a verdict."""

    @property
    def title(self) -> str:
        """The name by which the runner and the tests know it."""
        return self.kwargs.get("name", self.name)

    @property
    def target(self) -> str:
        return f"{HERE / self.file}:{self.name}"


@dataclass(frozen=True)
class Fault:
    """A model with one fault, and what must be said of it."""

    name: str
    """Class or factory in `file`."""
    caught_by: str
    """Id of the check that must fail; "compare": it must differ from `twin`."""
    words: tuple[str, ...]
    """What evidence, cause and words must hold: the module's path, the kind. LINE stands for file.py:line of the
    line that is marked "# fault" in the class."""
    inputs: tuple[str, ...] = ("x=float32[batch:2..16,6]",)
    file: str = "faults.py"
    twin: str = ""
    """For "compare": the healthy class with the same parameters."""
    training: bool | None = False
    """The modes of `workbench check`; None: as constructed."""
    grad: str = "no_grad"
    kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def target(self) -> str:
        return f"{HERE / self.file}:{self.name}"

    @property
    def title(self) -> str:
        """The class that has the fault, and who must see it."""
        return f"{self.kwargs.get('name', self.name)}/{self.caught_by}"

    @property
    def line(self) -> str:
        """ "faults.py:123": where the fault stands."""
        name = self.title.partition("/")[0]
        lines = (HERE / self.file).read_text("utf-8").split("\n")
        start = next(n for n, text in enumerate(lines) if text.startswith((f"class {name}(", f"def {name}(")))
        found = next(n for n in range(start, len(lines)) if lines[n].rstrip().endswith("# fault"))
        return f"{self.file}:{found + 1}"

    @property
    def expected(self) -> tuple[str, ...]:
        return tuple(self.line if word == LINE else word for word in self.words)


LINE = "<the line>"


def text(case: Healthy) -> str:
    """How the command line would name it."""
    kwargs = f" --kwargs '{json.dumps(case.kwargs)}'" if case.kwargs else ""
    return f"{case.target}{kwargs} " + " ".join(f"--input '{spec}'" for spec in case.inputs)

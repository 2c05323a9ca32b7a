"""A pickled module made into an architecture and a state_dict: what is asked, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

WEIGHTS, ARCHITECTURE, FACTORY = "weights.safetensors", "architecture.py", "model"
"""Files of the directory that is written, and the function in the latter that makes the model."""


@dataclass(frozen=True)
class ConvertPickled:
    """Load a pickled module, which runs its code, and write it as source and numbers. Result: `Converted`."""

    path: str
    sha256: str
    """Digest that was said yes to; the bytes that are loaded must have it."""
    out: str
    """Directory that must not exist yet."""
    directory: str
    """Where the names that the pickle wants are looked for, besides the installed packages."""
    source: str = ""
    """A Python file that defines what cannot be imported by name (a class of a script), or a directory to import from;
    empty: none."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Constructor arguments that the object does not tell by itself; JSON values."""
    python: str = ""
    """Interpreter that loads it; empty: the supervisor's own."""
    timeout: float = 0.0
    """Seconds; 0: none."""
    like: str = ""
    """What made the object where its class alone does not tell: `package.module:function`, called with `kwargs`; empty:
    the class itself."""
    partial: bool = True
    """Write the weights also where there is no architecture; otherwise nothing is written then, and `Converted.path`
    is empty."""


@dataclass(frozen=True)
class Converted:
    """What was written, and how far it is the object that was pickled."""

    path: str
    """The directory; empty when nothing was written."""
    name: str
    """Import path of the model's class, "models.Net"; empty where the file held a state_dict among other objects."""
    weights: str
    """The state_dict as .safetensors."""
    tensors: int
    architecture: str
    """What opens it, "DIR/architecture.py:model"; empty where it could not be written."""
    asks: tuple[str, ...]
    """Constructor arguments that are missing: "width: int"; then there is no architecture."""
    why: str
    """Why there is no architecture, in words; empty when there is one."""
    differences: tuple[str, ...]
    """In what the model that the architecture makes is not the pickled one: "drop.p is 0.1, and was 0.3"."""
    notes: tuple[str, ...]
    """Worth knowing: which object of several was taken, what was set after the construction."""
    sources: tuple[str, ...]
    """Files of the person's own that were copied beside the architecture, by their names there."""
    uncompared: tuple[str, ...] = ()
    """Attributes of which nobody can tell whether they are the same: "fn", "body.0.cache"."""

    @property
    def whole(self) -> bool:
        """Whether the written architecture makes the very model that was pickled: everything was compared and is it."""
        return bool(self.architecture) and not self.differences and not self.uncompared

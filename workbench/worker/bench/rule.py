"""One known error: a pattern of torch's or Python's text, and the plain words for it. The tables are `rules*.py`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from workbench.protocol.failures import Failure
from workbench.worker.bench.diagnosis import Scene, sentence

Values = dict[str, str]
"""The named groups of the pattern, and `at`, `given` and `holds` of the scene; groups `t_…` are torch dtype names."""

_DTYPES = {
    "double": "float64", "float": "float32", "half": "float16", "bfloat16": "bfloat16", "long": "int64",
    "int": "int32", "short": "int16", "char": "int8", "byte": "uint8", "unsigned char": "uint8", "bool": "bool",
    "long int": "int64", "c10::half": "float16", "c10::bfloat16": "bfloat16", "short int": "int16",
    "signed char": "int8", "longlong": "int64", "complexfloat": "complex64",
}  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """One known error."""

    kind: str
    """Kind of the failure; "forward" becomes "inputs" when the tensor at fault is an input of the model."""
    pattern: str
    """Searched in "ClassName: text"."""
    message: str
    """With {fields} of `Values`."""
    remedy: str | Callable[[Scene, Values], str] = ""
    calls: bool = False
    """It is about how forward was called: at the root, that is a matter of the inputs."""

    def apply(self, scene: Scene) -> Failure | None:
        """The failure, or None when this rule does not know the error."""
        match = re.search(self.pattern, f"{type(scene.problem).__name__}: {scene.problem}", re.IGNORECASE)
        if match is None:
            return None
        values = {name: _word(name, found) for name, found in match.groupdict(default="").items()}
        values |= {"at": scene.at, "given": scene.given, "holds": scene.holds or "another dtype"}
        remedy = self.remedy(scene, values) if callable(self.remedy) else self.remedy.format_map(values)
        ours = bool(scene.argument) or (self.calls and not scene.path)
        kind = "inputs" if self.kind == "forward" and ours else self.kind
        return Failure(kind, sentence(self.message.format_map(values)), remedy=remedy)


def _word(name: str, found: str) -> str:
    if name == "bytes" and found.endswith(" bytes"):
        return f"{int(found.split()[0]) / 2**30:.1f} GB"
    if not name.startswith("t_"):
        return found
    short = found.strip().lower()
    return _DTYPES.get(short, short)

"""What an artifact does with inputs outside its contract: refuses them, or answers as if nothing were wrong.

A finding that does not vote: a trace cannot guard itself. Carried into a bundle's verify.py: torch, the standard
library and carried modules only.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from workbench.protocol.artifacts import Finding
from workbench.worker.artifact.loading import Opened
from workbench.worker.artifact.prove_cases import Golden, call_artifact

Changed = Callable[[torch.Tensor], torch.Tensor]

_GUARDS_ROWS = 4096
"""A declared batch beyond this is not exceeded on purpose: the trial must stay small."""


def guards(opened: Opened, golden: Golden, device: str) -> Finding | None:
    """Try a wrong rank, dtype and batch size; None where the golden data holds no input to try them with."""
    if not golden.count:
        return None
    refused: list[str] = []
    accepted: list[str] = []
    for words, change in guards_violations(golden):
        (refused if guards_refuses(opened, golden, device, change) else accepted).append(words)
    if not refused and not accepted:
        return None
    if not accepted:
        return Finding("guards", f"guarded: refuses {', '.join(refused)}")
    rest = f"; refuses {', '.join(refused)}" if refused else ""
    remedy = "Check inputs before the call" if refused else "Check rank, dtype and sizes before the call"
    return Finding(
        "guards", f"unguarded: answers {', '.join(accepted)}{rest}", f"{remedy}: what it answers is not proven."
    )


def guards_violations(golden: Golden) -> list[tuple[str, dict[str, Changed]]]:
    """What is outside the contract: words, and for each changed tensor the change."""
    samples = golden.part(0, "input")
    if not samples:
        return []
    first, sample = next(iter(samples.items()))
    found: list[tuple[str, dict[str, Changed]]] = [("a wrong rank", {first: lambda value: value.unsqueeze(0)})]
    other = torch.float64 if sample.dtype == torch.float32 else torch.float32
    if sample.dtype != torch.bool:
        words = f"{str(other)[6:]} in place of {str(sample.dtype)[6:]}"
        found.append((words, {first: lambda value: value.to(other)}))
    batch = golden.manifest.get("batch") or {}
    maximum = batch.get("maximum") if batch.get("free") else golden.batch(0)
    if isinstance(maximum, int) and 0 < maximum < _GUARDS_ROWS:
        rows = {name: _guards_rows(maximum + 1, int(axis)) for name, axis in (batch.get("axes") or {}).items()}
        if rows:
            found.append((f"batch {maximum + 1} where at most {maximum} is declared", rows))
    return found


def _guards_rows(size: int, axis: int) -> Changed:
    def change(value: torch.Tensor) -> torch.Tensor:
        times = -(-size // max(1, value.shape[axis]))
        return torch.cat([value] * times, axis).narrow(axis, 0, size).contiguous()

    return change


def guards_refuses(opened: Opened, golden: Golden, device: str, change: dict[str, Changed], index: int = 0) -> bool:
    """Whether a call with the changed inputs of case `index` raises anything."""
    args, kwargs = golden.inputs(index, device, change)
    try:
        call_artifact(opened, golden.manifest, args, kwargs)
    except Exception:  # noqa: BLE001 (any exception is a refusal)
        return True
    return False

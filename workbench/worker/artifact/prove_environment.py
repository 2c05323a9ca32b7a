"""How the machine of a proof differs from the one that the bundle was made on.

Carried into a bundle's verify.py: torch, the standard library and carried modules only.
"""

from __future__ import annotations

import platform
from typing import Any

import torch


def environment_words(manifest: dict[str, Any]) -> str:
    """How this machine differs from the one the bundle was made on; empty when it does not."""
    versions = manifest.get("versions") or {}
    here = {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "platform": f"{platform.system()} {platform.machine()}",
        "instruction set": torch.backends.cpu.get_cpu_capability(),
    }
    made = {**versions, "platform": manifest.get("platform"), "instruction set": manifest.get("instruction_set")}
    differing = [name for name in here if made.get(name) and made[name] != here[name]]
    return "; ".join(f"{name} {here[name]} here, {made[name]} where it was made" for name in differing)

"""How the machine of a proof differs from the one that the bundle was made on, and what that means for loading it.

Carried into a bundle's verify.py: torch, the standard library and carried modules only.
"""

from __future__ import annotations

import platform
import re
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
    words = [f"{name} {here[name]} here, {made[name]} where it was made" for name in differing]
    words += [f"{one} where it was made, which this processor does not have" for one in _environment_lacking(manifest)]
    return "; ".join(words)


_ENVIRONMENT_ORDER = ("DEFAULT", "AVX2", "AVX512")
"""Instruction sets of x86-64 as torch names them, each with all that come before it."""


_ENVIRONMENT_ALLOWED = {"AVX512_VNNI": "_is_vnni_supported", "AMX_TILE": "_is_amx_tile_supported"}
"""Instructions that a compiler was allowed besides → who in torch.cpu knows whether they are here."""


def _environment_lacking(manifest: dict[str, Any]) -> list[str]:
    """Instructions that the artifact's compiler was allowed and this processor is known not to have."""
    asked = {
        one: getattr(torch.cpu, _ENVIRONMENT_ALLOWED[one], None)
        for one in manifest.get("instructions") or ()
        if one in _ENVIRONMENT_ALLOWED
    }
    return [one for one, here in asked.items() if here is not None and not here()]


def unfit_here(manifest: dict[str, Any], device: str) -> str:
    """Why the artifact must not even be loaded on this machine; empty when nothing speaks against it.

    Native code for another processor ends the process that calls it; everything else says so itself.
    """
    if absent := _environment_absent(device):
        return absent
    if manifest["kind"] != "aoti":
        return ""
    here, made = f"{platform.system()} {platform.machine()}", manifest.get("platform") or ""
    if made and made != here:
        return f"it is native code for {made}, and this is {here}"
    own, its = torch.backends.cpu.get_cpu_capability(), manifest.get("instruction_set") or ""
    order = _ENVIRONMENT_ORDER
    if own in order and its in order and order.index(its) > order.index(own):
        return f"it is native code for {its}, and this machine's processor has {own}: the process would die of it"
    if "AVX512_VNNI" in _environment_lacking(manifest):  # a compiler puts it into loops; AMX it never does by itself
        return "it is native code for AVX512_VNNI, which this machine's processor does not have"
    return ""


def _environment_absent(device: str) -> str:
    """Why nothing can be computed on `device`; empty when a tensor can be made there."""
    try:
        place = torch.device(device)
        if place.type == "cuda" and not torch.cuda.is_available():
            return f"there is no CUDA device here for --device {device}"
        if place.type == "meta":
            return "there are no values on --device meta"
        torch.empty(1, device=place)
    except Exception as problem:  # noqa: BLE001 (each backend raises as it likes)
        text = str(problem).strip() or type(problem).__name__
        return f"there is no device here for --device {device} ({text.splitlines()[0][:200]})"
    return ""


_ENVIRONMENT_NAMES = re.compile(r" in front, which |: \S+ is missing| is not the model's")
"""In words about weights: their names are not those of the model."""


def load_advice(manifest: dict[str, Any], words: str) -> str:
    """What to do about an artifact that did not load for the reason in `words`."""
    made = str((manifest.get("versions") or {}).get("torch") or "")
    own, its = _environment_version(str(torch.__version__)), _environment_version(made)
    if "is not installed" in words and "pip install" in words:
        return f"Install it for this interpreter: {words[words.index('pip install') :]}."
    if manifest.get("kind") == "runner":
        return "Run the command by hand, with a .safetensors file of the inputs, to see everything that it says."
    if "truncated or damaged" in words or "cut off" in words:
        return "Get the file again from where it was made, and compare its size or sha256 with the one there."
    if manifest.get("kind") == "weights" and _ENVIRONMENT_NAMES.search(words):
        file = manifest["artifact"]["file"]
        return f"workbench repair {file} --against MODEL --out mended.safetensors writes it under the model's names."
    if "--device" in words:
        return "Prove it with --device cpu, or on a machine that has one."
    if "native code for" in words:
        return "Export it again on the machine that it is for."
    if own and its and its > own:
        least = ".".join(map(str, its))
        return (
            f"Older torch may not read what newer torch wrote: prove it under torch {least} or later (--python), "
            f"or export it under the torch that it is for."
        )
    if own and its and its < own:
        return f"It was made by torch {made}: prove it under that torch (--python), or export it again under this one."
    return "The line above has all that is known: inspect the file, or make it again from the model."


def _environment_version(text: str) -> tuple[int, ...]:
    """(2, 13) of "2.13.0+cpu"; empty where it is no version."""
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else ()

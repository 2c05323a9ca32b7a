"""What a .pt2 says about its inputs, read from its JSON alone: names, dtypes, sizes, ranges. Nothing is loaded."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

JSON_LIMIT = 256 << 20
"""Bytes of a program's JSON that are read, however small its archive says it is compressed."""

ENDLESS = 2**62

_DTYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
    9: "complex32", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16",
}  # fmt: skip
"""torch/_export/serde/schema.py, `ScalarType`."""


@dataclass(frozen=True)
class ProgramInput:
    """One input of an exported program."""

    name: str
    dtype: str
    sizes: tuple[tuple[int, int | None], ...]
    """(smallest, largest) of each dimension; equal where it is fixed, None for no limit."""

    @property
    def words(self) -> str:
        """ "x float32[1..64, 10]"."""
        sizes = (str(low) if low == high else f"{low}..{'' if high is None else high}" for low, high in self.sizes)
        return f"{self.name} {self.dtype}[{', '.join(sizes)}]"


def program_inputs(path: Path) -> list[ProgramInput]:
    """Inputs of the exported program in `path`; empty where its JSON is not the known form."""
    try:
        with zipfile.ZipFile(path) as archive:
            text = _program_text(archive)
        program = json.loads(text) if text else {}
        return _inputs(program)
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, RecursionError):
        return []


def batch_range(path: Path, names: Sequence[str], axes: Mapping[str, int]) -> tuple[int, int | None] | None:
    """(smallest, largest) batch that all inputs serve, None for no limit; None as a whole where the file does not say.

    names: the tensors of a call, in its order. axes: those of them that hold rows → the axis that counts these. The
    program's inputs are found by their names, else by their places.
    """
    inputs = program_inputs(path)
    placed = dict(zip(names, inputs)) if len(names) == len(inputs) else {}  # noqa: B905 (compared here)
    known = placed | {one.name: one for one in inputs}
    found = [known[name].sizes[axis : axis + 1] for name, axis in axes.items() if name in known]
    sizes = [size for one in found for size in one]
    if not sizes:
        return None
    highs = [high for _, high in sizes if high is not None]
    return max(0, *(low for low, _ in sizes)), min(highs) if highs else None


def program_torch(path: Path) -> str:
    """The version of torch that wrote the program; empty where it does not say."""
    try:
        with zipfile.ZipFile(path) as archive:
            return str(json.loads(_program_text(archive) or b"{}").get("torch_version") or "")
    except (zipfile.BadZipFile, OSError, ValueError, AttributeError, RecursionError):
        return ""


def package_machine(path: Path) -> dict[str, Any]:
    """The machine that a package of compiled code was made for, as a manifest says it: `platform`, `instruction_set`
    and further `instructions` that its compiler was allowed; nothing of what the package does not say.

    torch/_inductor/codecache.py, `get_device_information`, is what writes it.
    """
    facts: dict[str, Any] = {}
    words: list[str] = []
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.filename.endswith("_metadata.json") and info.file_size <= _FACTS_LIMIT:
                    facts = {**facts, **json.loads(archive.read(info))}
                    words += str(facts.get("AOTI_CPU_ISA") or "").split()
    except (zipfile.BadZipFile, OSError, ValueError, TypeError, RuntimeError, RecursionError):
        return {}
    system, machine = str(facts.get("AOTI_PLATFORM") or ""), str(facts.get("AOTI_MACHINE") or "")
    found: dict[str, Any] = {}
    if system and machine:
        found["platform"] = f"{_SYSTEMS.get(system, system)} {machine}"
    if words:
        found["instruction_set"] = next((one for one in ("AVX512", "AVX2") if one in words), "")
        found["instructions"] = sorted({one for one in words if one not in ("AVX512", "AVX2")})
    return found


_FACTS_LIMIT = 1 << 16
"""Bytes of a package's metadata that are read."""

_SYSTEMS = {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}
"""`sys.platform` → `platform.system()`."""


def program_tensors(archive: zipfile.ZipFile) -> dict[str, tuple[str, str, tuple[int, ...]]]:
    """Member of the archive → (name, dtype, shape) of the parameter or buffer in it; empty where nothing says so."""
    found: dict[str, tuple[str, str, tuple[int, ...]]] = {}
    for info in archive.infolist():
        if info.filename.endswith("_weights_config.json") and info.file_size <= JSON_LIMIT:
            folder = info.filename.rpartition("/")[0]
            try:
                entries = json.loads(archive.read(info))["config"]
                for name, entry in entries.items():
                    meta = entry["tensor_meta"]
                    shape = tuple(int(size["as_int"]) for size in meta["sizes"])
                    place = f"{folder}/{entry['path_name']}"
                    found[place] = str(name), _DTYPES.get(meta["dtype"], "unknown"), shape
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                return {}
    return found


def _program_text(archive: zipfile.ZipFile) -> bytes:
    for info in archive.infolist():
        inside = info.filename.partition("/")[2] or info.filename
        if (inside.startswith("models/") and inside.endswith(".json")) or inside == "serialized_exported_program.json":
            if info.file_size > JSON_LIMIT:
                return b""
            with archive.open(info) as member:
                return member.read(JSON_LIMIT)
    return b""


def _inputs(program: dict[str, Any]) -> list[ProgramInput]:
    module = program["graph_module"]
    values = module["graph"]["tensor_values"]
    ranges = program.get("range_constraints") or {}
    found = []
    for spec in module["signature"]["input_specs"]:
        argument = (spec.get("user_input") or {}).get("arg") or {}
        name = str((argument.get("as_tensor") or {}).get("name") or "")
        meta = values.get(name)
        if meta is not None:
            sizes = tuple(_size(one, ranges) for one in meta["sizes"])
            found.append(ProgramInput(name, _DTYPES.get(meta.get("dtype"), "unknown"), sizes))
    return found


def _size(size: dict[str, Any], ranges: dict[str, Any]) -> tuple[int, int | None]:
    if "as_int" in size:
        return int(size["as_int"]), int(size["as_int"])
    text = str(size["as_expr"]["expr_str"])
    symbol = re.fullmatch(r"(?:Symbol\(')?(\w+)(?:'.*\))?", text)  # a bare name, or how sympy writes one
    known = (ranges.get(symbol[1]) if symbol else None) or {}
    low, high = int(known.get("min_val") or 0), known.get("max_val")
    return low, None if high is None or int(high) >= ENDLESS else int(high)

"""What kind of file something is, told by its bytes and never by its name. Reads little, loads and runs nothing.

Standard library only: whoever looks into a file does not import torch for it.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""torch.save before 1.6: a pickled magic number, then pickles one after the other (torch/serialization.py)."""

MEMBERS = 1_000_000
"""Members of an archive that are looked at."""

_ZIP_ERRORS = (zipfile.BadZipFile, zipfile.LargeZipFile, OSError, ValueError, NotImplementedError, RuntimeError)


def kind_of(path: Path) -> str:
    """One of the kinds of `Fingerprint.kind`, "archive" for another zip, "pickle?" until its names are known.

    Raises OSError for a file that cannot be read.
    """
    with open(path, "rb") as stream:
        head = stream.read(4096)
    if head.startswith(b"PK\x03\x04"):
        return _archive_kind(path)
    if head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= path.stat().st_size - 8:
        return "safetensors"
    if head.startswith(LEGACY):
        return "legacy"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pickle"
    if head[:4] in (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"MZ\x90\x00"):
        return "native"
    if _is_onnx(head):
        return "onnx"
    return "python" if _is_python(head) else "unknown"


def member_names(path: Path) -> list[str]:
    """Names in an archive without its own top folder; empty where it does not read."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()[:MEMBERS]
    except _ZIP_ERRORS:
        return []
    return [name.partition("/")[2] or name for name in names]


def _archive_kind(path: Path) -> str:
    """The most dangerous thing that a torch archive is; "unknown" for one that is cut off."""
    names = member_names(path)
    if not names:
        return "unknown"
    if any(name.startswith("data/aotinductor/") for name in names):
        return "aoti"
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return "torchscript"
    if any(name.startswith("models/") and name.endswith(".json") for name in names):
        return "pt2"
    if "serialized_exported_program.json" in names:
        return "pt2"
    return "state_dict" if "data.pkl" in names else "archive"


def _is_onnx(head: bytes) -> bool:
    """A protobuf ModelProto begins with its ir_version, then one of its own few fields (onnx.proto)."""
    return len(head) > 3 and head[0] == 0x08 and 1 <= head[1] <= 30 and head[2] in (0x12, 0x1A, 0x22, 0x28, 0x3A, 0x42)


def _is_python(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as problem:
        if problem.start < len(head) - 4:  # a character cut off at the end is no reason
            return False
        text = head[: problem.start].decode("utf-8")
    if text.lstrip()[:1] in ("{", "["):
        return False
    starts = ("import ", "from ", "class ", "def ", "#!", '"""')
    return "\0" not in text and any(line.startswith(starts) for line in text.splitlines())


def manifest_of(directory: Path) -> dict[str, object] | None:
    """The manifest of a bundle; None for a directory that is none."""
    path = directory / "manifest.json"
    try:
        if not path.is_file() or path.stat().st_size > 1 << 28:
            return None
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "kind" in found else None

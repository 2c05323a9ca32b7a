"""Files that people take for a model's, told by how they begin: what they are, and what to do. Needs no torch."""

from __future__ import annotations

AGAIN = "Get it again from where it was made."

_PAGE = ("a web page, saved in the place of a file", AGAIN)
_PACKED = "Unpack it, and name a file of it."

_BEGINS = (
    (b"version https://git-lfs", "a pointer of Git LFS, in the place of the file that it stands for", "git lfs pull"),
    (b"<!doctype", *_PAGE),
    (b"<html", *_PAGE),
    (b"GGUF", "a GGUF file, which llama.cpp loads", "Get the model's .safetensors or .pt."),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes them", "Convert it where Keras is installed."),
    (b"\x93NUMPY", "a NumPy array, no weights", "As an input: --inputs FILE"),
    (b"\x1f\x8b", "an archive of gzip's", _PACKED),
    (b"BZh", "an archive of bzip2's", _PACKED),
    (b"\xfd7zXZ\x00", "an archive of xz's", _PACKED),
    (b"7z\xbc\xaf\x27\x1c", "an archive of 7z's", _PACKED),
)
"""(how it begins in lower case where it is text, what it is, what to do)."""

_TAR = 257
"""Where a tar archive says that it is one."""

START = _TAR + 5
"""Bytes of a file's beginning that tell."""


def mistaken_for(head: bytes) -> tuple[str, str] | None:
    """(what it is, what to do) of a file that begins with `head`; None for one that is not known."""
    for begins, what, remedy in _BEGINS:
        if head.startswith(begins) or head.lstrip()[: len(begins)].lower() == begins:
            return what, remedy
    return ("a tar archive", _PACKED) if head[_TAR:START] == b"ustar" else None

"""How much of a pickle is looked at: what a stranger's archive claims, nobody inflates. Standard library only."""

from __future__ import annotations

import zipfile

PICKLE_LIMIT = 512 << 20
"""Bytes of a pickle that are looked at; a state_dict of 500,000 tensors needs about 70 MB."""

_ALWAYS = 16 << 20
"""Bytes that a pickle in an archive may have whatever it was compressed to."""

_RATIO = 50
"""Times its compressed bytes that it may have beyond: pickles of tensors deflate by 4 to 8, and torch stores them."""


def archived_pickle(archive: zipfile.ZipFile, name: str, size: int) -> bytes | None:
    """The member `name` of an archive of `size` bytes; None, and nothing inflated, where it claims too much.

    Raises what zipfile does. A reader stops at what is claimed, whatever is there.
    """
    info = archive.getinfo(name)
    if info.file_size > min(PICKLE_LIMIT, max(_ALWAYS, _RATIO * min(info.compress_size, size))):
        return None
    with archive.open(info) as member:
        return member.read()

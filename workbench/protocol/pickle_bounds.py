"""How much of a pickle is looked at: what a stranger's archive claims, nobody inflates. Standard library only."""

from __future__ import annotations

import zipfile

PICKLE_LIMIT = 512 << 20
"""Bytes of a pickle that are looked at; a state_dict of 500,000 tensors needs about 70 MB."""

_ALWAYS = 16 << 20
"""Bytes that a pickle in an archive may have whatever it was compressed to."""

_RATIO = 50
"""Times its compressed bytes that it may have beyond: pickles of tensors deflate by 4 to 8, and torch stores them."""


def inflated_bound(info: zipfile.ZipInfo, size: int) -> int:
    """Bytes to which the pickle in an archive of `size` bytes may inflate. A reader stops at `info.file_size`."""
    return min(PICKLE_LIMIT, max(_ALWAYS, _RATIO * min(info.compress_size, size)))

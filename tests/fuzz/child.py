"""A process that reads damaged files until its stdin ends, and says before each what it is at.

It may hang, run out of memory or die of a file: whoever started it watches. Protocol, a line each: in "FORMAT NUMBER";
out "FORMAT NUMBER" when it begins, then any of "! READER words", then "." with the peak of its memory in KiB.
"""

from __future__ import annotations

import resource
import sys
import time
import warnings
from pathlib import Path

from .folders import damaged_folder, write
from .grammar import made
from .mutate import damaged
from .readers import READERS, unfair
from .seeds import make

SECONDS = 5.0
"""Of processor time, the most that one reader may take for one of these small files."""
MADE = ("made.pt", "made.pkl")
"""Formats of which each file is made afresh, and none is damaged."""
ADDRESSES = 8 << 30
"""Bytes of address space: beyond it an allocation fails, instead of the machine."""


def main(folder: Path, seed: int) -> None:
    warnings.simplefilter("ignore")
    files = make(folder)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    print("ready " + " ".join(files), flush=True)
    for line in sys.stdin:
        name, number = line.split()
        print(line.strip(), flush=True)
        path = folder / f"damaged-{name}"
        whole, dice = files[name], f"{seed} {name} {number}"
        if name in MADE:
            path.write_bytes(made(dice, name == "made.pt"))
        elif isinstance(whole, bytes):
            path.write_bytes(damaged(whole, dice))
        else:
            write(path, damaged_folder(whole, dice))
        for reader, read in READERS.items():
            began = time.process_time()
            words = unfair(read, path)
            seconds = time.process_time() - began
            if words or seconds > SECONDS:
                print(f"! {reader} {words or f'took {seconds:.1f} s'}".replace("\n", " "), flush=True)
        print(f". {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

"""The supervisor's program: claims its descriptors, serves, leaves.

Started as `python -P -m workbench.supervisor` with a pipe on standard input and one on standard output. Imports as
little as it can, for torch is not imported by anybody before this has started a worker.
"""

from __future__ import annotations

import asyncio
import os
from typing import IO

from .bench import CommandMaker
from .server import Server, worker_command


def claim() -> tuple[IO[bytes], IO[bytes]]:
    """Private duplicates of descriptors 0 and 1, which then point at nothing and at standard error."""
    source, sink = os.dup(0), os.dup(1)  # not inheritable: no child can hold the conversation open
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return os.fdopen(source, "rb", buffering=0), os.fdopen(sink, "wb", buffering=0)


async def _serve(command: CommandMaker) -> None:
    source, sink = claim()
    await Server(command).serve(source, sink)
    os._exit(0)  # a thread that hangs in the kernel must not keep a process nobody talks to any more


def main(command: CommandMaker = worker_command) -> None:
    """Serve the face that started us until it leaves; `command` makes the workers' command lines."""
    asyncio.run(_serve(command))


if __name__ == "__main__":
    main()

"""What the misbehaving workers share: a proper start, and sending. Standard library and the protocol only."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from workbench.protocol.codec import PREAMBLE, Envelope, decode, encode
from workbench.protocol.messages import PROTOCOL, REGISTRY, Hello, WorkerReady

ROLE = sys.argv[1] if len(sys.argv) > 1 else "bench"
SOURCE, SINK = os.dup(0), os.dup(1)
_LOCK = threading.Lock()


def claim() -> None:
    """Descriptor 1 becomes the log, 0 nothing."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)


def send(body: object, job: int | None = None) -> None:
    """One message to the supervisor."""
    with _LOCK:
        line = encode(Envelope(body, job, ROLE))
        while line:
            line = line[os.write(SINK, line) :]


def greet(protocol: int = PROTOCOL, ready: bool = True) -> None:
    """Preamble, Hello, WorkerReady."""
    claim()
    os.write(SINK, PREAMBLE)
    send(Hello(ROLE, protocol, "9.9", "3.11", os.getpid(), sys.platform))
    if ready:
        send(WorkerReady(ROLE, os.getpid(), "3.11", "2.13", (), 2, 0.0))


def requests() -> Iterator[Envelope]:
    """What the supervisor asks; ends with the pipe."""
    with os.fdopen(SOURCE, "rb", buffering=0) as stream:
        buffer = b""
        while data := stream.read(65536):
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                yield decode(line, REGISTRY, foreign=False)

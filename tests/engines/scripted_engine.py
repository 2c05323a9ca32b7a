"""An engine that follows a script instead of running models: what the client is tested with.

Its one argument is the name of a behaviour. It speaks the real protocol through the real codec.
"""

from __future__ import annotations

import os
import sys

from workbench.protocol.codec import PREAMBLE, Envelope, decode, encode
from workbench.protocol.failures import Failure
from workbench.protocol.messages import (
    REGISTRY,
    Cancel,
    Fire,
    GetFingerprint,
    Kill,
    LogLines,
    ModesNow,
    Quit,
    SetModes,
    Start,
    WorkerDied,
    WorkerReady,
)
from workbench.protocol.model import Modes
from workbench.protocol.results import done, failed

READY = WorkerReady("bench", 1, "3.11", "2.13.0", (), 2, 0.1)


def send(body: object, job: int | None = None) -> None:
    os.write(1, encode(Envelope(body, job, "bench")))


def answer(behaviour: str, request: object, job: int, open_jobs: dict[int, str]) -> None:
    match request:
        case Start():
            send(READY)
            send(done(READY), job)
        case SetModes():
            modes = Modes(training=bool(request.change.training), flips=request.change.flips or ())
            send(done(ModesNow(modes)), job)
        case Fire() if behaviour == "dies":
            sys.stderr.write("last words\n")
            sys.stderr.flush()
            os._exit(7)
        case Fire() if behaviour == "garbage":
            os.write(1, b"this is no message\n")
        case Fire():
            open_jobs[job] = "Fire"  # never ends by itself
        case Cancel():
            if behaviour == "cancels" and open_jobs.pop(request.target, None):
                send(failed(Failure("cancelled", "Cancelled.")), request.target)
            send(done(), job)
        case Kill():
            send(WorkerDied("bench", 1, "ended by us", -9, "kill", (), "Fire", True))
            for number in list(open_jobs):
                send(failed(Failure("engine", "ended by us")), number)
            open_jobs.clear()
            send(done(), job)
        case GetFingerprint():
            send(LogLines("bench", ("\x1b]52;c;AAAA\x07 stolen", "plain"), 3))
            send(failed(Failure("load", "no such \x1b[31mfile", request.path)), job)
        case Quit():
            send(done(), job)
            sys.exit(0)


def main(behaviour: str) -> None:
    if behaviour == "silent":
        sys.exit(0)
    os.write(1, b"Welcome to this host!\nYou have mail.\n" + PREAMBLE)
    open_jobs: dict[int, str] = {}
    for line in sys.stdin.buffer:
        envelope = decode(line, REGISTRY, foreign=False)
        answer(behaviour, envelope.body, envelope.job or 0, open_jobs)


main(sys.argv[1])

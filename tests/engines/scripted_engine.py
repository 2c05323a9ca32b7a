"""An engine that follows a script instead of running models: what the client is tested with.

Its one argument is the name of a behaviour. It speaks the real protocol through the real codec.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from workbench.protocol.artifacts import OUT_OF_TIME, CheckRow
from workbench.protocol.codec import PREAMBLE, Envelope, decode, encode
from workbench.protocol.failures import Failure
from workbench.protocol.messages import (
    PROTOCOL,
    REGISTRY,
    Cancel,
    Check,
    Export,
    Fire,
    GetFingerprint,
    Hello,
    Inspect,
    Kill,
    Load,
    Loaded,
    LogLines,
    MeasureNoise,
    ModesNow,
    Quit,
    Saved,
    SaveState,
    Scan,
    Scanned,
    SetModes,
    SetYardstick,
    Start,
    Verify,
    WorkerDied,
    WorkerReady,
    YardstickNow,
)
from workbench.protocol.model import ModelInfo, Modes, ModuleColumns
from workbench.protocol.results import done, failed
from workbench.protocol.runs import Yardstick

READY = WorkerReady("bench", 1, "3.11", "2.13.0", (), 2, 0.1)
TREE = ModuleColumns(("",), (0,), (0,), ("Net",), (0,), ("",))
INFO = ModelInfo("Net", "net.py:Net", "", "", "", "", "CODE (Python)", 0, 0, 0, {}, TREE, (), 0, 0.0)

STARTS: list[Start] = []
EXPORTS: list[tuple[int, str]] = []
"""(job, file of the state) of exports that have not ended."""

JUDGED = {"kind": "tolerance", "dtype": ""}
"""What the bench worker judges with, and the dtype it was told of."""

LATE: dict[int, object] = {}
"""Results that are sent when their job is cancelled (it was over just before), or when a source is scanned."""


def send(body: object, job: int | None = None) -> None:
    os.write(1, encode(Envelope(body, job, "bench")))


def tell(*words: object) -> None:
    """What the test wants to know, as a line of the log."""
    send(LogLines("bench", (" ".join(map(str, words)),)))


def judge_by(kind: str) -> None:
    """As the bench worker does: it says what it judges with whenever that changes."""
    if JUDGED["kind"] != kind:
        JUDGED["kind"] = kind
        send(YardstickNow(kind))


def start(behaviour: str, request: Start, job: int) -> None:
    STARTS.append(request)
    tell("start", request.python)
    if behaviour == "never starts" or (behaviour == "starts once" and len(STARTS) > 1):
        send(failed(Failure("engine", "There is no such interpreter.")), job)
    elif not (behaviour == "hangs at its second start" and len(STARTS) > 1):
        JUDGED["kind"] = "tolerance"  # of a fresh worker
        send(READY)
        send(done(READY), job)


def artifacts(request: object, job: int) -> None:
    """The state is saved as the number of the job that asked; an export ends when the next fire comes."""
    match request:
        case Load() if request.recipe.target.startswith("late"):
            LATE[job] = Loaded(INFO, Modes())
        case Load():
            judge_by("tolerance")
            send(done(Loaded(INFO, Modes())), job)
        case SaveState():
            Path(request.path).write_text(str(job))
            tell("saved", request.path)
            send(done(Saved(request.path, 1)), job)
        case Export():
            EXPORTS.append((job, request.state))
            tell("exporting")
        case Verify():
            tell("verifying", Path(request.state).read_text() if request.state else "")
            send(failed(Failure("artifact", "It is no artifact.")), job)
        case MeasureNoise() if request.recipe.target.startswith("noisy"):
            LATE[job] = Yardstick("float64")
            tell("noise", request.python)
        case MeasureNoise():
            tell("noise", request.python)
            send(done(Yardstick("float64")), job)
        case SetYardstick():
            tell("yardstick", request.yardstick.kind)
            judge_by(request.yardstick.kind)
            send(done(), job)


def check(request: Check, job: int) -> None:
    if request.id == "dies":
        send(WorkerDied("bench", 1, "it called os._exit(3)", 3, "", (), "Check", False))
        send(failed(Failure("engine", "The worker died: it called os._exit(3).")), job)
    elif request.id.startswith("late"):
        send(failed(Failure("timeout", "Check did not end.")), job)
    else:
        late = request.id == "baseline"
        row = CheckRow(request.id, "error", "4 of 19", OUT_OF_TIME) if late else CheckRow(request.id, "pass", "")
        send(done(row), job)


def answer(behaviour: str, request: object, job: int, open_jobs: dict[int, str]) -> None:
    artifacts(request, job)
    match request:
        case Start():
            start(behaviour, request, job)
        case Check():
            check(request, job)
        case Fire() if EXPORTS:
            for number, state in EXPORTS:
                send(failed(Failure("export", Path(state).read_text())), number)
            EXPORTS.clear()
            send(failed(Failure("forward", "no run")), job)
        case Inspect():
            open_jobs[job] = "Inspect"
        case SetModes():
            modes = Modes(
                training=bool(request.change.training),
                flips=request.change.flips or (),
                dtype=request.change.dtype or "",
            )
            if JUDGED["dtype"] != modes.dtype and JUDGED["kind"] != "given":
                judge_by("tolerance")
            JUDGED["dtype"] = modes.dtype
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
            tell("cancel", request.target)
            if request.target in LATE:
                send(done(LATE.pop(request.target)), request.target)
            if behaviour == "cancels" and open_jobs.pop(request.target, None):
                send(failed(Failure("cancelled", "Cancelled.")), request.target)
            send(done(), job)
        case Kill() if behaviour == "deaf":
            open_jobs[job] = "Kill"
        case Kill():
            tell("kill", request.role)
            send(WorkerDied("bench", 1, "ended by us", -9, "kill", (), "Fire", True))
            for number in list(open_jobs):
                send(failed(Failure("engine", "ended by us")), number)
            open_jobs.clear()
            send(done(), job)
        case Scan():
            for number in list(LATE):
                send(done(LATE.pop(number)), number)
            send(done(Scanned("x.py", ())), job)
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
    if behaviour != "rude":
        protocol = 99 if behaviour == "foreign" else PROTOCOL
        send(Hello("supervisor", protocol, "9.9", "3.11", os.getpid(), sys.platform))
    open_jobs: dict[int, str] = {}
    for line in sys.stdin.buffer:
        envelope = decode(line, REGISTRY, foreign=False)
        answer(behaviour, envelope.body, envelope.job or 0, open_jobs)


main(sys.argv[1])

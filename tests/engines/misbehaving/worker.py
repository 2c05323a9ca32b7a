"""A worker that does as it is told: `Check("segfault")` crashes it, `Check("hang")` hangs it, and so on."""

from __future__ import annotations

import dataclasses
import os
import queue
import signal
import sys
import threading
import time

import speech

from workbench.protocol.artifacts import CheckRow
from workbench.protocol.failures import Failure
from workbench.protocol.messages import Beat, Cancel, Check, Fire, ModesNow, Progress, SetModes
from workbench.protocol.model import Modes
from workbench.protocol.results import done, failed
from workbench.protocol.runs import RunRow, Spread

cancelled: set[int] = set()
work: queue.Queue = queue.Queue()


def read() -> None:
    """The reader thread: takes cancels, and ends the process with the pipe unless it was told to be deaf."""
    for envelope in speech.requests():
        if isinstance(envelope.body, Cancel):
            cancelled.add(envelope.body.target)
        else:
            work.put(envelope)
    if not deaf:
        os._exit(0)


def row(run: int, count: int, running: bool) -> RunRow:
    return RunRow(
        run, count, running, "train", "grad", "free", "float32", "cpu", Spread(count, 1e-3, 1e-3, 1e-3, 1e-3, 0.0, 1e3),
        False, 0, "", 0.0, 0.0, 0, 0, 0, 0, "", 0, 0, 0, 0.0,
    )  # fmt: skip


def fire(request: Fire, job: int, run: int) -> RunRow:
    fired = 0
    while (request.count == 0 or fired < request.count) and job not in cancelled:
        fired += 1
        speech.send(row(run, fired, True), job)
        time.sleep(0.001)
    last = row(run, fired, False)
    speech.send(last, job)
    return last


def hang(job: int, native: bool = False) -> None:
    """Ignores a cancel; Python stays alive and beats, unless it is `native`."""
    while True:
        time.sleep(0.05)
        if not native:
            speech.send(Beat(), job)


def misbehave(word: str, job: int) -> None:
    match word:
        case "segfault":
            import ctypes
            import faulthandler

            faulthandler.enable()
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "exit":
            os._exit(3)
        case "raise":
            sys.stderr.write('Traceback (most recent call last):\n  File "x.py", line 1\nMemoryError: too much\n')
            os._exit(1)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            hang(job)
        case "native":
            hang(job, native=True)
        case "deaf":
            global deaf
            deaf = True
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            hang(job)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "flood":
            chunk = b"flood " * 20 + b"\n"
            for _ in range(20_000_000 // (len(chunk) * 1000)):
                os.write(2, chunk * 1000)
        case "rows":  # more than anybody reads, no two of one run; then it is gone
            for number in range(1, 10_001):
                speech.send(dataclasses.replace(row(number, 1, True), note="x" * 10_000), job)
            os._exit(0)
        case "endless line":
            for _ in range(50):
                os.write(2, b"x" * 100_000)
        case "print":
            os.write(1, b"printed on descriptor 1\n")
        case "prompt":
            os.write(1, b"name? ")
            time.sleep(1.0)
        case "garbage":
            os.write(speech.SINK, b"{not a message}\n")
        case "fork":
            if os.fork() == 0:
                time.sleep(60)  # a grandchild that keeps every pipe
                os._exit(0)
            os._exit(5)
        case "escape":
            if os.fork() == 0:
                os.setsid()  # it leaves the group too, and keeps the pipes
                time.sleep(3)
                os._exit(0)
            os._exit(5)
        case "mute":
            os.close(speech.SINK)
            time.sleep(60)
        case "progress":
            for index in range(2000):
                speech.send(Progress("counting", float(index), 2000.0, 0.0), job)


def answer(envelope: speech.Envelope, run: int) -> None:
    job, body = envelope.job, envelope.body
    try:
        match body:
            case SetModes():
                speech.send(done(ModesNow(Modes(training=bool(body.change.training)))), job)
            case Fire():
                speech.send(done(fire(body, job, run)), job)
            case Check():
                misbehave(body.id, job)
                speech.send(done(CheckRow(body.id, "pass", "")), job)
            case _:
                speech.send(done(), job)
    except KeyboardInterrupt:
        speech.send(failed(Failure("cancelled", "Interrupted.")), job)


deaf = False

if __name__ == "__main__":
    speech.greet()
    threading.Thread(target=read, daemon=True).start()
    run = 0
    while True:
        request = work.get()
        run += isinstance(request.body, Fire)
        answer(request, run)

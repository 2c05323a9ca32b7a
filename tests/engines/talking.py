"""A worker as a process of its own, spoken to directly: no supervisor between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import workbench
from workbench.protocol.codec import PREAMBLE, Envelope, decode, encode
from workbench.protocol.failures import Failure
from workbench.protocol.messages import REGISTRY, Cancel, Done, Hello
from workbench.protocol.results import result_of

BOOT = Path(workbench.__file__).parent / "worker" / "boot.py"
MODELS = Path(__file__).parent / "worker_models.py"


class Worker:
    """Ask it, and read what comes."""

    def __init__(self, role: str = "bench", *flags: str) -> None:
        command = [sys.executable, *flags, str(BOOT), role]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parent
        )
        self.log: list[str] = []
        self._text = ""
        self.said = threading.Condition()
        self.events: list[Any] = []
        self.number = 0
        threading.Thread(target=self._drain, daemon=True).start()

    def greeting(self) -> Hello:
        """The first message, after the preamble."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == PREAMBLE
        hello = self.receive().body
        assert isinstance(hello, Hello)
        return hello

    def receive(self) -> Envelope:
        """The next message; fails when there is none any more."""
        assert self.process.stdout is not None
        return decode(self.process.stdout.readline(), REGISTRY, foreign=True)

    def send(self, body: Any, job: int | None = None) -> int:
        """Put a request on its way; returns its job number."""
        if job is None:
            self.number += 1
        assert self.process.stdin is not None
        self.process.stdin.write(encode(Envelope(body, job or self.number, "test")))
        self.process.stdin.flush()
        return job or self.number

    def tell(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def end_of(self, job: int) -> Done:
        """The `Done` of a job; what came before it is in `events`."""
        while True:
            envelope = self.receive()
            if isinstance(envelope.body, Done):
                assert envelope.job == job
                return envelope.body
            self.events.append(envelope.body)

    def ask(self, body: Any) -> Any:
        """The result of a request that must succeed."""
        end = self.end_of(self.send(body))
        assert end.failure is None, end.failure
        return result_of(end, foreign=True)

    def refused(self, body: Any) -> Failure:
        """The failure of a request that must not succeed."""
        failure = self.end_of(self.send(body)).failure
        assert failure is not None
        return failure

    def wait_for_log(self, words: str, seconds: float = 30) -> None:
        """Until it has written a line with `words`."""
        with self.said:
            assert self.said.wait_for(lambda: any(words in line for line in self.log), seconds), self.log

    def forget_log(self) -> None:
        """What was written so far does not count any more."""
        with self.said:
            self._text = ""
            self.log.clear()

    def cancel(self, job: int) -> None:
        """Cancel a job that does not listen, and interrupt it once the worker knows."""
        number = self.send(Cancel(job))
        while (envelope := self.receive()).job != number:
            self.events.append(envelope.body)
        self.interrupt()

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def close(self) -> int:
        """End its stdin; its exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            return self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()

    def _drain(self) -> None:
        assert self.process.stderr is not None
        while data := os.read(self.process.stderr.fileno(), 1 << 16):
            with self.said:
                self._text += data.decode(errors="replace")
                self.log[:] = self._text.rstrip("\n").split("\n")
                self.said.notify_all()

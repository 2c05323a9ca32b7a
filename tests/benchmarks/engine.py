"""An engine for probes: one supervisor and its bench worker, asked one thing at a time over the real protocol."""

from __future__ import annotations

import io
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

from workbench.client.launch import START_JOB, launch
from workbench.protocol.codec import PREAMBLE, Envelope, decode, encode
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import REGISTRY, Done, Quit, WorkerReady
from workbench.protocol.results import result_of


class Engine:
    """A context manager; leaving it ends every process."""

    def __init__(self) -> None:
        """Start it, and wait until the bench worker has imported torch."""
        self._process = launch(bench=True)
        self._incoming: queue.Queue[Envelope | None] = queue.Queue()
        self._job = START_JOB
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._drain, daemon=True).start()
        ready = self._result(START_JOB, None, 120.0)
        assert isinstance(ready, WorkerReady)
        self.worker = psutil.Process(ready.pid)

    def ask(self, request: Any, hear: Callable[[Any], None] | None = None, timeout: float = 600.0) -> Any:
        """Send a request and wait for its result; `hear` gets the events before it. Raises `WorkbenchError`."""
        self._job += 1
        self._send(Envelope(request, self._job, "face"))
        return self._result(self._job, hear, timeout)

    def timed(self, request: Any) -> float:
        """Seconds from sending a request to its end."""
        began = time.perf_counter()
        self.ask(request)
        return time.perf_counter() - began

    def workers(self) -> list[psutil.Process]:
        """Every process of the engine below its supervisor, now."""
        return list(psutil.Process(self._process.pid).children(recursive=True))

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self._send(Envelope(Quit(), self._job + 1, "face"))
        try:
            self._process.wait(10)
        finally:
            self._process.kill()

    def _send(self, envelope: Envelope) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(encode(envelope))

    def _result(self, job: int, hear: Callable[[Any], None] | None, timeout: float) -> Any:
        deadline = time.monotonic() + timeout
        while True:
            envelope = self._incoming.get(timeout=max(0.0, deadline - time.monotonic()))
            if envelope is None:
                raise RuntimeError("the engine ended")
            if envelope.job == job and isinstance(envelope.body, Done):
                if envelope.body.failure is not None:
                    raise WorkbenchError(envelope.body.failure)
                return result_of(envelope.body, foreign=True)
            if envelope.job == job and hear is not None:
                hear(envelope.body)

    def _read(self) -> None:
        assert isinstance(self._process.stdout, io.RawIOBase)
        with io.BufferedReader(self._process.stdout, 2**20) as lines:
            while (line := lines.readline()) and not line.endswith(PREAMBLE):
                pass
            while line := lines.readline():
                self._incoming.put(decode(line, REGISTRY, foreign=True))
        self._incoming.put(None)

    def _drain(self) -> None:
        assert self._process.stderr is not None
        while self._process.stderr.read(65536):
            pass

"""The worker's end of the pipe: one job after another on the main thread, one `Done` for each, whatever happens.

Owns the reader thread, the queue of requests, the beat and the mapping from anything that is raised to a
`Failure`. A job may stand still at a breakpoint: requests for that pause are then worked on inside of it, the others
wait. It must never do a job's work itself, and never import torch: the inspect role lives without it.
"""

from __future__ import annotations

import errno
import os
import platform
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

from workbench import __version__
from workbench.protocol.codec import PREAMBLE, CodecError, Envelope, decode, encode, job_of
from workbench.protocol.failures import Failure, WorkbenchError
from workbench.protocol.messages import PROTOCOL, REGISTRY, Attend, Beat, Cancel, Done, Hello, Load
from workbench.protocol.results import done, failed
from workbench.worker.handlers import State, handle
from workbench.worker.inside.pause import Aborted, Pauses
from workbench.worker.job import Cancelled, Job
from workbench.worker.lost_device import CODE, lost_device

BEAT_INTERVAL = 1.0
"""Seconds between two `Beat` events while a job is open."""

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


class Server:
    """Requests in, events and one `Done` each out."""

    def __init__(self, role: str, protocol_in: int, protocol_out: int) -> None:
        self.role = role
        self._in, self._out = protocol_in, protocol_out
        self._write_lock = threading.Lock()
        self._requests: queue.SimpleQueue[tuple[Any, Job]] = queue.SimpleQueue()
        self._open: dict[int, Job] = {}
        self._beat = _Beat(self)
        self._at: Job | None = None
        """The job that an interrupt reaches, if it was cancelled."""
        self._standing: Job | None = None
        """The job that stands still at a breakpoint."""
        self._state = State()
        self._pauses = self._state.pauses = Pauses(self._within, self._state.noticed, self._stand_still)

    def greet(self) -> None:
        """The preamble, and who we are; before torch is imported."""
        signal.signal(signal.SIGINT, self._interrupted)
        self._pauses.install()
        self._write(PREAMBLE)
        machine = f"{sys.platform} {platform.machine()}"
        self.send(Hello(self.role, PROTOCOL, __version__, platform.python_version(), os.getpid(), machine))

    def listen(self) -> None:
        """Start reading requests; from now on the end of stdin ends the process at once."""
        threading.Thread(target=self._read, name="workbench-reader", daemon=True).start()

    def send(self, body: Any, job: int | None = None) -> None:
        """Put one message on the pipe, whole; from any thread."""
        self._write(encode(Envelope(body, job, self.role)))

    def serve(self) -> None:
        """Work on requests for ever; the reader thread ends the process."""
        while True:
            try:
                request, job = self._requests.get()
                self._work(request, job)
            except KeyboardInterrupt:  # the model's code had put Python's own SIGINT handler back
                continue

    def _write(self, data: bytes) -> None:
        with self._write_lock:
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(self._out, view) :]
            except OSError:  # nobody listens any more: there is no one left to work for
                os._exit(0)

    def _read(self) -> None:
        with os.fdopen(self._in, "rb", closefd=False) as stream:
            for line in stream:
                try:
                    self._accept(decode(line, REGISTRY, foreign=False))
                except CodecError as problem:
                    print(f"worker: {problem}", file=sys.stderr)  # noqa: T201
                    if (job := job_of(line)) is not None:
                        self.send(failed(Failure("internal", f"The worker cannot read a request: {problem}.")), job)
        os._exit(0)  # a busy main thread would keep the process alive after its owner is gone

    def _accept(self, envelope: Envelope) -> None:
        if isinstance(envelope.body, Attend):
            self._pauses.attended = True
            return
        if isinstance(envelope.body, Cancel):
            job = self._open.get(envelope.body.target)
            if job is not None:
                job.cancel()
                self._pauses.cancel(job)
            if envelope.job is not None and envelope.job != envelope.body.target:
                self.send(Done(), envelope.job)
            return
        job = Job(envelope.job, self.send)
        if envelope.job is not None:
            self._open[envelope.job] = job
        if not self._pauses.take(envelope.body, job):
            self._requests.put((envelope.body, job))

    def _interrupted(self, _signal: int, _frame: FrameType | None) -> None:
        """SIGINT: raises inside a cancelled job, or a line for the console of one, once; it may come after the end of
        the one it was meant for, and must not end the next."""
        wanted = [job for job in (self._at, self._standing) if job is not None and job.cancelled]
        if self._at is not None and wanted:
            self._at = None
            raise KeyboardInterrupt

    def _work(self, request: Any, job: Job) -> None:
        self._beat.start()
        signal.signal(signal.SIGINT, self._interrupted)  # again: an earlier job's code may have replaced it
        if isinstance(request, Load):
            self._pauses.install_in_pdb()
        self._pauses.begin(request, job)
        end = self._end_of(lambda: handle(request, job, self._state), job)
        self._beat.stop()
        if words := lost_device(end.failure):  # unanswered: its owner then begins the next in a fresh process
            print(f"Traceback (most recent call last):\nDeviceError: {words}", file=sys.stderr, flush=True)  # noqa: T201
            os._exit(CODE)
        self._answer(end, job)

    def _within(self, request: Any, job: Job, function: Callable[[], Any]) -> None:
        """A request for the pause that the job in progress stands in: worked on inside of it, answered by itself."""
        self._answer(self._end_of(function, job), job)

    def _stand_still(self, still: bool) -> None:
        if still:
            self._at, self._standing = None, self._at
        elif self._standing is not None:  # it may end before it has begun: an interrupt came in between
            self._at, self._standing = self._standing, None

    def _end_of(self, function: Callable[[], Any], job: Job) -> Done:
        """What a job comes to. Interrupts reach it, and nothing around it."""
        try:
            try:
                job.begin()
                job.raise_if_cancelled()
                self._at = job
                return done(function())
            finally:
                self._at = None
        except BaseException as problem:  # noqa: BLE001 (the boundary: every request gets its one answer)
            end = failed(outcome(problem, job))
            _forget_frames(problem)
            return end

    def _answer(self, end: Done, job: Job) -> None:
        for stream in (sys.stdout, sys.stderr):
            _flush(stream)
        if job.number is not None:
            self._open.pop(job.number, None)
        self._finish(end, job)
        job.ended()

    def _finish(self, end: Done, job: Job) -> None:
        try:
            line = encode(Envelope(end, job.number, self.role))
        except (CodecError, ValueError, TypeError) as problem:
            failure = Failure("internal", f"A result could not be sent: {problem}.", details=traceback.format_exc())
            line = encode(Envelope(failed(failure), job.number, self.role))
        self._write(line)


class _Beat:
    """One thread that says once a second that Python is alive, while a job is open."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._changed = threading.Condition()
        self._open = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="workbench-beat", daemon=True)
            self._thread.start()
        with self._changed:
            self._open = True
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._open = False
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._open)
                ended = self._changed.wait_for(lambda: not self._open, BEAT_INTERVAL)
            if not ended:
                self._server.send(Beat())


def outcome(problem: BaseException, job: Job) -> Failure:
    """What a raised exception means to the one who asked."""
    text = "".join(traceback.format_exception(type(problem), problem, problem.__traceback__))
    if isinstance(problem, WorkbenchError):
        return problem.failure
    if isinstance(problem, Aborted):
        return Failure("cancelled", str(problem), details=text)
    if isinstance(problem, KeyboardInterrupt) and not job.cancelled:
        frame = traceback.extract_tb(problem.__traceback__)[-1:]
        where = f"{frame[0].filename}:{frame[0].lineno}" if frame else ""
        message = "The model's code raised KeyboardInterrupt, and nobody had asked for a cancel."
        return Failure("model", message, where, "Let it raise an error of its own there.", text)
    if isinstance(problem, (Cancelled, KeyboardInterrupt)):
        return Failure("cancelled", f"Cancelled after {job.seconds:.1f} s.", details=text)
    if out_of_memory(problem):
        message = "There was not enough memory: " + (str(problem).split("\n")[0] or type(problem).__name__)
        return Failure("memory", message, remedy="Use a smaller batch, a smaller dtype or no_grad.", details=text)
    if isinstance(problem, SystemExit):
        message = f"The model's code asked Python to exit ({problem.code!r}); the worker stays."
        return Failure("model", message, remedy="Remove the call of sys.exit() or exit().", details=text)
    if isinstance(problem, OSError) and problem.errno in _DISK:
        message = f"Could not write {problem.filename or 'a file'}: {problem.strerror}."
        return Failure("write", message, str(problem.filename or ""), "Free some space.", text)
    message = f"An error of the workbench itself: {type(problem).__name__}: {problem}"
    return Failure("internal", message, details=text)


def out_of_memory(problem: BaseException) -> bool:
    """Python's, CUDA's or the CPU allocator's word for it; torch raises plain RuntimeErrors for the last."""
    if isinstance(problem, MemoryError) or type(problem).__name__ == "OutOfMemoryError":
        return True
    return isinstance(problem, RuntimeError) and "you tried to allocate" in str(problem)


def _forget_frames(problem: BaseException) -> None:
    """Let go of what the failed frames held: after running out of memory, their locals are the memory."""
    if problem.__traceback__ is not None:
        traceback.clear_frames(problem.__traceback__)
        problem.__traceback__ = None


def _flush(stream: Any) -> None:
    try:
        stream.flush()
    except (OSError, ValueError, AttributeError):  # a model may have closed or replaced it
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__

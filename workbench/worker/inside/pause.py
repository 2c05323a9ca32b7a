"""Where a `breakpoint()` stops: on the main thread, in a job that may, while somebody sits there to answer.

Owns the hook, the one pause there can be, and the handing over: the reader thread puts requests that name the pause
into its queue, and the main thread, which stands in the hook, works on them there. It must never import torch, and it
traces nothing: between breakpoints a model runs as fast as ever.
"""

from __future__ import annotations

import functools
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from workbench.protocol.inside import Complete, Evaluate, Paused, Resumed
from workbench.protocol.messages import Fire, Load, Restore, SetModes
from workbench.worker.job import Job

MAY_PAUSE = (Fire, Load, SetModes, Restore, Evaluate)
"""Requests in which a breakpoint stops. Checks, replays, noise and exports run the model for themselves."""

Work = Callable[[Any, Job, Callable[[], Any]], None]
"""Does one request inside another: answers it with what the function returns or raises."""
Notice = Callable[[Job, Callable[[], Any]], Any]
"""Does the work of one line, and tells what it changed."""


class Aborted(KeyboardInterrupt):
    """Raised at a breakpoint where the run was given up; no `except Exception` of the model's stops it."""


class Pause:
    """One stop: the frame, the job that stands still, and the requests that are for it."""

    def __init__(self, number: int, frame: FrameType, job: Job) -> None:
        self.number, self.frame, self.job = number, frame, job
        self.where = f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
        self.requests: queue.SimpleQueue[tuple[Any, Job] | None] = queue.SimpleQueue()
        """None: the job was cancelled."""


class Pauses:
    """The breakpoints of one worker. `hook` runs on the main thread, `take` and `cancel` on the reader's."""

    def __init__(self, work: Work, notice: Notice, still: Callable[[bool], None]) -> None:
        """`still` is told when a job stops and goes on: an interrupt meanwhile is meant for a line, not for the job."""
        self.attended = False
        """Somebody can answer; set once by the reader thread."""
        self._work, self._notice, self._still = work, notice, still
        self._lock = threading.Lock()
        self._current: Pause | None = None
        self._job: Job | None = None
        self._request: Any = None
        self._numbers = 0
        self._told: set[str] = set()

    def install(self) -> None:
        """From now on `breakpoint()` comes here."""
        sys.breakpointhook = self.hook

    def install_in_pdb(self) -> None:
        """`pdb.set_trace()` too: with no terminal it would end the run with BdbQuit. Before any code of the user's."""
        import pdb

        pdb.set_trace = self.hook

    def begin(self, request: Any, job: Job) -> None:
        """A job begins on the main thread."""
        self._request, self._job = request, job
        self._told.clear()

    # on the main thread, in the middle of the user's code

    def hook(self, *_arguments: Any, **_options: Any) -> None:
        """What `breakpoint()` calls. Raises `Aborted` when the run was given up."""
        frame = sys._getframe(1)
        reason = self._why_not()
        if not reason:
            assert self._job is not None
            self._stand_still(frame, self._job)
            return
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        if place not in self._told:  # a forward is run again and again
            self._told.add(place)
            print(f"breakpoint() at {place} passed over: {reason}", file=sys.stderr)  # noqa: T201

    def _why_not(self) -> str:
        if not self.attended:
            return "nobody is there to answer it"
        if threading.current_thread() is not threading.main_thread():
            return "it is not on the main thread"
        if self._current is not None:
            return "the run is paused already"
        if self._job is not None and self._job.passes_over:
            return self._job.passes_over
        if self._job is None or not isinstance(self._request, MAY_PAUSE):
            return f"{type(self._request).__name__} runs the model for itself"
        return "PYTHONBREAKPOINT is 0" if os.environ.get("PYTHONBREAKPOINT") == "0" else ""

    def _stand_still(self, frame: FrameType, job: Job) -> None:
        from workbench.worker.inside.frames import FrameConsole  # the first pause pays for it

        self._numbers += 1
        pause = Pause(self._numbers, frame, job)
        console = FrameConsole(frame)
        began = time.monotonic()
        try:  # an interrupt may come between any two lines from here on
            with self._lock:
                self._current = pause
            self._still(True)
            job.emit(Paused(pause.number, pause.where, console.place, console.picture()))
            self._answer(pause, console)
        finally:
            with self._lock:
                self._current = None
            self._turn_away(pause)
            job.stood_still(pause.where, time.monotonic() - began)
            job.emit(Resumed(pause.number))
            self._still(False)

    def _answer(self, pause: Pause, console: Any) -> None:
        """Requests of this pause, until one of them ends it. Raises `Aborted`."""
        aborted = Aborted(f"Aborted at {pause.where}, where it was paused.")
        if pause.job.cancelled:
            raise aborted
        while not console.verdict:
            entry = pause.requests.get()
            if entry is None:
                raise aborted
            request, job = entry
            self._work(request, job, functools.partial(self._one, console, request, job))
            if pause.job.cancelled:
                raise aborted
        if console.verdict == "abort":
            raise aborted

    def _one(self, console: Any, request: Any, job: Job) -> Any:
        if isinstance(request, Complete):
            return console.complete(request, job)
        return self._notice(job, lambda: console.evaluate(request, job))

    def _turn_away(self, pause: Pause) -> None:
        """Requests that came too late for this pause."""
        from workbench.protocol.failures import error

        def refuse() -> Any:
            raise error("usage", f"The run that was paused at {pause.where} has gone on.", pause.where)

        while not pause.requests.empty():
            entry = pause.requests.get()
            if entry is not None:
                self._work(entry[0], entry[1], refuse)

    # on the reader thread

    def take(self, request: Any, job: Job) -> bool:
        """Whether a request is for the pause of now, and was put into its queue."""
        if not isinstance(request, (Evaluate, Complete)) or not request.pause:
            return False
        with self._lock:
            pause = self._current
            if pause is None or pause.number != request.pause:
                return False
            pause.requests.put((request, job))
        return True

    def cancel(self, job: Job) -> None:
        """A job was cancelled: when it is the one that stands still, it is woken."""
        with self._lock:
            if self._current is not None and self._current.job is job:
                self._current.requests.put(None)

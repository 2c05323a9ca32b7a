"""The recorder: a hook on a live model that writes calls down while it can afford to, and the state at the end.

Owns the life of one recording in the user's own program. It never raises, never changes what the model answers, and
takes itself off when it has enough. With its first sample the capture can be opened, so that a program that is killed
leaves what it had: a sample is there whole or not at all, and what the end would have brought is said to be missing.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import operator
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from workbench.protocol.captures import CALL, SAMPLES

from .contents import unwritable, write_contents
from .models import bare, records_a_graph, refuse_shared
from .place import Place
from .room import Room, TooMuch, weigh, weigh_state
from .samples import Budget, Unfit, plain_call
from .source import remember_program

EARLY_STATE = 64 << 20
"""Bytes of the largest state that is written with the first sample; a larger one would hold the program up."""
EARLY_REST = (16 << 20, 4 << 20, 50_000)
"""What the model may hold beside it then: bytes of tensors, bytes of all else, objects."""
WHOLE_REST = (64 << 20, 1_000_000)
"""The same of all else and of objects at the end; of tensors, as many bytes as of samples."""
_MORE_ROOM = (
    "Give the arguments of its constructor: capture.watch(…, kwargs={…}); megabytes= makes room for more tensors"
)


def _amount(name: str, value: Any, whole: bool = True) -> float:
    """A number from 0 on, Python's or another library's. Raises TypeError in words for everything else."""
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        number = float(operator.index(value) if whole else value)
        if not isinstance(value, (str, bytes, bool)) and 0 <= number < math.inf:
            return number
    raise TypeError(f"{name}={value!r} is no {'whole ' if whole else ''}number from 0 on")


class Recorder:
    """One recording. `close` ends it; so does leaving a `with`, and leaving Python."""

    def __init__(
        self, model: Any, path: str, samples: int, every: int, megabytes: float, kwargs: dict[str, Any] | None
    ) -> None:
        self.path = ""
        """Where the capture is, absolute; empty when nothing could be begun."""
        self.why = ""
        """What went wrong, in words; empty while nothing did."""
        self._place: Place | None = None
        self._early = False
        self._handle: Any = None
        self._closed = False
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._refused: dict[str, int] = {}
        self._notes: list[str] = []
        self._watched, self._model, self._kwargs = model, bare(model), kwargs
        self._budget, self._size = Budget(0, 1, 0), 0
        try:
            self._size = int(_amount("megabytes", megabytes, whole=False) * (1 << 20))
            self._budget = Budget(int(_amount("samples", samples)), int(_amount("every", every)), self._size)
            self._begin(path)
        except Exception as problem:  # noqa: BLE001 (the user's program goes on whatever this cannot do)
            self._give_up("nothing is captured", problem)
            if self._place is not None:
                self._place.drop()
                self._place, self.path = None, ""

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def samples(self) -> int:
        """How many calls were recorded so far."""
        return self._budget.taken

    def _begin(self, path: str) -> None:
        if not isinstance(self._model, nn.Module):
            raise TypeError(f"a {type(self._model).__name__} is no nn.Module")
        refuse_shared(self._model)
        remember_program()
        self._place = Place(os.path.abspath(os.path.expanduser(path)))
        self.path = self._place.path
        if self._place.words:
            _say(self._place.words)
        if self._kwargs is not None and (held := unwritable(self._kwargs)):
            self._kwargs = None
            self._tell(f"{held}. The model's own structure is recorded instead")
        if self._budget.full:
            self._tell("samples and megabytes leave room for no call: its state alone is recorded")
        self._handle = self._watched.register_forward_pre_hook(self._called, prepend=True, with_kwargs=True)
        atexit.register(self.close)

    def _called(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before each forward: perhaps write down what it is given."""
        if torch.compiler.is_compiling() or not self._budget.wants():
            return
        if os.getpid() != self._pid or torch._C._get_tracing_state() is not None or records_a_graph():
            return
        if not self._lock.acquire(blocking=False):
            return  # another thread's call is being written
        try:
            began = time.perf_counter()
            self._record(args, kwargs)
            self._budget.spend(time.perf_counter() - began)
            if self._budget.taken and not self._early and self._place is not None:
                self._begin_to_last(self._place)
            if self._budget.full and self._handle is not None:
                self._handle.remove()
        except Exception as problem:  # noqa: BLE001 (the user's program goes on whatever this cannot do)
            self._give_up("no more calls are recorded", problem)
        finally:
            self._lock.release()

    def _record(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            plain_args, plain_kwargs, size = plain_call(args, kwargs, self._budget.size)
        except Unfit as reason:
            self._refused[str(reason)] = self._refused.get(str(reason), 0) + 1
            return
        content = {CALL: 1, "args": list(plain_args), "kwargs": plain_kwargs}
        assert self._place is not None  # without one there is no hook
        samples = self._place.samples()
        partial = os.path.join(self._place.stage, "sample.part")
        torch.save(content, partial)
        os.replace(partial, os.path.join(samples, f"{self._budget.taken:05d}.pt"))
        self._budget.take(size)

    def _begin_to_last(self, place: Place) -> None:
        """Have it opened from now on, whatever becomes of the program; at its end all of this is written anew."""
        self._early, began = True, time.perf_counter()
        try:
            refuse_shared(self._model)  # it may have been sharded since
            values = not _too_much(weigh_state, self._model, Room(EARLY_STATE, *EARLY_REST[1:]))
            without = self._without(Room(*EARLY_REST), "It is written when the capture is closed")
            write_contents(place.stage, self._model, self._kwargs, (0, 0), (), lambda words: None, cut=True,
                           values=values, without=without, room=EARLY_REST)  # fmt: skip
            place.begin_to_last()
        except Exception as problem:  # noqa: BLE001 (the samples go on; only a kill would find them unfinished)
            self._notes.append(f"it could not be opened before its end: {type(problem).__name__}: {problem}")
        self._budget.begin_to_last(time.perf_counter() - began)

    def close(self) -> None:
        """Write the model's state and how it is built, and put the capture where it was wanted. Never raises."""
        if os.getpid() != self._pid:
            return  # the lock may have been taken when this process was forked
        if records_a_graph():
            _say("a CUDA graph is being recorded, which writing the state would end: close the capture after it")
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
        atexit.unregister(self.close)
        if self._handle is not None:
            self._handle.remove()
        if self._place is None:
            return
        try:
            self._finish(self._place)
        except Exception as problem:  # noqa: BLE001 (the user's program goes on whatever this cannot do)
            self._give_up("the capture could not be finished", problem)
            self._place.drop()
        finally:
            self._model = self._watched = None

    def _finish(self, place: Place) -> None:
        """The whole capture beside the one that was cut short, then in its place."""
        whole = place.room()
        told = [self.why] if self.why else []
        left_out = [f"calls left out: {number} × {reason}" for reason, number in self._refused.items()]
        self._tell_of_calls(left_out)
        counts, moved = (self._budget.taken, self._budget.calls), os.path.join(whole, SAMPLES)
        try:
            refuse_shared(self._model)
            without = self._without(Room(self._size, *WHOLE_REST), _MORE_ROOM)
            write_contents(whole, self._model, self._kwargs, counts, [*self._notes, *left_out, *told], self._tell,
                           without=without)  # fmt: skip
            samples = place.samples()
            os.rename(samples, moved)
            place.settle(whole)
        except BaseException:
            if os.path.isdir(moved):
                os.rename(moved, samples)
            shutil.rmtree(whole, ignore_errors=True)
            raise
        if place.path != self.path:
            _say(place.words)
            self.path = place.path

    def _tell_of_calls(self, left_out: list[str]) -> None:
        """Say now what the capture will have no inputs for."""
        if not self._budget.calls:
            _say("the model was not called while it was watched, so that the capture has no inputs")
        elif left_out and not self._budget.taken:
            self._tell(f"the capture has no inputs: {'; '.join(left_out)}")
        elif left_out:
            _say("; ".join(left_out))

    def _without(self, room: Room, remedy: str) -> str:
        """Why the model's structure is not to be written; empty when it is."""
        held = "" if self._kwargs is not None else _too_much(weigh, self._model, room)
        return held and f"beside its state it holds {held}. {remedy}"

    def _give_up(self, what: str, problem: Exception) -> None:
        """Take the hook off, and say why."""
        with contextlib.suppress(Exception):  # a model that is half torn down may refuse even that
            if self._handle is not None:
                self._handle.remove()
        self._tell(f"{what}: {type(problem).__name__}: {problem}")

    def _tell(self, words: str) -> None:
        self.why = words
        _say(words)


def _too_much(weighing: Callable[[nn.Module, Room], None], model: nn.Module, room: Room) -> str:
    """Of what there is more than there is room for; empty when it fits."""
    try:
        weighing(model, room)
    except TooMuch as problem:
        return str(problem)
    return ""


def _say(words: str) -> None:
    print(f"workbench.capture: {words}", file=sys.stderr)  # noqa: T201 (the only way to be heard in a program)

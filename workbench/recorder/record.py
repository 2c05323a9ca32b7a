"""The recorder: a hook on a live model that writes calls down while it can afford to, and the state at the end.

Owns the life of one recording in the user's own program. It never raises, never changes what the model answers, and
takes itself off when it has enough.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import shutil
import sys
import threading
import time
from typing import Any

import torch
from torch import nn

from workbench.protocol.captures import (
    CALL,
    CODE,
    EXTRA,
    FACTORY,
    MANIFEST,
    OBJECT,
    SAMPLES,
    SCHEMA,
    SOURCE,
    STATE,
    is_capture,
)

from .objects import FROM_ARGUMENTS, FROM_OBJECT, Structure
from .samples import Budget, Unfit, plain_call
from .slices import Slice, program_name
from .source import is_typed


class Recorder:
    """One recording. `close` ends it; so does leaving a `with`, and leaving Python."""

    def __init__(
        self, model: Any, path: str, samples: int, every: int, megabytes: int, kwargs: dict[str, Any] | None
    ) -> None:
        self.path = ""
        """Where the capture is, absolute; empty when nothing could be begun."""
        self.why = ""
        """What went wrong, in words; empty while nothing did."""
        self._stage = ""
        self._handle: Any = None
        self._closed = False
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._refused: dict[str, int] = {}
        self._watched, self._model, self._kwargs = model, _bare(model), kwargs
        self._budget = Budget(samples, every, megabytes << 20)
        try:
            self._begin(path)
        except Exception as problem:  # noqa: BLE001 (the user's program goes on whatever this cannot do)
            self._give_up("nothing is captured", problem)

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
        self.path = _free(os.path.abspath(os.path.expanduser(path)))
        self._stage = f"{self.path}.part{os.getpid()}"
        os.makedirs(os.path.join(self._stage, SAMPLES))
        self._handle = self._watched.register_forward_pre_hook(self._called, with_kwargs=True)
        atexit.register(self.close)

    def _called(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before each forward: perhaps write down what it is given."""
        if torch.compiler.is_compiling() or not self._budget.wants():
            return
        if os.getpid() != self._pid or torch._C._get_tracing_state() is not None:
            return
        if not self._lock.acquire(blocking=False):
            return  # another thread's call is being written
        try:
            began = time.perf_counter()
            self._record(args, kwargs)
            self._budget.spend(time.perf_counter() - began)
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
        torch.save(content, os.path.join(self._stage, SAMPLES, f"{self._budget.taken:05d}.pt"))
        self._budget.take(size)

    def close(self) -> None:
        """Write the model's state and how it is built, and put the capture where it was wanted. Never raises."""
        with self._lock:
            if self._closed or os.getpid() != self._pid:
                return
            self._closed = True
        atexit.unregister(self.close)
        if self._handle is not None:
            self._handle.remove()
        if not self._stage or not os.path.isdir(self._stage):
            return
        try:
            self._finish()
        except Exception as problem:  # noqa: BLE001 (the user's program goes on whatever this cannot do)
            self._give_up("the capture could not be finished", problem)
            shutil.rmtree(self._stage, ignore_errors=True)
        finally:
            self._model = self._watched = None

    def _finish(self) -> None:
        state = {name: _plain_tensor(one) for name, one in self._model.state_dict().items()}
        torch.save(state, os.path.join(self._stage, STATE))
        piece = Slice()
        source, factory = self._architecture(piece)
        kind = type(self._model).__name__
        text = f'"""{kind}, as it was in {program_name()}. Open the capture, not this file."""\n\n'
        files = {SOURCE: text + piece.text + factory, **piece.files}
        for name, content in files.items():
            place = os.path.join(self._stage, CODE, name)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(place, "w", encoding="utf-8") as stream:
                stream.write(content)
        code = [f"{CODE}/{name}" for name in files] + [OBJECT] * (source == "object")
        left_out = [f"{number} × {reason}" for reason, number in self._refused.items()]
        manifest = {
            "schema": SCHEMA,
            "name": kind,
            "source": source,
            "why": self.why,
            "samples": self._budget.taken,
            "calls": self._budget.calls,
            "notes": piece.notes + [f"calls left out: {one}" for one in left_out],
            "code": {name: _digest(os.path.join(self._stage, name)) for name in code},
            "torch": torch.__version__,
            "python": sys.version.split()[0],
        }
        with open(os.path.join(self._stage, MANIFEST), "w", encoding="utf-8") as stream:
            json.dump(manifest, stream, indent=1)
        if os.path.isdir(self.path):  # an earlier capture of the same name
            shutil.rmtree(self.path)
        os.rename(self._stage, self.path)

    def _architecture(self, piece: Slice) -> tuple[str, str]:
        """(how it can be built, text of its factory); the source that it needs goes into `piece`."""
        model = self._model
        if self._kwargs is not None:
            if piece.add(type(model)) or type(model).__module__ != "__main__":
                words = {"factory": FACTORY, "name": _name_in(piece, type(model)), "training": model.training}
                return "arguments", FROM_ARGUMENTS.format(kwargs=self._kwargs, **words)
            return "", ""
        structure = Structure(model)
        try:
            data = structure.run()
        except Exception as problem:  # noqa: BLE001 (parts of the model run their own code when they are pickled)
            self._tell(f"the model's structure cannot be written down: {type(problem).__name__}: {problem}")
            self.why += ". Give the arguments of its constructor: capture.watch(…, kwargs={…})"
            piece.add(type(model))
            return "", ""
        found = [piece.add(root) for root in structure.roots.values()]
        if not all(found):
            self._tell("; ".join(piece.notes))
            return "", ""
        with open(os.path.join(self._stage, OBJECT), "wb") as stream:
            stream.write(data)
        if structure.extra:
            torch.save(structure.extra, os.path.join(self._stage, EXTRA))
        digest = hashlib.sha256(data).hexdigest()
        words = {"factory": FACTORY, "object": OBJECT, "extra": EXTRA, "sha256": digest}
        return "object", FROM_OBJECT.format(extras=bool(structure.extra), **words)

    def _give_up(self, what: str, problem: Exception) -> None:
        """Take the hook off, and say why."""
        with contextlib.suppress(Exception):  # a model that is half torn down may refuse even that
            if self._handle is not None:
                self._handle.remove()
        self._tell(f"{what}: {type(problem).__name__}: {problem}")

    def _tell(self, words: str) -> None:
        self.why = words
        print(f"workbench.capture: {words}", file=sys.stderr)  # noqa: T201 (the only way to be heard in a program)


def _bare(model: Any) -> Any:
    """The model inside what torch.compile and data parallelism wrap around it."""
    inner = getattr(model, "_orig_mod", None)
    if inner is None and isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        inner = model.module
    return model if inner is None else _bare(inner)


def _free(path: str) -> str:
    """`path`, or with a number where something lies there that is no earlier capture."""
    place, number = path, 2
    while os.path.lexists(place) and not (os.path.isdir(place) and is_capture(place)):
        place, number = f"{path}-{number}", number + 1
    return place


def _name_in(piece: Slice, kind: type) -> str:
    """How the class is called in `captured.py`, importing it there when it comes from a module."""
    if not is_typed(kind.__module__):
        piece.use(kind)
    return kind.__qualname__.split("<locals>.")[-1]


def _plain_tensor(value: Any) -> Any:
    return value.detach().cpu() if isinstance(value, torch.Tensor) else value


def _digest(path: str) -> str:
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()

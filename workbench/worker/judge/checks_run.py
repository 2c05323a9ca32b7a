"""What every check shares: the model run under the bench's modes, within a budget, and places in the user's code.

It never judges a question itself.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from workbench.protocol.artifacts import CheckRow
from workbench.protocol.model import Modes
from workbench.protocol.runs import INCOMPARABLE, LeafDiff, Yardstick
from workbench.worker.bench.failing import is_users
from workbench.worker.bench.modes import generators_kept, running
from workbench.worker.bench.sampling import map_tensors
from workbench.worker.bench.words import some
from workbench.worker.job import Job
from workbench.worker.judge.compare import compare
from workbench.worker.judge.held import Snapshot
from workbench.worker.judge.leaves import Flat, flatten
from workbench.worker.judge.verdict import judge_all

if TYPE_CHECKING:
    from workbench.worker.bench.bench import Bench


@dataclass
class Subject:
    """One check being worked on."""

    id: str
    bench: Bench
    yardstick: Yardstick
    job: Job
    budget: float
    """Seconds."""
    snapshot: Snapshot
    """The model as it was before the check."""
    started: float = field(default_factory=time.monotonic)

    def passed(self, evidence: str) -> CheckRow:
        return CheckRow(self.id, "pass", evidence)

    def failed(self, evidence: str, cause: str = "", remedy: str = "") -> CheckRow:
        return CheckRow(self.id, "fail", evidence, cause, remedy)

    def skipped(self, reason: str, remedy: str = "") -> CheckRow:
        return CheckRow(self.id, "skip", reason, remedy=remedy)

    def forward(
        self,
        args: Any = None,
        kwargs: Any = None,
        seed: int | None = None,
        model: nn.Module | None = None,
        modes: Modes | None = None,
    ) -> Any:
        """The output of one forward of the bench's model in its modes, on copies of its inputs, where not told others.

        With `seed` every generator starts there and is put back afterwards.
        """
        self.job.raise_if_cancelled()
        args = self.bench.args if args is None else args
        kwargs = self.bench.kwargs if kwargs is None else kwargs
        args, kwargs = map_tensors(args, _fresh), map_tensors(kwargs, _fresh)
        kept = contextlib.nullcontext() if seed is None else generators_kept(seed)
        with kept, running(modes or self.bench.modes):
            return (model or self.bench.model)(*args, **kwargs)

    def answer(
        self, args: Any = None, kwargs: Any = None, seed: int | None = None, model: nn.Module | None = None
    ) -> Flat:
        """`forward`, taken apart and detached."""
        flat = flatten(self.forward(args, kwargs, seed, model))
        return Flat(flat.structure, [(path, leaf.detach()) for path, leaf in flat.leaves], flat.opaque)

    def times(self, most: int, least: int = 1) -> Iterator[int]:
        """0, 1, … `most` - 1, ending early (never before `least`) when four fifths of the budget are spent."""
        for number in range(most):
            if number >= least and time.monotonic() - self.started > 0.8 * self.budget:
                return
            self.job.progress(f"check {self.id}", number, most)
            yield number


@dataclass(frozen=True)
class Comparison:
    """Two answers compared, as far as they can be."""

    structure: str
    """What differs in the trees; empty: nothing."""
    mark: str
    leaves: tuple[LeafDiff, ...]
    """Those that can be compared, judged."""
    left_out: str
    """A sentence that names the parts that cannot be: opaque objects, sparse tensors; empty where there is none."""


def compared(first: Flat, other: Flat, yardstick: Yardstick) -> Comparison:
    """Judge `other` by `first`; a part that nobody could compare accuses no model."""
    structure, leaves = compare(first, other)
    left_out = [f"{leaf.path} ({leaf.reason})" for leaf in leaves if leaf.mark == INCOMPARABLE]
    mark, kept = judge_all(structure, [leaf for leaf in leaves if leaf.mark != INCOMPARABLE], yardstick)
    return Comparison(structure, mark, kept, f" Not compared: {some(left_out, 4)}." if left_out else "")


def _fresh(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


@contextlib.contextmanager
def watching(model: nn.Module, before: Callable[..., None], after: Callable[..., None]) -> Iterator[None]:
    """Inside, `before(path, module, inputs)` and `after(path, module, output)` are called for each module's forward.

    Hooks switch nn.TransformerEncoderLayer's fast path off: use it to find a cause, never for a verdict.
    """
    handles = []
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            continue  # takes no such hooks

        def enter(module: nn.Module, args: Any, kwargs: Any, path: str = path) -> None:
            before(path, module, (args, kwargs))

        def leave(module: nn.Module, args: Any, kwargs: Any, output: Any, path: str = path) -> None:
            after(path, module, output)

        handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(module.register_forward_hook(leave, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def named(path: str, module: nn.Module) -> str:
    """ "body.drop (Dropout)"."""
    return f"{path or 'the model itself'} ({type(module).__name__})"


def located(path: str, module: nn.Module) -> str:
    """`named`, and for modules that are not torch's own the file.py:line of their forward."""
    code = getattr(getattr(type(module), "forward", None), "__code__", None)
    if code is None or not is_users(code.co_filename):
        return named(path, module)
    return f"{named(path, module)} at {os.path.basename(code.co_filename)}:{code.co_firstlineno}"


def users_line() -> str:
    """file.py:line of the innermost frame of the user's on the present stack; empty where there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if is_users(frame.f_code.co_filename):
            return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


class FirstOperator(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the first operator for which `test(operator, args, kwargs, output)` holds, and the user's line of it.

    It slows a forward down and changes no value; it may switch off fast paths.
    """

    def __init__(self, test: Callable[[Any, Any, Any, Any], bool]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.words = ""
        """ "aten._to_copy at model.py:41"; empty: none so far."""
        self._test = test

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if not self.words and self._test(func, args, kwargs, output):
            place = users_line()
            self.words = f"{func.overloadpacket}{f' at {place}' if place else ''}"
        return output

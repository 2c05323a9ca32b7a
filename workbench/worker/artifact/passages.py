"""Passages: what a run computes at each line of the user's code, and the module that it does it in.

Owns the record, and eager's own passages: every operator is put down under the user's innermost line. Judges nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import linecache
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from workbench.worker.artifact.subject import Subject, run_eager
from workbench.worker.bench.failing import is_users
from workbench.worker.bench.sampling import map_tensors, tensors_in

LARGEST = 256 << 20
"""Bytes of intermediate values from which no more are kept."""

_STACK = re.compile(r'(?:File "(?P<file>[^"]+)", line (?P<line>\d+))|(?:(?P<traced>[^\s:()]+\.py)\((?P<at>\d+)\))')


_TORCHS_OWN = ("torch/", "code/__torch__/torch/")
"""How passes of torch's exporter begin their place when they make a node themselves, and torch's own functions in an
archive of TorchScript: no paths of this machine."""

_INSTALLED = re.compile(r"(?:site|dist)-packages/torch/|/lib/python3\.\d+/(?!(?:site|dist)-packages/)")
"""In the path of torch's own files, and the standard library's, on the machine that an artifact was made on."""

_TORCHS_HOME = os.path.dirname(str(torch.__file__))


@dataclass
class Passage:
    """Consecutive operators of one line of the user's."""

    file: str
    line: int
    value: torch.Tensor | None
    """The last tensor that was made there, on the CPU."""
    module: str = ""
    """Path of the module that made it; empty where that is not known."""
    inside: list[Passage] = field(default_factory=list)
    """What was merged into this one: the modules that the line called."""
    number: int = 0
    """Of the passage in its run, before any were merged; of a merged one that of its last."""
    operators: int = 1
    """How many operators the passage had, merged ones those of its last."""
    text: str = ""
    """The line as the artifact wrote it down; empty where it did not."""
    kinds: tuple[str, ...] = ()
    """Names of its operators as the runtime has them, merged ones those of all."""
    others: tuple[torch.Tensor, ...] = ()
    """What else its last operator answered with, or what else leaves the line: which is meant is told by comparing."""
    shown: str = ""
    """How its file is named in words, where its name alone does not tell it from another."""

    @property
    def key(self) -> tuple[str, int]:
        return self.file, self.line

    @property
    def source(self) -> str:
        return self.text or linecache.getline(self.file, self.line).strip()

    @property
    def place(self) -> str:
        return f"{self.shown or os.path.basename(self.file)}:{self.line}"

    @property
    def words(self) -> str:
        module = f" in {self.module}" if self.module else ""
        source = f" ({self.source})" if self.source else ""
        return f"{self.place}{module}{source}"


Put = Mapping[int, tuple[int, torch.Tensor]]
"""Number of a passage → how many operators it has, and what stands in place of the value of the last of them."""


def keep(passages: list[Passage], new: Passage) -> None:
    """A new passage of one operator, or a later value of the last one."""
    kept = None if new.value is None else new.value.detach().cpu().clone()
    others = tuple(one.detach().cpu().clone() for one in new.others)
    last = passages[-1] if passages else None
    if last is not None and (last.file, last.line, last.module) == (new.file, new.line, new.module):
        if kept is not None:
            last.value, last.others = kept, others
        last.operators += 1
        last.kinds += new.kinds
    else:
        passages.append(replace(new, value=kept, others=others, number=len(passages)))


def merged(passages: list[Passage]) -> list[Passage]:
    """One passage for what a line makes in a row, whatever the modules: graphs do not all name them."""
    found: list[Passage] = []
    for one in passages:
        before = found.pop() if found and found[-1].key == one.key else None
        inside, kinds = (before.inside, before.kinds) if before is not None else ([], ())
        found.append(replace(one, inside=[*inside, one], kinds=(*kinds, *one.kinds)))
    return found


def place_in(stack: str, innermost_first: bool = False) -> tuple[str, int] | None:
    """(file, line) of the innermost frame of the user's in a stack as torch writes it."""
    found = [(match["file"] or match["traced"], int(match["line"] or match["at"])) for match in _STACK.finditer(stack)]
    own = [(file, line) for file, line in found if is_users(file) and not _torchs(file)]
    return (own[0] if innermost_first else own[-1]) if own else None


def hidden_in(stack: str) -> bool:
    """Whether a stack names lines, and none of the user's."""
    return _STACK.search(stack) is not None and place_in(stack, innermost_first=True) is None


def _torchs(file: str) -> bool:
    """Whether a file is torch's own, or Python's, on the machine that an artifact was made on. Where torch was built
    from source its folder may be anywhere: what is in it is in this torch too."""
    path = file.replace("\\", "/")
    if path.startswith(_TORCHS_OWN) or _INSTALLED.search(path):
        return True
    _, folder, rest = path.rpartition("/torch/")
    return bool(folder) and os.path.isfile(os.path.join(_TORCHS_HOME, rest))


def text_in(stack: str, file: str, line: int) -> str:
    """What a line says, as a stack has it below the frame; empty where it has not."""
    own = f'File "{file}", line {line}, in '
    below = [said for frame, said in itertools.pairwise(stack.splitlines()) if frame.strip().startswith(own)]
    return "" if not below or below[-1].strip().startswith('File "') else below[-1].strip()


def eager_passages(
    subject: Subject, args: tuple[Any, ...], kwargs: dict[str, Any], put: Put | None = None
) -> list[Passage]:
    """Merged passages of one call of eager, whose inputs are copied.

    put: values of another side that the model goes on with. The passages themselves hold what eager made of them: its
    own step on the other side's values.
    """
    torch.backends.mha.set_fastpath_enabled(False)  # its one operator would hide every line
    watch = _Watch(put or {})
    copied = map_tensors(args, torch.clone), map_tensors(kwargs, torch.clone)
    with _modules_named(subject.model, watch.modules), watch:
        run_eager(subject.model, *copied)
    return merged(watch.passages)


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Puts down what eager's operators answer, under the user's innermost line."""

    def __init__(self, put: Put) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.put = put
        self.passages: list[Passage] = []
        self.modules: list[str] = []
        self.bytes = 0
        self._views: list[tuple[Passage, torch.Tensor]] = []
        """Held, so that their memory is nobody else's."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        tensors = tensors_in(answer)
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and not is_users(frame.f_code.co_filename):
            frame = None if frame.f_code is run_eager.__code__ else frame.f_back
        if frame is not None:
            several = len(func._schema.returns) > 1  # the first is the answer; the rest may be kept for backward
            value = tensors[0 if several else -1] if tensors else None
            others = tuple(tensors[1:]) if several else ()
            self.bytes += sum(one.numel() * one.element_size() for one in (value, *others) if one is not None)
            module = self.modules[-1] if self.modules else ""
            if self.bytes <= LARGEST:
                file, line = frame.f_code.co_filename, frame.f_lineno
                keep(self.passages, Passage(file, line, value, module, kinds=(func._schema.name,), others=others))
                if func._schema.is_mutable and args and isinstance(args[0], torch.Tensor):
                    self._forget(args[0])
                if value is not None and value.layout == torch.strided:
                    self._views.append((self.passages[-1], value))
                return self._replaced(func, answer)
        return answer

    def _forget(self, written: torch.Tensor) -> None:
        """A line whose value another view is written through: a graph without writes makes that value anew there."""
        if written.layout != torch.strided:
            return
        storage, view = _memory(written)
        for passage, value in self._views:
            held, seen = _memory(value)
            if held == storage and seen != view and passage is not self.passages[-1]:
                passage.value, passage.others = None, ()

    def _replaced(self, func: Any, answer: Any) -> Any:
        """What the model goes on with. What an operator writes in place is left alone: it may be the model's own."""
        operators, other = self.put.get(self.passages[-1].number, (0, None))
        if other is None or operators != self.passages[-1].operators:
            return answer
        if not isinstance(answer, torch.Tensor) or func._schema.is_mutable:
            return answer
        if (other.shape, other.dtype) != (answer.shape, answer.dtype):
            return answer
        return other.to(answer.device, copy=True)


def _memory(value: torch.Tensor) -> tuple[int, tuple[Any, ...]]:
    """Where a tensor's numbers lie, and how it sees them."""
    return value.untyped_storage().data_ptr(), (value.storage_offset(), tuple(value.shape), value.stride())


@contextlib.contextmanager
def _modules_named(model: torch.nn.Module, stack: list[str]) -> Iterator[None]:
    """Inside, `stack` holds the paths of the modules that are running."""
    handles = []
    for path, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(lambda *_, path=path: stack.append(path)))
        handles.append(module.register_forward_hook(lambda *_: stack.pop() and None, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()

"""Where an artifact leaves the eager model: the first line of the user's code whose value is another one.

Both are run once more on one input, and every tensor they make is put down under the user's line that made it. A
branch shows as a line that only one side computes. For a trace and a program of torch.export. Judges nothing.
"""

from __future__ import annotations

import contextlib
import difflib
import linecache
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

import torch
from torch.fx import Interpreter
from torch.utils._python_dispatch import TorchDispatchMode

from workbench.worker.artifact.loading import Opened
from workbench.worker.artifact.subject import Subject, run_eager
from workbench.worker.bench.failing import is_users
from workbench.worker.bench.sampling import map_tensors, tensors_in
from workbench.worker.judge.leaves import flatten

SHARE = 1e-4
"""Of the largest value of a tensor: a difference above it (64 eps where that is more) is no noise of one operator."""

LARGEST = 256 << 20
"""Bytes of intermediate values from which nothing is looked for."""

_STACK = re.compile(r'(?:File "(?P<file>[^"]+)", line (?P<line>\d+))|(?:(?P<traced>[^\s:()]+\.py)\((?P<at>\d+)\))')


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

    @property
    def key(self) -> tuple[str, int]:
        return os.path.basename(self.file), self.line

    @property
    def source(self) -> str:
        return linecache.getline(self.file, self.line).strip()

    @property
    def words(self) -> str:
        module = f" in {self.module}" if self.module else ""
        return f"{os.path.basename(self.file)}:{self.line}{module} ({self.source})"


def parting(subject: Subject, opened: Opened, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Where both part on this input, in words; empty where nothing is found or the kind shows no graph."""
    program = opened.program
    copied = map_tensors(args, torch.clone), map_tensors(kwargs, torch.clone)
    if isinstance(program, torch.jit.ScriptModule):
        theirs = _of_trace(program, [leaf for _, leaf in flatten(copied).leaves])
    elif isinstance(program, torch.export.ExportedProgram):
        theirs = _of_program(program, *copied)
    else:
        return ""
    ours = _of_eager(subject, args, kwargs)
    return _first_difference(ours, theirs)


def _first_difference(ours: list[Passage], theirs: list[Passage]) -> str:
    matcher = difflib.SequenceMatcher(None, [one.key for one in ours], [one.key for one in theirs], autojunk=False)
    last = ""
    for word, start, end, other, stop in matcher.get_opcodes():
        if word != "equal":
            # a test leaves nothing in a graph: its own line is missing there whatever it decided
            missing = [one for one in ours[start:end] if not _tests(one.source)]
            more = theirs[other:stop]
            after = f", after {last}" if last else ""
            if missing and more:
                return f"eager computes {missing[0].words} where the artifact computes {more[0].words}{after}"
            if missing:
                return f"eager computes {missing[0].words}, and the artifact does not{after}"
            if more:
                return f"the artifact computes {more[0].words}, and eager does not{after}"
            continue
        for one, their in zip(ours[start:end], theirs[other:stop], strict=True):
            words = _differs(one.value, their.value)
            if words:
                before = f"; all before it agree, the last at {last}" if last else "; nothing was computed before it"
                module, words = _first_module(one, their) or (one, words)
                return f"first at {module.words}: {words}{before}"
            last = f"{one.key[0]}:{one.key[1]}"
    return ""


def _first_module(ours: Passage, theirs: Passage) -> tuple[Passage, str] | None:
    """The first module, of those that both name on this line, whose last value differs; None where none is named."""
    known = {one.module: one.value for one in theirs.inside if one.module}
    last = {one.module: one for one in ours.inside if one.module in known}
    for module, one in last.items():
        words = _differs(one.value, known[module])
        if words:
            return one, words
    return None


def _tests(source: str) -> bool:
    return source.startswith(("if ", "elif ", "while ", "assert ", "for "))


def _differs(ours: torch.Tensor | None, theirs: torch.Tensor | None) -> str:
    if ours is None or theirs is None:
        return ""
    if ours.shape != theirs.shape:
        return f"shape {list(theirs.shape)} in place of {list(ours.shape)}"
    if not ours.numel():
        return ""
    one, other = ours.double(), theirs.double()
    peak = float(torch.nan_to_num(one, 0.0, 0.0, 0.0).abs().max())
    eps = torch.finfo(ours.dtype).eps if ours.is_floating_point() else 0.0
    delta = torch.nan_to_num((one - other).abs(), 0.0, 0.0, 0.0)
    worst = float(delta.max())
    if worst <= max(SHARE, 64 * eps) * peak:
        return ""
    return f"max|Δ| {worst:.3g} where eager's largest is {peak:.3g}"


def _keep(passages: list[Passage], file: str, line: int, module: str, value: torch.Tensor | None) -> None:
    """A new passage, or a later value of the last one."""
    kept = None if value is None else value.detach().cpu().clone()
    if passages and (passages[-1].file, passages[-1].line, passages[-1].module) == (file, line, module):
        passages[-1].value = kept if kept is not None else passages[-1].value
    else:
        passages.append(Passage(file, line, kept, module))


def _merged(passages: list[Passage]) -> list[Passage]:
    """One passage for what a line makes in a row, whatever the modules: graphs do not all name them."""
    found: list[Passage] = []
    for one in passages:
        if found and found[-1].key == one.key:
            inside = found.pop().inside
            found.append(replace(one, inside=[*inside, one]))
        else:
            found.append(replace(one, inside=[one]))
    return found


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Puts down what eager's operators answer, under the user's innermost line."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.passages: list[Passage] = []
        self.modules: list[str] = []
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        tensors = tensors_in(answer)
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and not is_users(frame.f_code.co_filename):
            frame = None if frame.f_code is run_eager.__code__ else frame.f_back
        if frame is not None:
            value = tensors[-1] if tensors else None
            self.bytes += value.numel() * value.element_size() if value is not None else 0
            module = self.modules[-1] if self.modules else ""
            if self.bytes <= LARGEST:
                _keep(self.passages, frame.f_code.co_filename, frame.f_lineno, module, value)
        return answer


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


def _of_eager(subject: Subject, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Passage]:
    torch.backends.mha.set_fastpath_enabled(False)  # its one operator would hide every line
    watch = _Watch()
    copied = map_tensors(args, torch.clone), map_tensors(kwargs, torch.clone)
    with _modules_named(subject.model, watch.modules), watch:
        run_eager(subject.model, *copied)
    return _merged(watch.passages)


class _Reading(Interpreter):
    """Runs an exported graph node by node."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module)
        self.passages: list[Passage] = []

    def run_node(self, n: torch.fx.Node) -> Any:
        value = super().run_node(n)
        place = _place(n.stack_trace or "") if n.op == "call_function" else None
        if place is not None and isinstance(value, torch.Tensor):
            stack = list((n.meta.get("nn_module_stack") or {}).values())
            path = str(stack[-1][0]) if stack else ""
            _keep(self.passages, *place, path, value)
        return value


def _of_program(program: torch.export.ExportedProgram, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Passage]:
    module = program.module()
    leaves = [leaf for _, leaf in flatten((args, kwargs)).leaves]
    assert isinstance(module, torch.fx.GraphModule)
    reading = _Reading(module)
    with torch.no_grad():
        reading.run(*leaves, enable_io_processing=False)
    return _merged(reading.passages)


def _of_trace(module: torch.jit.ScriptModule, leaves: list[torch.Tensor]) -> list[Passage]:
    """Every tensor of the inlined graph, as the outputs of a copy of it."""
    graph = module.inlined_graph.copy()
    nodes = [node for node in graph.nodes() if node.kind().startswith("aten::")]
    made = [
        (_place(str(node.sourceRange() or ""), innermost_first=True), value)
        for node in nodes
        for value in node.outputs()
        if value.type().kind() == "TensorType"
    ]
    while list(graph.outputs()):
        graph.eraseOutput(0)
    values = [value for _, value in made]
    together = graph.insertNode(graph.create("prim::TupleConstruct", values, 1))
    together.output().setType(torch._C.TupleType([value.type() for value in values]))
    graph.registerOutput(together.output())
    function = torch._C._create_function_from_graph("forward", graph)
    with torch.no_grad():
        answers = function(module._c, *leaves)
    passages: list[Passage] = []
    for (place, _), answer in zip(made, answers, strict=True):
        if place is not None:
            _keep(passages, *place, "", answer)
    return _merged(passages)


def _place(stack: str, innermost_first: bool = False) -> tuple[str, int] | None:
    """(file, line) of the innermost frame of the user's in a stack as torch writes it."""
    found = [(match["file"] or match["traced"], int(match["line"] or match["at"])) for match in _STACK.finditer(stack)]
    own = [(file, line) for file, line in found if is_users(file)]
    return (own[0] if innermost_first else own[-1]) if own else None

"""One module looked into: what it is, and what went through it in the last run, by a replay with it alone watched.

Owns the record `Inside`. Verdict runs are never watched, so the run is made once more from what it started from;
the model, its inputs and the generators are as before afterwards.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.inside import HeldTensor, Inside, LookInside, ModuleCall, TensorStats
from workbench.protocol.text import shorten
from workbench.worker.bench.words import closest
from workbench.worker.inside.source import source_of
from workbench.worker.inside.stats import statistics
from workbench.worker.job import Cancelled, Job
from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.live import kept_as_it_is, replay
from workbench.worker.judge.recording import Recorder
from workbench.worker.judge.replay import Parts, Record
from workbench.worker.judge.watch import users_line

if TYPE_CHECKING:
    from workbench.worker.bench.bench import Bench
    from workbench.worker.judge.run import Runs

MOST_CALLS = 32
"""Calls with their statistics; more are counted."""
MOST_LEAVES = 16
"""Tensors of one call's inputs, and of its outputs."""
MOST_HELD = 64
"""Parameters and buffers of the module."""
MOST_HOOKS = 32
_DETAILS = 300
"""Characters of extra_repr."""

_PRIVATE = "workbench_model_"
"""Beginning of the name under which a model's file is imported."""

_HOOKS = (
    ("_forward_pre_hooks", "forward pre"),
    ("_forward_hooks", "forward"),
    ("_backward_pre_hooks", "backward pre"),
    ("_backward_hooks", "backward"),
    ("_state_dict_hooks", "state_dict"),
    ("_state_dict_pre_hooks", "state_dict pre"),
    ("_load_state_dict_pre_hooks", "load_state_dict pre"),
    ("_load_state_dict_post_hooks", "load_state_dict post"),
)


def look_inside(bench: Bench, runs: Runs, request: LookInside, job: Job) -> Inside:
    """The module at `request.path`. Raises `WorkbenchError("usage")` when there is none."""
    modules = dict(bench.model.named_modules(remove_duplicate=False))
    module = modules.get(request.path)
    if module is None:
        remedy = closest(request.path, list(modules)) or "Choose one of the tree."
        raise error("usage", f"The model has no module {request.path!r}.", request.path, remedy)
    hooks = tuple(_hooks(module))  # before ours are among them
    job.progress("reading the source")
    source, note = source_of(module, (bench.info.source, bench.info.source_sha256))
    job.progress("measuring parameters")
    held, left_out = _held(module, job)
    run, record, about = start_of_last_run(bench, runs)
    watched = Watched(module, job)
    if record is None:
        run = 0
    elif isinstance(module, torch.jit.ScriptModule) and request.path:
        about = "It is called from inside TorchScript, where nothing can watch it."
    else:
        job.progress("replaying the last run" if run else "running the model once, watched")
        raised = replayed(bench, record, watched.on, job)
        about = " ".join(part for part in (about, raised) if part)
    kind = type(module)
    return Inside(
        request.path,
        f"{kind.__module__.removeprefix(_PRIVATE)}.{kind.__qualname__}",
        module.training,
        _details(module),
        source,
        note,
        held,
        left_out,
        hooks,
        run,
        tuple(watched.calls),
        watched.left_out,
        about,
    )


def start_of_last_run(bench: Bench, runs: Runs) -> tuple[int, Record | None, str]:
    """(run, what it started from, what to know about that); (0, the present state, …) before any run was fired."""
    parts = Parts(bench.model)
    if not runs.rows:
        record = Recorder().take(parts, bench.modes, bench.args, bench.kwargs)
        return 0, record, "Nothing was fired yet: this is one forward from the present state, and counts as no run."
    run = max(runs.rows)
    record = runs.rows[run].record
    if record.model() is not bench.model:
        return run, None, f"The model was loaded again since run {run}: space fires the new one."
    if not record.replayable:
        return run, None, f"What run {run} started from is no longer kept: space fires once more."
    notes = []
    if record.weights != parts.weights():
        notes.append(f"The weights were changed since run {run}: it was made again with those of now.")
    if record.inputs_changed():
        notes.append(f"The inputs of run {run} were changed in place since: it was made again with those of now.")
    return run, record, " ".join(notes)


@contextmanager
def hooked(module: nn.Module, enter: Callable[..., None], leave: Callable[..., None]) -> Iterator[None]:
    """`enter(module, args, kwargs)` before each of the module's calls, `leave(module, args, kwargs, output)` after."""
    handles = [
        module.register_forward_pre_hook(enter, with_kwargs=True),
        module.register_forward_hook(leave, with_kwargs=True),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def replayed(bench: Bench, record: Record, watching: Any, job: Job) -> str:
    """Run once more from `record` inside `watching()`, everything put back afterwards; what it raised, in words."""
    parts = Parts(bench.model)
    try:
        with job.passing_over("the run is replayed"), kept_as_it_is(bench.model), watching():
            replay(bench.model, parts, record)
    except (WorkbenchError, Cancelled):
        raise
    except Exception as problem:  # noqa: BLE001 (the forward's own: what was seen until then is the answer)
        from workbench.worker.bench.diagnosis import explain

        failure = explain(problem, bench.model, record.args, record.kwargs)
        where = f" At {failure.where}." if failure.where else ""
        return f"The forward raised: {failure.message}{where}"
    return ""


class Watched:
    """Every call of one module in one forward."""

    def __init__(self, module: nn.Module, job: Job) -> None:
        self.calls: list[ModuleCall] = []
        self.left_out = 0
        self._module, self._job = module, job
        self._open: list[ModuleCall | None] = []
        self._count = 0

    @contextmanager
    def on(self) -> Iterator[None]:
        """Two hooks, removed afterwards."""
        try:
            with hooked(self._module, self._enter, self._leave):
                yield
        finally:
            self.calls += [call for call in self._open if call is not None]  # those that did not return
            self.calls.sort(key=lambda call: call.number)

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self._job.raise_if_cancelled()
        number, self._count = self._count, self._count + 1
        if number >= MOST_CALLS:
            self.left_out += 1
            self._open.append(None)
            return
        site = users_line(sys._getframe(1))[0]
        stats, others = self._look(_named(module, args, kwargs))
        self._open.append(ModuleCall(number, site, stats, (), others, returned=False))

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        call = self._open.pop() if self._open else None
        if call is None:
            return
        stats, others = self._look({"output": output})
        self.calls.append(ModuleCall(call.number, call.site, call.inputs, stats, call.others + others))

    def _look(self, values: dict[str, Any]) -> tuple[tuple[TensorStats, ...], tuple[str, ...]]:
        tensors: list[tuple[str, torch.Tensor]] = []
        others: list[str] = []
        for name, value in values.items():
            flat = flatten(value, name)
            tensors += flat.leaves
            for line in flat.structure.split("\n"):
                path, _, kind = line.partition("\t")
                if kind != "tensor" and " of " not in kind:
                    others.append(shorten(f"{path} = {kind}", 100))
        stats = tuple(statistics(path, one, self._job.raise_if_cancelled) for path, one in tensors[:MOST_LEAVES])
        if len(tensors) > MOST_LEAVES:
            others.insert(0, f"and {len(tensors) - MOST_LEAVES} more tensors")
        return stats, tuple(others[:MOST_LEAVES])


def _named(module: nn.Module, args: Any, kwargs: Any) -> dict[str, Any]:
    """Arguments by the names that forward gives them."""
    code = getattr(getattr(module.forward, "__func__", module.forward), "__code__", None)
    names = code.co_varnames[1 : code.co_argcount] if code is not None else ()
    named = {names[place] if place < len(names) else f"args[{place}]": value for place, value in enumerate(args)}
    return {**named, **kwargs}


def _held(module: nn.Module, job: Job) -> tuple[tuple[HeldTensor, ...], int]:
    own: list[tuple[str, str, torch.Tensor]] = []
    own += [(name, "parameter", held) for name, held in module.named_parameters(recurse=False)]
    unsaved: set[str] = getattr(module, "_non_persistent_buffers_set", set())
    for name, held in module.named_buffers(recurse=False):
        own.append((name, "buffer, not saved" if name in unsaved else "buffer", held))
    kept = []
    for name, kind, tensor in own[:MOST_HELD]:
        job.raise_if_cancelled()
        if nn.parameter.is_lazy(tensor):
            stats = TensorStats(name, str(tensor.dtype)[6:], (), 0, note="it gets its shape at the first run")
        else:
            stats = statistics(name, tensor, job.raise_if_cancelled)
        kept.append(HeldTensor(name, kind, stats))
    return tuple(kept), max(0, len(own) - MOST_HELD)


def _hooks(module: nn.Module) -> Iterator[str]:
    found = [(word, hook) for name, word in _HOOKS for hook in getattr(module, name, {}).values()]
    for word, hook in found[:MOST_HOOKS]:
        hook = getattr(hook, "hook", hook)
        code = getattr(getattr(hook, "__func__", hook), "__code__", None)
        name = str(getattr(hook, "__qualname__", type(hook).__qualname__))
        place = f" ({code.co_filename}:{code.co_firstlineno})" if code is not None else ""
        yield shorten(f"{word}: {name}{place}", 200)
    if len(found) > MOST_HOOKS:
        yield f"and {len(found) - MOST_HOOKS} more"


def _details(module: nn.Module) -> str:
    try:
        return shorten(str(module.extra_repr()), _DETAILS)
    except Exception as problem:  # noqa: BLE001 (it is the user's code)
        return f"extra_repr raised {type(problem).__name__}"

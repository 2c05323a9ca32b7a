"""One cell of the mode matrix: a forward in its modes, what it answered, cost, kept and changed.

Owns a single look. Which cells there are, in which order, and how they are timed beside each other is `matrix.py`'s.
The model is afterwards as before, but for its train flags.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

from torch import nn

from workbench.protocol.matrix import Cell
from workbench.protocol.model import ModeChange, Modes
from workbench.protocol.runs import BEYOND, Yardstick
from workbench.worker.bench import modes as switches
from workbench.worker.bench.inputs import Example
from workbench.worker.job import Job
from workbench.worker.judge import memory
from workbench.worker.judge.compare import compare
from workbench.worker.judge.compiling import Counts, compiled
from workbench.worker.judge.held import Snapshot
from workbench.worker.judge.leaves import Flat, flatten
from workbench.worker.judge.pace import synchronizer
from workbench.worker.judge.peak import Peak
from workbench.worker.judge.replay import Generators, Parts
from workbench.worker.judge.snapshot import untouched_model
from workbench.worker.judge.store import detached, output_bytes, same_bits
from workbench.worker.judge.verdict import judge_all

COPIED = 1 << 30
"""Bytes of an output beyond which it is not copied, and so not compared."""


@dataclass
class Ground:
    """The model in one dtype, and its inputs."""

    model: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    device: str
    seed: int
    """Every generator starts here before each look."""
    compiled: Any = None
    """The same model under torch.compile, once a cell wanted it."""

    def dtype(self) -> str:
        return Parts(self.model).dtype()

    def enter(self, cell: Cell) -> None:
        """Put the model in the cell's train flag, by its own train()."""
        modes = switches.read_modes(self.model, Modes(device=self.device))
        switches.apply(self.model, None, modes, ModeChange(training=cell.training))

    def callee(self, cell: Cell) -> Callable[..., Any]:
        """What is called: the model, or the model under torch.compile."""
        if not cell.compiled:
            return self.model
        if self.compiled is None:
            self.compiled = compiled(self.model)
        called: Callable[..., Any] = self.compiled
        return called


class Grounds:
    """The model in every dtype that cells want: its own, and copies that are cast when they are first asked for."""

    def __init__(self, model: nn.Module, example: Example, device: str, job: Job) -> None:
        self._example, self._device, self._job = example, device, job
        args, kwargs = example.sample(example.seed)
        self._known = {"": Ground(model, args, kwargs, device, example.seed)}

    def get(self, cast: str) -> Ground:
        """The model cast to this dtype, "" for its own. Raises what copying or casting it raises."""
        if cast not in self._known:
            self._job.progress(f"casting a copy to {cast}")
            model, example = copy.deepcopy(self._known[""].model), copy.copy(self._example)
            modes = switches.read_modes(model)
            switches.apply(model, example, modes, ModeChange(dtype=cast, device=self._device))
            args, kwargs = example.sample(example.seed)
            self._known[cast] = Ground(model, args, kwargs, self._device, example.seed)
        return self._known[cast]


@dataclass
class Seen:
    """What one look found."""

    flat: Flat
    """The answer, detached and on the CPU; without leaves where it was too large to copy."""
    too_large: int
    """Bytes of an answer that was not copied; 0 when it was."""
    seconds: float
    """One forward, warm where there was time for a second one."""
    saved_bytes: int
    peak_bytes: int
    mutated: tuple[str, ...]
    moved: tuple[str, ...]
    """Generators that it drew from."""
    varies: bool
    """The answer is another with another seed, or from run to run, as far as it can be compared."""
    compile_seconds: float = 0.0
    counts: Counts = field(default_factory=lambda: Counts(0, 0, 0, 0))


def look(ground: Ground, cell: Cell, slow: bool, alive: Callable[[], None]) -> Seen:
    """Run the cell one to three times, each from the same state and generators. With `slow`, once.

    `alive` is called between two forwards and may raise. Raises what the model, or its compilation, raises.
    """
    ground.enter(cell)
    call = ground.callee(cell)
    with untouched_model(ground.model, ground.args, ground.kwargs) as snapshot:
        before = Counts.take() if cell.compiled else None
        once = _Forward(ground, cell, call)
        if slow and not cell.compiled:
            with Peak(ground.device) as peak:
                output, first, moved = once(ground.seed)
        else:
            peak = Peak(ground.device)
            output, first, moved = once(ground.seed)
        flat, size = _copy(output)
        saved = memory.saved_bytes([tensor for _, tensor in flatten(output).leaves], ground.model.parameters())
        del output
        mutated = mutations(snapshot)
        seen = Seen(flat, size, first, saved, peak.bytes, mutated, moved, bool(moved))
        if cell.compiled and before is not None:
            seen.compile_seconds, seen.counts = first, Counts.take().since(before)
        if slow and not cell.compiled:
            return seen
        _again(seen, once, snapshot, ground, alive)
        return seen


def _again(seen: Seen, once: _Forward, snapshot: Snapshot, ground: Ground, alive: Callable[[], None]) -> None:
    """A second forward for the warm time, the peak and whether it repeats; a third for what it draws."""
    alive()
    snapshot.restore()
    with Peak(ground.device) as peak:
        output, seen.seconds, _ = once(ground.seed)
    seen.peak_bytes = peak.bytes
    again, _ = _copy(output)
    del output
    seen.varies = not seen.too_large and parted(seen.flat, again)
    if not seen.moved or seen.varies:
        return
    alive()
    snapshot.restore()
    output, _, _ = once(ground.seed + 1)
    seen.varies = not seen.too_large and parted(seen.flat, _copy(output)[0], bits=True)


def parted(one: Flat, other: Flat, bits: bool = False) -> bool:
    """Whether two answers are seen to differ: by more than rounding does, or with `bits` at all.

    What cannot be compared (an opaque object, the meta device) shows no difference.
    """
    if same_bits(one, other):
        return False
    structure, leaves = compare(one, other)
    if bits:
        return bool(structure) or any(leaf.mark == BEYOND for leaf in leaves)  # nothing has judged them yet
    return judge_all(structure, leaves, Yardstick("tolerance"))[0] == BEYOND


@dataclass(frozen=True)
class _Forward:
    """One forward of a cell."""

    ground: Ground
    cell: Cell
    call: Callable[..., Any]

    def __call__(self, seed: int) -> tuple[Any, float, tuple[str, ...]]:
        """(output, seconds, generators it drew from)."""
        ground = self.ground
        wait = synchronizer(ground.device) or _nothing
        with switches.generators_kept(seed), switches.grad_context(self.cell.grad):
            before = Generators.take()
            wait()
            began = time.perf_counter()
            output = self.call(*ground.args, **ground.kwargs)
            wait()
            taken = time.perf_counter() - began
            return output, taken, before.moved(Generators.take())


def block_of(ground: Ground, cell: Cell) -> Callable[[int], float]:
    """A function that runs so many forwards in the cell's modes and gives the seconds that they took together."""
    ground.enter(cell)
    flags = [(module, module.training) for module in ground.model.modules()]
    call, wait = ground.callee(cell), synchronizer(ground.device) or _nothing
    args, kwargs, grad = ground.args, ground.kwargs, cell.grad

    def run(count: int) -> float:
        for module, training in flags:
            if module.training != training:
                module.training = training
        with switches.grad_context(grad):
            wait()
            began = time.perf_counter()
            for _ in repeat(None, count):
                call(*args, **kwargs)
            wait()
            return time.perf_counter() - began

    return run


def _nothing() -> None:
    return


def _copy(output: Any) -> tuple[Flat, int]:
    flat = flatten(output)
    size = output_bytes(flat)
    if size > COPIED:
        return Flat(flat.structure, [], flat.opaque), size
    return detached(flat), 0


def mutations(snapshot: Snapshot) -> tuple[str, ...]:
    """What is no longer as it was then: "buffer norm.running_mean", "input 0", "attribute calls (0 → 1)"."""
    buffers = {path for path, _ in snapshot.changed_buffers()}
    found = []
    for name, how in snapshot.moved():
        if name in buffers:
            found.append(f"buffer {name}")
        else:
            found.append(name if name.startswith("input ") else f"attribute {name} ({how})")
    return tuple(found)

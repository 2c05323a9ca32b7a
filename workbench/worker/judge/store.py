"""The bounded store of what runs answered: detached copies on the CPU, the oldest bulk in files.

Owns the copies, their private directory and the byte count that growth is measured without. It never holds a
graph, never compares, and never writes anywhere but into its own directory, which goes when it does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
import weakref
from pathlib import Path

import torch

from workbench.protocol.failures import WorkbenchError, error
from workbench.worker.judge.leaves import Flat
from workbench.worker.judge.pieces import bytes_of, is_plain_tensor, pieces, shape_of

MEMORY_BUDGET = 256 << 20
"""Bytes of outputs held in memory; the oldest beyond it go to files."""
TOTAL_BUDGET = 2 << 30
"""Bytes of outputs held at all; the oldest beyond it are dropped."""
RUN_BUDGET = 10_000
"""Runs held at all."""
LARGEST_OUTPUT = 1 << 30
"""Bytes of one output beyond which it is not copied."""

_PREFIX = "workbench-runs-"


def output_bytes(flat: Flat) -> int:
    """Bytes of all elements, as a copy would need them; an expanded tensor counts in full."""
    return sum(bytes_of(tensor) for _, tensor in flat.leaves)


def detached(flat: Flat) -> Flat:
    """A copy of every leaf on the CPU, without graph; made outside inference mode, so that it is an ordinary tensor."""
    with torch.inference_mode(False), torch.no_grad():
        return dataclasses.replace(flat, leaves=[(path, _copy(tensor)) for path, tensor in flat.leaves])


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    source = tensor.detach()
    if source.device.type in ("cpu", "meta"):
        return source.clone()
    return source.to("cpu")


def same_bits(a: Flat, b: Flat) -> bool:
    """True when both have the same tree and every leaf the same dtype, shape and bits. False may mean "unknown"."""
    if a.structure != b.structure or len(a.leaves) != len(b.leaves) or a.opaque or b.opaque:
        return False
    with torch.inference_mode(False), torch.no_grad():
        return all(path == other and same_tensor(x, y) for (path, x), (other, y) in zip(a.leaves, b.leaves))  # noqa: B905


def same_tensor(a: torch.Tensor, b: torch.Tensor) -> bool:
    """True when both have the same dtype, layout, shape and bits. False may mean "unknown", as for the meta device."""
    if a.dtype != b.dtype or a.layout != b.layout:
        return False
    if is_plain_tensor(a) and is_plain_tensor(b):
        return a.shape == b.shape and _same_bits(a.detach(), b.detach().to(a.device))
    if shape_of(a) != shape_of(b):
        return False
    mine, others = pieces(a), pieces(b.to(a.device))
    if not mine or [name for name, _ in mine] != [name for name, _ in others]:
        return False
    return all(x.shape == y.shape and _same_bits(x, y) for (_, x), (_, y) in zip(mine, others))  # noqa: B905


def _same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Of two plain tensors of one dtype and shape."""
    if a.dtype.is_complex:
        a, b = torch.view_as_real(a.resolve_conj()), torch.view_as_real(b.resolve_conj())
    if a.dtype.is_floating_point:
        # as integers: NaN equals itself, and -0.0 is not 0.0
        try:
            bits = _BITS[a.element_size()]
            a, b = a.contiguous().view(bits), b.contiguous().view(bits)
        except (KeyError, RuntimeError):  # a dtype without such a view
            return False
    return bool(torch.equal(a, b))


_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclasses.dataclass(eq=False)
class _Entry:
    """One output, shared by every run that gave exactly it."""

    flat: Flat
    """Its leaves are empty while the tensors lie in `file`."""
    bytes: int
    runs: set[int]
    file: Path | None = None
    spills: bool = True
    """False once the file format refused it."""


class Store:
    """Outputs by run number."""

    def __init__(self, memory_budget: int = MEMORY_BUDGET, total_budget: int = TOTAL_BUDGET) -> None:
        self._memory_budget, self._total_budget = memory_budget, total_budget
        self._by_run: dict[int, _Entry] = {}
        self._entries: list[_Entry] = []
        """Oldest first."""
        self._pinned: set[int] = set()
        self._folder: Path | None = None
        self._cleanup: weakref.finalize[..., Store] | None = None
        self._files = 0

    @property
    def bytes_in_memory(self) -> int:
        """Bytes of the copies that lie in memory."""
        return sum(entry.bytes for entry in self._entries if entry.file is None)

    @property
    def bytes_in_files(self) -> int:
        return sum(entry.bytes for entry in self._entries if entry.file is not None)

    def tensors_in_memory(self) -> list[torch.Tensor]:
        """The copies that lie in memory."""
        return [tensor for entry in self._entries if entry.file is None for _, tensor in entry.flat.leaves]

    def __contains__(self, run: int) -> bool:
        return run in self._by_run

    def put(self, run: int, flat: Flat, same_as: int = 0) -> None:
        """Keep a detached copy of `flat` for `run`, in the place of an older one.

        With `same_as` (a kept run that answered the same bits) nothing is copied. May spill or drop older runs.
        """
        self.drop(run)
        twin = self._by_run.get(same_as)
        if twin is not None:
            twin.runs.add(run)
            self._by_run[run] = twin
        else:
            copy = detached(flat)
            entry = _Entry(copy, output_bytes(copy), {run})
            self._entries.append(entry)
            self._by_run[run] = entry
        self._shrink()

    def get(self, run: int) -> Flat:
        """The output of `run`, on the CPU. Raises `WorkbenchError("usage")` when it is no longer kept."""
        entry = self._by_run.get(run)
        if entry is None:
            raise gone(run)
        if entry.file is None:
            return entry.flat
        from workbench.worker.tensorfile import load

        try:
            tensors = load(str(entry.file))
        except (OSError, ValueError) as problem:
            self.drop(run)
            raise error("usage", f"Run {run} is no longer kept: {problem}.", remedy="Fire it again.") from problem
        leaves = [(path, tensors[str(place)]) for place, (path, _) in enumerate(entry.flat.leaves)]
        return dataclasses.replace(entry.flat, leaves=leaves)

    def pin(self, runs: set[int]) -> None:
        """Never drop these to make room."""
        self._pinned = set(runs)

    def drop(self, run: int) -> None:
        """Forget one run."""
        entry = self._by_run.pop(run, None)
        if entry is None:
            return
        entry.runs.discard(run)
        if not entry.runs:
            self._entries.remove(entry)
            if entry.file is not None:
                with contextlib.suppress(OSError):
                    entry.file.unlink()

    def close(self) -> None:
        """Forget everything and remove the directory."""
        self._by_run.clear()
        self._entries.clear()
        if self._cleanup is not None:
            self._cleanup()
        self._folder = self._cleanup = None

    def _shrink(self) -> None:
        held = self.bytes_in_memory
        for entry in self._entries:
            if held <= self._memory_budget:
                break
            if entry.file is None and entry.spills and self._spill(entry):
                held -= entry.bytes
        while self._too_much():
            oldest = next((entry for entry in self._entries if not entry.runs & self._pinned), None)
            if oldest is None:
                break
            for run in tuple(oldest.runs):
                self.drop(run)
        if len(self._by_run) > RUN_BUDGET:
            for run in sorted(self._by_run.keys() - self._pinned)[: len(self._by_run) - RUN_BUDGET]:
                self.drop(run)

    def _too_much(self) -> bool:
        in_memory = self.bytes_in_memory
        # what could not be spilled is dropped rather than held beyond twice the budget of memory
        return in_memory + self.bytes_in_files > self._total_budget or in_memory > 2 * self._memory_budget

    def _spill(self, entry: _Entry) -> bool:
        from workbench.worker.tensorfile import save

        target = self._directory() / f"{self._files}.safetensors"
        self._files += 1
        try:
            save(str(target), {str(place): tensor for place, (_, tensor) in enumerate(entry.flat.leaves)})
        except (OSError, ValueError, WorkbenchError):  # no room, or a kind of tensor the format does not know
            entry.spills = False
            with contextlib.suppress(OSError):
                target.unlink()
            return False
        empty = torch.empty(0)
        entry.flat = dataclasses.replace(entry.flat, leaves=[(path, empty) for path, _ in entry.flat.leaves])
        entry.file = target
        return True

    def _directory(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
            lock = _lock(self._folder)
            self._cleanup = weakref.finalize(self, _remove, self._folder, lock)
            _sweep(self._folder)
        return self._folder


def gone(run: int) -> Exception:
    """The failure for a run whose output is not there any more."""
    return error("usage", f"Run {run} is no longer kept.", f"run {run}", "Fire again, and compare with a newer run.")


def _lock(folder: Path) -> int:
    """Hold a lock that the kernel lets go of however this process ends, so that others can tell who is dead."""
    descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    _try_lock(descriptor)
    return descriptor


def _try_lock(descriptor: int) -> bool:
    import fcntl  # not on every system

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def _sweep(own: Path) -> None:
    """Remove what a worker left that was killed before it could clean up."""
    for folder in own.parent.glob(f"{_PREFIX}*"):
        if folder == own:
            continue
        try:
            descriptor = os.open(folder / "lock", os.O_RDWR)
        except OSError:
            continue  # somebody else's, or one that is just being made
        try:
            if _try_lock(descriptor):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)

"""What the worker's memory is used for, in parts that add up to what the memory pane shows.

Owns which tensor counts where (each storage once, in the first part that has it) and what is left over. It measures
and frees what is free; it changes nothing of the model and judges nothing.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from workbench.protocol.memory import AccountMemory, DeviceAccount, MemoryAccount, MemoryPart, SavedPart
from workbench.worker.bench.failing import first_line
from workbench.worker.bench.sampling import tensors_in
from workbench.worker.bench.words import some
from workbench.worker.job import Cancelled, Job
from workbench.worker.judge import memory
from workbench.worker.judge.attribution import saved_by_module
from workbench.worker.judge.graph import components, nodes_behind_each, saved_tensors, storage_key
from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.own_graph import with_graph
from workbench.worker.judge.peak import highest

if TYPE_CHECKING:
    from workbench.worker.bench.bench import Bench
    from workbench.worker.judge.run import Runs

REST = "not accounted for"
DRIVER = "CUDA's driver, and what is not accounted for"
"""The rest of the process's memory where it has a context on a device: hundreds of MB, which nothing tells apart."""
SLOW = 5.0
"""Seconds of a forward from which on its saved tensors are not attributed: it takes several times as long then."""
_PAGE = os.sysconf("SC_PAGE_SIZE")
_ENTRY = 8
"""Bytes that /proc/self/pagemap has for a page; its highest bit says that the page is in memory (proc(5))."""


def account(bench: Bench, runs: Runs, before: memory.Before, request: AccountMemory, job: Job) -> MemoryAccount:
    """Add everything up. Raises `Cancelled`; a forward that raises under the hooks is a word in the record."""
    job.progress("looking at memory")
    gc.collect()
    rss, file = memory.rss(), memory.rss() - memory.anonymous()
    memory.trim()
    retained = max(0, rss - memory.rss())
    ledger = _Ledger()
    parts = _tensor_parts(bench, runs, ledger)
    job.raise_if_cancelled()
    device = bench.modes.device
    cpu = [MemoryPart("torch and Python", before.rss, "before any model came")]
    mapped = ledger.mapped
    cpu += [MemoryPart(name, sizes.get("cpu", 0), words) for name, sizes, words in parts]
    cpu.append(MemoryPart("libraries, touched since", max(0, file - before.file - mapped), "code that a file backs"))
    cpu.append(MemoryPart("freed, kept by the allocator", retained, "it went back to the system just now"))
    rest = DRIVER if torch.cuda.is_initialized() else REST  # type: ignore[no-untyped-call]
    devices = [DeviceAccount("cpu", rss, _closed(cpu, rss, rest), max(highest(), rss))]
    if device.startswith("cuda"):
        devices.append(_cuda(device, parts))
    saved, size, words = _attributed(bench, runs, request, job)
    available, whole = memory.available()
    return MemoryAccount(tuple(devices), saved, size, words, len(runs.kept), available, whole)


GRAPH = "saved for backward"


def _tensor_parts(bench: Bench, runs: Runs, ledger: _Ledger) -> list[tuple[str, dict[str, int], str]]:
    """(name, bytes by kind of device, words) of everything that is a tensor."""
    model = bench.model
    parameters, buffers = list(model.parameters()), list(model.buffers())
    gradients = [one.grad for one in parameters if one.grad is not None]
    outputs = [tensor for output in runs.kept for _, tensor in flatten(output).leaves]
    nodes, whole = nodes_behind_each(outputs)
    own = list(with_graph(model))
    kept, _ = nodes_behind_each([tensor for _, tensor in own])
    stored = [*runs.store.tensors_in_memory(), *runs.records.tensors(), *runs.recorder.newest]
    parts = [
        ("parameters", *ledger.add(parameters)),
        ("buffers", *ledger.add(buffers)),
        ("gradients", *ledger.add(gradients)),
        ("inputs", *ledger.add(tensors_in((bench.args, bench.kwargs)))),
        ("outputs kept", *ledger.add(outputs)),
        (GRAPH, *ledger.add(tensor for node in nodes for tensor in saved_tensors(node))),
        (_own_name(own), *ledger.add(tensor for node in kept for tensor in saved_tensors(node))),
        ("runs kept for comparison", *ledger.add(stored)),
        ("other live tensors", *ledger.add(_alive())),
    ]
    if whole:
        return parts
    said = "at least: a graph has more nodes than are looked at"
    return [(name, sizes, f"{words}, {said}" if name == GRAPH else words) for name, sizes, words in parts]


def _own_name(own: list[tuple[str, torch.Tensor]]) -> str:
    """ "the model's own graph, behind cell.state"."""
    return f"the model's own graph, behind {some([name for name, _ in own], 1)}" if own else "the model's own graph"


def _alive() -> Iterator[torch.Tensor]:
    for thing in gc.get_objects():
        if issubclass(type(thing), torch.Tensor):
            yield thing


class _Ledger:
    """Counts each storage once, in the order in which it is told of them."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, int]] = set()
        self._pages = _Pages()
        self.mapped = 0
        """Resident bytes of storages on pages that a file backs (weights that are mapped)."""

    def add(self, tensors: Iterable[torch.Tensor]) -> tuple[dict[str, int], str]:
        """({device kind: resident bytes}, "12 tensors") of those that were not counted before."""
        sizes: dict[str, int] = {}
        count = 0
        for tensor in tensors:
            for part, key in _parts_of(tensor):
                if key in self._seen or not key[1]:
                    continue
                self._seen.add(key)
                count += 1
                size = part.untyped_storage().nbytes()
                if part.device.type == "cpu":
                    size, mapped = self._pages.resident(key[1], size)
                    self.mapped += mapped
                sizes[part.device.type] = sizes.get(part.device.type, 0) + size
        return sizes, f"{count} tensor{'s' if count != 1 else ''}" if count else ""


def _parts_of(tensor: torch.Tensor) -> list[tuple[torch.Tensor, tuple[str, int]]]:
    """(strided part, its storage) of a tensor; none for what torch.compile leaves of its traces: it has no memory."""
    if type(tensor).__name__ in ("FakeTensor", "FunctionalTensor"):
        return []
    try:
        return [(part, storage_key(part)) for part in components(tensor)]
    except (RuntimeError, NotImplementedError):  # a lazy tensor, or a subclass that lends its storage to nobody
        return []


class _Pages:
    """Which pages of this process are in memory."""

    def __init__(self) -> None:
        try:
            self._map: Any = open("/proc/self/pagemap", "rb", buffering=0)  # noqa: SIM115 (closed with this object)
        except OSError:
            self._map = None

    def resident(self, start: int, size: int) -> tuple[int, int]:
        """(bytes of these that are in memory, those of them that a file backs); all of them where nobody says."""
        if self._map is None or not size:
            return size, 0
        first, last = start // _PAGE, (start + size - 1) // _PAGE
        try:
            self._map.seek(first * _ENTRY)
            entries = self._map.read((last - first + 1) * _ENTRY)
        except OSError:
            return size, 0
        flags = entries[7::8]  # the highest byte of each little-endian entry: bit 7 present, bit 5 file or shared
        pages = len(flags) or 1
        present = sum(1 for flag in flags if flag & 0x80)
        backed = sum(1 for flag in flags if flag & 0xA0 == 0xA0)
        return size * present // pages, size * backed // pages


def _closed(parts: list[MemoryPart], total: int, rest: str) -> tuple[MemoryPart, ...]:
    """The parts, and what is left over as one of its own, which `rest` names."""
    known = sum(part.bytes for part in parts)
    kept = [part for part in parts if part.bytes]
    kept.append(MemoryPart(rest, total - known, "Python's own objects, kernels, thread stacks, fragments"))
    return tuple(kept)


def _cuda(device: str, parts: list[tuple[str, dict[str, int], str]]) -> DeviceAccount:
    """The allocator's reserved bytes in parts; the CUDA context lies outside of it."""
    use = memory.cuda_use(device)
    assert use is not None
    found = [MemoryPart(name, sizes["cuda"], words) for name, sizes, words in parts if sizes.get("cuda")]
    known = sum(part.bytes for part in found)
    found.append(MemoryPart("reserved, free", use.reserved - use.allocated, "kept by the CUDA allocator"))
    found.append(MemoryPart(REST, use.allocated - known, "workspaces, rounding of blocks"))
    return DeviceAccount(device, use.reserved, tuple(found), use.peak)


def _attributed(bench: Bench, runs: Runs, request: AccountMemory, job: Job) -> tuple[tuple[SavedPart, ...], int, str]:
    """(saved bytes by module, in all, why not)."""
    if not request.attribute:
        return (), -1, ""
    newest = runs.rows[max(runs.rows)].times.typical / 1e9 if runs.rows else 0.0
    if newest > SLOW:
        return (), -1, f"a forward takes {newest:.0f} s: what each module saves was not asked"
    job.progress("one forward with grad, to see which module saves what")
    try:
        parts, total = saved_by_module(bench.model, bench.args, bench.kwargs, list(bench.model.parameters()))
    except (Cancelled, KeyboardInterrupt):
        raise
    except Exception as problem:  # noqa: BLE001 (a model that does not run with grad has an account all the same)
        return (), -1, f"with grad the model raised {first_line(problem)}"
    under = "" if bench.modes.grad == "grad" else f"with grad; under {bench.modes.grad} a forward saves nothing"
    return parts, total, under

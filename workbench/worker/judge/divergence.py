"""Where two runs part: both are replayed with every module watched, and the first module to differ is named.

Owns what is asked for, when a pair cannot be replayed, and what becomes of the evidence; the search is `search.py`'s
and the words are `blame.py`'s. The live model is afterwards exactly as before, and nothing here is timed or judged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import nn

from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.messages import FindDivergence
from workbench.protocol.model import Modes
from workbench.protocol.runs import Divergence
from workbench.worker.bench.modes import set_flags
from workbench.worker.job import Cancelled, Job
from workbench.worker.judge.blame import blame
from workbench.worker.judge.digest import digest
from workbench.worker.judge.evidence import sentences, where_of
from workbench.worker.judge.live import kept_as_it_is
from workbench.worker.judge.pairs import FromHere, Inputs, OfRecords, Pair
from workbench.worker.judge.replay import Parts
from workbench.worker.judge.search import SECONDS, Search
from workbench.worker.judge.setting import taken_out, trained_by_itself
from workbench.worker.judge.unshown import fast_path, obstacle, refused, unexplained, writer

if TYPE_CHECKING:
    from workbench.worker.bench.bench import Bench
    from workbench.worker.judge.run import Runs

LISTED = 20
"""Differing modules that are named."""


def find(bench: Bench, runs: Runs, request: FindDivergence, job: Job) -> Divergence:
    """Replay both runs and name the first module whose inputs agree and whose output differs.

    Raises `WorkbenchError("usage")` for runs that are not kept, and what a forward raises as `WorkbenchError`.
    """
    against = request.against or runs.reference
    if not against or request.run == against:
        raise error("usage", "A run cannot part from itself.", f"run {request.run}", "Choose another run.")
    other, reference = runs.row(request.run), runs.row(against)
    parts = Parts(bench.model)
    numbers, records = (against, request.run), (reference.record, other.record)
    kind, words, remedy = obstacle(parts, other, reference)
    largest = max(other.judged.max_abs, reference.judged.max_abs)

    def look() -> Divergence | None:
        with kept_as_it_is(bench.model) as snapshot:
            if words:
                return refused(kind, words, remedy, numbers, writer(bench.model, kind, records[1], job))
            for drifts in (False, True):  # what was recorded explains it, or what one run leaves for the next
                found = _searched(OfRecords(bench.model, parts, snapshot, numbers, records, drifts), job, largest)
                if found is not None:
                    return found
            return fast_path(bench.model, parts, snapshot, numbers, records)

    found = explained(look, bench.model, bench.args, bench.kwargs)
    if found is None:
        kind, words, path = unexplained(*records, numbers, _same_outputs(runs, numbers))
        return replace(refused(kind, words, "", numbers, None), module=path)
    if found.kind != "unknown" and against == other.against:
        other.cause = f"{found.module or 'the model'}: {found.kind}"  # its row says from now on what was found
        job.emit(other.report())
    return found


def find_from_here(
    model: nn.Module,
    modes: Modes,
    calls: Sequence[Inputs],
    job: Job,
    seeded: bool = False,
    declared: Callable[[str], bool] | None = None,
    seconds: float = SECONDS,
    threads: tuple[int, int] = (0, 0),
) -> Divergence | None:
    """Run `calls` (positional and keyword inputs) one after the other, and say why the last answers as the first not.

    The engine of checks: of a bare model in its modes, from here, with nothing put back in between but what is so
    afterwards. `run` is the number of calls and `against` 1; None when every module answers the same, or when nothing
    differs where its inputs agree. `seeded`: every call begins with the generators of the first; what has a `declared`
    name is put back before every call; `seconds` bound what is not needed for the module's name; `threads`: how many
    the first and the others have, 0: as many as now. Raises what the forward raises.
    """
    with kept_as_it_is(model) as snapshot:
        pair = FromHere(model, Parts(model), snapshot, modes, calls, seeded, declared, threads)
        return _searched(pair, job, seconds=seconds)


def explained(
    work: Callable[[], Divergence | None], model: nn.Module, args: object, kwargs: object
) -> Divergence | None:
    """`work`, with what the user's forward raises in it as a `WorkbenchError`."""
    try:
        return work()
    except (WorkbenchError, Cancelled):
        raise
    except Exception as problem:
        from workbench.worker.bench.diagnosis import explain

        raise WorkbenchError(explain(problem, model, args, kwargs)) from problem


def _searched(pair: Pair, job: Job, largest: float = 0.0, seconds: float = SECONDS) -> Divergence | None:
    """`largest`: the difference of the outputs, for a module whose own was too large to be held."""
    search = Search(pair, job, seconds)
    evidence = search.run()
    if evidence is None:
        return None
    kind, words, remedy = blame(evidence)
    call, parting = evidence.call, evidence.parting
    if any(evidence.flags) and (place := _trained_at(pair, call.path)) is not None:
        words = f"{words} The forward itself puts it in train mode{place and f' at {place}'}: eval() cannot help."
        remedy = taken_out(place)
    return Divergence(
        evidence.numbers[1],
        evidence.numbers[0],
        call.path,
        call.number,
        type(call.module).__name__,
        kind,
        largest if search.max_abs is None else search.max_abs,
        where_of(evidence),
        words,
        remedy,
        tuple(dict.fromkeys(call.path for call in search.differing))[:LISTED],
        True,
        parting.step.name if parting is not None else "",
        parting.step.function if parting is not None else "",
        sentences(evidence),
    )


def _trained_at(pair: Pair, path: str) -> str | None:
    """file.py:line at which the forward puts this module in train mode by itself; None where it does not."""
    pair.prepare(0)
    with trained_by_itself(pair.model) as found:

        def begins(module: nn.Module, args: object) -> None:
            set_flags(pair.model, False, ())
            found.clear()  # what a replay has set before it is no doing of the forward

        handle = pair.model.register_forward_pre_hook(begins)
        try:
            pair.forward(0)
        finally:
            handle.remove()
    return found.get(path)


def _same_outputs(runs: Runs, numbers: tuple[int, int]) -> bool:
    """Whether both runs gave the same bits when they were fired."""
    if any(number not in runs.store for number in numbers):
        return False
    return digest(runs.store.get(numbers[0])) == digest(runs.store.get(numbers[1]))

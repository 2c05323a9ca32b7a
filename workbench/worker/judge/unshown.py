"""What is known of two runs that no replay can show apart: other inputs, weights, dtype; writes; the fast path.

Owns the reasons why a replay is refused, and what can be seen all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workbench.protocol.runs import Divergence
from workbench.worker.bench.words import some
from workbench.worker.job import Job
from workbench.worker.judge.attributes import stood_otherwise
from workbench.worker.judge.digest import digest
from workbench.worker.judge.held import Snapshot
from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.live import replay
from workbench.worker.judge.records import RECORDS
from workbench.worker.judge.replay import Parts, Record
from workbench.worker.judge.store import same_bits
from workbench.worker.judge.writes import Write, writes

if TYPE_CHECKING:
    from workbench.worker.judge.rows import Row

_FAST = (nn.TransformerEncoderLayer, nn.TransformerEncoder, nn.MultiheadAttention)
"""Modules of torch that have a fast path of their own in eval without grad."""
_CALLED = ("aten._transformer_encoder_layer_fwd", "aten._native_multi_head_attention")


def obstacle(parts: Parts, other: Row, reference: Row) -> tuple[str, str, str]:
    """(kind, words, remedy): why these two cannot be replayed; empty words when they can."""
    a, b = reference.record, other.record
    for row, record in ((reference, a), (other, b)):
        if record.model() is not parts.model():
            words = f"The model was loaded again since run {row.number}: the weights it had are gone."
            return "model", words, "Fire again, and compare with a newer run."
        if not record.replayable:
            words = (
                f"What run {row.number} started from is no longer kept: only the newest {RECORDS} runs can be replayed."
            )
            return "unknown", words, "Fire again, and compare with a newer run."
        if record.inputs_changed():
            words = f"The inputs of run {row.number} were changed in place since, so it cannot be replayed"
            return "input mutated", words, "Clone them at the start of forward: x = x.clone()."
    if (a.modes.dtype, a.modes.device) != (b.modes.dtype, b.modes.device):
        kind = "dtype" if a.modes.dtype != b.modes.dtype else "device"
        words = (
            f"Run {reference.number} ran in {reference.dtype} on {a.modes.device}, run {other.number} in {other.dtype} "
            f"on {b.modes.device}: every module rounds differently from the first on."
        )
        return kind, words, "F shows where the error starts and where it grows."
    now = parts.weights()
    for row, record in ((reference, a), (other, b)):
        if record.weights != now:
            words = f"The weights were changed, cast or moved since run {row.number}, so it cannot be replayed"
            return "weights changed", words, "Restore (z) brings the checkpoint back."
    return "", "", ""


def refused(kind: str, words: str, remedy: str, numbers: tuple[int, int], write: Write | None) -> Divergence:
    """The record of two runs that cannot be replayed, with who wrote where that was seen."""
    against, run = numbers
    if write is None:
        return Divergence(run, against, "", 0, "", kind, 0.0, "", f"{words.rstrip('.')}.", remedy, replayed=False)
    at = f" at {write.where.rpartition('/')[2]}" if write.where else ""
    name = f"{write.path or 'the model'} ({write.type})"
    called = f"{write.function} ({write.operator})" if write.function else write.operator
    told = f"{name} writes into {write.what} in place: {called}{at}."
    return Divergence(
        run, against, write.path, 0, write.type, kind, 0.0, write.where, told, remedy, (write.path,), False,
        write.operator, write.function, (words.rstrip("."), f"{called}{at} writes into {write.what}"),
    )  # fmt: skip


def writer(model: nn.Module, kind: str, record: Record, job: Job) -> Write | None:
    """Who in the model's forward writes into its inputs ("input mutated") or parameters ("weights changed")."""
    if kind not in ("input mutated", "weights changed") or record.model() is not model:
        return None
    inputs = kind == "input mutated"
    found = writes(model, record.modes, record.args, record.kwargs, job)
    return next((one for one in found if one.what.startswith("input ") == inputs), None)


def fast_path(
    model: nn.Module, parts: Parts, snapshot: Snapshot, numbers: tuple[int, int], records: tuple[Record, Record]
) -> Divergence | None:
    """The record of two runs that only torch's transformer fast path parts; None where it does not.

    Shown by running both without any hook, with the fast path and without. Only inside `kept_as_it_is`.
    """
    found = next(((path, one) for path, one in parts.modules if isinstance(one, _FAST)), None)
    if found is None:
        return None

    def digests(fast: bool) -> list[bytes]:
        torch.backends.mha.set_fastpath_enabled(fast)
        answers = []
        for record in records:
            snapshot.restore()
            answers.append(digest(flatten(replay(model, parts, record))))
        torch.backends.mha.set_fastpath_enabled(False)
        return answers

    with_it, without = digests(True), digests(False)
    if with_it[0] == with_it[1] or without[0] != without[1]:
        return None
    path, module = found
    words = (
        f"{path or 'the model'} ({type(module).__name__}) takes torch's fast path in one of both: it is open in eval "
        f"without grad only, and rounds otherwise ({records[0].modes.grad} against {records[1].modes.grad})."
    )
    evidence = ("with the fast path both answers differ", "with the fast path switched off they are the same bits")
    return Divergence(
        numbers[1], numbers[0], path, 0, type(module).__name__, "fast path", 0.0, "", words,
        "Compare runs of one grad mode (g), or torch.backends.mha.set_fastpath_enabled(False).", (path,), False,
        _CALLED[0] if not isinstance(module, nn.MultiheadAttention) else _CALLED[1], "", evidence,
    )  # fmt: skip


def unexplained(a: Record, b: Record, numbers: tuple[int, int], same: bool) -> tuple[str, str, str]:
    """(kind, words, path of a module) for two replays in which no module differs on equal inputs."""
    reference, run = numbers
    if same:
        return "unknown", f"Runs {reference} and {run} gave the same bits; nothing parts.", ""
    if not same_inputs(a, b):
        words = f"Runs {reference} and {run} had different inputs; no module differs where its inputs agree."
        return "inputs", words, ""
    if stood := stood_otherwise(a.attributes, b.attributes):
        listed = some([f"{name} ({was} in run {reference}, {now} in run {run})" for name, was, now in stood], 3)
        words = (
            f"A replay does not reproduce it: runs {reference} and {run} began with other values in {listed}, and what "
            "the first began with is gone. Such a value, set by a run and used by the next, is hidden state."
        )
        return "hidden state", words, stood[0][0].rpartition(".")[0]
    words = (
        "A replay from the recorded generators, flags and buffers does not reproduce the difference, nor does one run "
        "after the other: it comes from something that is not recorded, such as a kernel that is not always the same, "
        "a value that was set once since (a cache that was empty), or something outside of Python."
    )
    return "unknown", words, ""


def same_inputs(a: Any, b: Any) -> bool:
    """True when both records were given the same values; a cast and back makes them anew."""
    return a.inputs_are(b) or same_bits(flatten((a.args, a.kwargs)), flatten((b.args, b.kwargs)))

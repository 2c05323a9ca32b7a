"""Why a run differs from the reference, in a few words, from what is known without a replay.

Pure: two records in, a short text out. It names only what was seen; finding the module is `divergence.py`'s work.
"""

from __future__ import annotations

from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.replay import Record
from workbench.worker.judge.store import same_bits, same_tensor

OTHER_INPUTS = "other inputs"


def cause(record: Record, moved: tuple[str, ...], reference: Record, reference_moved: tuple[str, ...]) -> str:
    """The likeliest reason that the outputs differ; empty when nothing is known.

    `moved` and `reference_moved` name the generators that each run drew from.
    """
    if record.modes.dtype != reference.modes.dtype:
        return f"dtype {record.modes.dtype or 'as loaded'}"
    if record.modes.device != reference.modes.device:
        return f"device {record.modes.device}"
    if other_inputs(record, reference):
        return OTHER_INPUTS
    if record.input_versions != reference.input_versions and record.inputs_are(reference):
        return "inputs changed in place"
    same_model = record.model() is reference.model()
    if same_model and record.weights != reference.weights:
        return "weights changed"
    return (
        _training(record, moved)
        or _training(reference, reference_moved, "reference: ")
        or (f"random ({', '.join(moved)})" if moved and moved != ("torch",) else "random" if moved else "")
        or ("" if same_model else "model loaded again")
        or ("buffers moved" if buffers_moved(record, reference) else "")
        or ("flags" if record.flags != reference.flags else "")
        or (f"{record.modes.grad} kernels" if record.modes.grad != reference.modes.grad else "")
    )


def _training(record: Record, moved: tuple[str, ...], prefix: str = "") -> str:
    """ "drop (train)", "drop +5 (train)": modules that are random, or use the batch, because they are training."""
    active = [path or "the model" for path, kind in record.active if kind != "dropout" or "torch" in moved]
    if not active:
        return ""
    others = f" +{len(active) - 1}" if len(active) > 1 else ""
    return f"{prefix}{active[0]}{others} (train)"


def buffers_moved(record: Record, reference: Record) -> bool:
    """True when both recorded their buffers and some differ; copies are shared while nothing moves."""
    if record.buffers is None or reference.buffers is None:
        return False
    return len(record.buffers) != len(reference.buffers) or any(
        a is not b and not (a.device == b.device and same_tensor(a, b))
        for a, b in zip(record.buffers, reference.buffers)  # noqa: B905
    )


def other_inputs(record: Record, reference: Record) -> bool:
    """True when a run was given other values, so that its answer has nothing to be compared with."""
    if (record.modes.dtype, record.modes.device) != (reference.modes.dtype, reference.modes.device):
        return False
    return record.replayable and reference.replayable and not same_inputs(record, reference)


def same_inputs(a: Record, b: Record) -> bool:
    """True when both were given the same values; a cast and back makes them anew."""
    return a.inputs_are(b) or same_bits(flatten((a.args, a.kwargs)), flatten((b.args, b.kwargs)))

"""Evidence about the first differing module, turned into kind, words and remedy.

Pure: it looks at what a search gathered and runs nothing.
"""

from __future__ import annotations

from workbench.protocol.model import Modes
from workbench.worker.bench.modes import own_train
from workbench.worker.judge.evidence import Evidence, name_of, short, where_of
from workbench.worker.judge.operators import Parting
from workbench.worker.judge.replay import BATCH_NORM, DROPOUT, dropout_rate
from workbench.worker.judge.unwritten import Site

Blame = tuple[str, str, str]
"""Kind, words, remedy."""


def blame(evidence: Evidence) -> Blame:
    """The kind, by the strongest evidence first."""
    module, parting = evidence.call.module, evidence.parting
    if evidence.settled:
        return _batch_norm(evidence) if isinstance(module, BATCH_NORM) else _dropout(evidence)
    if evidence.unwritten is not None:
        return _unwritten(evidence, evidence.unwritten)
    if parting is not None and parting.step.random and not _other_operand(parting):
        return _random_operator(evidence, parting)
    if evidence.flags[0] != evidence.flags[1]:
        return _mode(evidence)
    if evidence.proven:
        return _state(evidence)
    drawn = [name for name in ("random", "numpy") if name in (*evidence.call.moved, *evidence.before.moved)]
    if drawn:
        return _global_generator(evidence, drawn[0])
    if evidence.buffers:
        return _buffer(evidence)
    return _clock(evidence) or _private(evidence) or _kernel(evidence)


def _dropout(evidence: Evidence) -> Blame:
    module = evidence.call.module
    option = "p" if isinstance(module, DROPOUT) else "dropout"
    name = f"{name_of(evidence)} ({type(module).__name__} {option}={dropout_rate(module):g})"
    place = own_train(module)
    if place and all(evidence.flags):
        words = (
            f"{name} is a dropout that stays in train mode: its class has a train() of its own at {place}, which "
            "ignores eval()."
        )
        return "ignores eval", words, f"Mend train() at {place}: let it call super().train(mode)."
    if evidence.flags[0] == evidence.flags[1]:
        words = f"{name} is in train mode: it draws a new mask each run."
    else:
        words = f"{name} is in train mode in run {_training_run(evidence)} only, and drops values there."
    return "dropout", words, _eval_remedy(evidence)


def _batch_norm(evidence: Evidence) -> Blame:
    name = f"{name_of(evidence)} ({type(evidence.call.module).__name__})"
    if evidence.flags[0] != evidence.flags[1]:
        run = _training_run(evidence)
        words = f"{name} is in train mode in run {run} only: there it normalises with the batch's own statistics."
    elif any(evidence.flags):
        words = f"{name} is in train mode: it normalises with the batch's own statistics and moves its buffers."
    else:
        words = (
            f"{name} has other running statistics in run {evidence.numbers[1]} ({', '.join(evidence.buffers)}): a run "
            "in train mode in between moved them."
        )
        return "batch statistics", words, "Restore the checkpoint, then stay in eval (e)."
    return "batch statistics", words, _eval_remedy(evidence)


def _random_operator(evidence: Evidence, parting: Parting) -> Blame:
    step = parting.step
    place, called, at = _place(evidence), step.function or step.name, short(step.where or where_of(evidence))
    if step.generator:
        words = f"{place} draws from a generator of its own, {step.generator}: {called} at {at}."
        return "private generator", words, f"Seed {step.generator} in forward, or draw only while self.training."
    dropout = "dropout" in called or "dropout" in step.name
    if evidence.flags[0] != evidence.flags[1]:
        words = f"{place} is in train mode in run {_training_run(evidence)} only, and calls {called} at {at} there."
        return "dropout" if dropout else "random", words, _eval_remedy(evidence)
    words = f"{place} calls {called} at {at}, which draws from torch's generator each run"
    if any(evidence.flags):
        remedy = _eval_remedy(evidence) if dropout else _SEED_REMEDY
        return "dropout" if dropout else "random", f"{words}.", remedy
    words = f"{words}, in eval as well: eval() does not stop it."
    if dropout:
        remedy = f"Pass training=self.training to {called} at {at}, or use nn.Dropout; then eval (e) stops it."
        return "ignores eval", words, remedy
    if "bernoulli" in step.name:
        return "ignores eval", words, f"Draw the mask at {at} only if self.training; then eval (e) stops it."
    return "random", words, _SEED_REMEDY


def _unwritten(evidence: Evidence, site: Site) -> Blame:
    words = f"{_place(evidence)} answers with memory that it never wrote: part of what {site.words} gives comes out."
    return (
        "uninitialised memory",
        words,
        f"Make it with torch.zeros at {short(site.where) or 'that place'}, or write all of it.",
    )


def _mode(evidence: Evidence) -> Blame:
    name = f"{name_of(evidence)} ({type(evidence.call.module).__name__})"
    words = f"{name} is in train mode in run {_training_run(evidence)} only, and acts differently there."
    return "mode", words, _eval_remedy(evidence)


def _state(evidence: Evidence) -> Blame:
    names = ", ".join(f"{name} ({how})" for name, how in evidence.proven[:4])
    name, how = evidence.proven[0]
    place, at = _place(evidence), _at(evidence)
    if how == "drawn from":
        words = f"{place} draws from a generator of its own, {name}, which goes on from run to run{at}."
        return "private generator", words, f"Seed {name} in forward, or draw only while self.training."
    own = dict(evidence.call.module.named_buffers())
    prefix = f"{evidence.call.path}." if evidence.call.path else ""
    inner = name[len(prefix) :] if name.startswith(prefix) else name
    if inner in own:
        words = f"{place} changes its own buffer {names} while it runs{at}."
        return "buffer moved", words, "Update buffers only while self.training, or reset them before each run."
    if inner in dict(evidence.call.module.named_parameters()):
        words = f"{place} changes its own weights while it runs: {names}{at}."
        return "weights changed", words, "Write to no parameter in forward; restore (z) brings the checkpoint back."
    words = f"{place} keeps hidden state from run to run: {names}{at}."
    return "hidden state", words, f"Reset {name} in forward, or make it a buffer so that it can be seen."


def _global_generator(evidence: Evidence, name: str) -> Blame:
    kind, words = {"random": ("python random", "Python's random"), "numpy": ("numpy random", "numpy.random")}[name]
    return kind, f"{_place(evidence)} draws from {words} each run{_at(evidence)}.", _SEED_REMEDY


def _buffer(evidence: Evidence) -> Blame:
    several = "s" * (len(evidence.buffers) > 1)
    words = (
        f"{name_of(evidence)} started run {evidence.numbers[1]} with other values in its buffer{several} "
        f"{', '.join(evidence.buffers)}{_at(evidence)}."
    )
    return "buffer moved", words, "Restore the checkpoint; if forward is to keep state, reset it before each run."


def _clock(evidence: Evidence) -> Blame | None:
    found = [one for one in evidence.sources if one.kind in ("clock", "entropy")]
    parting = evidence.parting
    plain = parting is not None and parting.a is not None and not parting.way
    if not found or (parting is not None and plain and not _other_operand(parting)):
        return None  # one operator, given the same, answers otherwise: that is no clock
    one = found[0]
    what = "the clock" if one.kind == "clock" else "the system's entropy"
    words = f"{_place(evidence)} asks {what} each run: {one.name} at {short(one.where)}."
    return one.kind, words, "Take it as an input, so that the same input gives the same answer."


def _private(evidence: Evidence) -> Blame | None:
    drawn = [name for name, how in evidence.moved if how == "drawn from"]
    held = [one for one in evidence.sources if one.kind == "random" and one.owner is not None]
    if not drawn and not held:
        return None
    name = drawn[0] if drawn else str(held[0].owner or "a random.Random")
    words = f"{_place(evidence)} draws from a generator of its own, {name}, which goes on from run to run"
    return "private generator", f"{words}{_at(evidence)}.", "Seed it in forward, or draw only while self.training."


def _kernel(evidence: Evidence) -> Blame:
    a, b = evidence.modes
    place, operator = _place(evidence), evidence.parting.step.called if evidence.parting is not None else ""
    doing = f"{place} ({operator})" if operator else place
    if a.grad != b.grad and evidence.repeats:
        words = f"{doing} takes another path under {b.grad} than under {a.grad}."
        return "mode", words, "Compare runs of one grad mode (g)."
    if a.threads != b.threads and evidence.repeats:
        if evidence.parting is not None and (evidence.parting.way or _other_operand(evidence.parting)):
            words = f"{place} asks how many threads there are{_at(evidence)}, and computes otherwise by it."
            return "threads", words, "Let no number of threads into the computation; until then pin --threads."
        words = f"{doing} adds up in another order with {_threads(b)} than with {_threads(a)}."
        return "threads", words, "Pin --threads."
    parting = evidence.parting
    if parting is not None and (parting.way or _other_operand(parting)) and not evidence.moved:
        words = (
            f"{place} is given another value each run{_at(evidence)}, by something that cannot be looked into: an "
            "iterator, an object with __slots__, or the world outside."
        )
        return "hidden state", words, "Keep such state in attributes or buffers, and reset it at the start of forward."
    if not evidence.repeats and evidence.alone:
        words = f"{doing} answers differently from the very same state with several threads, and the same with one."
        return "threads", words, "Use --threads 1, or torch.use_deterministic_algorithms(True)."
    if not evidence.repeats:
        words = f"{doing} answers differently from the very same state: a kernel that is not deterministic."
        return "nondeterministic kernel", words, "Try --threads 1, or torch.use_deterministic_algorithms(True)."
    if evidence.moved:
        names = ", ".join(f"{name} ({how})" for name, how in evidence.moved[:4])
        words = f"{place} may keep hidden state{_at(evidence)}: what moves from run to run is {names}."
        return "hidden state", words, "Reset it in forward, or make it a buffer so that it can be seen."
    words = f"{place} answers differently{_at(evidence)}, though inputs, generators, flags and buffers are the same."
    return "unknown", words, ""


_SEED_REMEDY = "Draw only while self.training, or fix the generators: --rng fixed."


def _at(evidence: Evidence) -> str:
    where = where_of(evidence)
    return f", at {short(where)}" if where else ""


def _place(evidence: Evidence) -> str:
    """ "drop", "the model between fc1 and fc2": as narrow as the modules below allow."""
    name = name_of(evidence)
    if not evidence.call.below:
        return name
    last, following = evidence.between
    if last and following:
        return f"{name}, between {last} and {following},"
    return f"{name}, after {last}," if last else f"{name}, before {following}," if following else name


def _threads(modes: Modes) -> str:
    return f"{modes.threads or 'the default number of'} thread{'' if modes.threads == 1 else 's'}"


def _training_run(evidence: Evidence) -> int:
    return evidence.numbers[evidence.flags.index(True)]


def _eval_remedy(evidence: Evidence) -> str:
    path = evidence.call.path
    command = f"--mode {path}=eval" if path else "--mode eval"
    return f"Press t on it, or e for eval; on the command line {command}."


def _other_operand(parting: Parting) -> bool:
    """It is given other numbers or tensors, which explain it without any generator."""
    if parting.a is None or parting.way:
        return False
    return parting.a.given != parting.step.given or bool(parting.foreign())

"""Example inputs where none were given: from what the model says of itself, from the layers that take the arguments,
and from trials.

Owns the guessing. What nothing settles it tries on the model, in eval and without a graph, on a copy or on the model
itself, with everything put back afterwards; the side of pictures is searched for by what their flattened size comes
to. What it cannot find out it asks for by name.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from workbench.protocol.failures import Failure, error
from workbench.protocol.spec import DynamicDim, InputSpec
from workbench.worker.bench.consumers import Consumer, consumer_of
from workbench.worker.bench.declared import by_name, declared, pictures
from workbench.worker.bench.diagnosis import explain
from workbench.worker.bench.keys import keyed, keys_of
from workbench.worker.bench.layers import BATCH, LAYERS, MOST_ROWS, is_spatial, options, reason
from workbench.worker.bench.modes import set_flags
from workbench.worker.bench.sampling import draw, tensors_in
from workbench.worker.bench.signature import Forward, wanted
from workbench.worker.bench.words import some

_TRIALS = 24
_WIDEST = 1024
"""Side of pictures up to which one that fits is searched for."""
_COPY_LIMIT = 64 << 20
"""Bytes of parameters up to which a trial runs on a deep copy; above, on the model itself, put back afterwards."""
_SIZES = re.compile(r"cannot be multiplied \((?P<rows>\d+)x(?P<has>\d+) and (?P<wants>\d+)x")
_RESHAPED = re.compile(r"shape '\[-1, (?P<wants>\d+)\]' is invalid for input of size (?P<total>\d+)")
_SMALL = re.compile(r"Kernel size can't be greater|Output size (?:is too small|would be zero)|is too small")

BY_NAME = "guessed from its name and tried"

Named = tuple[InputSpec, str]
"""A spec with its name, and why it is so."""


def infer(model: nn.Module, forward: Forward, seed: int) -> list[Named]:
    """(spec, why) for each argument that forward needs. Raises `WorkbenchError("inputs")` naming what is wanted."""
    told = declared(model, forward)
    dicts = {name: keys for name, keys in keys_of(model).items() if name in forward.required and name not in told}
    if dicts:
        parts = [option for name, keys in dicts.items() for option in keyed(name, keys)]
        what = " and ".join(f"{name} is a dict of {some(keys, 8)}" for name, keys in dicts.items())
        raise error("inputs", f"No input was given, and {what}.", "--input", f"Give its parts: {' '.join(parts)}")
    names = list(dict.fromkeys([*told, *forward.required])) or _optional(model, forward)
    choices: dict[str, list[Named]] = {name: [told[name]] for name in names if name in told}
    certain = True
    for name in names:
        if name in choices:
            continue
        found = consumer_of(model, name) or (_first_layer(model) if len(names) == 1 else None)
        guesses = [] if found is None else options(found)
        if found is not None and guesses:
            choices[name] = [(guess.with_name(name), reason(found)) for guess in guesses]
            # a model may cut its pictures into patches itself
            named = [] if any(len(guess.shape) == 4 for guess in guesses) else pictures(name)
            choices[name] += [(guess.with_name(name), BY_NAME) for guess in named]
            certain = certain and len(guesses) == 1 and found.direct and not named
    beside = next((specs[0][0] for specs in choices.values()), None)
    for name in names:
        if name not in choices and (guesses := by_name(name, beside)):
            choices[name] = [(guess.with_name(name), BY_NAME) for guess in guesses]
            certain = False
    unknown = [name for name in names if name not in choices]
    if unknown:
        listed = ", ".join(unknown)
        told_nothing = f"no input was given, and what {listed} should be cannot be told from the layers"
        raise wanted(unknown, told_nothing, forward)
    ordered = {name: choices[name] for name in names}
    if certain and not told:
        return _one_batch([found[0] for found in ordered.values()])
    return _tried(model, forward, _aligned(ordered), seed)


def _aligned(choices: dict[str, list[Named]]) -> dict[str, list[Named]]:
    """With guesses of as many rows as the first argument has, and of one number a row for what looks rows up."""
    rows = next(iter(choices.values()))[0][0].shape[:1]
    found: dict[str, list[Named]] = {}
    for name, guesses in choices.items():
        more = [(replace(spec, shape=rows + spec.shape[1:]), why) for spec, why in guesses if not spec.dynamic]
        more += [(replace(spec, shape=rows), why) for spec, why in guesses if spec.dtype == "int64" and spec.low == 0]
        several = len(choices) > 1 and found
        found[name] = guesses + [one for one in more if several and one not in guesses]
    return found


def _optional(model: nn.Module, forward: Forward) -> list[str]:
    """Of a forward that could be called with nothing: its first argument, if a layer takes it."""
    return [name for name in forward.positional[:1] if consumer_of(model, name) is not None]


def _tried(model: nn.Module, forward: Forward, choices: dict[str, list[Named]], seed: int) -> list[Named]:
    """The first combination with which the model runs. Raises `WorkbenchError("inputs")` when none does."""
    with _on_trial(model) as subject:
        trial = _Trial(subject, forward, seed)
        for chosen in itertools.islice(itertools.product(*choices.values()), _TRIALS):
            if trial.runs([spec for spec, _ in chosen]):
                return _one_batch(list(chosen))
        searched = _search(trial, [found[0] for found in choices.values()])
    if searched is not None:
        return _one_batch(searched)
    names = list(choices)
    others = f" and {len(trial.tried) - 1} more" if len(trial.tried) > 1 else ""
    tried = f"no input was given, and the model ran with none of those tried ({trial.tried[0]}{others})"
    likeliest = trial.likeliest
    if likeliest is None:
        raise wanted(names, tried, forward)
    place = f" at {likeliest.where}" if likeliest.where else ""
    raise wanted(
        names, f"{tried}; the first raised{place}: {likeliest.message.rstrip('.')}", forward, likeliest.details
    )


class _Trial:
    """Runs of the model on guesses, and what they raised."""

    def __init__(self, subject: nn.Module, forward: Forward, seed: int) -> None:
        self._subject, self._forward, self._seed = subject, forward, seed
        self.likeliest: Failure | None = None
        """Of the first guess."""
        self.tried: list[str] = []
        self.text = ""
        """What the last one raised."""
        self.module = ""
        """Where."""
        self.ratio = 0.0
        """Rows of the last answer for each that was given, where their numbers differ; 0: they do not."""

    def runs(self, specs: list[InputSpec]) -> bool:
        """Whether the model takes these, and answers with as many rows as it was given."""
        sample = {spec.name: draw(spec, spec.shape, self._seed, 1.0) for spec in specs}
        by_place = [name for name in self._forward.positional if name in sample and not self._gap(specs, name)]
        positional = [sample.pop(name) for name in by_place]
        self.text, self.module, self.ratio = "", "", 0.0
        try:
            answer = self._subject(*positional, **sample)
        except Exception as raised:  # noqa: BLE001 (user code: whatever a wrong shape makes it raise)
            failure = explain(raised, self._subject, tuple(positional), sample)
            self.text, self.module = str(raised), failure.where.rpartition(" in ")[2]
            self.likeliest = self.likeliest or failure
            self.tried.append(" ".join(spec.text for spec in specs))
            return False
        self.ratio = _rows_ratio(answer, specs[0].shape[0] if specs[0].shape else 0)
        return not self.ratio

    def _gap(self, specs: list[InputSpec], name: str) -> bool:
        """Whether an argument before this one is left out, so that it must be passed by name."""
        given = {spec.name for spec in specs}
        before = self._forward.positional[: self._forward.positional.index(name)]
        return any(one not in given for one in before)


def _rows_ratio(answer: Any, rows: int) -> float:
    """0 when a tensor of the answer has as many rows as were given, anywhere; otherwise rows answered for each."""
    shapes = [tuple(tensor.shape) for tensor in tensors_in(answer)]
    if not shapes or rows < 2 or any(rows in shape or not shape for shape in shapes):
        return 0.0
    return shapes[0][0] / rows


def _search(trial: _Trial, first: list[Named]) -> list[Named] | None:
    """Pictures of the side that the first flattened layer was made for, by halving; None when there is none."""
    place = next((at for at, (spec, _) in enumerate(first) if is_spatial(spec)), None)
    if place is None:
        return None
    low, high = 1, _WIDEST
    spec, why = first[place]
    why = f"{why}; with that side what comes behind it fits"

    def of_side(side: int) -> list[Named]:
        sized = replace(spec, shape=(*spec.shape[:2], *[side] * len(spec.shape[2:])))
        return [*first[:place], (sized, why), *first[place + 1 :]]

    def fits(side: int) -> bool:
        return trial.runs([one for one, _ in of_side(side)])

    side = spec.shape[2]
    while low <= high:
        if fits(side):  # windows round down, so that a few sides fit: the roundest is meant
            near = [one for one in range(max(1, side - 3), side + 4) if one == side or fits(one)]
            return of_side(max(near, key=lambda one: (one & -one, -one)))
        excess = _excess(trial, spec.shape[0])
        if excess is None:
            return None
        low, high = (side + 1, high) if excess < 1 else (low, side - 1)
        guess = round(side / math.sqrt(excess)) if excess > 0 else 2 * side
        side = guess if low <= guess <= high and guess != side else (low + high) // 2
    return None


def _excess(trial: _Trial, rows: int) -> float | None:
    """By which factor the flattened size was too large; None when that was not what went wrong."""
    if trial.ratio:
        return trial.ratio
    if match := _SIZES.search(trial.text):
        return int(match["has"]) / int(match["wants"])
    if match := _RESHAPED.search(trial.text):
        return int(match["total"]) / rows / int(match["wants"])
    return 0.0 if _SMALL.search(trial.text) else None


@contextlib.contextmanager
def _on_trial(model: nn.Module) -> Iterator[nn.Module]:
    """The model, or a copy of it, in eval under no_grad; afterwards model, process and generators are as before.

    Raises `WorkbenchError("inputs")` when parameters of a large model were written to, which nothing brings back.
    """
    from workbench.worker.judge.snapshot import untouched_model

    subject = model
    if sum(parameter.nbytes for parameter in model.parameters() if not nn.parameter.is_lazy(parameter)) <= _COPY_LIMIT:
        with contextlib.suppress(Exception):  # __deepcopy__ may raise anything; what cannot be copied is tried itself
            subject = copy.deepcopy(model)
    with untouched_model(subject, budget=_COPY_LIMIT) as held:  # a copy shares module variables and class attributes
        set_flags(subject, False, ())
        with torch.no_grad():
            yield subject
    if subject is model and held.lost:
        message = f"No input was given, and trying some changed {some(held.lost)}, which cannot be put back."
        raise error("inputs", message, "--input", "Say what forward takes: --input 'x=float32[4,…]'")


def _first_layer(model: nn.Module) -> Consumer | None:
    """The first layer, in the order they were made, that says what it takes; it is tried, not trusted."""
    for path, module in model.named_modules():
        if any(isinstance(module, kind) for kind in LAYERS):
            return Consumer(path, module, False)
    return None


def _one_batch(specs: list[Named]) -> list[Named]:
    """Where one input counts its rows in a named dimension, the others' rows bear the same name."""
    if not any(spec.dynamic for spec, _ in specs):
        return specs
    rows = (DynamicDim(0, "batch", 1, MOST_ROWS),)
    return [
        (replace(spec, dynamic=rows) if not spec.dynamic and spec.shape[:1] == (BATCH,) else spec, why)
        for spec, why in specs
    ]

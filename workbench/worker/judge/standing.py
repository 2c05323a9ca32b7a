"""One side of a comparison: a built model in its modes that can be asked, and what is known to differ between two.

Owns building a side, one call of it, and the words about differences. It compares no answers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench.protocol.compare import Side, SideInfo
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.model import ModeChange, Modes, Recipe
from workbench.worker.bench.inputs import Example
from workbench.worker.bench.load import Built, build
from workbench.worker.bench.modes import apply, generators_kept, grad_context, read_modes
from workbench.worker.bench.sampling import map_tensors, tensors_in
from workbench.worker.bench.words import some
from workbench.worker.job import Job
from workbench.worker.judge.digest import digest
from workbench.worker.judge.leaves import Flat, flatten
from workbench.worker.judge.pieces import bytes_of
from workbench.worker.judge.replay import Generators, Parts

Call = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword inputs of one forward."""


@dataclass(frozen=True)
class Portrait:
    """What is remembered of a side when it is gone."""

    recipe: Recipe
    modes: Modes
    training: dict[str, bool]
    """By path of each module; the root's is ""."""
    acting: dict[str, str]
    """Path → class of the modules that act otherwise because they are training."""
    tensors: dict[str, bytes]
    """Digest of every parameter and buffer as built, before a cast; empty when nobody asked."""
    bytes: int
    """Of its parameters and buffers, as loaded or as cast, whichever is more."""
    seconds_to_build: float
    seconds: float
    """Of its first forward."""


class Standing:
    """A side that is built and in its modes."""

    def __init__(self, letter: str, side: Side, built: Built, example: Example, job: Job) -> None:
        """Turn its switches. Raises `WorkbenchError` that names the side."""
        self.letter, self.side, self.built, self.model = letter, side, built, built.model
        self.example = example
        self.seconds = 0.0
        self.drawn: tuple[str, ...] = ()
        """Generators that the last forward drew from."""
        self._job = job
        self._tensors: dict[str, bytes] = {}
        with naming(letter):
            # threads belong to the process: another side's must not stay
            self.modes = apply(self.model, example, read_modes(self.model), ModeChange(threads=0))
            for change in side.changes:
                self.modes = apply(self.model, example, self.modes, change)

    def answer(self, inputs: Call, seed: int) -> Flat:
        """One forward on copies of `inputs`, every generator started at `seed` (or at the one that is fixed).

        Raises `Cancelled` and what the forward raises.
        """
        self._job.raise_if_cancelled()
        args, kwargs = map_tensors(inputs[0], _fresh), map_tensors(inputs[1], _fresh)
        start = self.modes.seed if self.modes.rng == "fixed" else seed
        with generators_kept(start), grad_context(self.modes.grad):
            before = Generators.take()
            output = self.model(*args, **kwargs)
            self.drawn = before.moved(Generators.take())
        return flatten(output)

    def given(self, inputs: Call, seed: int) -> Call:
        """The very values of another side's `inputs` of this seed, in this one's dtype and on its device."""
        sample = iter(tensors_in(self.example.sample(seed)))  # samples of a capture need not have one form
        moved = lambda tensor: tensor.to(**_place(tensor, next(sample)))  # noqa: E731
        return map_tensors(inputs[0], moved), map_tensors(inputs[1], moved)

    @property
    def info(self) -> SideInfo:
        weights = "" if self.side.state else self.built.info.weights
        return SideInfo(
            self.built.info.name, self.side.recipe.target, weights, self.built.info.parameters, self.modes, self.seconds
        )

    def portrait(self, tensors: dict[str, bytes]) -> Portrait:
        parts = Parts(self.model)
        kinds = {path: type(module).__name__ for path, module in parts.modules}
        flags = {path: module.training for path, module in parts.modules}
        acting = {path: kinds[path] for path, _ in parts.active()}
        info = self.built.info
        now = sum(bytes_of(tensor) for _, tensor in _tensors(self.model) if not nn.parameter.is_lazy(tensor))
        held = max(info.parameter_bytes + info.buffer_bytes, now)
        return Portrait(self.side.recipe, self.modes, flags, acting, tensors, held, info.seconds, self.seconds)


def stand(letter: str, side: Side, job: Job, example: Example | None = None) -> Standing:
    """Build a side, on another's `example` where that is given. Raises `WorkbenchError` that names the side."""
    with naming(letter):
        built = build(side.recipe, job, side.state, example=example)
    own = built.example if example is None else example.copy()
    return Standing(letter, side, built, own, job)


class naming:
    """What fails inside says of which side it is."""

    def __init__(self, letter: str) -> None:
        self._letter = letter

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        if isinstance(problem, WorkbenchError):
            failure = problem.failure
            words = f"Side {self._letter}: {failure.message}"
            raise WorkbenchError(dataclasses.replace(failure, message=words)) from problem


def fingerprints(model: nn.Module, job: Job) -> dict[str, bytes]:
    """The digest of every parameter and buffer by its name."""
    found: dict[str, bytes] = {}
    for name, tensor in _tensors(model):
        job.progress("reading the parameters")
        if not nn.parameter.is_lazy(tensor):
            found[name] = digest(Flat("", [("", tensor)]))
    return found


OTHER_SOURCES = "The models are"
"""Begins a difference that says where to look, and not what acts on the answer."""


def differences(a: Portrait, b: Portrait) -> list[str]:
    """In which respects the sides differ, each as a sentence; what acts on the answer most comes first."""
    found: list[str] = []
    one, other = a.recipe, b.recipe
    if one.target != other.target:
        found.append(f"{OTHER_SOURCES} {one.target} and {other.target}.")
    whole = one.trusted or other.trusted  # a capture: what it is made with is in itself
    if one.kwargs != other.kwargs and not whole:
        found.append(f"The arguments are {one.kwargs or 'none'} and {other.kwargs or 'none'}.")
    found += _tensor_words(a.tensors, b.tensors) + _mode_words(a, b)
    if one.weights != other.weights and not whole:
        where = [recipe.weights or "as constructed" for recipe in (one, other)]
        found.append(f"The weights are {where[0]} and {where[1]}.")
    for name, word in (("dtype", "dtype"), ("device", "device"), ("threads", "number of threads"),
                       ("grad", "grad mode"), ("rng", "generators")):  # fmt: skip
        values = [getattr(portrait.modes, name) or _UNSET.get(name, "as loaded") for portrait in (a, b)]
        if values[0] != values[1]:
            found.append(f"The {word} {'are' if name == 'rng' else 'is'} {values[0]} in A and {values[1]} in B.")
    return found


_UNSET = {"threads": "torch's choice"}


def _tensor_words(a: dict[str, bytes], b: dict[str, bytes]) -> list[str]:
    shared = [name for name in a if name in b]
    changed = [name for name in shared if a[name] != b[name]]
    found = []
    if changed:
        found.append(f"{len(changed)} of {len(shared)} parameters and buffers have other values: {some(changed, 4)}.")
    for letter, mine, others in (("A", a, b), ("B", b, a)):
        alone = [name for name in mine if name not in others]
        if alone:
            found.append(f"{len(alone)} parameters and buffers are in {letter} only: {some(alone, 4)}.")
    return found


def _mode_words(a: Portrait, b: Portrait) -> list[str]:
    found = []
    for letter, mine, others in (("A", a, b), ("B", b, a)):
        paths = [path for path, flag in mine.training.items() if flag and others.training.get(path) is False]
        acting = [f"{path or 'the model'} ({mine.acting[path]})" for path in paths if path in mine.acting]
        if acting:
            found.append(f"In train mode in {letter} only: {some(acting, 4)}.")
        elif paths:
            plain = [path or "the model itself" for path in paths]
            found.append(f"In train mode in {letter} only: {some(plain, 4)}; none of them is dropout or batch norm.")
    return found


def _tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _place(tensor: torch.Tensor, like: torch.Tensor) -> dict[str, Any]:
    return {"device": like.device, "dtype": like.dtype if tensor.is_floating_point() else tensor.dtype}


def _fresh(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)

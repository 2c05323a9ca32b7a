"""Answers `ConvertPickled`: out of a pickled module come a state_dict and the source that builds its architecture.

Owns the order: load (after a yes), write the numbers, write the source, build from what was written, compare it with
what was loaded, mend what a line of source can mend, and publish the directory as a whole.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import torch
from torch import nn

from workbench.protocol import files
from workbench.protocol.convert import ARCHITECTURE, FACTORY, WEIGHTS, Converted, ConvertPickled
from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.model import Recipe
from workbench.protocol.text import clean_line
from workbench.worker import tensorfile
from workbench.worker.bench import fitting
from workbench.worker.bench.likeness import Difference, differences, uncompared
from workbench.worker.bench.load import IMPORTS, instantiate
from workbench.worker.bench.modes import generators_kept
from workbench.worker.bench.pickled import Unpickled, unpickled
from workbench.worker.bench.words import some
from workbench.worker.bench.written import Source, Unwritten
from workbench.worker.job import Job

ROUNDS = 3
"""How often what was written is built and mended: a replaced module may bring differences of its own."""

LISTED = 2000
"""Differences that are sent."""


def convert(request: ConvertPickled, job: Job) -> Converted:
    """What was written. Raises `WorkbenchError` ("trust", "usage", "exists", "weights", "model", "write")."""
    out = os.path.abspath(os.path.join(request.directory, request.out))
    if os.path.lexists(out):
        raise error("exists", f"{out} is there already.", "--out", "Choose another name.")
    job.progress("loading the pickled module")
    found = unpickled(request)
    with files.staging(Path(out)) as stage:
        job.progress("writing the weights")
        left = _write_weights(stage / WEIGHTS, found.state)
        sources = _copy_sources(found, stage)
        architecture = _Architecture(request, found, stage, sources)
        if found.model is not None:
            architecture.write(found.model, job)
        job.raise_if_cancelled()
        written = architecture.built or request.partial or found.model is None
        if written:
            files.publish(stage, Path(out))
    return Converted(
        path=out if written else "",
        name=_import_path(found.model),
        weights=os.path.join(out, WEIGHTS),
        tensors=len(found.state) - len(left),
        architecture=f"{os.path.join(out, ARCHITECTURE)}:{FACTORY}" if architecture.built else "",
        asks=architecture.asks,
        why=architecture.why,
        differences=tuple(one.words for one in architecture.left[:LISTED]),
        notes=tuple(found.notes + ([f"no tensors, and left out: {some(left)}"] if left else []) + architecture.notes),
        sources=tuple(sorted(sources.values())),
        uncompared=tuple(architecture.uncompared[:LISTED]),
    )


def _write_weights(path: Path, state: dict[str, Any]) -> list[str]:
    """Write the tensors; names of what is none and was left out. Raises `WorkbenchError("write")`."""
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    try:
        tensorfile.save(str(path), tensors)
    except (ValueError, OSError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise error("write", f"The weights could not be written: {reason}.", str(path)) from problem
    return [name for name in state if name not in tensors]


def _copy_sources(found: Unpickled, stage: Path) -> dict[str, str]:
    """Copy the person's own modules into `stage`, where the written architecture imports them; module → name there."""
    copied: dict[str, str] = {}
    for module, path in found.sources.items():
        inside = module.replace(".", os.sep) + (f"{os.sep}__init__.py" if _is_package(path) else ".py")
        (stage / inside).parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(stage / inside, Path(path).read_bytes())
        copied[module] = inside
    return copied


def _is_package(path: str) -> bool:
    return os.path.basename(path) == "__init__.py"


def _import_path(model: nn.Module | None) -> str:
    return "" if model is None else f"{type(model).__module__}.{type(model).__qualname__}"


class _Architecture:
    """The source that builds the model: written, tried, mended."""

    def __init__(self, request: ConvertPickled, found: Unpickled, stage: Path, sources: dict[str, str]) -> None:
        self._request, self._found, self._stage, self._sources = request, found, stage, sources
        self.built = False
        self.why = "" if found.model is not None else "there is no module in the file"
        self.asks: tuple[str, ...] = ()
        self.left: list[Difference] = []
        self.uncompared: list[str] = []
        self.notes: list[str] = []

    def write(self, model: nn.Module, job: Job) -> None:
        """Leave the file in the stage where it can be built and takes the weights; say why where not."""
        path = self._stage / ARCHITECTURE
        if ARCHITECTURE in self._sources.values():
            self.why = f"a module of the model's own is called {ARCHITECTURE}"
            return
        source = Source(self._request.kwargs)
        try:
            call = source.factory(self._request.like) if self._request.like else source.own_factory(model)
            call = call or source.module(model, outermost=True)
            mends: list[Difference] = []
            for turn in range(ROUNDS):
                job.progress("building what was written")
                files.write_text(path, self._text(source, call, mends))
                built = self._build()
                self.left = differences(model, built, source)
                fresh = [one for one in self.left if one.mend and one not in mends]
                if not fresh or turn == ROUNDS - 1:
                    break
                mends += fresh
            self._fill(built)
        except Unwritten as problem:
            self.why, self.asks = str(problem), problem.asks
        except WorkbenchError as problem:
            self.why = problem.failure.message
        else:
            self.built = True
            self.notes = [f"set after the construction: {one.words}" for one in mends]
            self.uncompared = uncompared(model, built)
        if not self.built:
            self.left, self.uncompared = [], []
            path.unlink(missing_ok=True)

    def _build(self) -> nn.Module:
        """The model from the written file alone, with the copied modules. Raises `WorkbenchError`."""
        recipe = Recipe(f"{self._stage / ARCHITECTURE}:{FACTORY}")
        with generators_kept(recipe.seed):
            model = instantiate(IMPORTS.resolve(recipe), recipe)
        IMPORTS.go_back(None)
        return model

    def _fill(self, built: nn.Module) -> None:
        """The weights go into it, all of them. Raises `Unwritten` where they do not."""
        tensors = {name: one for name, one in self._found.state.items() if isinstance(one, torch.Tensor)}
        wrong = fitting.difference(built, tensors)
        if wrong:
            raise Unwritten(f"what its constructor makes does not take the weights: {wrong.summary}")

    def _text(self, source: Source, call: str, mends: list[Difference]) -> str:
        out = os.path.join(os.path.abspath(os.path.join(self._request.directory, self._request.out)), "")
        opens = f"workbench {shlex.quote(f'{out}{ARCHITECTURE}:{FACTORY}')} --weights {shlex.quote(f'{out}{WEIGHTS}')}"
        about = clean_line(f"{_import_path(self._found.model)}, out of {os.path.basename(self._request.path)}")
        head = about.replace("\\", "/").replace('"', "'")
        lines = [f'"""{head}.\n\n    {clean_line(opens)}\n"""', "", *sorted(source.imports), "import torch",
                 "from torch import nn", "", "", f"def {FACTORY}():",
                 '    """The architecture; its values are in the file of weights beside it."""',
                 f"    made = {call}", *(f"    {one.mend}" for one in mends), "    return made"]  # fmt: skip
        return "\n".join(lines) + "\n"

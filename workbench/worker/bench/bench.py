"""The bench: one live model, its inputs and its switch board.

Owns the live model; nobody else replaces it or changes its modes. What does not succeed leaves the bench as it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from typing import Any

import torch
from torch import nn

from workbench.protocol.failures import error
from workbench.protocol.messages import (
    Load,
    Loaded,
    ModesNow,
    Restore,
    Saved,
    SaveState,
    SetInputs,
    SetModes,
    WeightsHashed,
)
from workbench.protocol.model import ModeChange, ModelInfo, Modes, Recipe
from workbench.worker.bench import captured, weights
from workbench.worker.bench import load as loading
from workbench.worker.bench import modes as switches
from workbench.worker.bench.inputs import Example
from workbench.worker.bench.placement import dtype_named, usable_device
from workbench.worker.bench.words import some
from workbench.worker.job import Job

_EXACT = {
    "float64": ("float64", "float32", "bfloat16", "float16"),
    "float32": ("float32", "bfloat16", "float16"),
    "bfloat16": ("bfloat16",),
    "float16": ("float16",),
}
"""Of these dtypes each holds every number of those: float16 has more digits than bfloat16, which reaches further."""


class Bench:
    """The model on the bench. Before the first `load` there is none, and nothing else may be called."""

    recipe: Recipe
    model: nn.Module
    example: Example
    modes: Modes
    info: ModelInfo
    args: tuple[Any, ...]
    """Positional inputs of the next run, on the model's device."""
    kwargs: dict[str, Any]

    def __init__(self) -> None:
        self._built: loading.Built | None = None
        self._draws = 0
        self._rounded = False
        self._told: tuple[int, int, int] = (0, 0, 0)

    def load(self, request: Load, job: Job) -> Loaded:
        """Build the recipe, put it in its modes and on the bench. Raises `WorkbenchError`; the old model stays."""
        state = self._live_state() if request.keep_state and self._built is not None else None
        former, imports = self._built, loading.IMPORTS.current
        built = loading.build(request.recipe, job, state=state)
        try:
            modes, note = _enter(built, switches.read_modes(built.model), request.change)
            args, kwargs = built.example.sample(request.recipe.seed)
        except BaseException:
            loading.IMPORTS.go_back(imports)
            raise
        if state is not None and former is not None:
            built.checkpoint = former.checkpoint
            digest = former.checkpoint.digest if former.checkpoint else None
            known = digest.known if digest else ""
            built.info = dataclasses.replace(built.info, weights=former.info.weights, weights_sha256=known)
        warnings = (*built.info.warnings, *note)
        self._put(built, dataclasses.replace(built.info, warnings=warnings), modes, args, kwargs)
        self._rounded = (state is not None and self._rounded) or self._loses()
        self.recipe, self._draws = request.recipe, 0
        if self.info.weights and not self.info.weights_sha256:
            job.afterwards(lambda: self._tell_digest(built, job))
        return Loaded(self.info, self.modes, request.keep_runs)

    def set_modes(self, request: SetModes, job: Job) -> ModesNow:
        """Change switches, all or none. Raises `WorkbenchError` ("usage", "device", "memory")."""
        change, before = request.change, self.modes
        job.progress("setting modes")
        args, kwargs = self.args, self.kwargs
        dtype = before.dtype if change.dtype is None else change.dtype
        device = before.device if change.device is None else str(usable_device(change.device))
        moves = dtype != before.dtype or device != before.device
        if moves:
            there = self.example.copy()
            there.place(dtype_named(dtype), torch.device(device))
            args, kwargs = there.sample(self._seed)
        self.modes = switches.apply(self.model, self.example, before, change)
        self.args, self.kwargs = args, kwargs
        notes = [self._cost(before.dtype)]
        if change.training is not None and change.flips is None and change.module is None:
            notes.append(switches.not_followed(self.model, change.training))
        return ModesNow(self.modes, "; ".join(note for note in notes if note))

    def set_inputs(self, request: SetInputs, job: Job) -> Loaded:
        """Other inputs for the same model. Raises `WorkbenchError` ("inputs", "usage"); the former ones stay then."""
        recipe, built = request.recipe, self._built
        assert built is not None  # a model was loaded
        if recipe.construction_seed != self.recipe.construction_seed and not self.info.weights:
            seed = self.recipe.construction_seed
            message = f"The parameters were constructed under seed {seed}: another would belie the command."
            raise error("usage", message, "--seed", f"Keep it: --init-seed {seed}, or open it again.")
        job.progress("making the inputs")
        with switches.generators_kept(recipe.seed):
            example = loading.find_example(captured.expanded(recipe).recipe, self.model, built.resolved)
        example.place(dtype_named(self.modes.dtype), torch.device(self.modes.device))
        args, kwargs = example.sample(recipe.seed)
        built.example = example
        built.info = dataclasses.replace(self.info, inputs=example.infos, batch=example.batch)
        self._put(built, built.info, self.modes, args, kwargs)
        self.recipe, self._draws = recipe, 0
        return Loaded(self.info, self.modes, keep_runs=True)

    def restore(self, request: Restore, job: Job) -> Loaded:
        """Parameters and buffers back to the checkpoint, by building the recipe again; modes stay.

        Raises `WorkbenchError("weights")` when the weights file is no longer the one that was loaded.
        """
        built = self._build_again(job)
        modes = self.modes
        change = ModeChange(training=modes.training, flips=modes.flips, dtype=modes.dtype, device=modes.device)
        fresh = switches.read_modes(built.model, modes)
        restored, _ = _enter(built, dataclasses.replace(fresh, dtype=""), change)
        args, kwargs = built.example.sample(self._seed)
        self._put(built, built.info, restored, args, kwargs)
        self._rounded = self._loses()
        return Loaded(self.info, self.modes, keep_runs=True)

    def save_state(self, request: SaveState, job: Job) -> Saved:
        """Every parameter and buffer, non-persistent ones too, to a file for another worker of ours.

        Raises `WorkbenchError("write")` when there is no room for it; then nothing is left of it.
        """
        job.progress("saving the state")
        state = self._live_state()
        try:
            torch.save(state, request.path)
            return Saved(request.path, os.path.getsize(request.path))
        except (OSError, RuntimeError) as problem:  # torch's own writer raises RuntimeError for a full disk
            with contextlib.suppress(OSError):
                if os.path.isfile(request.path):
                    os.unlink(request.path)
            if "tried to allocate" in str(problem):  # a copy from the device may run out of memory instead
                raise
            needed = sum(tensor.nbytes for tensor in state.values())
            reason = str(problem).splitlines()[0]
            words = f"The state of the model ({needed / 2**20:.1f} MB) could not be written: {reason}"
            remedy = "Free some space there, or set TMPDIR."
            raise error("write", words, request.path, remedy, str(problem)) from problem

    def take_note(self) -> ModesNow | None:
        """Somebody else changed flags of the live model: the switch board as it is now, None when it was right."""
        now = switches.read_modes(self.model, self.modes)
        if now == self.modes:
            return None
        self.modes = now
        return ModesNow(now)

    def new_inputs(self) -> None:
        """Draw the next sample of the same specs; it stays until the next draw."""
        self._draws += 1
        self.args, self.kwargs = self.example.sample(self._seed)

    def look_at_weights(self) -> str:
        """A sentence when the weights file changed since it was read, once for each change; otherwise empty.

        The model is in private memory, so a change harms nothing: it is only worth knowing. Costs one stat.
        """
        checkpoint = self._built.checkpoint if self._built else None
        if checkpoint is None:
            return ""
        now = weights.signature_of(checkpoint.files)
        if now in (checkpoint.signature, self._told):
            return ""
        self._told = now
        what = "changed on disk" if now[1] else "is gone"
        sentence = f"{checkpoint.path} {what} since it was loaded; the model on the bench still has the old weights"
        print(sentence, file=sys.stderr)  # noqa: T201 (stderr is the log)
        return sentence

    @property
    def _seed(self) -> int:
        return self.recipe.seed + self._draws

    def _put(
        self, built: loading.Built, info: ModelInfo, modes: Modes, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        former = self._built.checkpoint if self._built else None
        if former is not None and former.digest is not None and former is not built.checkpoint:
            former.digest.forget()
        self._built, self.model, self.example = built, built.model, built.example
        self.info, self.modes, self.args, self.kwargs = info, modes, args, kwargs

    def _tell_digest(self, built: loading.Built, job: Job) -> None:
        """Say what the weights' sha256 is as soon as it is known, unless another model is on the bench by then."""
        if built.checkpoint is not None and built.checkpoint.digest is not None:
            built.checkpoint.digest.tell(lambda known: job.announce(WeightsHashed(built.info.weights, known)))

    def _live_state(self) -> dict[str, torch.Tensor]:
        parameters = self.model.named_parameters(remove_duplicate=False)
        buffers = self.model.named_buffers(remove_duplicate=False)
        return {name: tensor.detach() for name, tensor in (*parameters, *buffers)}

    def _build_again(self, job: Job) -> loading.Built:
        former = self._built
        imports = loading.IMPORTS.current
        built = loading.build(self.recipe, job)
        was, now = former.weights_sha256() if former else "", built.weights_sha256()
        built.info = dataclasses.replace(built.info, weights_sha256=now)
        if was and was != now:
            loading.IMPORTS.go_back(imports)
            message = f"{self.info.weights} changed since it was loaded: sha256 {was[:12]}… then, {now[:12]}… now."
            remedy = "Load the model again to take the new weights; the one on the bench stays as it is."
            raise error("weights", message, self.info.weights, remedy)
        if former is not None and self.info.source_sha256 != built.info.source_sha256:
            changed = (
                f"{os.path.basename(built.info.source)} was edited since it was loaded: its new source is what runs"
            )
            built.info = dataclasses.replace(built.info, warnings=(*built.info.warnings, changed))
        return built

    def _loses(self) -> bool:
        """Whether the dtype of now lacks numbers that the dtypes of the checkpoint have."""
        return any(name in _EXACT and name not in _EXACT.get(self.modes.dtype, _EXACT) for name in self.info.dtypes)

    def _cost(self, before: str) -> str:
        """What a cast did to the values, in words."""
        now = self.modes.dtype
        if now == before:
            return ""
        if self._loses():
            self._rounded = True
            return f"parameters and buffers were rounded to {now}; restore brings the checkpoint back"
        if self._rounded:
            return f"{before} and back: values were rounded; restore brings the checkpoint back"
        return ""


def _enter(built: loading.Built, modes: Modes, change: ModeChange) -> tuple[Modes, list[str]]:
    """The modes after `change`; paths that an edited source no longer has are left out, and named."""
    known = {path for path, _, _ in switches.walk(built.model)}
    gone = [path for path in change.flips or () if path not in known]
    if gone:
        change = dataclasses.replace(change, flips=tuple(path for path in change.flips or () if path in known))
    notes = [f"no longer there, its mode was dropped: {some(gone)}"] if gone else []
    return switches.apply(built.model, built.example, modes, change), notes

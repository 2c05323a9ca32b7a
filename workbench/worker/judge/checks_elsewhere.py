"""Would a model that is right here run on another device, and in half precision? Asked of fakes, which hold no values.

Owns the exchange of parameters, buffers and inputs for fakes. What cannot be told so is told by nobody: a forward
that reads values.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from workbench.worker.bench.failing import users_place
from workbench.worker.bench.modes import grad_context
from workbench.worker.bench.sampling import map_tensors, tensors_in
from workbench.worker.job import Cancelled
from workbench.worker.judge.checks_places import stack_place
from workbench.worker.judge.checks_run import Subject
from workbench.worker.judge.held_outside import caches
from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.widening import MET, WIDTH, Widening, dtype_name, widened


class _Named(TorchFunctionMode):
    """Follows tensors whose device somebody wrote down, until one of them meets a tensor of another device."""

    def __init__(self) -> None:
        super().__init__()
        self.met = ""
        """ "ones(device='cpu') at model.py:41": what met the other device; empty: nothing that was written down."""
        self._origins = WeakIdKeyDictionary()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        inputs = tensors_in((args, kwargs or {}))
        origin = next((self._origins[one] for one in inputs if one in self._origins), "")
        try:
            output = func(*args, **(kwargs or {}))
        except Exception as problem:
            if _is_mismatch(problem):
                self.met = self.met or origin
            raise
        name = getattr(func, "__name__", "")
        wanted = (kwargs or {}).get("device") or (args[1] if name == "to" and len(args) > 1 else None)
        written = wanted if isinstance(wanted, (str, torch.device)) else name if name in ("cpu", "cuda") else None
        if written is not None and (place := stack_place()):
            origin = f"{name}(device={str(written)!r}) at {place}"
        for one in tensors_in(output) if origin else ():
            if one.device.type != _AWAY.type:
                self._origins[one] = origin
        return output


_AWAY = torch.device("meta")
"""Where the model is put for one forward without values. Fakes of a CUDA device end the process where there is none."""


def tied_to_a_device(subject: Subject) -> tuple[str, bool]:
    """(where a tensor of this device meets the model's on another, whether its device was written down).

    Empty where nothing meets, and where fakes cannot tell: a forward that reads values.
    """
    fakes = _fakes(subject, None, _AWAY)
    named = _Named()
    try:
        if fakes is not None:
            fakes.forward(subject, named)
    except Cancelled:
        raise
    except Exception as problem:  # noqa: BLE001 (most of them say only that a fake holds no values)
        if not _is_mismatch(problem):
            return "", False
        if named.met:
            return f"{named.met} meets tensors of the model's device.", True
        place = users_place(problem).rpartition("/")[2]
        return f"A tensor made or held without a device meets the model's{f' at {place}' if place else ''}.", False
    return "", False


def half_words(subject: Subject) -> tuple[str, bool]:
    """(what would leave bfloat16 if the model were cast to it, with operator and place; whether by a conversion that
    is written down).

    Empty where nothing would, and where fakes cannot tell.
    """
    fakes = _fakes(subject, torch.bfloat16, torch.device("cpu"))
    if fakes is None:
        return "", False
    watch = Widening(WIDTH[torch.bfloat16], [fakes.held[name] for name, _ in subject.bench.model.named_buffers()])
    try:
        output = fakes.forward(subject, watch)
    except Cancelled:
        raise
    except Exception:  # noqa: BLE001 (a fake holds no values, and most say only that)
        output = None
    if watch.refused:
        return f"It would raise: {watch.refused}.", watch.converted
    wide = [one for one in widened(flatten(output).tensors, watch) if one[2].kind == MET or one[2].computed]
    if not wide:
        return "", False
    path, leaf, origin = wide[0]
    where = f"Widened first in {origin.words}" if origin.kind == MET else f"Converted in {origin.words}"
    return f"{path} would be {dtype_name(leaf)}. {where}.", origin.kind != MET


@dataclass
class _Fakes:
    """What stands in the place of the model's tensors and of its inputs."""

    mode: Any
    held: dict[str, Any]
    args: Any
    kwargs: Any

    def forward(self, subject: Subject, watch: Any) -> Any:
        """The output of one forward, which computes shapes, dtypes and devices alone. What earlier ones left in the
        model since the check began is taken out before it, and what it leaves itself after it."""
        subject.snapshot.restore()
        log = logging.getLogger("torch._subclasses.fake_tensor")
        usual = log.disabled
        asked = [(cache, cache.cache_info().misses) for _, cache in caches(subject.bench.model)]
        log.disabled = True  # it writes a traceback of each refusal, which is what is asked for
        try:
            with grad_context(subject.bench.modes.grad), self.mode, watch:
                return torch.func.functional_call(subject.bench.model, self.held, self.args, self.kwargs)
        finally:
            log.disabled = usual
            subject.snapshot.restore()
            for cache, misses in asked:
                if cache.cache_info().misses != misses:
                    cache.cache_clear()  # it holds fakes now


def _fakes(subject: Subject, dtype: torch.dtype | None, device: torch.device) -> _Fakes | None:
    """Fakes on `device`, the floating ones of `dtype` (None: their own); None for a model that cannot be asked so."""
    from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode  # 1 s of imports

    model = subject.bench.model
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        return None
    if subject.bench.modes.device != "cpu" or not tensors_in((subject.args, subject.kwargs)):
        return None
    mode = FakeTensorMode(allow_non_fake_inputs=True)

    def fake(tensor: torch.Tensor) -> torch.Tensor:
        kind = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        empty = torch.empty_strided(tensor.shape, tensor.stride(), dtype=kind, device="meta")
        return FakeTensor(mode, empty, device)

    try:
        held = {name: fake(tensor) for name, tensor in (*model.named_parameters(), *model.named_buffers())}
        return _Fakes(mode, held, map_tensors(subject.args, fake), map_tensors(subject.kwargs, fake))
    except RuntimeError:  # sparse and quantised tensors have no strides
        return None


def _is_mismatch(problem: Exception) -> bool:
    return "on the same device" in str(problem)

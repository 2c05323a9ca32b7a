"""Owns the check that tensors have the dtype and the device that they should: nothing widened, nothing elsewhere."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from workbench.protocol.artifacts import CheckRow
from workbench.worker.bench.failing import users_place
from workbench.worker.bench.modes import grad_context
from workbench.worker.bench.sampling import map_tensors, tensors_in
from workbench.worker.bench.words import counted, some
from workbench.worker.job import Cancelled
from workbench.worker.judge.checks_places import stack_place
from workbench.worker.judge.checks_run import Subject
from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.replay import Parts

_WIDTH = {torch.float16: 1, torch.bfloat16: 1, torch.float32: 2, torch.complex64: 2, torch.float64: 3,
          torch.complex128: 3}  # fmt: skip
"""Floating dtypes by precision."""


def check_dtype_device(subject: Subject) -> CheckRow:
    """No tensor is left on another device or on meta, and no output is wider than the model by accident.

    Widened by accident: an operator met two floating dtypes, and the wider one was no parameter; a conversion that
    somebody wrote down is meant. Integer buffers, parameters kept in float32 in a half-precision model and complex
    tensors of the model's own precision are healthy mixtures.
    """
    model = subject.bench.model
    held = [*model.named_parameters(), *model.named_buffers()]
    elsewhere = _elsewhere(subject, held)
    if elsewhere:
        return subject.failed(*elsewhere)
    own = Parts(model).dtype() or "float32"
    width = _WIDTH.get(getattr(torch, own), 2)
    with _Widening(width) as watch:
        output = subject.forward()
    leaves = flatten(output).leaves
    wide = [
        (path, leaf, watch.origins[leaf])
        for path, leaf in leaves
        if leaf in watch.origins and _WIDTH.get(leaf.dtype, 0) > width
    ]
    double = [name for name, tensor in held if _WIDTH.get(tensor.dtype, 0) > max(width, 2) and tensor.dim()]
    mixture = ", ".join(f"{name} ({count})" for name, count in _counts(held).items()) or "no tensors"
    if wide or (watch.first and double):
        names = [f"{path} is {_name(leaf)}" for path, leaf, _ in wide]
        evidence = f"The model is {own}, and {some(names or [f'it computes in {watch.wide}'], 3)}."
        holds = f" Held in it: {some(double, 4)}." if double else ""
        remedy = "Make it in the dtype of the input: torch.tensor(…, dtype=x.dtype), or buffer.to(x.dtype)."
        return subject.failed(evidence, f"Widened first in {wide[0][2] if wide else watch.first}.{holds}", remedy)
    if double:
        words = f"Held in float64 in a {own} model, and converted where they are used: {some(double, 4)}."
        subject.found("float64_tensors", words)
    if watch.narrowed:
        words = f"The model is {own}, and computes in part with fewer digits: {watch.narrowed}."
        subject.found("narrow_inside", words, "If it is not meant, take the conversion out.")
    away = [f"{path} on {leaf.device}" for path, leaf in leaves if leaf.device != _home(subject)]
    if away:
        subject.found("output_device", f"The model is on {_home(subject)}, and answers {some(away, 3)}.")
    return _elsewhere_too(subject, f"Held: {mixture}, all on {_home(subject)}; {counted(len(leaves), 'output')}: "
                          f"{', '.join(dict.fromkeys(_name(leaf) for _, leaf in leaves)) or 'none'}.")  # fmt: skip


def _elsewhere_too(subject: Subject, evidence: str) -> CheckRow:
    """The row of a model that is right here, by whether it would be on another device."""
    place, explicit = _tied_to_a_device(subject)
    if not place:
        return subject.passed(evidence)
    remedy = "Make tensors where the input is: device=x.device; and register those that the model holds as buffers."
    if explicit:
        return subject.failed("The forward runs on this device only.", place, remedy)
    subject.found("other_device", f"It would not run on another device. {place}", remedy)
    return subject.passed(evidence)


def _elsewhere(subject: Subject, held: list[tuple[str, Any]]) -> tuple[str, str, str] | None:
    """Evidence, cause and remedy where parameters or buffers are not where the model is; None when all are."""
    meta = [name for name, tensor in held if tensor.is_meta]
    if meta:
        cause = "A checkpoint did not fill them, or they were made on the meta device and never materialised."
        return f"{counted(len(meta), 'tensor')} on meta hold no values: {some(meta, 4)}.", cause, "Load all of them."
    home = _home(subject)
    away = [f"{name} on {tensor.device}" for name, tensor in held if tensor.device != home and tensor.dim()]
    placed = hasattr(subject.bench.model, "hf_device_map") or any(
        hasattr(module, "_hf_hook") for module in subject.bench.model.modules()
    )
    if away and not placed:
        return f"The model is on {home}, and {some(away, 4)}.", "", "Move all of it: model.to(device)."
    return None


def _home(subject: Subject) -> torch.device:
    """Where the model should be."""
    wanted = torch.device(subject.bench.modes.device)
    return next((one.device for one in subject.bench.model.parameters() if one.device.type == wanted.type), wanted)


def _counts(held: list[tuple[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for _, tensor in held:
        counts[_name(tensor)] = counts.get(_name(tensor), 0) + 1
    return counts


def _name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


class _Widening(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows tensors that an operator made wider than the model because it met two floating dtypes."""

    def __init__(self, width: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.origins = WeakIdKeyDictionary()
        """Tensor → "aten.mul at model.py:41", where it, or what it was made of, was widened."""
        self.first = self.wide = ""
        """The first such place, and the dtype that it made; empty: none."""
        self.narrowed = ""
        """ "aten._to_copy to float16 at model.py:41": the first tensor made narrower than the model; empty: none."""
        self._width = width

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        inputs = [one for one in tensors_in((args, kwargs or {})) if _WIDTH.get(one.dtype)]
        made = [one for one in tensors_in(output) if _WIDTH.get(one.dtype, 0) > self._width]
        if inputs and not self.narrowed:
            self.narrowed = self._narrower(func, inputs, output)
        if not made or not inputs:
            return output
        origin = next((self.origins[one] for one in inputs if one in self.origins), "")
        if not origin and self._meets(inputs) and "_to_copy" not in str(func):
            place = stack_place()
            origin = f"{func.overloadpacket}{f' at {place}' if place else ''}"
            self.first = self.first or origin
            self.wide = self.wide or _name(made[0])
        if origin:
            for one in made:
                self.origins[one] = origin
        return output

    def _narrower(self, func: Any, inputs: list[torch.Tensor], output: Any) -> str:
        """The operator that made a tensor narrower than the model from one that was not; autocast is meant to."""
        if torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"):
            return ""
        made = next((one for one in tensors_in(output) if 0 < _WIDTH.get(one.dtype, 0) < self._width), None)
        if made is None or all(_WIDTH[one.dtype] < self._width for one in inputs):
            return ""
        place = stack_place()
        return f"{func.overloadpacket} to {_name(made)}{f' at {place}' if place else ''}"

    def _meets(self, inputs: list[torch.Tensor]) -> bool:
        """Whether floating operands of the model's width and wider ones came together, the wide no parameter."""
        shaped = [one for one in inputs if one.dim()]  # scalars promote nothing
        wide = [one for one in shaped if _WIDTH[one.dtype] > self._width]
        deliberate = all(isinstance(one, nn.Parameter) and _WIDTH[one.dtype] == 2 for one in wide)
        return bool(wide) and not deliberate and any(_WIDTH[one.dtype] <= self._width for one in shaped)


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


def _tied_to_a_device(subject: Subject) -> tuple[str, bool]:
    """(where a tensor of this device meets the model's on another, whether its device was written down).

    The model's parameters, buffers and inputs are exchanged for fake ones on another device for one forward, which
    computes shapes alone. Empty where nothing meets, and where fakes cannot tell: a forward that reads values.
    """
    from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode  # 1 s of imports

    model = subject.bench.model
    held = [*model.named_parameters(), *model.named_buffers()]
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        return "", False
    if subject.bench.modes.device != "cpu" or not tensors_in((subject.args, subject.kwargs)):
        return "", False
    mode = FakeTensorMode(allow_non_fake_inputs=True)

    def away(tensor: torch.Tensor) -> torch.Tensor:
        empty = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
        return FakeTensor(mode, empty, _AWAY)

    try:
        swap = {name: away(tensor) for name, tensor in held}
        args, kwargs = map_tensors(subject.args, away), map_tensors(subject.kwargs, away)
        with grad_context(subject.bench.modes.grad), mode, _Named() as named:
            torch.func.functional_call(model, swap, args, kwargs)
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


def _is_mismatch(problem: Exception) -> bool:
    return "on the same device" in str(problem)

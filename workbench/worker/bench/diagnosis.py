"""What an error out of the user's model means: one plain message, the place, and what to type next.

Owns the scene of an error: which module was running, with what. The words for each kind of error are the table in
`rules.py`. It changes nothing and runs nothing of the model.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench.protocol.failures import Failure, WorkbenchError
from workbench.worker.bench.failing import LEFT_OUT_REMEDY, first_line, frames, full_text, left_out, users_place
from workbench.worker.bench.sampling import tensors_in
from workbench.worker.bench.signature import Forward
from workbench.worker.bench.words import shape_text

_INPUT_NAMES = ("input", "x", "query", "hidden_states")
"""What layers call the tensor they work on, the likeliest first."""


@dataclass(frozen=True)
class Scene:
    """Where an error happened and with what."""

    problem: BaseException
    model: nn.Module | None
    path: str
    """Of the innermost module that was running; "" is the root."""
    module: nn.Module | None
    """None when no module was running."""
    tensor: torch.Tensor | None
    """What that module was given, where its frame shows it."""
    argument: str
    """Name of forward's argument when that module is a layer of torch's and `tensor` an input itself; else empty."""
    args: tuple[Any, ...] = ()
    """What the model itself was called with; `kwargs` too."""
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def at(self) -> str:
        """ "fc1 (Linear)", "the model (Net)"."""
        if self.module is None:
            return "the model"
        return f"{self.path or 'the model'} ({type(self.module).__name__})"

    @property
    def given(self) -> str:
        """ "float32[4,11]", or "its input" when it is not known."""
        tensor = self.tensor
        return "its input" if tensor is None else f"{str(tensor.dtype)[6:]}{shape_text(tensor.shape)}"

    @property
    def holds(self) -> str:
        """Dtype of the module's own first parameter or buffer that is floating; empty when it has none."""
        module = self.module
        own = [] if module is None else [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        return next((str(one.dtype)[6:] for one in own if one.is_floating_point()), "")

    def input_of(self, tensor: torch.Tensor) -> tuple[str, torch.Tensor] | None:
        """(argument, the input) whose memory this tensor shares, itself or a view of it; None: it was made on the way.

        An input inside a list or a dict has no option of its own here, and is None as well.
        """
        names = [] if self.model is None else Forward.of(self.model).positional
        given = [*zip(names, self.args), *self.kwargs.items()]  # noqa: B905 (more values than names: *args)
        for name, value in given:
            if isinstance(value, torch.Tensor) and value.dtype == tensor.dtype and shares(value, tensor):
                return name, value
        return None

    def spec(self, shape: tuple[int, ...] | None = None, dtype: str = "", values: str = "") -> str:
        """The option that passes this input with another shape or dtype; empty when it is not an input of the model."""
        if not self.argument or self.tensor is None:
            return ""
        sizes = shape_text(self.tensor.shape if shape is None else shape)
        return f"--input '{self.argument}={dtype or str(self.tensor.dtype)[6:]}{sizes}{values}'"


def explain(problem: BaseException, model: nn.Module | None = None, args: Any = (), kwargs: Any = None) -> Failure:
    """The failure that `problem`, raised while `model` ran on `args`, means to the person. Never raises."""
    if isinstance(problem, WorkbenchError):
        return problem.failure
    from workbench.worker.bench.rules import RULES

    if not args and not kwargs:
        args, kwargs = _called_with(problem, model)
    scene = scene_of(problem, model, args, kwargs or {})
    place = users_place(problem)
    where = " in ".join(part for part in (place, scene.path) if part)
    details = full_text(problem)
    if missing := left_out(problem):
        return Failure("forward", sentence(f"{scene.at}: {missing}."), where, LEFT_OUT_REMEDY, details)
    for rule in RULES:
        failure = rule.apply(scene)
        if failure is not None:
            return dataclasses.replace(failure, where=failure.where or where, details=details)
    message = sentence(f"{scene.at} raised {first_line(problem)}.")
    remedy = "Mend the source, then load it again." if place else ""
    return Failure("forward", message, where, remedy, details)


def scene_of(problem: BaseException, model: nn.Module | None, args: Any, kwargs: dict[str, Any]) -> Scene:
    """The innermost module of `model` among the frames, and the tensor it was working on."""
    paths: dict[int, str] = {} if model is None else {id(module): path for path, module in model.named_modules()}
    for frame, _ in reversed(frames(problem)):
        module = frame.f_locals.get("self")
        if not isinstance(module, nn.Module) or (model is not None and id(module) not in paths):
            continue
        given = next((frame.f_locals[name] for name in _INPUT_NAMES if name in frame.f_locals), None)
        if given is None:
            own = frame.f_code.co_varnames[1 : frame.f_code.co_argcount]
            given = next((frame.f_locals[name] for name in own if name in frame.f_locals), None)
        tensor = given if isinstance(given, torch.Tensor) else None
        layer = type(module).__module__.startswith("torch.")  # what a layer of torch is given is what it fails on
        argument = _argument(tensor, model, args, kwargs) if layer and tensor is not None else ""
        return Scene(problem, model, paths.get(id(module), ""), module, tensor, argument, tuple(args), kwargs)
    return Scene(problem, model, "", model, None, "", tuple(args), kwargs)


def _called_with(problem: BaseException, model: nn.Module | None) -> tuple[Any, dict[str, Any]]:
    """(args, kwargs) of the model's own call, from its frame; empty ones where it shows none."""
    for frame, _ in frames(problem):
        seen = frame.f_locals
        if model is not None and seen.get("self") is model and frame.f_code.co_name.endswith("_call_impl"):
            return seen.get("args", ()), seen.get("kwargs", {})
    return (), {}


def _argument(tensor: torch.Tensor | None, model: nn.Module | None, args: Any, kwargs: dict[str, Any]) -> str:
    """The name under which this very tensor was passed to the model; empty when it was made on the way."""
    if model is None:
        return ""
    names = Forward.of(model).positional
    for place, value in enumerate(args):
        if any(one is tensor for one in tensors_in(value)):
            return names[place] if place < len(names) else ""
    return next((name for name, value in kwargs.items() if value is tensor), "")


def shares(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether both lie in the same memory."""
    try:
        return one is other or 0 != one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # sparse tensors have no storage
        return False


def sentence(text: str) -> str:
    """`text` with a capital, unless it begins with the path of a module."""
    return text[:1].upper() + text[1:] if text.startswith(("the ", "there ")) else text

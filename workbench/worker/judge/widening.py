"""Where a forward leaves the dtype of its model: what was made wider or narrower, by which operator, at which line.

Owns the dispatch mode that follows such tensors. It changes no value and judges nothing; `checks_placement.py` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from workbench.worker.bench.sampling import tensors_in
from workbench.worker.judge.checks_places import stack_place

WIDTH = {torch.float16: 1, torch.bfloat16: 1, torch.float32: 2, torch.complex64: 2, torch.float64: 3,
         torch.complex128: 3}  # fmt: skip
"""Floating dtypes by precision."""

MADE, CONVERTED, MET = "made", "converted", "met"
"""How a tensor came to be wider than the model, the weightiest last: from nothing that was computed (a factory, a
constant, a buffer); by a conversion that somebody wrote down; because an operator was given two floating dtypes."""
_WEIGHT = {MADE: 0, CONVERTED: 1, MET: 2}

_HEAVY = re.compile(
    r"aten\.(mm|addmm|bmm|baddbmm|mv|addmv|dot|linear|matmul|einsum|_?convolution|\w*scaled_dot_product\w*|\w*rnn\w*|"
    r"lstm|gru)$|mkldnn\."
)
"""Operators that are most of a model's work."""

_MISMATCH = re.compile(
    r"same dtype|expected scalar type|Input type \(|mixed dtype|to have the same|not the same dtype|type mismatch"
)
"""What torch 2.13 says when an operator takes no two floating dtypes."""


@dataclass(frozen=True)
class Origin:
    """How one tensor came to be wider than the model."""

    kind: str
    """`MADE`, `CONVERTED` or `MET`."""
    words: str
    """ "aten.mul at model.py:41, given float32 of aten.zeros at model.py:40"."""
    computed: str = ""
    """ "aten.mm at model.py:42": the first heavy operator, or use of a converted parameter, that what was `CONVERTED`
    went through; empty: none."""
    parameter: bool = False
    """It is a parameter, converted."""

    @property
    def weight(self) -> tuple[int, bool]:
        return _WEIGHT[self.kind], bool(self.computed)


class Widening(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows tensors that are wider than the model, from the operator that made them so."""

    def __init__(self, width: int, constants: Iterable[torch.Tensor] = ()) -> None:
        """`width`: the model's own, by `WIDTH`. `constants`: its buffers, whose conversion is no computation."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.origins = WeakIdKeyDictionary()
        """Tensor → `Origin`."""
        self.first = self.wide = ""
        """The first place where two dtypes met, and the dtype that came of it; empty: none."""
        self.computed = ""
        """The first heavy operator that computed in a converted, wider dtype; empty: none."""
        self.refused = ""
        """Operator, place and origin where two dtypes met and the operator raised; empty: none."""
        self.converted = False
        """What was `refused` came of a conversion that somebody wrote down."""
        self.narrowed = ""
        """ "aten._to_copy to float16 at model.py:41": the first tensor made narrower than the model; empty: none."""
        self.width = width
        self._constant = WeakIdKeyDictionary()
        for one in constants:
            self._constant[one] = True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = [one for one in tensors_in((args, kwargs or {})) if WIDTH.get(one.dtype)]
        try:
            output = func(*args, **(kwargs or {}))
        except Exception as problem:
            if is_mismatch(problem):
                self._refuse(func, given)
            raise
        floating = [one for one in tensors_in(output) if WIDTH.get(one.dtype)]
        constant = all(one in self._constant for one in given)
        for one in floating:
            if constant:
                self._constant[one] = True
            elif one in self._constant:
                del self._constant[one]  # it was written into
        if _HEAVY.search(str(func.overloadpacket)) and self._meets(given):  # fakes do not raise where tensors would
            self._refuse(func, given)
        made = [one for one in floating if WIDTH[one.dtype] > self.width]
        if given and not self.narrowed:
            self.narrowed = self._narrower(func, given, floating)
        if made and (origin := self._follow(func, given, floating)) is not None:
            for one in made:
                self.origins[one] = origin
        return output

    def _follow(self, func: Any, given: list[torch.Tensor], floating: list[torch.Tensor]) -> Origin | None:
        """The origin of what one operator made wide; None where that is nobody's doing (parameters kept wide)."""
        origin = self._origin_of(given)
        if self._meets(given) and (origin is None or origin.kind != MET):
            words = _at(func) + (f", given {self._wide_of(given)} of {origin.words}" if origin is not None else "")
            self.first = self.first or words
            wide = next(one for one in floating if WIDTH[one.dtype] > self.width)
            self.wide = self.wide or dtype_name(wide)
            return Origin(MET, words)
        if origin is None:
            return self._started(func, given, floating)
        if origin.kind != CONVERTED or origin.computed or any(self._kept(one) for one in given):
            return origin
        used = len(given) > 1 and any(self.origins[one].parameter for one in given if one in self.origins)
        heavy = _HEAVY.search(str(func.overloadpacket))
        if used or heavy:
            origin = replace(origin, computed=_at(func), parameter=False)
        if heavy:
            self.computed = self.computed or origin.computed
        return origin

    def _started(self, func: Any, given: list[torch.Tensor], floating: list[torch.Tensor]) -> Origin | None:
        """The origin that begins with this operator."""
        if _autocasts() or any(WIDTH[one.dtype] > self.width for one in given):
            return None  # a conversion that nobody wrote down; an input, or a parameter, that is wide by itself
        if any(WIDTH[one.dtype] <= self.width for one in floating) or not any(one.dim() for one in floating):
            return None  # statistics beside an answer in the model's dtype; scalars promote nothing
        if all(one in self._constant for one in given):
            return Origin(MADE, _at(func))
        return Origin(CONVERTED, _at(func), parameter=any(isinstance(one, nn.Parameter) for one in given))

    def _refuse(self, func: Any, given: list[torch.Tensor]) -> None:
        """An operator takes no two dtypes; where one of them is of the model's own making, it is known which."""
        if not self.refused and (origin := self._origin_of(given)) is not None:
            self.refused = f"{_at(func)} is given {self._wide_of(given)} of {origin.words}"
            self.converted = origin.kind == CONVERTED

    def _origin_of(self, given: list[torch.Tensor]) -> Origin | None:
        """The weightiest origin of what an operator is given; among equals not a parameter's."""
        found = [self.origins[one] for one in given if one in self.origins]
        return max(found, key=lambda one: (*one.weight, not one.parameter), default=None)

    def _wide_of(self, given: list[torch.Tensor]) -> str:
        return next((dtype_name(one) for one in given if WIDTH[one.dtype] > self.width), "another dtype")

    def _narrower(self, func: Any, given: list[torch.Tensor], floating: list[torch.Tensor]) -> str:
        """The operator that made a tensor narrower than the model from one that was not; autocast is meant to."""
        made = next((one for one in floating if WIDTH[one.dtype] < self.width), None)
        if made is None or all(WIDTH[one.dtype] < self.width for one in given) or _autocasts():
            return ""
        place = stack_place()
        return f"{func.overloadpacket} to {dtype_name(made)}{f' at {place}' if place else ''}"

    def _meets(self, given: list[torch.Tensor]) -> bool:
        """Whether floating operands of the model's width and wider ones came together, the wide no parameter."""
        shaped = [one for one in given if one.dim()]  # scalars promote nothing
        wide = [one for one in shaped if WIDTH[one.dtype] > self.width]
        deliberate = all(self._kept(one) for one in wide)
        return bool(wide) and not deliberate and any(WIDTH[one.dtype] <= self.width for one in shaped)

    def _kept(self, one: torch.Tensor) -> bool:
        """A parameter kept in float32 in a half-precision model."""
        return isinstance(one, nn.Parameter) and WIDTH[one.dtype] == 2 > self.width


def widened(leaves: Iterable[tuple[str, torch.Tensor]], watch: Widening) -> list[tuple[str, torch.Tensor, Origin]]:
    """The leaves of an output that are wider than the model, with how they came to be so."""
    return [
        (path, leaf, watch.origins[leaf])
        for path, leaf in leaves
        if leaf in watch.origins and WIDTH.get(leaf.dtype, 0) > watch.width
    ]


def is_mismatch(problem: BaseException) -> bool:
    """Whether an operator raised because it was given two floating dtypes."""
    return bool(_MISMATCH.search(str(problem)))


def dtype_name(tensor: torch.Tensor) -> str:
    """ "bfloat16"."""
    return str(tensor.dtype).removeprefix("torch.")


def _at(func: Any) -> str:
    place = stack_place()
    return f"{func.overloadpacket}{f' at {place}' if place else ''}"


def _autocasts() -> bool:
    return torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda")

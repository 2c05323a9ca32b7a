"""The signature of forward: which arguments it has, and whether what was given fits them."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING

from torch import nn

from workbench.protocol.failures import WorkbenchError, error
from workbench.worker.bench.words import closest

if TYPE_CHECKING:
    from workbench.worker.bench.arguments import Argument


@dataclasses.dataclass(frozen=True)
class Forward:
    """What forward takes, without self."""

    positional: tuple[str, ...]
    """Arguments that may be passed by position, in order."""
    keyword_only: tuple[str, ...]
    required: tuple[str, ...]
    """Those of both without a default."""
    more_positional: bool
    """It takes *args."""
    more_keywords: bool
    """It takes **kwargs."""

    @classmethod
    def of(cls, model: nn.Module) -> Forward:
        """The signature of `model.forward`; where it has none to read, anything goes."""
        try:
            parameters = inspect.signature(model.forward).parameters.values()
        except (TypeError, ValueError):
            return cls(_script_names(model), (), (), True, True)
        by_kind = {kind: [p for p in parameters if p.kind is kind] for kind in inspect._ParameterKind}
        positional = by_kind[inspect.Parameter.POSITIONAL_ONLY] + by_kind[inspect.Parameter.POSITIONAL_OR_KEYWORD]
        keyword_only = by_kind[inspect.Parameter.KEYWORD_ONLY]
        return cls(
            tuple(p.name for p in positional),
            tuple(p.name for p in keyword_only),
            tuple(p.name for p in positional + keyword_only if p.default is inspect.Parameter.empty),
            bool(by_kind[inspect.Parameter.VAR_POSITIONAL]),
            bool(by_kind[inspect.Parameter.VAR_KEYWORD]),
        )

    @property
    def text(self) -> str:
        """ "x, mask (optional)"."""
        names = [*self.positional, *self.keyword_only]
        words = [name if name in self.required else f"{name} (optional)" for name in names]
        return ", ".join(words + ["*args"] * self.more_positional + ["**kwargs"] * self.more_keywords) or "nothing"

    def arrange(self, given: list[Argument]) -> tuple[Argument, ...]:
        """`given` in the order of forward, each marked as passed by place or by name.

        Raises `WorkbenchError("inputs")` for unknown, doubled, missing and too many arguments.
        """
        named = self.named(given)
        by_name = {argument.name: argument for argument in named if argument.name}
        missing = [name for name in self.required if name not in by_name]
        if missing:
            raise wanted(missing, f"forward wants {', '.join(missing)}, which no --input gives", self)
        arranged: list[Argument] = []
        by_place = True
        for name in self.positional:
            if name in by_name:
                arranged.append(dataclasses.replace(by_name.pop(name), keyword=not by_place))
            else:
                by_place = False
        arranged += [argument for argument in named if not argument.name]
        for argument in named:
            if argument.name in by_name:
                known = argument.name in self.keyword_only or self.more_keywords
                arranged.append(dataclasses.replace(argument, keyword=known))
        return tuple(sorted(arranged, key=lambda argument: argument.keyword))

    def lacks(self, given: list[Argument]) -> bool:
        """Whether it takes more arguments by name than are given. Raises `WorkbenchError("inputs")` as `named` does."""
        names = {argument.name for argument in self.named(given)}
        more = self.more_keywords or any(name not in names for name in (*self.positional, *self.keyword_only))
        return more and "" not in names

    def named(self, given: list[Argument]) -> list[Argument]:
        """Every argument with the name that it has in forward. Raises `WorkbenchError("inputs")`."""
        taken = {argument.name for argument in given}
        free = [name for name in self.positional if name not in taken]
        named: list[Argument] = []
        for argument in given:
            if not argument.name:
                if free:
                    name = free.pop(0)
                    spec = argument.spec and argument.spec.with_name(name)
                    argument = dataclasses.replace(argument, name=name, spec=spec)
                elif not self.more_positional:
                    message = f"There are {len(given)} inputs, and forward takes {len(self.positional)}: {self.text}."
                    raise error("inputs", message, "--input", "Leave out the ones too many.")
            elif not self._takes(argument.name):
                message = f"forward has no argument {argument.name!r}; it takes {self.text}."
                remedy = closest(argument.name, [*self.positional, *self.keyword_only])
                if not remedy and all(name in {one.name for one in given} for name in self.positional):
                    remedy = "Leave it out."
                elif not remedy and len(self.positional) == 1:
                    remedy = f"Call it {self.positional[0]!r}."
                raise error("inputs", message, "--input", remedy or "Name each input as forward names its argument.")
            if argument.name and argument.name in {one.name for one in named}:
                raise error("inputs", f"The argument {argument.name!r} is given twice.", "--input", "Leave one out.")
            named.append(argument)
        return named

    def _takes(self, name: str) -> bool:
        known = name in self.positional or name in self.keyword_only
        return known or self.more_keywords or (self.more_positional and not self.positional)


def wanted(names: list[str], reason: str, forward: Forward, details: str = "") -> WorkbenchError:
    """The error that asks for `names`, with the options to type."""
    options = " ".join(f"--input '{name}=float32[4,…]'" for name in names)
    message = f"{reason[0].upper()}{reason[1:]}. forward takes {forward.text}."
    return error("inputs", message, "--input", f"Say what it takes: {options}", details)


def _script_names(model: nn.Module) -> tuple[str, ...]:
    schema = getattr(model.forward, "schema", None)
    return () if schema is None else tuple(argument.name for argument in schema.arguments[1:])

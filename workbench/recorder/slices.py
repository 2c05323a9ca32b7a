"""The part of a program that a model's class needs: a slice of what was typed, and copies of modules that are imported.

Owns what goes into a capture's `code/`. A script or a notebook must not be run again to open its model, for that would
train it again: of `__main__` only definitions, imports and values are taken, those that the class leads to. Modules
that are imported anyway are copied whole.
"""

from __future__ import annotations

import ast
import builtins
import copy
import sys
import types
from collections.abc import Callable
from typing import Any

from .helpers import FILL
from .mentions import cells_of, globals_of, mentioned, quoted
from .modules import Copies
from .pages import Pages
from .patches import patches
from .source import functions_of, is_typed, node_of, postponed, source_of


class Slice(Pages):
    """Grows by `refer`: `text` and `copies.files` are what it came to."""

    def __init__(self, spell: Callable[[Any, Slice], str]) -> None:
        """spell: the expression that makes a value again, by this slice; raises ValueError with what it is."""
        super().__init__()
        self.copies = Copies()
        """Modules of the program, below `code/`."""
        self.pending: dict[str, Any] = {}
        """Name → a value of the program that no expression makes, wanted when functions run."""
        self._spell = spell
        self._seen: set[str] = set()
        """Names of the program that were looked at."""

    def refer(self, thing: Any) -> str:
        """The expression for a class, a function or what decorators made of one, and all that it needs there.

        Raises ValueError, with what it is, where its source is not to be had.
        """
        if id(thing) not in self._made:
            found = self._imported(thing) or self._typed(thing)
            self._made[id(thing)] = found
            self._alive.append(thing)
        if not self._made[id(thing)]:
            raise ValueError(f"{called(thing)}, which closes over itself")
        return self._made[id(thing)]

    def decorated(self, thing: Any) -> str:
        """What a decorator made of a function, which is no function itself. Raises ValueError."""
        if id(thing) not in self._made:
            text, first = source_of(thing), next(functions_of(thing), None)
            if text is None or first is None:
                raise ValueError(f"a {type(thing).__name__} of the program, whose source is not to be had")
            space = globals_of(first)
            name = first.__name__ if space.get(first.__name__) is thing else ""
            if not name:
                raise ValueError(f"a {type(thing).__name__} of the program, which it has under another name")
            self._seen.add(name)
            self._made[id(thing)] = name
            self._alive.append(thing)
            self._follow(text, space, name)
            self._definitions[name] = text
        return self._made[id(thing)]

    def has_source(self, thing: Any) -> bool:
        """Whether it is here already, or its source is to be had."""
        return id(thing) in self._made or node_of(thing) is not None

    def keep(self, thing: Any) -> str:
        """The name of a definition that makes a value again. Raises ValueError."""
        if id(thing) not in self._made:
            self.give(thing, self._spell(thing, self))
        return self._made[id(thing)]

    def maker(self, function: types.FunctionType) -> str:
        """The name of a function that makes this one anew, with empty cells and without its defaults.

        Raises ValueError where the source is not to be had.
        """
        key = id(function.__code__)
        if key not in self._made:
            found = node_of(function)
            if found is None:
                raise ValueError(f"{called(function)}, whose source is not to be had")
            name = self._new("maker", key, function)
            text = _maker_text(name, found[1], function.__code__.co_freevars)
            if is_typed(function.__module__):
                self._follow(text, function.__globals__, name)
                self._definitions[name] = text
            else:  # of a module: its names are those of the module
                self.copies.add(sys.modules.get(function.__module__))
                self.imports("import sys")
                self.imports(f"import {function.__module__}")
                place = f"vars(sys.modules[{function.__module__!r}])"
                self._definitions[name] = f"{name} = {{}}\nexec({text!r}, {place}, {name})\n{name} = {name}[{name!r}]\n"
        return self._made[key]

    def _imported(self, thing: Any) -> str:
        """A class or function by the path of its module, imported here; empty for what has no such path."""
        owner = home_of(thing)
        if owner is None:
            return ""
        if owner == "builtins":
            return str(thing.__qualname__)
        self.copies.add(sys.modules.get(owner))
        self.imports(f"import {owner}")
        return f"{owner}.{thing.__qualname__}"

    def _typed(self, thing: Any) -> str:
        """What the program itself defines. Raises ValueError."""
        *around, last = thing.__qualname__.split("<locals>.")
        first, _, rest = last.partition(".")
        space = globals_of(thing)
        if rest:  # inside a class, which is taken whole
            outer = inner = space.get(first)
            for part in rest.split("."):
                inner = getattr(inner, part, None)
            if isinstance(outer, type) and inner is thing:
                return f"{self.refer(outer)}.{rest}"
        if not is_typed(thing.__module__) and isinstance(thing, type):
            raise ValueError(f"{called(thing)}, which its module does not have under its name")
        if not around and space.get(last) is thing:
            return self._defined(last, thing, space)
        if isinstance(thing, type):
            return self._local(thing, space)
        self._made[id(thing)] = ""
        try:
            state = (tuple(cells_of(thing).values()), thing.__defaults__, thing.__kwdefaults__)
            given = self._spell(state, self)
        finally:
            del self._made[id(thing)]
        made = f"{self.maker(thing)}()"
        return self.give(thing, made if not any(state) else f"{self.helper(FILL)}({made}, {given})")

    def _defined(self, name: str, thing: Any, space: dict[str, Any]) -> str:
        """A definition that the program has under its own name, and before it everything that its text mentions."""
        text = source_of(thing)
        if text is None:
            raise ValueError(f"{called(thing)}, whose source is not to be had: define it in a file or a notebook")
        self._seen.add(name)
        self._made[id(thing)] = name  # it may lead back to itself
        self._postponed = self._postponed or postponed(thing)
        self._follow(text, space, name)
        self._definitions[name] = text
        for key, value in patches(thing).items():
            self._after(f"{name}.{key} = {self._spell(value, self)}")
        kinds = getattr(thing, "registry", None) if isinstance(thing, types.FunctionType) else None
        for kind, one in kinds.items() if isinstance(kinds, types.MappingProxyType) else ():
            if kind is not object:  # functools.singledispatch
                self._after(f"{name}.register({self._spell(kind, self)}, {self._spell(one, self)})")
        return name

    def _local(self, thing: type, space: dict[str, Any]) -> str:
        """A class that the program has not, or no longer, under its own name: it gets another, and its own closure."""
        found = node_of(thing)
        if found is None:
            raise ValueError(f"{called(thing)}, whose source is not to be had: define it in a file or a notebook")
        name, cells = self._new("class", id(thing), thing), dict[str, Any]()
        for one in functions_of(thing):
            cells.update((key, value) for key, value in cells_of(one).items() if value is not thing)
        lines = [f"    {key} = {self._spell(value, self)}" for key, value in cells.items() if key != "__class__"]
        lines += [f"    {line}" for line in ast.unparse(found[1]).splitlines()]
        text = "\n".join([f"def {name}():", *lines, f"    return {thing.__name__}", f"{name} = {name}()"]) + "\n"
        self._postponed = self._postponed or postponed(thing)
        self._follow(text, space, name)
        self._definitions[name] = text
        return name

    def _follow(self, text: str, space: dict[str, Any], own: str) -> None:
        for name, at_once in mentioned(text).items():
            if name in space and name != own:
                self._global(name, space[name], at_once)
        for name in quoted(text):
            if isinstance(space.get(name), type) and name != own:
                self._global(name, space[name], False)

    def _global(self, name: str, value: Any, at_once: bool) -> None:
        """Bring along what a name of the program means. at_once: when it is defined, not only when it is run."""
        if name in self._seen or (name.startswith("__") and name.endswith("__")):
            return
        if getattr(builtins, name, None) is value:
            return
        self._seen.add(name)
        if isinstance(value, types.ModuleType):
            self.copies.add(value)
            self.imports(f"import {value.__name__}" + (f" as {name}" if value.__name__ != name else ""))
            return
        owner = home_of(value) if isinstance(value, (type, types.FunctionType)) else None
        if owner is not None and "." not in value.__qualname__:
            self.copies.add(sys.modules.get(owner))
            as_name = f" as {name}" if value.__qualname__ != name else ""
            self.imports(f"from {owner} import {value.__qualname__}{as_name}")
            return
        try:
            text = self._spell(value, self)
        except Exception as problem:  # noqa: BLE001 (objects answer with code of their own what they are asked)
            if isinstance(value, type) or at_once:
                when = ", and it is wanted as soon as a class or function is defined" if at_once else ""
                self.left_out[name] = f"{problem}{when}"
            else:
                self.pending[name] = value
            return
        if text != name:
            self._definitions[name] = f"{name} = {text}\n"


def _maker_text(name: str, found: Any, free: tuple[str, ...]) -> str:
    """A function that defines the function anew, each of what it closes over being a variable of its own."""
    node = copy.deepcopy(found)
    arguments = node.args
    arguments.defaults = [ast.Constant(None) for _ in arguments.defaults]  # they are given their values
    arguments.kw_defaults = [one and ast.Constant(None) for one in arguments.kw_defaults]
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    for one in every:
        if one is not None:
            one.annotation = None
    if isinstance(node, ast.Lambda):
        body = f"    return {ast.unparse(node)}"
    else:
        node.decorator_list, node.returns = [], None
        lines = "\n".join(f"    {line}" for line in ast.unparse(node).splitlines())
        body = f"{lines}\n    return {node.name}"
    return "\n".join([f"def {name}():", *(f"    {one} = None" for one in free), body]) + "\n"


def home_of(thing: Any) -> str | None:
    """The module that has a class or function under its own name, and can be imported again; None where none does."""
    owner = getattr(thing, "__module__", None)
    if not isinstance(owner, str) or (is_typed(owner) and owner != "builtins"):
        return None
    found: Any = sys.modules.get(owner)
    for part in getattr(thing, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return owner if found is thing else None


def called(thing: Any) -> str:
    """In words."""
    kind = "the class" if isinstance(thing, type) else "the function"
    return f"{kind} {thing.__qualname__}".replace("the function <lambda>", "a lambda")

"""From `path/file.py:Name` or `package.module:Name` to the object it names.

Owns importing the user's code: under a private name for a file, with its directory importable while the model
lives, and afresh at each load, so that an edited source is what runs. It never constructs a model, and everything it
did to `sys.modules` and `sys.path` can be taken back.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import linecache
import os
import shlex
import sys
import types
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.kinds import kind_of
from workbench.protocol.model import Recipe
from workbench.worker.bench import packages
from workbench.worker.bench.failing import failed_in
from workbench.worker.bench.given_sources import GivenSources
from workbench.worker.bench.words import closest, some

_ARTIFACTS = (".safetensors", ".pt", ".pth", ".pt2", ".ts", ".onnx", ".bin", ".ckpt")


@dataclass
class Resolved:
    """The named object, and what importing it took."""

    object: Any
    name: str
    module: types.ModuleType
    file: str
    """Absolute path of the file that holds it; empty when it has none."""
    sha256: str
    """Of the bytes that were run; empty without a file."""
    sources: tuple[str, ...]
    """`file` and the helper modules beside it that the import brought in."""
    root: str
    """Directory that was put on sys.path for it."""
    modules: dict[str, types.ModuleType] = field(default_factory=dict)
    """Entries it has in sys.modules; what its code imports later is added when it is taken out."""
    known: frozenset[str] = frozenset()
    """Names in sys.modules before it was imported."""
    given: GivenSources | None = None
    """Where its modules come from in the place of sys.path; None: they come from `root`."""


class Imports:
    """What loads of this process did to sys.path and sys.modules, so that a failed one leaves no trace."""

    def __init__(self) -> None:
        self.current: Resolved | None = None

    def resolve(self, recipe: Recipe, sources: Mapping[str, bytes] | None = None) -> Resolved:
        """Import the target afresh, a file out of `sources` (absolute path → bytes) where these are given.

        Raises `WorkbenchError` ("model", "usage"); then the former one stays imported.
        """
        if path := packages.directory_of(recipe.target, recipe.directory):
            return self._of_package(path)
        holder, _, name = packages.importable(recipe.target).rpartition(":")
        if not holder or not name or os.sep in name:
            raise _no_name(recipe.target, recipe.directory)
        is_file = holder.endswith(".py") or os.sep in holder
        path = os.path.abspath(os.path.join(recipe.directory, holder)) if is_file else ""
        root = os.path.dirname(path) if is_file else os.path.abspath(recipe.directory or os.getcwd())
        former = self.current
        if former is not None:
            _take_out(former)
        before = set(sys.modules)
        given = GivenSources(root, sources) if sources is not None else None
        _make_importable(root, given)
        try:
            module, digest = _import_file(path, sources) if is_file else _import_named(holder)
            found = Resolved(_lookup(module, name, holder), name, module, path, digest, (), root, given=given)
        except BaseException:
            _make_unimportable(root, given)
            for fresh in _new_modules(before, root):
                del sys.modules[fresh]
            if former is not None:
                _put_back(former)
            raise
        if not is_file:
            found.file = _file_of(module)
            found.sha256 = _digest(found.file)
        fresh_modules = _new_modules(before, root)
        found.modules = {key: sys.modules[key] for key in fresh_modules}
        found.known = frozenset(before)
        helpers = sorted({_file_of(value) for value in found.modules.values()} - {found.file, ""})
        found.sources = tuple(([found.file] if found.file else []) + helpers)
        self.current = found
        return found

    def _of_package(self, path: str) -> Resolved:
        """A class of an installed package that a directory's configuration asks for."""
        former = self.current
        before = frozenset(sys.modules)
        name, construct, module = packages.from_config(path)
        if former is not None:
            _take_out(former)
        sys.path.insert(0, path)  # where `_take_out` looks for it; nothing is imported from there
        self.current = Resolved(construct, name, module, "", "", (), path, {}, before)
        return self.current

    def go_back(self, former: Resolved | None) -> None:
        """Undo the last `resolve` in favour of `former`, when what followed it failed."""
        if self.current is not None and self.current is not former:
            _take_out(self.current)
            if former is not None:
                _put_back(former)
        self.current = former


def _make_importable(root: str, given: GivenSources | None) -> None:
    if given is None:
        sys.path.insert(0, root)
    else:
        sys.meta_path.insert(0, given)


def _make_unimportable(root: str, given: GivenSources | None) -> None:
    if given is None:
        if root in sys.path:
            sys.path.remove(root)
    elif given in sys.meta_path:
        sys.meta_path.remove(given)


def _import_file(path: str, sources: Mapping[str, bytes] | None = None) -> tuple[types.ModuleType, str]:
    """Run the file as a private module; (module, sha256 of the bytes that ran)."""
    source = sources[path] if sources is not None else _read(path)
    name = f"workbench_model_{os.path.splitext(os.path.basename(path))[0]}"
    try:
        code = compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as problem:
        line = getattr(problem, "lineno", None)
        where = f"{path}:{line}" if line else path
        reason = getattr(problem, "msg", None) or str(problem)
        remedy = f"Mend line {line} and open it again." if line else "Mend it and open it again."
        raise error("model", f"{path} is not Python: {reason}.", where, remedy, str(problem)) from problem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise error("model", f"{path} is not Python: its name does not end in .py.", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    linecache.checkcache(path)
    with _no_bytecode():
        try:
            exec(code, module.__dict__)
        except (Exception, SystemExit) as problem:
            raise failed_in(problem, "model", f"{path} raised while it was imported", path) from problem
    return module, hashlib.sha256(source).hexdigest()


def _read(path: str) -> bytes:
    """Raises `WorkbenchError`."""
    if os.path.lexists(path) and not os.path.isfile(path):  # opening a FIFO would wait for ever
        raise error("load", f"{path} is no regular file.", path, "Name a Python file before the colon.")
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError as problem:
        reason = "There is no file" if isinstance(problem, FileNotFoundError) else f"{problem.strerror}:"
        near = closest(os.path.basename(path), _listing(os.path.dirname(path)))
        raise error("model", f"{reason} {path}.", path, near or "Check the path before the colon.") from problem


def _import_named(dotted: str) -> tuple[types.ModuleType, str]:
    importlib.invalidate_caches()
    with _no_bytecode():
        try:
            return importlib.import_module(dotted), ""
        except ModuleNotFoundError as problem:
            if problem.name and (dotted == problem.name or dotted.startswith(f"{problem.name}.")):
                message = f"There is no module {problem.name!r} on this interpreter's path."
                remedy = "For a file write path/file.py:Name; for a module start where it can be imported."
                raise error("model", message, dotted, remedy, str(problem)) from problem
            raise failed_in(problem, "model", f"{dotted} raised while it was imported", dotted) from problem
        except (Exception, SystemExit) as problem:
            raise failed_in(problem, "model", f"{dotted} raised while it was imported", dotted) from problem


class _no_bytecode:
    """A .pyc is checked by whole seconds: a quick edit would run the old code. The user's folders stay clean, too."""

    def __enter__(self) -> None:
        self._before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        importlib.invalidate_caches()

    def __exit__(self, *_: object) -> None:
        sys.dont_write_bytecode = self._before


def _lookup(module: types.ModuleType, name: str, holder: str) -> Any:
    found: Any = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as problem:
            classes = module_classes(module)
            offered = f"nn.Module classes there: {some(classes, 8)}." if classes else "It defines no nn.Module class."
            near = closest(name, [key for key in vars(module) if not key.startswith("_")])
            raise error(
                "model", f"{holder} has no {name!r}. {offered}", holder, near or "Name one of these after the colon."
            ) from problem
    return found


def module_classes(module: types.ModuleType) -> list[str]:
    """Names of the nn.Module classes that `module` itself defines."""
    return [
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, nn.Module) and value.__module__ == module.__name__
    ]


def _no_name(target: str, directory: str) -> WorkbenchError:
    """Why a target without a name cannot be opened."""
    path = os.path.join(directory, target)
    remedy = f"Write {target}:Name"
    if os.path.isfile(os.path.join(path, "manifest.json")):
        return error("usage", f"{target} is a bundle, not an architecture.", target, f"workbench verify {target}")
    if _kind(path) == "pickle":
        message = (
            f"{target} is a pickled module or the like: opening it would run code of the file, so it is not opened."
        )
        remedy = (
            f"workbench convert {shlex.quote(target)} --out DIR makes an architecture and weights of it, after a yes."
        )
        return error("usage", message, target, remedy, convert=os.path.abspath(path))
    if not os.path.lexists(path) and (os.sep in target or target.endswith((*_ARTIFACTS, ".py", ".capture"))):
        near = closest(os.path.basename(path), _listing(os.path.dirname(path)))
        return error("model", f"There is no file {os.path.abspath(path)}.", target, near or "Check the path.")
    if target.endswith(_ARTIFACTS):
        message = f"{target} holds weights or an artifact, not an architecture to run."
        return error("usage", message, target, f"workbench inspect {target}, or open file.py:Name --weights {target}")
    if os.path.isfile(os.path.join(path, "config.json")):
        remedy = f"transformers:{target} builds what its config.json names; or file.py:Name --weights {target}"
        return error("usage", f"{target} is a directory with a config.json.", target, remedy)
    if os.path.isdir(path):
        return error("usage", f"{target} is a directory.", target, "Name a file in it: path/file.py:Name")
    return error(
        "usage", f"{target} does not say after a colon which class, factory or instance to take.", target, remedy
    )


def _kind(path: str) -> str:
    """What kind of file it is by its bytes; empty for what is none."""
    if not os.path.isfile(path):
        return ""
    with open(path, "rb") as stream:
        return kind_of(stream, os.fstat(stream.fileno()).st_size)


def _new_modules(before: Collection[str], root: str) -> list[str]:
    """Names in sys.modules that came since `before` and whose file is the user's, below `root`."""
    fresh = [name for name in list(sys.modules) if name not in before and name.partition(".")[0] != "workbench"]
    return [name for name in fresh if _is_users(sys.modules[name], root)]


def _is_users(module: Any, root: str) -> bool:
    file = _file_of(module)
    if not file and isinstance(module, types.ModuleType) and hasattr(module, "__path__"):
        file = next(iter(module.__path__), "")  # a namespace package
    inside = os.path.abspath(file).startswith(root + os.sep) if file else False
    return inside and "site-packages" not in file and "dist-packages" not in file


def _take_out(resolved: Resolved) -> None:
    """Out of sys.modules and sys.path, with what was imported only inside a forward: another model has its own."""
    late = _new_modules(resolved.known | resolved.modules.keys(), resolved.root)
    resolved.modules.update({name: sys.modules[name] for name in late})
    for name, module in resolved.modules.items():
        if sys.modules.get(name) is module:
            del sys.modules[name]
    _make_unimportable(resolved.root, resolved.given)


def _put_back(resolved: Resolved) -> None:
    sys.modules.update(resolved.modules)
    _make_importable(resolved.root, resolved.given)


def _file_of(module: Any) -> str:
    file = getattr(module, "__file__", None)
    return os.path.abspath(file) if isinstance(file, str) else ""


def _digest(path: str) -> str:
    if not path:
        return ""
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def _listing(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []

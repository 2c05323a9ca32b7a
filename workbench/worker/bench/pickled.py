"""A pickled module loaded after a yes: from a private copy whose digest is the one that was said yes to.

Owns the unpickling, and where the names that a pickle wants are found. It runs code of whoever made the file: nothing
calls it without a digest that somebody trusted.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import pickle
import sys
import types
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench.protocol.convert import ConvertPickled
from workbench.protocol.failures import WorkbenchError, error, unreadable
from workbench.protocol.kinds import form_of, kind_of
from workbench.worker.bench.failing import failed_in
from workbench.worker.bench.sampling import map_leaves
from workbench.worker.bench.snapshot import PrivateCopy
from workbench.worker.bench.words import some, with_article
from workbench.worker.checkpoint import CHECKPOINT_KEYS, state_dict_in


@dataclass
class Unpickled:
    """What a pickle held."""

    model: nn.Module | None
    """None where it held a state_dict among objects of other kinds."""
    state: dict[str, Any]
    notes: list[str]
    sources: dict[str, str]
    """Module of the person's own that was imported for it → its file."""
    roots: tuple[str, ...]
    """Directories that these were imported from."""


def unpickled(request: ConvertPickled) -> Unpickled:
    """Load it, with its modules taken out of `sys.modules` again afterwards. Raises `WorkbenchError` ("trust",
    "usage", "weights", "model")."""
    try:
        with PrivateCopy(request.path) as copy:
            if copy.digest().wait() != request.sha256:
                words = f"{request.path} is not what was trusted; nothing of it was loaded."
                raise error("trust", words, request.path, "Look at it again, and say yes to what it is now.")
            with copy.stream() as stream:
                form, kind = form_of(stream, copy.size), kind_of(stream, copy.size)
            if kind != "pickle":
                words = f"{request.path} is {with_article(kind)}, no pickled module."
                raise error("usage", words, request.path, f"workbench inspect {request.path} says what opens it.")
            return _load(request, copy, form)
    except (ValueError, OSError) as problem:
        raise unreadable("weights", request.path, problem) from problem


def _load(request: ConvertPickled, copy: PrivateCopy, form: str) -> Unpickled:
    names = _Names(request)
    before, path = set(sys.modules), list(sys.path)
    sys.path[:0] = names.roots
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        content = _content(copy, form, names)
        fresh = {name: module for name, module in sys.modules.items() if name not in before and names.owns(module)}
        notes: list[str] = []
        model, state = _held(request.path, content, notes)
        state = dict(model.state_dict()) if model is not None else state
    except WorkbenchError:
        raise
    except (Exception, SystemExit) as problem:
        what, remedy = f"{request.path} does not load", _remedy(problem)
        failure = failed_in(problem, "weights", what, request.path, remedy).failure
        raise WorkbenchError(dataclasses.replace(failure, remedy=remedy)) from problem
    finally:
        sys.dont_write_bytecode = written
        sys.path[:] = path
        for name in [name for name in sys.modules if name not in before and names.owns(sys.modules[name])]:
            del sys.modules[name]
    files = {name: os.path.abspath(str(module.__file__)) for name, module in fresh.items() if module.__file__}
    return Unpickled(model, state, notes, files, names.roots)


def _remedy(problem: BaseException) -> str:
    if isinstance(problem, ModuleNotFoundError) and problem.name:
        return f"Start where {problem.name} can be imported, or name its file or directory: --source PATH"
    if isinstance(problem, AttributeError | ImportError):
        return "Its source has changed since: name the one that it was saved with, --source PATH"
    return "Load it where it was made, and save its state_dict there."


class _Names:
    """Where the names are found: the installed packages, the directories, and the file of `source`."""

    def __init__(self, request: ConvertPickled) -> None:
        source = os.path.abspath(os.path.join(request.directory, request.source)) if request.source else ""
        if source and not os.path.exists(source):
            raise error("usage", f"There is no {source}.", "--source", "Name a Python file, or a directory.")
        self._path = request.path
        self._script = os.path.splitext(os.path.basename(source))[0] if os.path.isfile(source) else ""
        places = (os.path.dirname(source) if self._script else source, request.directory, os.path.dirname(request.path))
        self.roots = tuple(dict.fromkeys(os.path.abspath(place) for place in places if place))

    def owns(self, module: Any) -> bool:
        """Whether a module is the person's own: below one of the roots, and no installed package."""
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or "site-packages" in file or "dist-packages" in file:
            return False
        if str(getattr(module, "__name__", "")).partition(".")[0] == "workbench":
            return False
        return any(os.path.abspath(file).startswith(root.rstrip(os.sep) + os.sep) for root in self.roots)

    def find(self, module: str, name: str, ordinary: Any) -> Any:
        """The object of that name: by `ordinary` import first, out of the script of `source` otherwise."""
        if module != "__main__":
            try:
                return ordinary(module, name)
            except (ImportError, AttributeError):
                if not self._script:
                    raise
        if not self._script:
            words = f"{self._path} wants {module}.{name}, which belongs to the script that saved it."
            raise error("model", words, self._path, "Name that script: --source train.py (it is imported, so it runs)")
        found: Any = importlib.import_module(self._script)
        for part in name.split("."):
            found = getattr(found, part)
        return found


def _content(copy: PrivateCopy, form: str, names: _Names) -> Any:
    """Unpickle. Raises anything at all."""

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            return names.find(module, name, super().find_class)

    if form == "pickle":
        with copy.stream() as stream:
            return Unpickler(stream).load()
    reader = types.SimpleNamespace(Unpickler=Unpickler, load=pickle.load, __name__="pickle")
    return torch.load(copy.name, map_location="cpu", weights_only=False, pickle_module=reader)


def _held(path: str, content: Any, notes: list[str]) -> tuple[nn.Module | None, dict[str, Any]]:
    """The module that a pickle is or holds, else the state_dict in it. Raises `WorkbenchError("weights")`."""
    if isinstance(content, dict) and not isinstance(content, nn.Module):
        keys = [key for key in (*CHECKPOINT_KEYS, *content) if isinstance(content.get(key), nn.Module)]
        if not keys:
            found = state_dict_in(content) or _of_arrays(content, notes)
            if found is None:
                raise _nothing(path, f"a dict of {some([repr(key) for key in content], 6) or 'nothing'}")
            key, state = found
            notes.append(f"it holds no module, but a state_dict{f' under {key!r}' if key else ''} among other objects")
            return None, state
        also = [str(key) for key in dict.fromkeys(keys) if key != keys[0]]
        notes.append(f"took {keys[0]!r} of a checkpoint" + (f"; modules also under {some(also)}" if also else ""))
        content = content[keys[0]]
    if not isinstance(content, nn.Module):
        raise _nothing(path, with_article(type(content).__name__))
    while (inner := _wrapped(content)) is not None:
        notes.append(f"taken out of {type(content).__name__}, which wrapped it")
        content = inner
    return content, {}


def _of_arrays(content: dict[Any, Any], notes: list[str]) -> tuple[str, dict[str, Any]] | None:
    """The state_dict in a dict of NumPy's arrays, with tensors in their place; None where they make none."""
    numpy = sys.modules.get("numpy")  # that has an array has imported it
    if numpy is None:
        return None

    def made(array: Any) -> Any:
        return torch.tensor(array) if array.dtype.kind in "fiub" and array.dtype.itemsize <= 8 else array

    found = state_dict_in(map_leaves(content, made, (numpy.ndarray, numpy.generic)))
    if found is not None:
        notes.append("its NumPy arrays became tensors")
    return found


def _wrapped(module: nn.Module) -> nn.Module | None:
    """The model inside what data parallelism and torch.compile wrap around it."""
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return module.module  # type: ignore[no-any-return]
    inner = vars(module).get("_modules", {}).get("_orig_mod")
    return inner if isinstance(inner, nn.Module) else None


def _nothing(path: str, what: str) -> WorkbenchError:
    return error("weights", f"{path} holds {what}, and no module in it.", path, f"workbench inspect {path}")

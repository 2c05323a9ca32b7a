"""Python modules that are run from bytes that were read and checked before, and never from the disk again.

Owns their finding and running. Whatever lies in their directory by now, or is put there later, is not looked at.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import types
from collections.abc import Mapping, Sequence


class GivenSources(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds modules below `root` among `files`: absolute path → bytes."""

    def __init__(self, root: str, files: Mapping[str, bytes]) -> None:
        self._root, self._files = root, files

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a module that is among the files; None for every other."""
        place = os.path.join(self._root, *name.split("."))
        for file in (f"{place}.py", os.path.join(place, "__init__.py")):
            if file in self._files:
                package = os.path.basename(file) == "__init__.py"
                spec = importlib.util.spec_from_loader(name, self, origin=file, is_package=package)
                assert spec is not None  # a loader was given
                spec.has_location = True  # its __file__ says where it was; nothing is read from there
                return spec
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        """The ordinary module object."""
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the bytes. Raises what they raise."""
        file = str(module.__file__)
        exec(compile(self._files[file], file, "exec", dont_inherit=True), module.__dict__)

"""Where an artifact's lines stand in the code that eager runs: which file is which, which function a line is in.

Judges nothing.
"""

from __future__ import annotations

import ast
import itertools
import linecache
import sys
from collections.abc import Iterable

from workbench.worker.artifact.passages import Passage
from workbench.worker.bench.failing import is_users


class Places:
    """The lines of the code that eager runs."""

    def __init__(self, ours: list[Passage], theirs: list[Passage]) -> None:
        self._run = dict.fromkeys(one.file for one in ours)
        files = dict(self._run)
        for module in list(sys.modules.values()):  # a way that was not taken may lead there
            file = getattr(module, "__file__", None) or ""
            if file and is_users(file):
                files.setdefault(file)
        self._named: dict[str, list[str]] = {}
        for file in files:
            self._named.setdefault(_names(file)[-1], []).append(file)
        self._here: dict[str, str] = {}
        for file in dict.fromkeys(one.file for one in theirs):
            self._here[file] = self._nearest(file)
        self._scopes: dict[str, list[tuple[int, int, str]]] = {}
        _tell_apart(ours)
        _tell_apart(theirs)

    def key(self, theirs: Passage) -> tuple[str, int]:
        """An artifact's passage as the `key` of the passage of this code at the same place."""
        return self._here.get(theirs.file) or theirs.file, theirs.line

    def hold(self, theirs: Passage) -> bool:
        """Whether the line of an artifact's passage is one of this code, as far as it is known what it says."""
        file, said = self._here.get(theirs.file, ""), theirs.source
        return bool(file) and (not said or linecache.getline(file, theirs.line).strip() == said)

    def scope(self, passage: Passage) -> str:
        """Name of the function that a line is in ("Block.forward"), as its file has it now; empty where it is not
        known, or where the file has another line there."""
        if passage.text and linecache.getline(passage.file, passage.line).strip() != passage.text:
            return ""
        if passage.file not in self._scopes:
            self._scopes[passage.file] = list(_functions(passage.file))
        found = [(start, name) for start, end, name in self._scopes[passage.file] if start <= passage.line <= end]
        return max(found, default=(0, ""))[1]

    def _nearest(self, file: str) -> str:
        """This code's file in place of one of the artifact's: the very same, or of those of its name that with the
        longest common end of their paths, those that ran first; empty where none has its name."""
        named = self._named.get(_names(file)[-1], [])
        if file in named:
            return file
        return max(named, key=lambda one: (_common(one, file), one in self._run), default="")


def _names(file: str) -> list[str]:
    return file.replace("\\", "/").split("/")


def _common(one: str, other: str) -> int:
    """How many names the ends of two paths have in common."""
    pairs = zip(reversed(_names(one)), reversed(_names(other)))  # noqa: B905 (as far as both go)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _tell_apart(passages: Iterable[Passage]) -> None:
    """Passages of several files of one name show the folder too."""
    everything = [each for one in passages for each in (one, *one.inside)]
    files: dict[str, set[str]] = {}
    for one in everything:
        files.setdefault(_names(one.file)[-1], set()).add(one.file)
    for one in everything:
        names = _names(one.file)
        one.shown = "/".join(names[-2:]) if len(files[names[-1]]) > 1 else ""


def _functions(file: str) -> Iterable[tuple[int, int, str]]:
    """(first line, last line, name) of every function in a file."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return
    inside: list[tuple[ast.AST, str]] = [(tree, "")]
    while inside:
        node, name = inside.pop()
        for child in ast.iter_child_nodes(node):
            named = name
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                named = f"{name}.{child.name}" if name else child.name
                if not isinstance(child, ast.ClassDef):
                    yield child.lineno, child.end_lineno or child.lineno, named
            inside.append((child, named))

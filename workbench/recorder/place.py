"""Where a capture lies: a name held against every other recording, and which files there are a recorder's own.

Owns all making, moving and deleting of a capture's directories. The program that is captured writes where it likes, and
so do other processes of it: nothing is deleted but what a recorder wrote, as the manifest tells by size and time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator

from workbench.protocol.captures import CODE, MANIFEST, SAMPLES, is_capture

_MARK = ".held"
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_OWN_NAMES = re.compile(
    rf"{re.escape(MANIFEST)}(\.part)?|sample\.part|{SAMPLES}/\d{{5,}}\.pt|{re.escape(_MARK)}-\w+-\d+-\w+"
)
_BEGAN = time.time_ns()
"""When this program began, as far as that is known here: what was finished later may be of the same job."""
_SETTLED: set[tuple[int, int] | None] = set()
"""Manifests of this program's own captures."""
_MINE: set[str] = set()
"""Marks that this process made, and those that it was forked from."""


class Place:
    """A name for one capture, and the directory that it is written in until it is whole.

    A name is held by whoever made the directory `NAME.part`, which one process can; a mark in it tells who did. With
    `begin_to_last` that directory takes the name itself, and the mark goes with it.
    """

    def __init__(self, wanted: str) -> None:
        """Hold `wanted`, an absolute path, or the first of `wanted-2`, `wanted-3` … that is free. Raises OSError."""
        self.path = ""
        """Where the capture will be, or is."""
        self.stage = ""
        """Where it is written until it is whole: a directory beside `path`, or `path` itself."""
        self.words = ""
        """Why it is under another name than the one wanted; empty while it is not."""
        self._wanted, self._number = wanted, 0
        self._claims: list[str] = []
        """Directories that hold a name and have not taken it."""
        self._former: tuple[int, int] | None = None
        """Which manifest may be replaced at `path`: the one that was there when it was held, or this capture's own."""
        self._own: tuple[int, int] | None = None
        """This capture's own manifest, once it has its name."""
        os.makedirs(os.path.dirname(wanted), exist_ok=True)
        self.stage = self._hold()
        os.mkdir(os.path.join(self.stage, SAMPLES))

    def begin_to_last(self) -> None:
        """Give it its name, under which it can be opened; an earlier capture stays until this one is whole."""
        if not os.path.lexists(self.path):
            os.rename(self.stage, self.path)
            self._claims.remove(self.stage)
            self.stage = self.path
            self._own = self._former = _manifest_of(self.path)

    def samples(self) -> str:
        """Where the samples lie. Raises FileNotFoundError when somebody put something else there."""
        if self._own is not None and _manifest_of(self.stage) != self._own:
            raise FileNotFoundError(f"{self.stage} was deleted or replaced while it was recorded")
        return os.path.join(self.stage, SAMPLES)

    def room(self) -> str:
        """A new directory to write the whole capture in. Raises OSError."""
        made = f"{self.path}.whole-{secrets.token_hex(4)}"
        os.mkdir(made)
        return made

    def settle(self, whole: str) -> None:
        """Put the whole capture where it belongs, under a further name where somebody else's files lie by now.

        Raises OSError; `whole` is then where it was.
        """
        while taken := self._put(whole):
            self._hold(f"{self.path}: {taken}")
        if self._own is not None and _manifest_of(self.stage) == self._own:
            _remove(self.stage)
        self.stage = self.path
        _SETTLED.add(_manifest_of(self.path))
        for claim in self._claims:
            shutil.rmtree(claim, ignore_errors=True)
        self._claims.clear()

    def drop(self) -> None:
        """Let go of what cannot be opened; a capture that was cut short stays."""
        for claim in self._claims:
            if not is_capture(claim):
                shutil.rmtree(claim, ignore_errors=True)

    def _hold(self, reason: str = "") -> str:
        """Take the next free name; the directory that holds it. Raises OSError.

        reason: why the name before it was not to be had.
        """
        while True:
            self._number += 1
            self.path = self._wanted + (f"-{self._number}" if self._number > 1 else "")
            claim = _claimed(self.path)
            taken = _taken(self.path) if claim else "another recording writes it"
            if claim and not taken:
                break
            if claim:
                shutil.rmtree(claim, ignore_errors=True)
            reason = reason or f"{self.path}: {taken}"
        self._claims.append(claim)
        self._former = _manifest_of(self.path)
        self.words = reason and f"{reason}. The capture is {self.path}"
        return claim

    def _put(self, whole: str) -> str:
        """Let it take its name, in place of an earlier state or capture and of nothing else; why it could not."""
        aside, own = "", self.stage == self.path
        if os.path.lexists(self.path):
            if self._former is None or _manifest_of(self.path) != self._former:
                return "other files lie there by now"
            if taken := _taken(self.path, own):
                return taken
            aside = f"{self.path}.old-{secrets.token_hex(4)}"
            os.rename(self.path, aside)
            self.stage = aside if own else self.stage
        try:
            os.rename(whole, self.path)
        except OSError:
            if os.path.lexists(self.path):
                return "other files lie there by now"
            if aside:
                os.rename(aside, self.path)
                self.stage = self.path if own else self.stage
            raise
        if aside and not own:
            _remove(aside)
        return ""


def written(place: str) -> dict[str, list[int]]:
    """Path below a directory → [bytes, nanoseconds of its last change] of every file that lies there."""
    return {inside: _stamp(path) for inside, path in _files(place)}


def _claimed(path: str) -> str:
    """The directory that holds a name, made and marked; empty where somebody else holds it."""
    claim = f"{path}.part"
    try:
        os.mkdir(claim)
    except FileExistsError:
        if not _left_behind(path, claim):
            return ""
        try:
            os.mkdir(claim)
        except FileExistsError:
            return ""
    _MINE.add(mark := _new_mark())
    os.close(os.open(os.path.join(claim, mark), os.O_CREAT | os.O_EXCL))
    return claim


def _left_behind(path: str, claim: str) -> bool:
    """Put aside what a program that is gone held a name with; False when it is not gone, or another is at it."""
    mark = _mark_in(claim)
    if not mark or _alive(mark):
        return False
    mine = _new_mark()
    try:
        os.rename(os.path.join(claim, mark), os.path.join(claim, mine))  # of several at once, one can
        aside = f"{path}.part-{secrets.token_hex(4)}"
        os.rename(claim, aside)
    except OSError:
        return False
    if is_capture(aside):
        os.unlink(os.path.join(aside, mine))
    else:
        shutil.rmtree(aside, ignore_errors=True)
    return True


def _taken(path: str, own: bool = False) -> str:
    """Why a name is not free, in words; empty when nothing lies there but an earlier capture.

    own: the recording that goes on there is this one.
    """
    if not os.path.lexists(path):
        return ""
    if os.path.islink(path) or not is_capture(path):
        return "other files lie there"
    mark = _mark_in(path)
    if mark and not own and _alive(mark):
        return "another recording writes it"
    manifest = _manifest_of(path)
    if not own and manifest is not None and manifest[1] > _BEGAN and manifest not in _SETTLED:
        return "another program recorded it while this one ran"
    foreign = sorted(_foreign(path))
    more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
    return f"{foreign[0]}{more} in it was not written by a capture, or was changed since" if foreign else ""


def _remove(path: str) -> None:
    """Delete what a recorder wrote there, and the directories that are left empty."""
    foreign = _foreign(path)
    for inside, place in list(_files(path)):
        if inside not in foreign:
            os.unlink(place)
    for folder, _, _ in os.walk(path, topdown=False):
        if os.path.relpath(folder, path).replace(os.sep, "/") not in foreign:
            with contextlib.suppress(OSError):  # not empty: the program's files lie there
                os.rmdir(folder)


def _foreign(path: str) -> set[str]:
    """Files of a capture, and empty directories, that no recorder wrote or that were changed since."""
    try:
        with open(os.path.join(path, MANIFEST), "rb") as stream:
            known = json.load(stream).get("files", {})
        known = known if isinstance(known, dict) else {}
    except (OSError, ValueError, AttributeError, RecursionError):
        known = {}
    found = {
        inside for inside, place in _files(path)
        if os.path.islink(place) or (not _OWN_NAMES.fullmatch(inside) and known.get(inside) != _stamp(place))
    }  # fmt: skip
    for folder, folders, names in os.walk(path):
        inside = os.path.relpath(folder, path).replace(os.sep, "/")
        if not folders and not names and inside.split("/")[0] not in (".", SAMPLES, CODE):
            found.add(inside)
    return found


def _files(path: str) -> Iterator[tuple[str, str]]:
    """(path below a directory, path) of each thing in it that is no directory; a link is one, wherever it leads."""
    for folder, folders, names in os.walk(path):
        for name in [*names, *(one for one in folders if os.path.islink(os.path.join(folder, one)))]:
            place = os.path.join(folder, name)
            yield os.path.relpath(place, path).replace(os.sep, "/"), place


def _stamp(path: str) -> list[int]:
    found = os.lstat(path)
    return [found.st_size, found.st_mtime_ns]


def _manifest_of(path: str) -> tuple[int, int] | None:
    """What tells one manifest from any other at the same place; None where there is none."""
    try:
        found = os.lstat(os.path.join(path, MANIFEST))
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _new_mark() -> str:
    return f"{_MARK}-{_HOST}-{os.getpid()}-{secrets.token_hex(4)}"


def _mark_in(path: str) -> str:
    """The mark of whoever writes there; empty when nobody does."""
    try:
        return next((name for name in os.listdir(path) if name.startswith(f"{_MARK}-")), "")
    except OSError:
        return ""


def _alive(mark: str) -> bool:
    """Whether the program that made a mark may still be there. Of another machine that cannot be known: it may."""
    _, host, pid, _ = (mark.split("-") + [""] * 3)[:4]
    if host != _HOST:
        return True
    if pid == str(os.getpid()):
        return mark in _MINE  # else a number that was another program's before
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True  # somebody else's program
    except (OSError, ValueError, OverflowError):
        return False
    return True

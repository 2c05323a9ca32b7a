"""The one writer of files: whole or not at all.

A file is written beside its final name, flushed to the disk and renamed; a directory is
staged under a hidden name beside its target and renamed when everything in it is on the
disk. Whatever interrupts the process, a name that people rely on never holds half a result.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from .failures import error

AT_FDCWD, RENAME_NOREPLACE = -100, 1
"""linux/fcntl.h and linux/fs.h."""


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically. Raises `WorkbenchError("write")`."""
    write_with(path, lambda stream: stream.write(data))


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically. Raises `WorkbenchError("write")`."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_with(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Let `fill` write into a temporary file beside `path`, then move it into place.

    Raises `WorkbenchError("write")` for anything the operating system refuses; the old content stays.
    """
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as stream:
            fill(stream)
            stream.flush()
            os.fchmod(stream.fileno(), 0o666 & ~_umask())
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        temporary = ""
        _sync_directory(path.parent)
    except OSError as problem:
        raise _cannot_write(path, problem) from problem
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


@contextlib.contextmanager
def staging(target: Path) -> Iterator[Path]:
    """Yield a private directory beside `target` to build in; it is removed on leaving unless it was published.

    So are the directories above it that were made for it, unless something lies in them.
    """
    made: list[Path] = []
    try:
        try:
            for parent in reversed((target.parent, *target.parent.parents)):
                if not parent.is_dir():
                    parent.mkdir(exist_ok=True)
                    made.append(parent)
            stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".staging", dir=target.parent))
        except OSError as problem:
            raise _cannot_write(target, problem) from problem
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    finally:
        with contextlib.suppress(OSError):  # the first that is not empty ends it
            for parent in reversed(made):
                parent.rmdir()


def publish(stage: Path, target: Path, replace: bool = False) -> None:
    """Make the staged directory appear under its final name in one step.

    `replace` allows an existing directory to be exchanged: it is moved aside first and removed last, so that one of
    the two is there whatever happens. Whoever asks for it has looked that it holds nothing of anybody else's.
    Raises `WorkbenchError("exists")` when `target` is there already, `WorkbenchError("write")` on any refusal.
    """
    aside, published = None, False
    try:
        os.chmod(stage, 0o777 & ~_umask())
        for folder, _, names in os.walk(stage):
            for name in names:
                _sync(Path(folder) / name)
            _sync_directory(Path(folder))
        if replace and target.is_dir() and not target.is_symlink():
            aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
            os.rename(target, aside)  # an empty directory may be renamed onto
        _rename_new(stage, target)
        published = True
        _sync_directory(target.parent)
    except BaseException as problem:
        older = "" if aside is None or published else _put_back(aside, target)
        if isinstance(problem, FileExistsError):
            words = f"{target} is there already.{older}"
            raise error("exists", words, str(target), "Choose another --out, or move it away.") from problem
        if isinstance(problem, OSError):
            raise _cannot_write(target, problem) from problem
        raise
    finally:
        if aside is not None and published:
            shutil.rmtree(aside, ignore_errors=True)


def _rename_new(source: Path, target: Path) -> None:
    """Rename to a name that nobody has. Raises OSError, which is FileExistsError when somebody has it.

    The kernel itself refuses where it can (renameat2, Linux 3.15 on most file systems). Elsewhere we look first, and
    an empty directory that is made in between is replaced.
    """
    import ctypes  # late: the face writes files, and never a directory

    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "renameat2"):
        names = os.fsencode(source), os.fsencode(target)
        if libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_NOREPLACE) == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS, errno.EPERM):  # the file system or a sandbox does not know it
            raise OSError(code, os.strerror(code), str(target))
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    os.rename(source, target)


def _put_back(aside: Path, target: Path) -> str:
    """Give what was moved aside its name again; returns a sentence when somebody else has taken that meanwhile."""
    try:
        _rename_new(aside, target)
        return ""
    except OSError:
        try:
            aside.rmdir()  # nothing had been moved yet
            return ""
        except OSError:
            return f" What it replaced lies in {aside}."


def _cannot_write(path: Path, problem: OSError) -> Exception:
    reason = problem.strerror or str(problem)
    return error(
        "write", f"Could not write {path}: {reason}.", str(path), "Free some space, or choose a place you may write to."
    )


def _sync(path: Path) -> None:
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        return  # some file systems do not sync directories; the rename itself has happened
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

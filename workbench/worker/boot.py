"""First instructions of a worker: `python path/to/boot.py ROLE`.

Owns the order of things at the start: the protocol's descriptors are claimed before anything of the user's
or of torch can print, then `workbench` is made importable from this file's own place and from nowhere else,
then the reader thread listens, then torch is imported. It must never import anything but `os` and `sys` at
its top, and never put its own directory on `sys.path`: the interpreter may be one that knows nothing of ours.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.worker.serve import Server

NO_TORCH = 3
"""Exit status of a worker whose interpreter is too old or cannot import torch; the last line on stderr says why."""

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that this process gets when the thread that started it ends."""


def claim_descriptors() -> tuple[int, int]:
    """Move the protocol off fd 0 and 1: returns (in, out). Afterwards fd 0 is /dev/null and fd 1 is the log (fd 2)."""
    protocol_in, protocol_out = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return protocol_in, protocol_out


def close_in_children(*descriptors: int) -> None:
    """A forked child must neither answer for us nor keep the pipe open after us."""

    def close() -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    os.register_at_fork(after_in_child=close)


def install_package() -> None:
    """Make `workbench` importable from the directory that holds this file; `sys.path` stays free of us."""
    import importlib.util

    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if not entry or os.path.abspath(entry) != here]
    package = os.path.dirname(here)
    spec = importlib.util.spec_from_file_location(
        "workbench", os.path.join(package, "__init__.py"), submodule_search_locations=[package]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no package at {package}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["workbench"] = module
    spec.loader.exec_module(module)


def end_with_parent() -> None:
    """SIGKILL for us when the supervisor is gone, however it went (Linux only).

    The end of stdin says so too, but only to a Python that runs: native code that holds the interpreter lock would
    outlive a supervisor that was killed. The supervisor starts workers from its main thread, which ends with it.
    """
    if sys.platform != "linux":
        return
    import ctypes
    import signal

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def tame_streams() -> None:
    """Prints become log lines as they happen; stdin finds nobody to wait for."""
    import faulthandler

    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    _line_buffered_in_c()
    faulthandler.enable()
    sys.argv[1:] = []  # a model file that parses arguments must not find ours


def _line_buffered_in_c() -> None:
    """C's own stdout is block buffered on a pipe: a line printed by an extension would appear minutes later."""
    import ctypes

    libc = ctypes.CDLL(None)
    try:
        stream = ctypes.c_void_p.in_dll(libc, "__stdoutp" if sys.platform == "darwin" else "stdout")
    except ValueError:  # a C library that calls it otherwise
        return
    line_buffered = 1  # _IOLBF, on Linux and macOS alike
    libc.setvbuf(stream, None, line_buffered, 0)


def import_torch(server: Server, started: float) -> None:
    """Import torch and say so; without torch the process ends with `NO_TORCH` and a plain last line on stderr."""
    import platform
    import time
    import warnings

    from workbench.protocol.messages import WorkerReady

    # torch does without numpy, and says so in every process; a model that needs numpy fails with its own words
    warnings.filterwarnings("ignore", message="Failed to initialize NumPy", category=UserWarning)
    try:
        import torch
    except Exception as problem:  # noqa: BLE001 (a broken installation raises anything)
        reason = f"{type(problem).__name__}: {problem}"
        print(f"{sys.executable} cannot import torch: {reason}", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(NO_TORCH)
    cuda: tuple[str, ...] = ()
    if torch.cuda.is_available():
        cuda = tuple(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    version, threads = platform.python_version(), torch.get_num_threads()
    seconds = time.monotonic() - started
    server.send(WorkerReady(server.role, os.getpid(), version, str(torch.__version__), cuda, threads, seconds))


def main(role: str) -> None:
    """Run a worker of `role` until its stdin ends."""
    if sys.version_info < (3, 10):  # noqa: UP036 (--python may name any interpreter)
        version = ".".join(map(str, sys.version_info[:3]))
        print(f"{sys.executable} is Python {version}; a worker needs 3.10", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(NO_TORCH)
    descriptors = claim_descriptors()
    import time

    started = time.monotonic()
    close_in_children(*descriptors)
    install_package()
    end_with_parent()
    tame_streams()
    from workbench.worker.serve import Server

    server = Server(role, *descriptors)
    server.greet()
    server.listen()
    if role != "inspect":
        import_torch(server, started)
    server.serve()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "bench")

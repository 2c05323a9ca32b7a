"""A command that answers in a model's place: a TensorRT engine, a C++ program, a client of an endpoint.

One call a case: named inputs go into a .safetensors file, the command runs, named outputs are read from another.
Owns the process: nothing of it is left when a call ends, is cancelled or takes too long, or when we are killed.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch

from workbench.protocol.outside import INPUTS, OUTPUTS, Runner
from workbench.worker.artifact.loading import Opened
from workbench.worker.artifact.manifest import MANIFEST_GOLDEN
from workbench.worker.artifact.prove_cases import Golden, leaf_name, whole_name
from workbench.worker.job import Job
from workbench.worker.judge.leaves import flatten_plain
from workbench.worker.tensorfile import load, save

_POLL = 0.02
"""Seconds between two looks at a running command."""

_GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL."""

_TAIL = 4096
"""Bytes of stderr that are looked at for words."""

_GUARD = 'read word; [ "$word" = done ] || kill -s KILL -- "-$1"'
"""A shell that waits for the end of its stdin: when this process is killed, the command's group goes with it."""

_GATE = 'read word && exec "$@" < /dev/null'
"""A shell that becomes the command once it is guarded: with no word to go, because we were killed, it never does."""


class RunnerFailed(Exception):
    """The command did not answer; the words say how."""


class WrongNames(RunnerFailed):
    """It answered, under other names than eager's outputs have."""


def open_runner(runner: Runner, stage: Path, manifest: dict[str, Any], job: Job) -> Opened:
    """The command as an artifact, after it has answered the first case. Raises ValueError when it does not."""
    call = RunnerCall(runner, manifest, job)
    golden = Golden(load(str(stage / MANIFEST_GOLDEN)), manifest)
    args, kwargs = golden.inputs(0, "cpu")
    started = time.perf_counter()
    try:
        call(*args, **kwargs)
    except WrongNames:
        pass  # every case will say so: that is about the answer's structure
    except RunnerFailed as problem:
        raise ValueError(str(problem)) from problem
    words = f"{' '.join(runner.command.split())}, a case at a time, {time.perf_counter() - started:.3g} s a call"
    return Opened(call, words=words)


class RunnerCall:
    """Called as forward is; answers with eager's output tensors in eager's order."""

    def __init__(self, runner: Runner, manifest: dict[str, Any], job: Job) -> None:
        self.runner, self.job = runner, job
        self.inputs = manifest["inputs"]
        self.names = [leaf_name(path) for path in manifest["output"]["paths"]]

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
        """Raises `RunnerFailed`, and `Cancelled` when nobody waits any more."""
        with tempfile.TemporaryDirectory(prefix="workbench-runner-") as folder:
            given, written = Path(folder) / "inputs.safetensors", Path(folder) / "outputs.safetensors"
            save(str(given), self._named(args, kwargs))
            self._run(given, written)
            return self._outputs(written)

    def _named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, torch.Tensor]:
        places, found = iter(args), {}
        for entry in self.inputs:
            name = entry["name"]
            value = kwargs[name] if entry.get("passed") == "keyword" else next(places)
            for path, leaf in flatten_plain(value, name).leaves:
                word = whole_name(path)
                if word in found:
                    raise RunnerFailed(f"two of the inputs would come to it under one name, {word}: rename a key")
                found[word] = leaf.detach().cpu()
        return found

    def _outputs(self, path: Path) -> tuple[torch.Tensor, ...]:
        if not path.exists():
            raise RunnerFailed("it ended well and wrote no outputs file: write a .safetensors file to {outputs}")
        try:
            found = load(str(path))
        except (ValueError, OSError) as problem:
            raise RunnerFailed(f"its outputs file is no .safetensors file: {problem}") from problem
        lacking = [name for name in self.names if name not in found]
        more = [name for name in found if name not in self.names]
        if lacking or more:
            words = f"it wrote {', '.join(sorted(found)) or 'no tensor'}; eager's outputs are {', '.join(self.names)}"
            raise WrongNames(words)
        return tuple(found[name] for name in self.names)

    def _run(self, given: Path, written: Path) -> None:
        command = self._command(given, written)
        with tempfile.TemporaryFile() as stderr:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _GATE, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                cwd=self.runner.directory,
                start_new_session=True,
            )
            with _guarded(process):
                assert process.stdin is not None
                with contextlib.suppress(BrokenPipeError), process.stdin as gate:
                    gate.write(b"go\n")
                code = self._wait(process, stderr)
            if code:
                raise RunnerFailed(f"it {_ended(code)}{_said(stderr)}")

    def _command(self, given: Path, written: Path) -> list[str]:
        """The words of the command, or a shell with its one line."""
        if self.runner.shell:
            line = self.runner.command.replace(INPUTS, shlex.quote(str(given)))
            return ["/bin/sh", "-c", line.replace(OUTPUTS, shlex.quote(str(written)))]
        words = shlex.split(self.runner.command)
        beside = Path(self.runner.directory) / words[0]
        if not shutil.which(words[0]) and not beside.exists():
            raise RunnerFailed(f"there is no program {words[0]}")
        if not shutil.which(words[0]) and (os.sep not in words[0] or not os.access(beside, os.X_OK)):
            raise RunnerFailed(f"it could not be started: {beside} may not be executed, or lies on no PATH")
        return [word.replace(INPUTS, str(given)).replace(OUTPUTS, str(written)) for word in words]

    def _wait(self, process: subprocess.Popen[bytes], stderr: IO[bytes]) -> int:
        until = time.monotonic() + self.runner.timeout
        while True:
            try:
                return process.wait(_POLL)
            except subprocess.TimeoutExpired:
                self.job.raise_if_cancelled()
            if time.monotonic() > until:
                _end(process)
                raise RunnerFailed(f"it did not answer within {self.runner.timeout:g} s{_said(stderr)}")


@contextlib.contextmanager
def _guarded(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Inside, the command's group dies with us whatever happens; what is still alive of it afterwards is ended, also
    what a command left behind that ended well."""
    guard = subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "sh", str(process.pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        _end(process)
        guard.communicate(b"done\n")


def _end(process: subprocess.Popen[bytes]) -> None:
    """The whole group, politely and then not."""
    _signal(process, signal.SIGTERM)
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return  # all of it is gone


def _ended(code: int) -> str:
    if code > 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _said(stderr: IO[bytes]) -> str:
    """The last words of stderr, in one line."""
    size = stderr.seek(0, os.SEEK_END)
    stderr.seek(max(0, size - _TAIL))
    lines = [line.strip() for line in stderr.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return f"; stderr: {' | '.join(lines[-3:])[-240:]}" if lines else ""

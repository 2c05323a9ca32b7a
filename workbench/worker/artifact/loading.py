"""Opens an artifact of any kind, so that a proof can call it, read its parameters and its graph.

Every way in which a file can refuse to load ends as one `ValueError` in plain words. Decides nothing about right or
wrong. Carried into a bundle's verify.py: torch, the standard library and carried modules only.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import torch

from workbench.worker.artifact.clean import SourceBlocked
from workbench.worker.artifact.manifest import manifest_tensors
from workbench.worker.artifact.open_aoti import aoti_call, aoti_tensors
from workbench.worker.artifact.open_onnx import onnx_call, onnx_model, onnx_tensors
from workbench.worker.bench.words import counted
from workbench.worker.checkpoint import state_dict_in
from workbench.worker.tensorfile import load


@dataclass
class Opened:
    """A loaded artifact."""

    call: Callable[..., Any] | None
    """Takes forward's arguments; None for weights without an architecture."""
    program: Any = None
    """What holds the graph: a ScriptModule, an ExportedProgram or an onnx.ModelProto; None where none can be read."""
    tensors: dict[str, torch.Tensor] | None = None
    """The state_dict of weights; None for programs, whose tensors `named_tensors` reads."""
    words: str = ""
    """How it was loaded."""
    no_call: str = ""
    """Why there is nothing to call, when there is not."""
    unbuilt: str = ""
    """What the architecture of weights raised when it was built, where that is a fault: nothing is proven then."""
    package: str = ""
    """Path of a package of native code whose parameters can be read; empty for everything else."""


def open_program(path: Path, kind: str, device: str, inputs: Sequence[str] = ()) -> Opened:
    """Load TorchScript ("trace"), a torch.export archive ("export"), an AOTInductor package ("aoti") or "onnx".

    TorchScript loads onto `device` directly; an exported program is moved there. Loading may run code of the file:
    whoever calls this has been trusted with it. inputs: paths of a call's tensors, for onnx.
    Raises ValueError for whatever goes wrong; a broken package of native code may end the process.
    """
    try:
        if kind == "onnx":
            model = onnx_model(str(path))
            return Opened(onnx_call(str(path), inputs, device), model, words="ONNX Runtime")
        if kind == "aoti":
            package = "" if torch.device(device).type != "cpu" else str(path)
            return Opened(aoti_call(str(path)), words="torch._inductor.aoti_load_package", package=package)
        if kind == "trace":
            module = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
            return Opened(module, module, words="torch.jit.load")
        if not _loading_archive(path):  # torch would print a traceback before it says less
            raise zipfile.BadZipFile("it is no whole archive")
        program = torch.export.load(str(path))
        if _loading_devices(program) - {"cpu"} or torch.device(device).type != "cpu":
            from torch.export.passes import move_to_device_pass

            program = move_to_device_pass(program, device)
        return Opened(program.module(), program, words="torch.export.load")
    except Exception as problem:
        raise ValueError(_loading_words(path, kind, problem)) from problem


def open_artifact(
    stage: Path,
    manifest: dict[str, Any],
    device: str,
    architecture: str = "",
    kwargs: dict[str, Any] | None = None,
    insist: bool = True,
) -> Opened:
    """Open the artifact that `manifest` names. Raises ValueError for whatever goes wrong.

    architecture: for weights only; `file.py:Name` (a relative file lies in `stage`) or `package.module:Name`, built
    with `kwargs` (None: the manifest's). Empty: there is nothing to call. Where it cannot be built, the weights are
    left without a call, and the reason in `unbuilt`; in `no_call` where a package is not installed, unless `insist`.
    """
    path, kind = stage / manifest["artifact"]["file"], manifest["kind"]
    if kind == "runner":
        raise ValueError("a runner is a command, which a bundle cannot bring: name it with --runner")
    if kind != "weights":
        inputs = [name for entry in manifest["inputs"] for name in manifest_tensors(entry["tree"])]
        return open_program(path, kind, device, inputs)
    tensors = _loading_weights(path, manifest)
    words = counted(len(tensors), "tensor")
    if not architecture:
        return Opened(None, tensors=tensors, words=words, no_call="no architecture to fill")
    built = manifest.get("architecture") or {}
    try:
        model = build_architecture(stage, architecture, built.get("kwargs") or {} if kwargs is None else kwargs)
    except ValueError as problem:
        absent = "" if insist else _loading_absent(problem.__cause__)
        return Opened(None, tensors=tensors, words=words, no_call=absent, unbuilt="" if absent else str(problem))
    fill_architecture(model, tensors, manifest, device)
    return Opened(model, tensors=dict(model.state_dict()), words=f"{words} into {architecture}")


def _loading_absent(problem: BaseException | None) -> str:
    """That a package is not installed, where that is all that keeps an architecture from being built; else empty.

    The model's own source, which a clean proof blocks, is not such a package: a bundle brings what it needs of it.
    """
    while isinstance(problem, ImportError) and not isinstance(problem, ModuleNotFoundError):
        problem = problem.__cause__ or problem.__context__  # a library that says in its own words what it lacks
    name = (problem.name or "") if isinstance(problem, ModuleNotFoundError) else ""
    package = name.partition(".")[0]
    if not package or isinstance(problem, SourceBlocked) or package in sys.modules or PathFinder.find_spec(package):
        return ""
    return f"{package} is not installed here"


def _loading_weights(path: Path, manifest: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The complete state_dict: the file's tensors, and the tied names that the file holds once. Raises ValueError."""
    try:
        tensors = load(str(path)) if _loading_is_safetensors(path) else _loading_state_dict(path)
    except OSError as problem:
        raise ValueError(f"{path.name} cannot be read: {problem.strerror or problem}") from problem
    except ValueError as problem:
        raise ValueError(f"{path.name} did not load: {problem}") from problem
    for name, first in (manifest.get("ties") or {}).items():
        if first not in tensors:
            raise ValueError(f"{path.name}: {name} is tied to {first}, which is not in the file")
        tensors[name] = tensors[first]
    expected = manifest["parameters"]
    wrong = [f"{name} is missing" for name in expected if name not in tensors]
    wrong += [f"{name} is not the model's" for name in tensors if name not in expected]
    for name, tensor in tensors.items():
        entry = expected.get(name)
        found = str(tensor.dtype).removeprefix("torch."), list(tensor.shape)
        if entry is not None and found != (entry["dtype"], entry["shape"]):
            wrong.append(f"{name} is {found[0]}{found[1]}, the model's is {entry['dtype']}{entry['shape']}")
    if wrong and (words := _loading_front(list(tensors), list(expected))):
        raise ValueError(f"{path.name}: {words}")
    if wrong:
        raise ValueError(
            f"{path.name}: {'; '.join(wrong[:6])}{f'; and {len(wrong) - 6} more' if len(wrong) > 6 else ''}"
        )
    return tensors


def _loading_front(own: list[str], expected: list[str]) -> str:
    """What one side has in front of all its names and the other has not, in words; empty where that is not all."""
    for names, others, words in (
        (own, expected, "every name has {0} in front, which the model's names have not"),
        (expected, own, "the model's names all have {0} in front, which those of the file have not"),
    ):
        tails = [other for other in others if names and names[0].endswith(f".{other}")]
        for front in (names[0][: -len(other)] for other in tails):
            if sorted(names) == sorted(f"{front}{other}" for other in others):
                return words.format(front)
    return ""


def _loading_is_safetensors(path: Path) -> bool:
    with open(path, "rb") as stream:
        head = stream.read(9)
    return head[8:9] == b"{" or path.suffix == ".safetensors"


def _loading_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """A state_dict that torch.save wrote, read with weights_only. Raises ValueError."""
    try:
        content = torch.load(str(path), map_location="cpu", weights_only=True)
    except Exception as problem:
        raise ValueError(_loading_first_line(problem)) from problem
    found = state_dict_in(content)
    if found is None or any(not isinstance(value, torch.Tensor) for value in found[1].values()):
        raise ValueError("it is no state_dict: it holds more than tensors by name")
    return found[1]


def build_architecture(stage: Path, target: str, kwargs: dict[str, Any]) -> torch.nn.Module:
    """Make the module that `target` names: a class, a factory or an instance, in a file or an importable module.

    Raises ValueError in plain words for whatever its source raises.
    """
    place, _, name = target.rpartition(":")
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # a bundle must not gain a __pycache__
    try:
        found: Any = _loading_source(stage / place) if place.endswith(".py") else _loading_module(stage, place)
        for part in name.split("."):
            found = getattr(found, part)
        model = found if isinstance(found, torch.nn.Module) else found(**kwargs)
    except (Exception, SystemExit) as problem:
        raise ValueError(f"{target} could not be built: {_loading_first_line(problem)}") from problem
    finally:
        sys.dont_write_bytecode = written
    if not isinstance(model, torch.nn.Module):
        raise ValueError(f"{target} made a {type(model).__name__}, no nn.Module")
    return model


def _loading_module(stage: Path, place: str) -> Any:
    sys.path.append(str(stage))  # a bundle may bring the package itself
    try:
        return importlib.import_module(place)
    finally:
        sys.path.remove(str(stage))


def _loading_source(path: Path) -> Any:
    module_name = "workbench_architecture"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path.name} is no Python file")
    namespace = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = namespace  # dataclasses and torch look a class's module up there
    sys.path.append(str(path.parent))  # helper modules that lie beside it
    try:
        spec.loader.exec_module(namespace)
    finally:
        sys.path.remove(str(path.parent))
    return namespace


def fill_architecture(
    model: torch.nn.Module, tensors: dict[str, torch.Tensor], manifest: dict[str, Any], device: str = "cpu"
) -> None:
    """Put weights into `model`, strictly, and give it the modes that the golden data was made in.

    Raises ValueError with the difference. The values are copied, so that at most two copies of the weights exist.
    """
    modes = manifest.get("modes") or {}
    try:
        if modes.get("dtype"):
            model.to(getattr(torch, modes["dtype"]))
        model.to(device)
        model.load_state_dict(tensors, strict=True)
    except Exception as problem:  # hooks of the model's own may raise whatever they like
        raise ValueError(f"the weights do not fit: {_loading_first_line(problem, 6)}") from problem
    flips = set(modes.get("flips") or ())
    flags = {"": bool(modes.get("training"))}
    for path, part in model.named_modules():
        parent = flags[path.rpartition(".")[0]] if path else flags[""]
        part.training = flags[path] = parent != (path in flips)


def named_tensors(opened: Opened) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters and buffers that can be read from the artifact, by name."""
    if opened.tensors is not None:
        yield from opened.tensors.items()
    elif isinstance(opened.program, torch.jit.ScriptModule):
        yield from opened.program.state_dict().items()
    elif hasattr(opened.program, "graph") and hasattr(opened.program.graph, "initializer"):
        yield from onnx_tensors(opened.program)
    elif opened.package:
        yield from aoti_tensors(opened.package)
    elif opened.program is not None:
        yield from opened.program.state_dict.items()
        for name, value in opened.program.constants.items():
            if isinstance(value, torch.Tensor) and name not in opened.program.state_dict:
                yield name, value


def _loading_devices(program: Any) -> set[str]:
    """Kinds of device that an exported program was made for; it loads onto them, whoever asks for another."""
    values = (node.meta.get("val") for node in program.graph.nodes)
    return {value.device.type for value in values if isinstance(value, torch.Tensor)}


def _loading_first_line(problem: BaseException, lines: int = 1) -> str:
    text = str(problem).strip() or type(problem).__name__
    return f"{type(problem).__name__}: " + " ".join(" ".join(text.splitlines()[:lines]).split())[:600]


def _loading_words(path: Path, kind: str, problem: BaseException) -> str:
    text, name = str(problem), path.name
    broken = "central directory" in text or "PytorchStreamReader" in text or "BadZipFile" in type(problem).__name__
    broken = broken or type(problem).__name__ == "DecodeError" or "INVALID_PROTOBUF" in text
    if broken or (kind != "onnx" and not _loading_archive(path)):
        return f"{name} is truncated or damaged ({_loading_first_line(problem)})"
    if "is not registered" in text and "pytree" in text:
        return f"{name} returns a class of the model's own source, which is not here ({_loading_first_line(problem)})"
    return f"{name} did not load: {_loading_first_line(problem)}"


def _loading_archive(path: Path) -> bool:
    """Whether the file is one whole archive from its first byte on; torch.export.load hides what it stumbled over."""
    try:
        with zipfile.ZipFile(path) as archive:
            return min((one.header_offset for one in archive.infolist()), default=1) == 0
    except (zipfile.BadZipFile, OSError, ValueError):
        return False

"""Makes artifacts with plain torch, as somebody else would, and proves them as `workbench verify --against` does."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib.util
import io
import tempfile
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.artifacts import models
from tests.unit.artifact_bench import proven, quiet_job, write_manifest
from workbench.protocol.artifacts import Proof
from workbench.protocol.messages import MakeGolden
from workbench.protocol.model import Recipe
from workbench.supervisor.fingerprint import fingerprint
from workbench.worker.artifact.aoti import unavailable as aoti_unavailable
from workbench.worker.artifact.bundle import make_golden

MODELS = Path(models.__file__)

SPECS: dict[str, tuple[str, ...]] = {
    "Classifier": ("x=float32[batch:1..32,8]",),
    "Probabilities": ("x=float32[batch:1..32,8]",),
    "Image": ("image=float32[batch:1..16,3,12,12]",),
    "Heads": ("x=float32[batch:1..32,8]",),
    "Both": ("query=float32[batch:1..32,8]", "key=float32[batch:1..32,8]"),
    "Tokens": ("ids=int64[batch:1..16,9]{0..49}",),
    "Square": ("x=float32[batch:1..16,6]",),
    "Attention": ("x=float32[batch:1..16,5,8]",),
    "Tied": ("ids=int64[batch:1..16,4]{0..19}",),
    "Counts": ("x=float32[batch:1..32,8]",),
    "Signed": ("x=float32[batch:1..32,8]",),
    "Residual": ("x=float32[batch:1..32,8]",),
}
"""How each model is called; every batch is dynamic."""

SAMPLES: dict[str, Callable[[], tuple[Tensor, ...]]] = {
    "Image": lambda: (torch.randn(4, 3, 12, 12),),
    "Both": lambda: (torch.randn(4, 8), torch.randn(4, 8)),
    "Tokens": lambda: (torch.randint(0, 50, (4, 9)),),
    "Square": lambda: (torch.randn(4, 6),),
    "Attention": lambda: (torch.randn(4, 5, 8),),
    "Tied": lambda: (torch.randint(0, 20, (4, 4)),),
}


def sample(name: str) -> tuple[Tensor, ...]:
    """An example call."""
    return SAMPLES.get(name, lambda: (torch.randn(4, 8),))()


def eager(name: str) -> Any:
    """The model that the recipe builds, with batch norm statistics as it builds them, in eval."""
    torch.manual_seed(0)
    return getattr(models, name)().eval()


@dataclass(frozen=True)
class Made:
    """One artifact of the corpus."""

    title: str
    model: str
    write: Callable[[Any, tuple[Tensor, ...], Path], None]
    """Called with the eager model, an example call and the path to write to."""
    suffix: str
    expected: tuple[str, ...] = ()
    """For a wrong one: "row: words", the row that must fail and what it must say; "|" between words that would do."""
    inputs: tuple[str, ...] = ()
    """Other input specs than the model's usual."""


def trace(change: Callable[[Any], Any] = lambda model: model, **more: Any) -> Callable[..., None]:
    def write(model: Any, args: tuple[Tensor, ...], path: Path) -> None:
        with torch.no_grad():
            traced = torch.jit.trace(change(model), args, check_trace=False, strict=False, **more)
        torch.jit.save(traced, str(path))

    return write


def script(change: Callable[[Any], Any] = lambda model: model) -> Callable[..., None]:
    def write(model: Any, args: tuple[Tensor, ...], path: Path) -> None:
        torch.jit.save(torch.jit.script(change(model)), str(path))

    return write


def export(
    change: Callable[[Any], Any] = lambda model: model, dynamic: bool = True, rows: int = 0
) -> Callable[..., None]:
    """A .pt2 of the changed model; `rows` above 0: of so many, and of no other number."""

    def write(model: Any, args: tuple[Tensor, ...], path: Path) -> None:
        if rows:
            args, shapes = tuple(one[:rows].clone() for one in args), None
        else:
            batch = torch.export.Dim("batch", min=1, max=32)
            shapes = tuple({0: batch} for _ in args) if dynamic else None
        with torch.no_grad():
            torch.export.save(torch.export.export(change(model), args, dynamic_shapes=shapes), str(path))

    return write


def aoti(change: Callable[[Any], Any] = lambda model: model) -> Callable[..., None]:
    """A package of native code for any batch, with the defaults of torch."""

    def write(model: Any, args: tuple[Tensor, ...], path: Path) -> None:
        shapes = tuple({0: torch.export.Dim("batch", min=1, max=32)} for _ in args)
        with torch.no_grad():
            program = torch.export.export(change(model), args, dynamic_shapes=shapes)
            torch._inductor.aoti_compile_and_package(program, package_path=str(path))

    return write


def onnx(change: Callable[[Any], Any] = lambda model: model, **more: Any) -> Callable[..., None]:
    def write(model: Any, args: tuple[Tensor, ...], path: Path) -> None:
        shapes = tuple({0: torch.export.Dim("batch", min=1, max=32)} for _ in args)
        with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
            torch.onnx.export(
                change(model), args, str(path), dynamo=True, dynamic_shapes=shapes, external_data=False, **more
            )

    return write


def absent(made: Made) -> str:
    """Why an artifact cannot be made here; empty when it can."""
    if made.title.endswith(", aoti") and (why := aoti_unavailable("cpu")):
        return why
    needed = ("onnx", "onnxscript", "onnxruntime") if made.suffix == ".onnx" else ()
    lacking = [name for name in needed if importlib.util.find_spec(name) is None]
    return f"{' and '.join(lacking)} not installed" if lacking else ""


def state(change: Callable[[dict[str, Tensor]], Any] = lambda held: held) -> Callable[..., None]:
    def write(model: Any, args: tuple[Tensor, ...], path: Path) -> None:
        torch.save(change({name: value.clone() for name, value in model.state_dict().items()}), path)

    return write


def truncated(write: Callable[..., None], share: float) -> Callable[..., None]:
    def cut(model: Any, args: tuple[Tensor, ...], path: Path) -> None:
        write(model, args, path)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return cut


def edited(edit: Callable[[Any], None]) -> Callable[[Any], Any]:
    """A copy of the model that `edit` has changed in place."""

    def change(model: Any) -> Any:
        copied = copy.deepcopy(model)
        with torch.no_grad():
            edit(copied)
        return copied

    return change


class Around(nn.Module):
    """The model with something done to what it is given, and to what it answers."""

    def __init__(self, model: Any, before: Callable[..., Any], after: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self.before, self.after = model, before, after

    def forward(self, x: Tensor) -> Any:
        return self.after(self.model(self.before(x)))


def around(
    before: Callable[..., Any] = lambda x: x, after: Callable[..., Any] = lambda y: y
) -> Callable[[Any], nn.Module]:
    return lambda model: Around(model, before, after)


def prove_made(made: Made) -> Proof:
    """The proof of one artifact of the corpus, in this process, with the fingerprint's kind."""
    with tempfile.TemporaryDirectory(prefix="workbench-corpus-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path, stage = Path(folder) / f"artifact{made.suffix}", Path(folder) / "stage"
        stage.mkdir()
        torch.manual_seed(7)
        made.write(eager(made.model), sample(made.model), path)
        return prove_file(path, made.model, made.inputs or SPECS[made.model], stage)


def prove_file(path: Path, model: str, inputs: tuple[str, ...], stage: Path) -> Proof:
    kind = fingerprint(str(path), threading.Event()).kind
    recipe = Recipe(f"{MODELS}:{model}", inputs=inputs)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    taken = make_golden(MakeGolden(recipe, str(path), digest, str(stage), kind=kind), quiet_job())
    write_manifest(stage, taken.manifest)
    with contextlib.redirect_stderr(None):
        return proven(stage)


def missing_words(proof: Proof, expected: tuple[str, ...]) -> list[str]:
    """What the proof should have said and did not: "row: words"."""
    said = {row.id: f"{row.evidence} {row.cause}".lower() for row in proof.checks if row.status in ("fail", "error")}
    lacking = []
    for one in expected:
        row, _, words = one.partition(": ")
        if row not in said or not any(part.lower() in said[row] for part in words.split("|")):
            lacking.append(f"{one}   but {row} says: {said.get(row, 'nothing, it did not fail')}")
    return lacking

"""Artifacts that are right, made by plain torch in the ways that people use: none of them may be refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.artifacts.writers import Made, aoti, around, export, onnx, script, state, trace


def fused(model: Any) -> Any:
    """Batch norm folded into the convolution before it, as people do for speed."""
    copied = copy.deepcopy(model)
    copied.stem = torch.nn.utils.fusion.fuse_conv_bn_eval(copied.stem, copied.norm)
    copied.norm = nn.Identity()
    return copied


class Wrapped(nn.Module):
    """The model under another name inside."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inner = model

    def forward(self, x: Tensor) -> Any:
        return self.inner(x)


class Positional(nn.Module):
    """Other names of arguments."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inner = model

    def forward(self, first: Tensor, second: Tensor) -> Any:
        return self.inner(first, second)


class Tupled(nn.Module):
    """A list in the place of a tuple."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inner = model

    def forward(self, x: Tensor) -> list[Tensor]:
        return list(self.inner(x))


def frozen(model: Any, args: tuple[Tensor, ...], path: Path) -> None:
    with torch.no_grad():
        torch.jit.save(torch.jit.freeze(torch.jit.trace(model, args, check_trace=False).eval()), str(path))


def decomposed(model: Any, args: tuple[Tensor, ...], path: Path) -> None:
    batch = torch.export.Dim("batch", min=1, max=32)
    with torch.no_grad():
        program = torch.export.export(model, args, dynamic_shapes=tuple({0: batch} for _ in args))
        torch.export.save(program.run_decompositions(), str(path))


def automatic(model: Any, args: tuple[Tensor, ...], path: Path) -> None:
    shapes = tuple({0: torch.export.Dim.AUTO} for _ in args)
    with torch.no_grad():
        torch.export.save(torch.export.export(model, args, dynamic_shapes=shapes), str(path))


def strict(model: Any, args: tuple[Tensor, ...], path: Path) -> None:
    batch = torch.export.Dim("batch", min=1, max=32)
    with torch.no_grad():
        program = torch.export.export(model, args, dynamic_shapes=tuple({0: batch} for _ in args), strict=True)
    torch.export.save(program, str(path))


def with_grad(model: Any, args: tuple[Tensor, ...], path: Path) -> None:
    torch.jit.save(torch.jit.trace(copy.deepcopy(model), args, check_trace=False), str(path))


def rewritten(model: Any) -> Any:
    """The same function by other kernels: a fused affine map in the place of batch norm."""
    copied = copy.deepcopy(model)
    scale = copied.norm.weight / (copied.norm.running_var + copied.norm.eps).sqrt()
    shift = copied.norm.bias - copied.norm.running_mean * scale

    class Affine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scale", scale.detach())
            self.register_buffer("shift", shift.detach())

        def forward(self, x: Tensor) -> Tensor:
            return x * self.scale + self.shift

    copied.norm = Affine()
    return copied.eval()


RIGHT: tuple[Made, ...] = (
    *(Made(f"{name}, traced", name, trace(), ".pt") for name in (
        "Classifier", "Probabilities", "Image", "Heads", "Both", "Tokens", "Square", "Attention", "Tied", "Counts",
        "Residual",
    )),
    *(Made(f"{name}, exported", name, export(), ".pt2") for name in (
        "Classifier", "Probabilities", "Heads", "Both", "Square", "Attention", "Tied", "Counts", "Residual",
    )),
    *(Made(f"{name}, scripted", name, script(), ".ts") for name in ("Classifier", "Signed", "Heads", "Residual")),
    *(Made(f"{name}, state_dict", name, state(), ".pth") for name in ("Classifier", "Tokens", "Tied", "Image")),
    Made("Image, exported", "Image", export(), ".pt2", inputs=("image=float32[batch:1..32,3,12,12]",)),
    *(Made(f"{name}, onnx", name, onnx(), ".onnx") for name in ("Classifier", "Heads", "Both", "Residual", "Counts")),
    Made("convolution and batch norm fused, traced", "Image", trace(fused), ".pt"),
    Made("convolution and batch norm fused, exported", "Image", export(fused), ".pt2"),
    Made("frozen", "Classifier", frozen, ".pt"),
    Made("decomposed to core operators", "Classifier", decomposed, ".pt2"),
    Made("dimensions found by torch", "Classifier", automatic, ".pt2"),
    Made("exported strictly", "Residual", strict, ".pt2"),
    Made("traced with grad", "Both", with_grad, ".pt"),
    Made("of one size only", "Classifier", export(rows=3), ".pt2", inputs=("x=float32[3,8]",)),
    Made("under another module", "Classifier", trace(Wrapped), ".pt"),
    Made("under another module, exported", "Tokens", trace(Wrapped), ".pt2"),
    Made("other names of arguments", "Both", trace(Positional), ".pt"),
    Made("a list for a tuple", "Counts", trace(Tupled), ".pt"),
    Made("a copy more", "Square", trace(around(after=lambda y: y.transpose(1, 2).contiguous().transpose(1, 2))), ".pt"),
    Made("batch norm as an affine map", "Classifier", trace(rewritten), ".pt"),
    *(Made(f"{name}, aoti", name, aoti(), ".pt2") for name in ("Classifier", "Tokens")),
    Made("a training checkpoint", "Classifier", state(lambda held: {"epoch": 3, "model": held}), ".pth"),
)  # fmt: skip

"""One whole file of every format that the workbench reads, small enough to be damaged ten thousand times."""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from workbench.worker import tensorfile

from . import folders


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).eval()


def make(folder: Path) -> dict[str, bytes | folders.Files]:
    """Format → the bytes of a file of it, or of each file in a directory; the name's ending is that of the file."""
    state = net().state_dict()
    files: dict[str, bytes | folders.Files] = {
        "zip.pt": _saved(lambda stream: torch.save(state, stream)),
        "legacy.pt": _saved(lambda stream: torch.save(state, stream, _use_new_zipfile_serialization=False)),
        "training.pt": _saved(lambda stream: torch.save({"epoch": 3, "state_dict": state, "lr": [0.1]}, stream)),
        "module.pt": _saved(lambda stream: torch.save(net(), stream)),
        "made.pt": _saved(lambda stream: torch.save({"w": torch.ones(2)}, stream)),
        "made.pkl": pickle.dumps({"w": (1, None)}),
        "bare.pkl": pickle.dumps({"a": [1, 2.5, "x"], "b": (None, True, {3: b"bytes"})}),
        "net.onnx": _onnx(),
        "model.index.json": json.dumps({"weight_map": dict.fromkeys(state, "w.safetensors")}).encode(),
        "inputs.json": json.dumps({"x": [[1.0, 2.0], [3.0, 4.0]], "flag": True}).encode(),
        "x.npy": _npy(),
        "x.npz": _archived({"x.npy": _npy(), "mask.npy": _npy()}, zipfile.ZIP_DEFLATED),
        "native.pt2": _native(),
        "model.py": b"from torch import nn\n\n\nclass Net(nn.Module):\n    def forward(self, x):\n        return x\n",
        "kwargs.toml": b'[model]\nwidth = 8\nnames = ["a", "b"]\nrate = 1e-3\nnested = {deep = true}\n',
        "spec.txt": "\n".join(_SPECS).encode(),
        **_pictures(),
    }
    tensorfile.save(str(folder / "w.safetensors"), state, {"made": "here"})
    files["w.safetensors"] = (folder / "w.safetensors").read_bytes()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(net(), torch.zeros(2, 5)), str(folder / "script.ts"))
        torch.export.save(torch.export.export(net(), (torch.zeros(2, 5),)), folder / "program.pt2")
    for name in ("script.ts", "program.pt2"):
        files[name] = (folder / name).read_bytes()
    return files | folders.make(folder, net())


_SPECS = (
    "x=float32[batch:1..64,10]{normal(0,2);[0,3]=nan}", "ids=int64[2,16]{0..100}", "xs[0].a=bool[4]{ones}",
    'how="fast"', "hx.0=float16[]{0.5..1.5}", "k={'a': [1, 2.5, None]}",
)  # fmt: skip


def _archived(members: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", how) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def _native() -> bytes:
    """An archive laid out as torch._inductor.aoti_compile_and_package does; its library is no program."""
    meta = {"dtype": 7, "sizes": [{"as_int": 8}, {"as_int": 5}], "device": {"type": "cpu"}}
    weights = {"config": {"0.weight": {"path_name": "weight_0", "is_param": True, "tensor_meta": meta}}}
    model = "model/data/aotinductor/model"
    return _archived(
        {
            "model/archive_format": b"pt2",
            "model/archive_version": b"0",
            f"{model}/c1.wrapper.so": b"\x7fELF\x02\x01\x01" + bytes(200),
            f"{model}/c1.wrapper.cpp": b"// generated\n",
            f"{model}/c1_metadata.json": json.dumps({"AOTI_DEVICE_KEY": "cpu"}).encode(),
            "model/data/weights/model_weights_config.json": json.dumps(weights).encode(),
            "model/data/weights/weight_0": bytes(160),
        }
    )


def _pictures() -> dict[str, bytes]:
    """A small picture in each of the formats; none where pillow is not installed."""
    try:
        from PIL import Image
    except ImportError:
        return {}
    picture = Image.effect_noise((6, 5), 90.0).convert("RGB")
    kinds = {"png": "PNG", "jpg": "JPEG", "gif": "GIF", "bmp": "BMP", "webp": "WEBP", "tif": "TIFF"}
    return {
        f"picture.{ending}": _saved(lambda stream, kind=kind: picture.save(stream, format=kind))  # type: ignore[misc]
        for ending, kind in kinds.items()
    }


def _saved(write: Callable[[Any], object]) -> bytes:
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()


def _npy() -> bytes:
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(24)


def _field(number: int, content: bytes | int) -> bytes:
    """A protobuf field of a small number or of less than 128 bytes; longer ones take two bytes of length."""
    if isinstance(content, int):
        return bytes([number << 3, content])
    length = len(content)
    return bytes([number << 3 | 2, *([length] if length < 128 else [length & 127 | 128, length >> 7])]) + content


def _onnx() -> bytes:
    """x float32[batch,3] through one Gemm of a weight [2,3] (onnx.proto)."""
    shape = _field(1, _field(2, b"batch")) + _field(1, _field(1, 3))
    value = _field(1, b"x") + _field(2, _field(1, _field(1, 1) + _field(2, shape)))
    weight = _field(1, 2) + _field(1, 3) + _field(2, 1) + _field(8, b"w") + _field(9, bytes(24))
    node = _field(1, b"x") + _field(4, b"Gemm")
    graph = _field(1, node) + _field(2, b"main") + _field(5, weight) + _field(11, value) + _field(12, value)
    return _field(1, 10) + _field(2, b"by hand") + _field(7, graph) + _field(8, _field(1, b"") + _field(2, 20))

"""Opens an ONNX model in ONNX Runtime as something that is called with forward's arguments.

Never judges. Carried into a bundle's verify.py: torch, the standard library and carried modules only; ONNX Runtime is
imported when a model is opened, and its absence is said.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch

from workbench.worker.judge.leaves import flatten_plain

_ONNX_EVERYWHERE = "CPUExecutionProvider"


def onnx_call(model: str | bytes, names: Sequence[str], device: str = "cpu") -> Callable[..., tuple[torch.Tensor, ...]]:
    """A function of forward's arguments that answers with the model's outputs in their order.

    model: its path, or the model itself. names: paths of the tensors of a call, in its order. Inputs of the model are
    found by these names, or by their order where it names them otherwise. Raises ValueError for what cannot be opened.
    """
    try:
        import onnxruntime
    except ImportError as problem:
        raise ValueError("ONNX models are run by ONNX Runtime, which is not installed: pip install onnxruntime") from (
            problem
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its own words come with the exception
    options.intra_op_num_threads = torch.get_num_threads()
    if lacking := onnx_lacks(device):
        raise ValueError(lacking)
    try:
        session = onnxruntime.InferenceSession(model, options, providers=[*_onnx_provider(device), _ONNX_EVERYWHERE])
    except Exception as problem:
        raise ValueError(f"ONNX Runtime cannot load it: {_onnx_words(problem)}") from problem
    feeds = onnx_inputs([one.name for one in session.get_inputs()], names)

    def call(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
        leaves = flatten_plain((args, list(kwargs.values()))).leaves
        if len(leaves) != len(names):
            raise ValueError(f"it takes {len(names)} tensors, and was given {len(leaves)}")
        values = {name: leaf.detach().cpu().contiguous().numpy() for name, (_, leaf) in zip(names, leaves)}  # noqa: B905
        try:
            answers = session.run(None, {feed: values[name] for feed, name in feeds.items()})
        except Exception as problem:
            raise RuntimeError(_onnx_words(problem)) from problem
        return tuple(torch.from_numpy(one.copy()) for one in answers)

    return call


def _onnx_provider(device: str) -> list[str]:
    """What ONNX Runtime runs operators with on `device`, before the CPU."""
    return ["CUDAExecutionProvider"] if device.startswith("cuda") else []


def onnx_lacks(device: str) -> str:
    """What an installed ONNX Runtime lacks to run on `device`; empty where it lacks nothing."""
    import onnxruntime

    known = onnxruntime.get_available_providers()
    absent = [name for name in _onnx_provider(device) if name not in known]
    return f"this ONNX Runtime has no {absent[0]}, it has {', '.join(known)}" if absent else ""


def onnx_inputs(wanted: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Input of the model → path of the tensor that it is fed with. Raises ValueError where that cannot be told."""
    plain = {name.replace("['", ".").replace("']", ""): name for name in names}
    if all(name in plain for name in wanted):
        return {name: plain[name] for name in wanted}
    if len(wanted) == len(names):
        return dict(zip(wanted, names))  # noqa: B905 (compared above)
    raise ValueError(f"it wants the inputs {', '.join(wanted)}, and the call has {', '.join(names) or 'none'}")


def onnx_model(path: str) -> Any:
    """The ModelProto for reading parameters and operators; None where the onnx package is not installed."""
    try:
        import onnx
    except ImportError:
        return None
    return onnx.load(path, load_external_data=os.path.isdir(os.path.dirname(path) or "."))


def onnx_tensors(model: Any) -> list[tuple[str, torch.Tensor]]:
    """Initializers by name; what has no dtype of torch's is left out."""
    from onnx import numpy_helper

    found = []
    for one in model.graph.initializer:
        try:
            found.append((one.name, torch.from_numpy(numpy_helper.to_array(one).copy())))
        except (TypeError, ValueError):
            continue  # a dtype that numpy or torch has not
    return found


def onnx_train_operators(model: Any) -> list[str]:
    """Words for each operator that is random or uses the batch's statistics: "drop: Dropout in train mode"."""
    from onnx import helper

    nodes = _onnx_nodes(model.graph)
    constants = {one.name: one for one in model.graph.initializer}
    for node in nodes:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            constants[node.output[0]] = node.attribute[0].t
    found = []
    for node in nodes:
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        alive = node.op_type == "BatchNormalization" and attributes.get("training_mode") == 1
        if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] in constants:
            alive = _onnx_truth(constants[node.input[2]])
        if alive:
            found.append(f"{onnx_scope(node)}: {node.op_type} in train mode")
        elif node.op_type in ("Bernoulli", "RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike"):
            found.append(f"{onnx_scope(node)}: {node.op_type}, which is random")
    return found


def _onnx_nodes(graph: Any) -> list[Any]:
    """Every node, those of the bodies of If, Loop and Scan included."""
    found = []
    for node in graph.node:
        found.append(node)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found.extend(_onnx_nodes(attribute.g))
    return found


def _onnx_truth(tensor: Any) -> bool:
    from onnx import numpy_helper

    return bool(numpy_helper.to_array(tensor).any())


def onnx_scope(node: Any) -> str:
    """The module path that torch's exporter wrote down, or the node's own name."""
    for entry in node.metadata_props:
        if entry.key == "pkg.torch.onnx.name_scopes":
            parts = [part.strip(" '\"") for part in entry.value.strip("[]").split(",")]
            return parts[-2] if len(parts) > 1 and parts[-2] else "(root)"
    return node.name or "(unnamed)"


def _onnx_words(problem: BaseException) -> str:
    """ONNX Runtime's message without its code and source positions."""
    text = " ".join(str(problem).split()).replace(" Please fix either the inputs/outputs or the model.", "")
    parts = [part.strip() for part in text.split(" : ")]
    return (parts[-1] if len(parts) > 1 and parts[-1] else text)[:400]

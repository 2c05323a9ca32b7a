"""What an artifact's graph says about itself: names and sizes of its arguments, quantised operators.

Must never run the artifact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch

_QUANTISED = ("quantized::", "quantize_per", "dequantize", "quantized_decomposed", "_quantized_", "qlinear", "qconv")
"""Parts of operators' names; ONNX's are by their type."""

_QUANTISED_ONNX = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger")


def argument_names(program: Any) -> list[str] | None:
    """Names of what a call of TorchScript must be given, in order; None where the graph does not say."""
    if not isinstance(program, torch.jit.ScriptModule):
        return None
    try:
        arguments = program.forward.schema.arguments[1:]  # type: ignore[attr-defined]  # the first is the module itself
    except (RuntimeError, AttributeError):
        return None
    return [one.name for one in arguments if not one.has_default_value()]


def tensor_names(program: Any) -> list[str] | None:
    """Names of the tensors that a call takes, however they are nested; None where the graph does not say."""
    if isinstance(program, torch.export.ExportedProgram):
        return [str(name) for name in program.graph_signature.user_inputs]
    if is_onnx(program):
        held = {one.name for one in program.graph.initializer}
        return [one.name for one in program.graph.input if one.name not in held]
    return None


def declared_shapes(program: Any) -> dict[str, tuple[int | None, ...]]:
    """Tensor that a call takes → the size that the graph declares for each dimension, None where it is free; empty
    where the graph declares none, as TorchScript's."""
    if isinstance(program, torch.export.ExportedProgram):
        wanted = set(map(str, program.graph_signature.user_inputs))
        values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.name in wanted}
        return {name: _fixed(value.shape) for name, value in values.items() if isinstance(value, torch.Tensor)}
    if is_onnx(program):
        wanted = set(tensor_names(program) or ())
        types = {one.name: one.type.tensor_type for one in program.graph.input if one.name in wanted}
        return {
            name: tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in one.shape.dim)
            for name, one in types.items()
        }
    return {}


def _fixed(shape: Iterable[Any]) -> tuple[int | None, ...]:
    """A symbol of torch.export's is no int."""
    return tuple(size if isinstance(size, int) else None for size in shape)


def is_onnx(program: Any) -> bool:
    """Whether a graph is an onnx.ModelProto, which cannot be asked for by its class: onnx need not be installed."""
    return hasattr(program, "graph") and hasattr(program.graph, "initializer")


def quantised_operators(program: Any) -> list[str]:
    """Names of operators that compute with integers in place of floating point numbers, each once."""
    if isinstance(program, torch.jit.ScriptModule):
        try:
            graph = program.inlined_graph
        except (RuntimeError, AttributeError):
            return []
        names = [node.kind() for node in _nodes(graph)]
    elif isinstance(program, torch.export.ExportedProgram):
        names = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    elif is_onnx(program):
        return list(dict.fromkeys(one.op_type for one in program.graph.node if one.op_type in _QUANTISED_ONNX))
    else:
        return []
    return list(dict.fromkeys(name for name in names if any(part in name for part in _QUANTISED)))


def _nodes(block: Any) -> Iterator[Any]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)

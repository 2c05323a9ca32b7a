"""Passages of an artifact's graph: what each line of the user's code made of one input, as the artifact computes it.

For a trace, a program of torch.export, and an ONNX model that torch's exporter wrote. Judges nothing.
"""

from __future__ import annotations

import itertools
import operator
from typing import Any

import torch
from torch.fx import Interpreter

from workbench.worker.artifact.naming_graph import is_onnx
from workbench.worker.artifact.open_onnx import onnx_call, onnx_scope
from workbench.worker.artifact.passages import Passage, hidden_in, keep, merged, place_in, text_in
from workbench.worker.judge.leaves import flatten_plain


class NoLines(Exception):
    """Says why an artifact's graph names no line of the user's code."""


def graph_passages(program: Any, args: tuple[Any, ...], kwargs: dict[str, Any], names: list[str]) -> list[Passage]:
    """Merged passages of one call, which may change its inputs. names: paths of the call's tensors.

    Raises `NoLines`, and whatever the artifact raises.
    """
    if isinstance(program, torch.jit.ScriptModule):
        return _of_trace(program, [leaf for _, leaf in flatten_plain((args, kwargs)).leaves])
    if isinstance(program, torch.export.ExportedProgram):
        return _of_program(program, args, kwargs)
    if is_onnx(program):
        return _of_onnx(program, args, kwargs, names)
    raise NoLines("compiled code shows no graph")


class _Reading(Interpreter):
    """Runs an exported graph node by node."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module)
        self.passages: list[Passage] = []

    def run_node(self, n: torch.fx.Node) -> Any:
        value = super().run_node(n)
        place = place_in(n.stack_trace or "") if n.op == "call_function" else None
        if place is not None and isinstance(value, torch.Tensor):
            stack = list((n.meta.get("nn_module_stack") or {}).values())
            path = str(stack[-1][0]) if stack else ""
            text = text_in(n.stack_trace or "", *place)
            kinds = () if n.target is operator.getitem else (str(n.target),)  # a part of what was made before
            whole = self.env.get(n.all_input_nodes[0]) if n.target is operator.getitem else None
            parts = whole if isinstance(whole, (tuple, list)) else ()
            others = tuple(one for one in parts if one is not value and isinstance(one, torch.Tensor))
            keep(self.passages, Passage(*place, value, path, text=text, kinds=kinds, others=others))
        return value


def _of_program(program: torch.export.ExportedProgram, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Passage]:
    module = program.module()
    leaves = [leaf for _, leaf in flatten_plain((args, kwargs)).leaves]
    assert isinstance(module, torch.fx.GraphModule)
    reading = _Reading(module)
    with torch.no_grad():
        reading.run(*leaves, enable_io_processing=False)
    return merged(reading.passages)


def _of_trace(module: torch.jit.ScriptModule, leaves: list[torch.Tensor]) -> list[Passage]:
    """Every tensor of the inlined graph, as the outputs of a copy of it."""
    graph = module.inlined_graph.copy()
    nodes = [node for node in graph.nodes() if node.kind().startswith(("aten::", "prim::ListUnpack"))]
    writes = any(node.kind().endswith("_") for node in nodes)
    made = [
        (place_in(_own_range(node), innermost_first=True), node.kind(), _shown(graph, node, writes)) for node in nodes
    ]
    while list(graph.outputs()):
        graph.eraseOutput(0)
    values = [value for _, _, found in made for value in found]
    together = graph.insertNode(graph.create("prim::TupleConstruct", values, 1))
    together.output().setType(torch._C.TupleType([value.type() for value in values]))
    graph.registerOutput(together.output())
    function = torch._C._create_function_from_graph("forward", graph)
    with torch.no_grad():
        answers = iter(function(module._c, *leaves))
    passages: list[Passage] = []
    for place, kind, found in made:
        tensors = list(itertools.islice(answers, len(found)))
        if place is not None and tensors:
            taken_apart = not kind.startswith("aten::")  # its last part is eager's; the first is the answer else
            value, *others = reversed(tensors) if taken_apart else tensors
            keep(passages, Passage(*place, value, kinds=() if taken_apart else (kind,), others=tuple(others)))
    return merged(passages)


def _shown(graph: Any, node: Any, writes: bool) -> list[Any]:
    """The tensors that a node makes; copied there where the graph writes in place, for they are read at the end."""
    values = [value for value in node.outputs() if value.type().kind() == "TensorType"]
    if not writes:
        return values
    copies = []
    for value in values:
        nothing = graph.create("prim::Constant", 1)
        nothing.output().setType(torch._C.NoneType.get())
        nothing.insertAfter(node)
        copied = graph.create("aten::clone", [value, nothing.output()], 1)
        copied.insertAfter(nothing)
        copies.append(copied.output())
    return copies


def _own_range(node: Any) -> str:
    """Where a node is from, without the place that its line has in the archive, which is torch's own text. What takes
    a list apart has none: it is where the list was made."""
    maker = node.input().node() if node.kind() == "prim::ListUnpack" else node
    return str(maker.sourceRange() or "").partition("\nSerialized ")[0]


def hides_lines(program: Any) -> bool:
    """Whether the graph is one of torch.jit.script: what torch's own functions compute there names no line of who
    called them, where a trace has the whole stack."""
    if not isinstance(program, torch.jit.ScriptModule):
        return False
    ranges = (_own_range(node) for node in program.inlined_graph.nodes() if node.kind().startswith("aten::"))
    return any(map(hidden_in, ranges))


def _of_onnx(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], names: list[str]) -> list[Passage]:
    """The last tensor of each passage, as the outputs of a copy of the model."""
    import onnx

    found: list[tuple[tuple[str, int], str, str, str, Any]] = []
    for node in model.graph.node:
        stack = _onnx_stack(node)
        place = place_in(stack)
        if place is not None and node.output and node.output[0]:
            made = node.output[-1 if node.op_type == "Split" else 0]  # eager's last part; the first is the answer else
            found.append((place, _onnx_module(node), text_in(stack, *place), made, node))
    if not found:
        raise NoLines(
            "its nodes name no line of the model's code, as those that torch.onnx.export(dynamo=True) writes do"
        )
    used = {name for node in model.graph.node for name in node.input} | {one.name for one in model.graph.output}
    last = []
    for _, group in itertools.groupby(found, key=lambda one: one[:2]):
        run = list(group)
        inside = {name for *_, node in run for name in node.input}
        leaves = {name for *_, node in run for name in node.output if name in used - inside}
        last.append((*run[-1][:3], [run[-1][3], *sorted(leaves - {run[-1][3]})]))
    open_model = onnx.ModelProto()
    open_model.CopyFrom(model)
    del open_model.graph.output[:]
    open_model.graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(name) for *_, made_there in last for name in made_there
    )
    answers = iter(onnx_call(open_model.SerializeToString(), names)(*args, **kwargs))
    passages: list[Passage] = []
    for place, module, text, made_there in last:
        value, *others = itertools.islice(answers, len(made_there))
        keep(passages, Passage(*place, value, module, text=text, others=tuple(others)))
    return merged(passages)


_ONNX_LAYOUT = ("Constant", "Identity", "Cast", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Shape", "Flatten")
"""Operators that hand values on as they are."""


def unplaced_nodes(model: Any) -> list[Any]:
    """Nodes of an ONNX model that compute something and name no line of the user's."""
    return [one for one in model.graph.node if one.op_type not in _ONNX_LAYOUT and place_in(_onnx_stack(one)) is None]


def _onnx_stack(node: Any) -> str:
    """The stack that torch's exporter wrote down for a node; empty where there is none."""
    return next((one.value for one in node.metadata_props if one.key == "pkg.torch.onnx.stack_trace"), "")


def _onnx_module(node: Any) -> str:
    """Path of the module that made a node; empty for the model itself."""
    scope = onnx_scope(node)
    return "" if scope in ("(root)", node.name) else scope

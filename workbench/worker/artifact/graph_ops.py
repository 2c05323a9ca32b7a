"""Which training-time operators are alive in an artifact's graph: dropout that drops, batch norm that uses the batch.

An export in train mode keeps them for ever and says nothing; `.training` of the artifact says nothing either, so the
arguments in the graph itself are read. Must never run the artifact. Carried into a bundle's verify.py: torch, the
standard library and carried modules only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch

from workbench.protocol.artifacts import CheckRow
from workbench.worker.artifact.open_onnx import onnx_train_operators

_OPS_GRAPHLESS = {
    "weights": "weights hold no graph",
    "aoti": "compiled code shows no graph: the answers alone speak (repeat, values)",
    "runner": "a command shows no graph: the answers alone speak (repeat, values)",
    "onnx": "the onnx package is not here: the answers alone speak (repeat, values)",
}


def train_row(program: Any, manifest: dict[str, Any]) -> CheckRow:
    """The row `train_ops`: operators of train mode in the graph that `program` holds (None: it shows none)."""
    if program is None:
        return CheckRow("train_ops", "skip", _OPS_GRAPHLESS[manifest["kind"]])
    alive = train_operators(program, manifest.get("prefix") or "")
    if not alive:
        return CheckRow("train_ops", "pass", "no dropout or batch statistics of train mode in the graph")
    more = f"; and {len(alive) - 5} more" if len(alive) > 5 else ""
    remedy = "Export in eval mode: model.eval() before, or leave --mode train away."
    return CheckRow("train_ops", "fail", f"{'; '.join(alive[:5])}{more}", "it was exported in train mode", remedy)


def train_operators(program: Any, prefix: str = "") -> list[str]:
    """Words for each operator in train mode: "drop: dropout p=0.5"; empty when there is none.

    `program` is a loaded ScriptModule, an ExportedProgram or an onnx.ModelProto; `prefix` is left out of module paths.
    """
    if hasattr(program, "ir_version"):
        return onnx_train_operators(program)
    scripted = isinstance(program, torch.jit.ScriptModule)
    found = _ops_of_script(program) if scripted else list(_ops_of_export(program))
    cut = prefix + "."
    return [f"{path[len(cut) :] if path.startswith(cut) else path}: {words}" for path, words in found]


def _ops_alive(kind: str, arguments: dict[str, Any], unknown: object) -> str:
    """In words how one operator trains, from its schema's argument names; empty when it does not."""
    short = kind.split("::")[-1].split(".")[0].rstrip("_")
    train = arguments.get("train", arguments.get("training"))
    rate = arguments.get("dropout_p", arguments.get("p", arguments.get("dropout")))
    known_rate = rate if isinstance(rate, (int, float)) and rate is not unknown else None
    if "batch_norm" in short:
        # without running statistics the batch's own are what eval uses too
        return f"{short} in train mode" if train is True and arguments.get("running_mean") is not None else ""
    if short == "scaled_dot_product_attention":
        return f"attention dropout p={known_rate:g}" if known_rate else ""
    if short == "native_dropout" and train is None:
        train = True
    if train is not True:
        return ""
    if known_rate == 0:
        return ""
    if "dropout" in short or "dropout" in arguments:
        return f"{short} p={known_rate:g}" if known_rate is not None else short
    return f"{short} in train mode"


def _ops_of_export(program: Any) -> Iterator[tuple[str, str]]:
    for graph in (part for part in program.graph_module.modules() if isinstance(part, torch.fx.GraphModule)):
        for node in graph.graph.nodes:
            schema = getattr(node.target, "_schema", None)
            if node.op != "call_function" or schema is None:
                continue
            arguments = {one.name: one.default_value for one in schema.arguments if one.has_default_value()}
            arguments.update(zip((one.name for one in schema.arguments), node.args))  # noqa: B905 (defaults follow)
            arguments.update(node.kwargs)
            words = _ops_alive(schema.name, arguments, _OPS_UNKNOWN)
            if words:
                stack = list((node.meta.get("nn_module_stack") or {}).values())
                yield (stack[-1][0] if stack and stack[-1][0] else "(root)"), words


_OPS_UNKNOWN = object()
"""A graph value that only a run would know."""


def _ops_of_script(module: Any) -> list[tuple[str, str]]:
    """Alive operators by module path: an inlined graph forgets its modules, so each module's own graph is looked at.

    A module answers for what its children do not explain.
    """
    alive: dict[str, list[str]] = {}
    for name, part in module.named_modules():
        try:
            graph = part.inlined_graph
        except (RuntimeError, AttributeError):
            continue  # a container, or a module that is never called: it has no forward
        alive[name] = [words for words in (_ops_script_node(node, part) for node in _ops_nodes(graph)) if words]
    found: list[tuple[str, str]] = []
    for name, words in alive.items():
        rest = list(words)
        for child in _ops_children(name, alive):
            for one in alive[child]:
                if one in rest:
                    rest.remove(one)
        found.extend((name or "(root)", one) for one in dict.fromkeys(rest))
    return found


def _ops_children(name: str, names: Iterable[str]) -> list[str]:
    """The nearest among `names` below `name`; containers without a graph of their own are passed over."""
    below = [one for one in names if one != name and (not name or one.startswith(f"{name}."))]
    return [one for one in below if not any(one.startswith(f"{other}.") for other in below if other)]


def _ops_nodes(block: Any) -> Iterator[Any]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _ops_nodes(inner)


def _ops_script_node(node: Any, module: Any) -> str:
    if not node.kind().startswith("aten::") or node.schema().startswith("(no schema"):
        return ""
    names = [one.name for one in torch._C.parse_schema(node.schema()).arguments]
    if not {"train", "training", "dropout_p"} & set(names) and "native_dropout" not in node.kind():
        return ""
    values = {name: _ops_value(value, module) for name, value in zip(names, node.inputs())}  # noqa: B905 (same schema)
    return _ops_alive(node.kind(), values, _OPS_UNKNOWN)


def _ops_value(value: Any, module: Any) -> Any:
    """What a graph value holds where that is fixed: a constant, an attribute of the module, one side of an `if`."""
    node = value.node()
    kind = node.kind()
    if kind == "prim::Constant":
        return value.toIValue()
    if kind == "prim::GetAttr":
        owner = _ops_value(node.input(), module)
        return _OPS_UNKNOWN if owner is _OPS_UNKNOWN else getattr(owner, node.s("name"), _OPS_UNKNOWN)
    if kind == "prim::Param":
        return module if value.offset() == 0 else _OPS_UNKNOWN  # a method's first argument is its module
    if kind == "prim::If":
        condition = _ops_value(node.input(), module)
        if isinstance(condition, bool):
            block = list(node.blocks())[0 if condition else 1]
            return _ops_value(list(block.outputs())[value.offset()], module)
    return _OPS_UNKNOWN

"""Inputs of a compiled program in whatever memory layout: each is copied to contiguous memory at the program's entry.

Inductor compiles the strides of the example into its kernels and checks none at a call, so a view, a transposed or an
expanded tensor would be read at the wrong places without a word. Owns the copies and which inputs cannot have one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.export.graph_signature import InputKind, TensorArgument

from workbench.worker.artifact.subject import Subject, run_eager
from workbench.worker.bench.sampling import map_tensors
from workbench.worker.judge.leaves import flatten_plain
from workbench.worker.judge.snapshot import untouched_model

EAGER = {"custom": {"fallback_to_eager": True}}
"""Metadata of a node that inductor leaves to torch's own kernel, which reads the strides of what it is really given
(torch/_inductor/graph.py, `call_function`)."""


def copied_at_entry(program: torch.export.ExportedProgram, subject: Subject) -> list[str]:
    """Change `program` in place. Returns paths of inputs that must be laid out as the example was, if any must.

    Those are inputs that the model writes to, for a caller sees that in its own memory only, and those whose example
    was not contiguous itself, for views in the graph may hold for its strides alone.
    """
    written = _written(subject)
    module = program.graph_module
    places = {node.name: node for node in module.graph.nodes if node.op == "placeholder"}
    specs = [one for one in program.graph_signature.input_specs if one.kind is InputKind.USER_INPUT]
    users = [places[one.arg.name] for one in specs if isinstance(one.arg, TensorArgument)]
    kept = []
    for node, (name, leaf) in zip(users, subject.tensors, strict=True):
        if leaf.dim() == 0:
            continue  # one number has one layout
        if name in written or not leaf.is_contiguous():
            kept.append(name)
        else:
            _copy(module.graph, node, list(places.values())[-1])
    module.recompile()
    return kept


def _copy(graph: torch.fx.Graph, node: torch.fx.Node, last: torch.fx.Node) -> None:
    """A repetition by 1 always writes contiguous memory, and unlike a clone no pass of inductor takes it away, for
    its answer has a dimension more."""
    value = node.meta["val"]
    users = [user for user in node.users if user.op != "output"]
    if not isinstance(value, torch.Tensor) or not users:
        return
    repeat, squeeze = torch.ops.aten.repeat.default, torch.ops.aten.squeeze.dim
    with graph.inserting_before(last.next):
        copied = graph.call_function(repeat, (node, [1] * (value.dim() + 1)))
        plain = graph.call_function(squeeze, (copied, 0))
    with value.fake_mode:  # type: ignore[attr-defined]  # values of exported nodes are fake tensors
        copied.meta.update(EAGER, val=repeat(value, [1] * (value.dim() + 1)))
        plain.meta["val"] = squeeze(copied.meta["val"], 0)
    for user in users:
        user.replace_input_with(node, plain)


def _written(subject: Subject) -> set[str]:
    """Paths of inputs that the model writes to in place."""
    args, kwargs = (map_tensors(value, torch.clone) for value in (subject.args, subject.kwargs))
    given: list[Any] = [*args, *kwargs.values()]
    leaves = [
        leaf for name, value in zip(subject.names, given, strict=True) for leaf in flatten_plain(value, name).leaves
    ]
    before = {path: leaf._version for path, leaf in leaves}
    with untouched_model(subject.model):
        run_eager(subject.model, args, kwargs)
    return {path for path, leaf in leaves if leaf._version != before[path]}

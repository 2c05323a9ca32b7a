"""Inputs of a compiled program in whatever form they come: another form is refused at the program's entry, and every
memory layout is copied to contiguous memory.

Inductor compiles rank, dtype, fixed sizes and the strides of the example into its kernels and checks none of them at
a call, so another dtype, a view or an expanded tensor would be read at the wrong places without a word. So this
guards what nobody declared, too: there is no right answer to it. Owns these nodes, and which inputs cannot be copied.
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
"""Metadata of a node that inductor leaves to torch's own kernel, which reads the rank, sizes, strides and dtype of
what it is really given (torch/_inductor/graph.py, `call_function`)."""

_ATEN = torch.ops.aten


def taken_at_entry(program: torch.export.ExportedProgram, subject: Subject) -> list[str]:
    """Change `program` in place. Returns paths of inputs that must be laid out as the example was, if any must.

    Those are inputs that the model writes to, for a caller sees that in its own memory only, and those whose example
    was not contiguous itself, for views in the graph may hold for its strides alone.
    """
    written = _written(subject)
    module = program.graph_module
    places = {node.name: node for node in module.graph.nodes if node.op == "placeholder"}
    specs = [one for one in program.graph_signature.input_specs if one.kind is InputKind.USER_INPUT]
    users = [places[one.arg.name] for one in specs if isinstance(one.arg, TensorArgument)]
    first = list(places.values())[-1].next
    kept = []
    for node, (name, leaf) in zip(users, subject.tensors, strict=True):
        if not isinstance(node.meta.get("val"), torch.Tensor):
            continue
        layout_counts = name in written or not leaf.is_contiguous()
        with module.graph.inserting_before(first):
            _Entry(module.graph, node, name).take(copy=not layout_counts and leaf.dim() > 0)
        kept += [name] if layout_counts and leaf.dim() else []  # one number has one layout
    module.recompile()
    return kept


class _Entry:
    """The nodes that stand between one input and everything that uses it."""

    def __init__(self, graph: torch.fx.Graph, node: torch.fx.Node, name: str) -> None:
        self.graph, self.node, self.name = graph, node, name
        self.value: torch.Tensor = node.meta["val"]

    def take(self, copy: bool) -> None:
        """`copy`: what comes after sees a contiguous copy in place of the input itself."""
        users = [user for user in self.node.users if user.op != "output"]
        rank = self.value.dim()
        ranked = self._eager(_ATEN.permute.default, self.node, list(range(rank)))  # refuses every other rank
        sizes = [
            size if isinstance(size, int) else self._plain(_ATEN.sym_size.int, self.node, axis)
            for axis, size in enumerate(self.value.shape)
        ]
        self._form(ranked, sizes)
        # a repetition by 1 always writes contiguous memory, and no pass of inductor takes it away, for it has a
        # dimension more; taking that away refuses another number of elements, so that no kernel reads beyond it
        copied = self._eager(_ATEN.repeat.default, ranked, [1] * (rank + 1))
        plain = self._eager(_ATEN.view.default, copied, sizes)
        if not copy:
            self._reached(plain, "must have its number of elements")
            return
        for user in users:
            user.replace_input_with(self.node, plain)

    def _form(self, ranked: torch.fx.Node, sizes: list[Any]) -> None:
        """No row of the input is written into no row of what the program was compiled for: another dtype is refused,
        and another size but for 1."""
        dtype, device = self.value.dtype, self.value.device
        ours = self._plain(_ATEN.empty.memory_format, [0, *sizes], dtype=dtype, device=device)
        index = self._plain(_ATEN.empty.memory_format, [0], dtype=torch.int64, device=device)
        given = self._eager(_ATEN.repeat.default, ranked, [0] + [1] * len(sizes))
        checked = self._eager(_ATEN.index_copy.default, ours, 0, index, given)
        shape = f"{str(dtype)[6:]}[{','.join(str(size) if isinstance(size, int) else '…' for size in sizes)}]"
        self._reached(checked, f"must be {shape}")

    def _reached(self, checked: torch.fx.Node, words: str) -> None:
        """`checked` is computed at every call: an assertion that always holds depends on it."""
        true = self._plain(_ATEN._to_copy.default, checked, dtype=torch.bool)
        held = self._plain(_ATEN.ge.Scalar, self._plain(_ATEN.sum.default, true), 0)
        self.graph.call_function(_ATEN._assert_async.msg, (held, f"{self.name} {words}"))

    def _plain(self, operator: Any, *args: Any, **kwargs: Any) -> torch.fx.Node:
        node = self.graph.call_function(operator, args, kwargs)
        given = torch.fx.node.map_arg(args, lambda one: one.meta["val"])
        with self.value.fake_mode:  # type: ignore[attr-defined]  # values of exported nodes are fake tensors
            node.meta["val"] = operator(*given, **kwargs)
        return node

    def _eager(self, operator: Any, *args: Any) -> torch.fx.Node:
        node = self._plain(operator, *args)
        node.meta.update(EAGER)
        return node


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

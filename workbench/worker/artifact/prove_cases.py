"""Runs an artifact on its golden cases and has each answer measured against eager's.

One case at a time: of an artifact's answer only the measurements are kept.
Carried into a bundle's verify.py: torch, the standard library and carried modules only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from workbench.protocol.artifacts import Finding
from workbench.protocol.runs import LeafDiff, LeafNoise, Yardstick
from workbench.worker.artifact.loading import Opened
from workbench.worker.artifact.plain_parts import number_tensor, open_parts
from workbench.worker.artifact.prove_writes import Writes, writes_of
from workbench.worker.judge.cases import Measured, measured
from workbench.worker.judge.compare import compare
from workbench.worker.judge.leaves import Flat, flatten_plain


@dataclass(frozen=True)
class CaseResult(Measured):
    """One golden case after the artifact ran on it."""

    writes: Writes = ()
    """What the call did to its inputs."""


@dataclass(frozen=True)
class Golden:
    """The cases of a bundle: their tensors, and the manifest that names them."""

    tensors: dict[str, torch.Tensor]
    manifest: dict[str, Any]

    @property
    def count(self) -> int:
        return len(self.manifest["cases"])

    def batch(self, index: int) -> int:
        return int(self.manifest["cases"][index].get("batch") or 0)

    def given_nan(self, index: int) -> bool:
        """Whether a case's inputs hold a NaN: it says where NaN goes, and nothing about noise or sizes."""
        return bool(self.manifest["cases"][index].get("kind") == "nan")

    def part(self, index: int, word: str) -> dict[str, torch.Tensor]:
        """The tensors `case.NN.<word>.<name>` by name; word is "input", "after", "output" or "float64".

        "after" holds what eager leaves in those inputs that it writes to.
        """
        cut = f"case.{index:02d}.{word}."
        return {name[len(cut) :]: tensor for name, tensor in self.tensors.items() if name.startswith(cut)}

    def inputs(
        self, index: int, device: str, change: dict[str, Callable[[torch.Tensor], torch.Tensor]] | None = None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Fresh copies of a case's inputs as (positional, keyword) arguments on `device`.

        `change` maps names of tensors to what is done to them first.
        """
        tensors = {name: tensor.clone() for name, tensor in self.part(index, "input").items()}
        for name, function in (change or {}).items():
            tensors[name] = function(tensors[name])
        args, kwargs = [], {}
        for entry in self.manifest["inputs"]:
            value = grow(entry["tree"], tensors, device)
            if entry.get("passed") == "keyword":
                kwargs[entry["name"]] = value
            else:
                args.append(value)
        return tuple(args), kwargs

    def writes(self, index: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Writes:
        """What a call with a case's `inputs` has done to them."""
        places = iter(args)
        now: list[tuple[str, torch.Tensor]] = []
        for entry in self.manifest["inputs"]:
            name = entry["name"]
            now += flatten_plain(kwargs[name] if entry.get("passed") == "keyword" else next(places), name).leaves
        return writes_of(self.part(index, "input"), self.part(index, "after"), now)

    def eager(self, index: int) -> Flat:
        """Eager's answer of a case; a case whose tree is not the usual one says so itself."""
        outputs, case = self.part(index, "output"), self.manifest["cases"][index]
        output = case.get("output") or self.manifest["output"]
        return Flat(output["structure"], [(path, outputs[path]) for path in output["paths"]])


def leaf_name(path: str) -> str:
    """A leaf's path as a plain name: "output.logits" → "logits", "output['past'][0]" → "past.0"."""
    name = whole_name(path)
    return name.partition(".")[2] or name


def whole_name(path: str) -> str:
    """A leaf's path as a plain name that keeps its root: "batch['mask']" → "batch.mask", "a[0]" → "a.0"."""
    return path.replace("['", ".").replace("']", "").replace("[", ".").replace("]", "")


def plain_output(output: Any, within: bool = True) -> dict[str, torch.Tensor]:
    """The tensors of `output` by name, whatever classes hold them; constants are left out, but for a bare number.

    within: also those that plain objects hold, such as a cache.
    Raises ValueError when two of them come to one name: one would never be compared.
    """
    named: dict[str, torch.Tensor] = {}
    paths: dict[str, str] = {}
    number = number_tensor(output)
    if number is not None:
        return {"output": number}
    for path, leaf in flatten_plain(open_parts(output) if within else output).leaves:
        name = leaf_name(path)
        if name in named:
            raise ValueError(f"{paths[name]} and {path} of the output are both named {name!r} as plain tensors")
        named[name], paths[name] = leaf, path
    return named


def grow(tree: dict[str, Any], tensors: dict[str, torch.Tensor], device: str) -> Any:
    """An argument from its tree in the manifest: {"tensor": name}, {"list" or "tuple": [...]}, {"dict": {...}},
    {"pairs": [[key, …]]} for keys that are no texts, or {"value": constant}."""
    if "tensor" in tree:
        return tensors[tree["tensor"]].to(device)
    if "dict" in tree:
        return {key: grow(part, tensors, device) for key, part in tree["dict"].items()}
    if "pairs" in tree:
        return {key: grow(part, tensors, device) for key, part in tree["pairs"]}
    if "list" in tree:
        return [grow(part, tensors, device) for part in tree["list"]]
    if "tuple" in tree:
        return tuple(grow(part, tensors, device) for part in tree["tuple"])
    return tree["value"]


Watch = Callable[[int, Flat, Flat], None]
"""Called with a case's number, eager's answer and the artifact's."""


def run_case(opened: Opened, golden: Golden, index: int, device: str, watch: Watch | None = None) -> CaseResult:
    """Run the artifact on one case under no_grad and measure its answer. What it raises becomes `raised`."""
    batch = golden.batch(index)
    args, kwargs = golden.inputs(index, device)
    try:
        answer = call_artifact(opened, golden.manifest, args, kwargs)
    except Exception as problem:  # noqa: BLE001 (an artifact may raise whatever it likes)
        return CaseResult(index, batch, raised=_cases_line(problem))
    writes = golden.writes(index, args, kwargs)
    eager = golden.eager(index)
    if watch is not None:
        watch(index, eager, answer)
    return measured(CaseResult(index, batch, writes=writes), eager, answer, golden.part(index, "float64"))


def repeat_case(opened: Opened, golden: Golden, index: int, device: str) -> tuple[str, tuple[LeafDiff, ...]]:
    """Call the artifact twice with one case's inputs: (what it raised or how the trees differ, differences)."""
    first, second = (case_answer(opened, golden, index, device) for _ in range(2))
    if isinstance(first, str) or isinstance(second, str):
        return (first if isinstance(first, str) else str(second)), ()
    return compare(first, second)


def case_answer(
    opened: Opened,
    golden: Golden,
    index: int,
    device: str,
    change: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Flat | str:
    """The answer to a case whose input tensors were all changed so; or what the artifact raised, in one line."""
    changes = {} if change is None else dict.fromkeys(golden.part(index, "input"), change)
    args, kwargs = golden.inputs(index, device, changes)
    try:
        flat = call_artifact(opened, golden.manifest, args, kwargs)
    except Exception as problem:  # noqa: BLE001 (an artifact may raise whatever it likes)
        return _cases_line(problem)
    # copies, for it may answer with memory of its own that its next call writes to
    return Flat(flat.structure, [(path, leaf.clone()) for path, leaf in flat.leaves], flat.opaque)


def call_artifact(opened: Opened, manifest: dict[str, Any], args: Any, kwargs: Any) -> Flat:
    """One call under no_grad; the answer taken apart, on the CPU."""
    with torch.no_grad():
        answer = opened.call(*args, **kwargs) if opened.call is not None else None
        return named_as_golden(answer, manifest)


def named_as_golden(answer: Any, manifest: dict[str, Any]) -> Flat:
    """An answer taken apart as the golden answers were, on the CPU."""
    output = manifest["output"]
    flat = flatten_plain(plain_output(answer, bool(output.get("within"))) if output.get("named") else answer)
    leaves = [(path, leaf.detach().cpu()) for path, leaf in flat.leaves]
    unnamed = bool(output.get("in_order")) and in_order(flat)
    if (output.get("any_container") or unnamed) and len(leaves) == len(output["paths"]) and not flat.opaque:
        # eager answers with a class of its own or a dict, which an artifact of another maker may give as a tuple
        pairs = zip(output["paths"], leaves)  # noqa: B905 (compared above)
        return Flat(output["structure"], [(path, leaf) for path, (_, leaf) in pairs])
    return Flat(flat.structure, leaves, flat.opaque)


CASES_MAPPING, _CASES_SEQUENCE = "output\tmapping", "output\tsequence"
"""How the structure of an answer begins."""


def in_order(flat: Flat) -> bool:
    """Whether an answer is a plain row of tensors, whose names are lost."""
    return flat.structure.startswith(_CASES_SEQUENCE) and flat.structure.count("\n") == len(flat.leaves)


def order_finding(opened: Opened, golden: Golden, device: str, index: int | None) -> Finding | None:
    """Said where eager names its tensors and the artifact only orders them; None else. index: of a case that it
    answers; None: of none."""
    if index is None or not golden.manifest["output"].get("in_order") or opened.call is None:
        return None
    args, kwargs = golden.inputs(index, device)
    try:
        with torch.no_grad():
            answer = flatten_plain(opened.call(*args, **kwargs))
    except Exception:  # noqa: BLE001 (an artifact may raise whatever it likes, and the rows say what)
        return None
    names = ", ".join(leaf_name(path) for path in golden.manifest["output"]["paths"])
    words = f"eager answers with a dict, it with a tuple: compared in the order {names}"
    return (
        Finding("names", words, "Read its answers by place, or export it with the dict.") if in_order(answer) else None
    )


def yardstick_of(manifest: dict[str, Any], tolerance: float = 0.0) -> Yardstick:
    """The yardstick that the manifest writes down; a `tolerance` above 0 overrides it."""
    written = manifest["yardstick"]
    if tolerance > 0:
        return Yardstick("given", {}, tolerance, "--tolerance")
    leaves = {path: _cases_noise(noise) for path, noise in (written.get("leaves") or {}).items()}
    return Yardstick(written["kind"], leaves, float(written.get("tolerance") or 0.0), written.get("reason") or "")


def _cases_noise(noise: dict[str, Any]) -> LeafNoise:
    numbers = {name: float(value) for name, value in noise.items() if name != "cases"}  # "Infinity" is a word in JSON
    return LeafNoise(**numbers, cases=noise["cases"])


def _cases_line(problem: BaseException) -> str:
    lines = [line for line in str(problem).strip().splitlines() if line.strip()]
    text = lines[-1] if lines and isinstance(problem, torch.jit.Error) else (lines[0] if lines else "")
    return f"{type(problem).__name__}: {' '.join(text.split())[:300]}"

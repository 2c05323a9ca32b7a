"""Runs an artifact on its golden cases and measures each answer against eager's.

One case at a time: of an artifact's answer only the measurements are kept. Judges single leaves, never the whole.
Carried into a bundle's verify.py: torch, the standard library and carried modules only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE, LeafDiff, LeafNoise, Yardstick
from workbench.worker.artifact.loading import Opened
from workbench.worker.artifact.prove_writes import Writes, writes_of
from workbench.worker.judge.compare import compare, relative_error
from workbench.worker.judge.leaves import Flat, flatten
from workbench.worker.judge.verdict import judge, pooled, worst_mark

Errors = tuple[tuple[float, float], tuple[float, float]]
"""Eager's and the artifact's own error against float64, each as (RMS, largest) relative to the case's RMS."""


@dataclass(frozen=True)
class CaseResult:
    """One golden case after the artifact ran on it."""

    index: int
    batch: int
    raised: str = ""
    """What the artifact raised, in one line; empty when it answered."""
    structure: str = ""
    """How the tree, a shape or a dtype differs; empty when they agree."""
    nonfinite: str = ""
    """Where NaN or infinity stand at other places than eager's."""
    leaves: tuple[LeafDiff, ...] = ()
    errors: dict[str, Errors] | None = None
    """By leaf path, for floating leaves that have a float64 twin."""
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
            now += flatten(kwargs[name] if entry.get("passed") == "keyword" else next(places), name).leaves
        return writes_of(self.part(index, "input"), self.part(index, "after"), now)

    def eager(self, index: int) -> Flat:
        """Eager's answer of a case; a case whose tree is not the usual one says so itself."""
        outputs, case = self.part(index, "output"), self.manifest["cases"][index]
        output = case.get("output") or self.manifest["output"]
        return Flat(output["structure"], [(path, outputs[path]) for path in output["paths"]])


def leaf_name(path: str) -> str:
    """A leaf's path as a plain name: "output.logits" → "logits", "output['past'][0]" → "past.0"."""
    name = path.replace("['", ".").replace("']", "").replace("[", ".").replace("]", "")
    return name.partition(".")[2] or name


def plain_output(output: Any) -> dict[str, torch.Tensor]:
    """The tensors of `output` by name, whatever classes hold them; constants are left out.

    Raises ValueError when two of them come to one name: one would never be compared.
    """
    named: dict[str, torch.Tensor] = {}
    paths: dict[str, str] = {}
    for path, leaf in flatten(output).leaves:
        name = leaf_name(path)
        if name in named:
            raise ValueError(f"{paths[name]} and {path} of the output are both named {name!r} as plain tensors")
        named[name], paths[name] = leaf, path
    return named


def grow(tree: dict[str, Any], tensors: dict[str, torch.Tensor], device: str) -> Any:
    """An argument from its tree in the manifest: {"tensor": name}, {"list" or "tuple": [...]}, {"dict": {...}} or
    {"value": constant}."""
    if "tensor" in tree:
        return tensors[tree["tensor"]].to(device)
    if "dict" in tree:
        return {key: grow(part, tensors, device) for key, part in tree["dict"].items()}
    if "list" in tree:
        return [grow(part, tensors, device) for part in tree["list"]]
    if "tuple" in tree:
        return tuple(grow(part, tensors, device) for part in tree["tuple"])
    return tree["value"]


def run_case(opened: Opened, golden: Golden, index: int, device: str) -> CaseResult:
    """Run the artifact on one case under no_grad and measure its answer. What it raises becomes `raised`."""
    batch = golden.batch(index)
    args, kwargs = golden.inputs(index, device)
    try:
        answer = call_artifact(opened, golden.manifest, args, kwargs)
    except Exception as problem:  # noqa: BLE001 (an artifact may raise whatever it likes)
        return CaseResult(index, batch, raised=_cases_line(problem))
    return replace(_cases_measure(golden, index, batch, answer), writes=golden.writes(index, args, kwargs))


def repeat_case(opened: Opened, golden: Golden, index: int, device: str) -> tuple[str, tuple[LeafDiff, ...]]:
    """Call the artifact twice with one case's inputs: (what it raised or how the trees differ, differences)."""
    answers = []
    for _ in range(2):
        args, kwargs = golden.inputs(index, device)
        try:
            answers.append(call_artifact(opened, golden.manifest, args, kwargs))
        except Exception as problem:  # noqa: BLE001 (an artifact may raise whatever it likes)
            return _cases_line(problem), ()
    return compare(*answers)


def call_artifact(opened: Opened, manifest: dict[str, Any], args: Any, kwargs: Any) -> Flat:
    """One call under no_grad; the answer taken apart, on the CPU."""
    output = manifest["output"]
    with torch.no_grad():
        answer = opened.call(*args, **kwargs) if opened.call is not None else None
        flat = flatten(plain_output(answer) if output.get("named") else answer)
    leaves = [(path, leaf.detach().cpu()) for path, leaf in flat.leaves]
    if output.get("any_container") and len(leaves) == len(output["paths"]) and not flat.opaque:
        # eager answers with a class of its own, which an artifact of another maker may give as a tuple
        pairs = zip(output["paths"], leaves)  # noqa: B905 (compared above)
        return Flat(output["structure"], [(path, leaf) for path, (_, leaf) in pairs])
    return Flat(flat.structure, leaves, flat.opaque)


def _cases_measure(golden: Golden, index: int, batch: int, answer: Flat) -> CaseResult:
    eager = golden.eager(index)
    structure, diffs = compare(eager, answer)
    shapes = [
        f"{one.path}: {one.reason}" for one in diffs if one.reason.startswith(("shape", "dtype", "missing", "not "))
    ]
    words = structure or "; ".join(shapes[:3])
    if words:
        return CaseResult(index, batch, structure=words, leaves=diffs)
    exact, answers = golden.part(index, "float64"), dict(answer.leaves)
    errors: dict[str, Errors] = {}
    nonfinite = []
    refused = {one.path for one in diffs if one.mark == INCOMPARABLE}  # sparse, quantised: no values to be read
    for path, leaf in eager.leaves:
        if path in refused:
            continue
        if leaf.is_floating_point() or leaf.is_complex():
            nonfinite.extend(_cases_nonfinite(path, leaf, answers[path]))
            if path in exact:
                own = relative_error(leaf, exact[path], leaf)
                errors[path] = own, relative_error(answers[path], exact[path], leaf)
    return CaseResult(index, batch, nonfinite="; ".join(nonfinite[:3]), leaves=diffs, errors=errors)


def _cases_nonfinite(path: str, eager: torch.Tensor, answer: torch.Tensor) -> list[str]:
    found = []
    for word, test in (("NaN", torch.isnan), ("infinity", torch.isinf)):
        here, there = test(eager), test(answer)
        if not torch.equal(here, there):
            found.append(f"{path}: {word} at {int(there.sum())} places, eager has {int(here.sum())}")
    return found


@dataclass(frozen=True)
class LeafVerdict:
    """One output leaf over all cases."""

    path: str
    mark: str
    multiple: float
    worst: LeafDiff
    """The case furthest from eager, carrying the pooled mark."""
    case: int
    yardstick: str
    """What it was judged with: "exact", "float64", "tolerance" or "given"."""


def judge_leaves(results: list[CaseResult], yardstick: Yardstick) -> list[LeafVerdict]:
    """The verdict on each output leaf, pooled over every case that answered with the right structure."""
    usable = [one for one in results if not one.raised and not one.structure]
    paths = list(dict.fromkeys(diff.path for one in usable for diff in one.leaves))
    return [_cases_judge_leaf(path, usable, yardstick) for path in paths]


def _cases_judge_leaf(path: str, results: list[CaseResult], yardstick: Yardstick) -> LeafVerdict:
    diffs = [(one.index, diff) for one in results for diff in one.leaves if diff.path == path]
    judged = [(index, judge(diff, yardstick)) for index, diff in diffs]
    case, worst = max(judged, key=lambda pair: _cases_distance(pair[1]))
    errors = [one.errors[path] for one in results if one.errors and path in one.errors]
    dtype = getattr(torch, worst.dtype, None)
    inexact = isinstance(dtype, torch.dtype) and (dtype.is_floating_point or dtype.is_complex)
    if all(diff.mark == IDENTICAL for _, diff in diffs):
        return LeafVerdict(path, IDENTICAL, 0.0, replace(worst, mark=IDENTICAL), case, "exact")
    word = yardstick.kind if inexact else "exact"
    if word == "float64":
        # a leaf whose noise is not known, or whose float64 output is zero everywhere, has nothing to be relative to
        mark, multiple = INCOMPARABLE, 0.0
        if path in yardstick.leaves:
            eps = torch.finfo(dtype).eps  # type: ignore[arg-type]
            mark, multiple = pooled([own for own, _ in errors], [other for _, other in errors], eps)
        if mark != INCOMPARABLE:
            return LeafVerdict(path, mark, multiple, replace(worst, mark=mark, noise_multiple=multiple), case, word)
        word = "tolerance"
        judged = [(index, judge(diff, Yardstick(word))) for index, diff in diffs]
        case, worst = max(judged, key=lambda pair: _cases_distance(pair[1]))
    mark = worst_mark(diff.mark for _, diff in judged)
    multiple = max(diff.noise_multiple for _, diff in judged)
    return LeafVerdict(path, mark, multiple, worst, case, word)


def _cases_distance(diff: LeafDiff) -> tuple[int, float]:
    order = {IDENTICAL: 0, BEYOND: 2, INCOMPARABLE: 3}.get(diff.mark, 1)
    relative = diff.noise_largest
    return order, math.inf if relative != relative else relative


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

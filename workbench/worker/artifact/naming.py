"""Names what is wrong with an artifact whose proof says no, where that can be known.

Owns the order in which explanations are looked for, and which row each belongs to. Runs in a worker after the rows
are judged, and only then: it changes no status, it adds the reason. Not carried into verify.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from workbench.protocol.artifacts import CheckRow, Finding
from workbench.protocol.runs import BEYOND, INCOMPARABLE, Yardstick
from workbench.worker.artifact.alignment import FUSED
from workbench.worker.artifact.loading import Opened, named_tensors, open_artifact
from workbench.worker.artifact.manifest import manifest_tensors
from workbench.worker.artifact.naming_coarse import coarse_inputs
from workbench.worker.artifact.naming_fitted import scaled_inputs
from workbench.worker.artifact.naming_folded import Folding, folding
from workbench.worker.artifact.naming_graph import argument_names, quantised_operators, tensor_names
from workbench.worker.artifact.naming_inputs import answer_to, ignored_inputs, wanted_inputs
from workbench.worker.artifact.naming_sizes import case_sizes, fixed_sizes, shapes_words, sizes_words
from workbench.worker.artifact.naming_values import relation, swapped
from workbench.worker.artifact.naming_weights import SAME, checkpoint_of, weights_words
from workbench.worker.artifact.naming_words import REMEDIES, container_words, order_words, remedy_of
from workbench.worker.artifact.parameters import differing_parameters
from workbench.worker.artifact.prove_cases import CaseResult, Golden, leaf_name, yardstick_of
from workbench.worker.artifact.prove_rows import rows_again, rows_parts
from workbench.worker.judge.verdict import judge

_CASES = 4
"""Cases that an explanation must fit; each costs a few calls."""

_ASKED = ("structure", "values", "nonfinite")
"""Rows about answers, which a relation explains."""

Named = tuple[dict[str, CheckRow], tuple[Finding, ...]]


def name_faults(
    stage: Path, opened: Opened, golden: Golden, results: list[CaseResult], rows: dict[str, CheckRow], device: str
) -> Named:
    """Rows that now say more than before, by id, and findings. An artifact that passed is not looked at."""
    refused = [check for check, row in rows.items() if row.status == "fail"]
    if not refused:
        return {}, ()
    work = _Naming(stage, opened, golden, results, rows, device)
    named = dict(work.rows_named(refused))
    quantised = quantised_operators(opened.program)
    findings = []
    if quantised:
        words = f"it computes with quantised operators: {', '.join(quantised[:4])}"
        findings.append(Finding("quantised", words, "Verify it against the quantised model, or give a --tolerance."))
    return named, tuple(findings)


class _Naming:
    """One look for the reasons of one refusal."""

    def __init__(
        self,
        stage: Path,
        opened: Opened,
        golden: Golden,
        results: list[CaseResult],
        rows: dict[str, CheckRow],
        device: str,
    ) -> None:
        self.stage, self.opened, self.golden, self.device = stage, opened, golden, device
        self.results, self.rows = results, rows
        self.same_weights = False
        self.wrong = {one.index for one in results if _wrong(one, yardstick_of(golden.manifest))}

    def rows_named(self, refused: list[str]) -> Iterator[tuple[str, CheckRow]]:
        """(id, row) for each row about which more is known now."""
        if "weights_match" in refused and (row := self.weights(self.rows["weights_match"])) is not None:
            self.same_weights = row.cause.startswith(SAME)
            yield "weights_match", row
        asked = [check for check in _ASKED if check in refused]
        form = known = ""
        if asked and self.opened.call is not None:
            form = self.answers()
            known = form or self.inputs() or self.unserved()
            words = known or self.elsewhere(refused)
            again = rows_again(self.golden.manifest["kind"])
            yield from ((check, _explained(self.rows[check], words, again)) for check in asked)
        if "sizes" in refused and (row := self.sizes(self.rows["sizes"], known, form)) is not None:
            yield "sizes", row

    def weights(self, row: CheckRow) -> CheckRow | None:
        """The row with how the tensors differ, and by how much; None where nothing can be said.

        What is the checkpoint's with batch norm folded in is no difference.
        """
        manifest, checkpoint = self.golden.manifest, checkpoint_of(self.stage)
        expected, prefix = manifest["parameters"], manifest.get("prefix") or ""
        own, names, held = differing_parameters(self.stored(), expected, prefix)
        undone = manifest.get("rewritten") or {}
        names = {name: known for name, known in names.items() if name not in undone}
        found = folding(own, names, held, checkpoint) if manifest["kind"] != "weights" else Folding([], set(), "")
        wanted = {known: value for one in found.layers for known, value in one.wanted.items()}
        rest = {name: known for name, known in names.items() if name not in found.fitting}
        words = weights_words({name: own[name] for name in rest}, rest, len(held), {**checkpoint, **wanted})
        if not rest and found.rounding:
            words = f"{SAME} rounded to {found.rounding}"
        remedy = REMEDIES[SAME] if words.startswith(SAME) else row.remedy
        if not words or not found.layers:
            return replace(row, cause=words, remedy=remedy) if words else None
        layers = ", ".join(f"{one.norm} into {one.layer}" for one in found.layers[:4])
        more = f" and {len(found.layers) - 4} more" if len(found.layers) > 4 else ""
        rounded = f" after rounding to {found.rounding}" if found.rounding else ""
        listed = f"{', '.join(list(rest)[:5])}{' …' if len(rest) > 5 else ''}"
        evidence = f"{len(rest)} of {len(held)} differ from the checkpoint"
        evidence += f", batch norm folded{rounded} ({layers}{more}): {listed or 'all were rounded first'}"
        return replace(row, evidence=evidence, cause=words, remedy=remedy)

    def stored(self) -> Iterable[tuple[str, torch.Tensor]]:
        """The tensors of the file by name. Calls have moved buffers of what is opened, where it is in train mode."""
        row = self.rows.get("train_ops")
        if row is None or row.status != "fail":
            return named_tensors(self.opened)
        try:
            return named_tensors(open_artifact(self.stage, self.golden.manifest, self.device))
        except ValueError:  # it loaded before
            return named_tensors(self.opened)

    def picked(self) -> list[int]:
        """A few cases that were answered, of different sizes and scales, ordinary inputs first. Where some are wrong
        and others right both are among them: what is the reason for the wrong ones must leave the right ones right."""
        answered = [one.index for one in self.results if not one.raised]
        cases = self.golden.manifest["cases"]
        plain = [index for index in answered if cases[index].get("kind") in ("normal", "given", None)] or answered
        sizes = {cases[index].get("batch"): index for index in reversed(plain)}
        chosen = sorted(sizes.values(), key=lambda index: -(cases[index].get("batch") or 0))[: _CASES - 1]
        widest = max(plain, key=lambda index: cases[index].get("scale") or 0, default=None)
        chosen = list(dict.fromkeys([*chosen, *([] if widest is None else [widest])]))
        wrong = [index for index in answered if index in self.wrong]
        right = [index for index in answered if index not in self.wrong]
        for among in (right, wrong):  # the first of all is a wrong one, for some look at one case only
            if among and not set(among) & set(chosen):
                chosen = [among[0], *chosen]
        return sorted(chosen, key=lambda index: index not in self.wrong)

    def answers(self) -> str:
        """The answers as a function of eager's."""
        indices = self.picked()
        try:
            answered = [answer_to(self.opened, self.golden, index, self.device) for index in indices]
        except Exception:  # noqa: BLE001 (it answered before and raises now: `repeat` says so)
            return ""
        if not answered:
            return ""
        wanted = [self.golden.eager(index) for index in indices]
        eager, found = ([one.leaves for one in side] for side in (wanted, answered))
        names = [path if leaf_name(path).isdigit() else leaf_name(path) for path, _ in eager[0]]
        order = swapped([[leaf for _, leaf in one] for one in eager], [[leaf for _, leaf in one] for one in found])
        if order is not None:
            return order_words(order, names, len(found[0]))
        if any(len(one) != len(eager[0]) for one in found):
            return f"it answers with {len(found[0])} tensors, eager with {len(eager[0])}"
        said = []
        for place, name in enumerate(names):
            words = relation([(mine[place][1], its[place][1]) for mine, its in zip(eager, found)])  # noqa: B905
            if words:
                said.append(f"{name} is {words}")
        return "; ".join(said[:4]) or container_words(wanted, answered)

    def inputs(self) -> str:
        """What it would have to be asked to answer as eager does; how many arguments it takes."""
        program = self.opened.program
        own, model = argument_names(program), [entry["name"] for entry in self.golden.manifest["inputs"]]
        if own is None:
            own = tensor_names(program)
            model = [name for entry in self.golden.manifest["inputs"] for name in manifest_tensors(entry["tree"])]
        if own is not None and len(own) != len(model):
            few = "fewer" if len(own) < len(model) else "more"
            return f"it takes {few} inputs than forward: {', '.join(own) or 'none'} in place of {', '.join(model)}"
        indices = self.picked() or self._raised()[:2]
        words = wanted_inputs(self.opened, self.golden, indices, self.device)
        if words or not self.picked():
            return words
        picked = [ignored_inputs(self.opened, self.golden, index, self.device) for index in self.picked()]
        ignored = [name for name in picked[0] if all(name in others for others in picked)]
        if ignored:
            return f"its answer does not depend on {', '.join(ignored)}: the example's values may be baked in"
        if self.rows["weights_match"].status == "fail":
            return ""  # another first layer may look like another scale
        return scaled_inputs(self.opened, self.golden, self.picked(), self.device) or coarse_inputs(
            self.opened, self.golden, self.picked(), self.device
        )

    def elsewhere(self, refused: list[str]) -> str:
        """The row that has the reason already."""
        if "train_ops" in refused:
            return f"it was exported in train mode: {self.rows['train_ops'].evidence.partition(';')[0]}"
        if "weights_match" in refused and self.same_weights:
            return "its weights were rounded: see weights_match"
        if "weights_match" in refused:
            return "it was not made from these weights: see weights_match"
        if quantised_operators(self.opened.program):
            return "it is quantised, and the model is not"
        if self._another():
            return "nothing in it is the model's: neither a parameter nor an answer (another model?)"
        return ""

    def _another(self) -> bool:
        row = self.rows.get("weights_match")
        unknown = row is not None and row.status == "skip" and "0 have the bits" in row.evidence
        return unknown and not any(self._case_agrees(index) for index in self.picked())

    def _case_agrees(self, index: int) -> bool:
        return all(diff.cosine > 0.9 for one in self.results if one.index == index for diff in one.leaves)

    def _raised(self) -> list[int]:
        return [one.index for one in self.results if one.raised]

    def unserved(self) -> str:
        """Why no case at all is answered, where the graph declares a size that they do not have."""
        if not self.results or self.picked():
            return ""
        return shapes_words(self.opened.program, self.golden) or self.served()

    def served(self, formed: bool = True) -> str:
        """Which sizes it does serve. formed: an answer of another form than eager's is none."""
        asked = [
            (case_sizes(self.golden, one.index), not one.raised and not (formed and one.structure))
            for one in self.results
        ]
        return sizes_words(asked, fixed_sizes(self.opened.program, self.golden.manifest))

    def sizes(self, row: CheckRow, known: str, form: str) -> CheckRow | None:
        """The row with the reason; None where nothing can be said.

        known: what is wrong with the answers, or with what it wants, whatever the sizes. That is the reason here, too,
        unless some sizes are answered and others raise. form: the same, where it says what form answers have.
        """
        manifest = self.golden.manifest
        if manifest.get("worklist") or (manifest.get("batch") or {}).get("declared"):
            return None  # it has the line that restricts the size, or the sizes that an export lost
        if known and len(self._raised()) in (0, len(self.results)):
            return replace(row, cause=known, remedy=remedy_of(known) or row.remedy)
        words = self.served(formed=not form)
        if words:
            return replace(row, cause=words, remedy=row.remedy or remedy_of(words))
        values = self.rows["values"]
        if values.status == "fail" and not any(one.raised or one.structure for one in self.results):
            return replace(row, cause="it answers every size, and its values part: see values", remedy=values.remedy)
        return None


def _wrong(one: CaseResult, yardstick: Yardstick) -> bool:
    """Whether a case by itself is refused."""
    if one.raised or one.structure or one.nonfinite:
        return True
    return any(judge(diff, yardstick).mark in (BEYOND, INCOMPARABLE) for diff in one.leaves)


def _explained(row: CheckRow, words: str, again: str) -> CheckRow:
    """The reason first; what was the cause before is evidence, but for a guess. again: what to do where nothing nearer
    is known."""
    if not words:
        return replace(row, remedy=row.remedy or again)
    before = row.cause.removeprefix(rows_parts(FUSED))
    evidence = f"{row.evidence}; {before}" if before else row.evidence
    return replace(row, evidence=evidence, cause=words, remedy=remedy_of(words) or row.remedy or again)

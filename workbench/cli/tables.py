"""Records as tables for people, drawn by rich on stdout."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from workbench.protocol.artifacts import CheckRow, Finding, Proof
from workbench.protocol.cause import ErrorTable
from workbench.protocol.memory import Leak
from workbench.protocol.messages import Loaded
from workbench.protocol.policy import Policy
from workbench.protocol.proven import check_verdict, compared, proof_words
from workbench.protocol.runs import BEYOND, IDENTICAL, NOISE, SIGNS, Diff, Divergence, LeafDiff, RunRow
from workbench.protocol.text import clean_line
from workbench.report.causes import telling
from workbench.report.marks import multiple_words
from workbench.report.numbers import DECADES, count, duration, measure, shape, share, size
from workbench.report.objects import check_counts
from workbench.report.runs import run_words

MARK_STYLES = {IDENTICAL: "green", NOISE: "cyan", BEYOND: "bold red"}
_STATUS = {
    "pass": ("= pass", "green"),
    "fail": ("✗ FAIL", "bold red"),
    "skip": ("- skip", "dim"),
    "error": ("! error", "bold yellow"),
}

PIPED = 160
"""Columns of a table that is not drawn on a terminal."""
WIDE = 110
"""Columns from which on every column of the runs fits."""
ERRORS_SHOWN = 12
"""Rows of the table of errors."""


class _Out(Console):
    """A console that leaves it to the command line what a closed pipe means."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def console() -> Console:
    """A console on stdout that interprets nothing in what it prints, and breaks lines on a terminal only."""
    terminal = sys.stdout.isatty()
    width = None if terminal or "COLUMNS" in os.environ else PIPED
    return _Out(markup=False, highlight=False, emoji=False, soft_wrap=not terminal, width=width)


def show_model(out: Console, loaded: Loaded) -> None:
    """One line on the model, one on its modes, and what was worth a warning."""
    info, modes = loaded.info, loaded.modes
    weights = info.weights or "as constructed"
    out.print(f"{info.name}  {info.target} · {info.trust} · weights {weights}  {count(info.parameters)} parameters")
    dtypes = "+".join(info.dtypes) or "no tensors"
    dtypes = f"{modes.dtype} (loaded as {dtypes})" if modes.dtype else dtypes
    threads = modes.threads or "auto"
    out.print(f"{modes.training_word}  {modes.grad}  rng {modes.rng}  {modes.device}  {dtypes}  threads {threads}")
    for given in info.inputs:
        out.print(f"input {given.spec}  ({given.origin})", style="dim")
    for warning in info.warnings:
        out.print(f"note: {warning}", style="yellow")
    out.print()


def show_runs(out: Console, rows: Sequence[RunRow]) -> None:
    """One line a row: what it cost and what it answered. Narrow terminals get the columns that matter most."""
    wide = out.width >= WIDE
    extra = ("p99", "per s", "cause", "growth/run") if wide else ()
    table = plain_table("#", "mode", "median", "against the reference", "saved", "RSS", *extra)
    for row in rows:
        repeat = row.count > 1
        more = (
            duration(row.latency.p99) if repeat else "",
            f"{row.latency.per_second:.4g}" if repeat else "",
            row.cause,
            size(row.growth) if repeat else "",
        )
        table.add_row(
            f"{row.run} ×{row.count}" if repeat else str(row.run),
            f"{row.training} {row.grad}",
            duration(row.latency.median),
            Text(_against(row), MARK_STYLES.get(row.mark, "")),
            size(row.saved_bytes) if row.saved_bytes else "0",
            size(row.rss),
            *(more if wide else ()),
        )
    out.print(table)
    for row in rows:
        if words := run_words(row):
            out.print(f"#{row.run}  {clean_line(words)}", style="dim")


def _against(row: RunRow) -> str:
    if row.reference:
        return "reference" + (f" · {row.differing} of {row.compared} differ" if row.differing else "")
    if not row.mark:
        return ""
    words = f"{SIGNS[row.mark]} {row.mark}"
    if row.mark != IDENTICAL:
        words += f" max|Δ| {measure(row.max_abs)}"
    if row.same_as:
        words += f" · {SIGNS[IDENTICAL]} #{row.same_as}"
    if row.count > 1:
        words += f" · {row.differing} of {row.compared} compared differ"
    return words


def show_diff(out: Console, diff: Diff) -> None:
    """Every leaf of two runs, with everything that is always shown."""
    out.print(f"run {diff.run} against run {diff.against}: {SIGNS[diff.mark]} {diff.mark}, by {diff.yardstick}")
    if diff.yardstick_reason:
        out.print(f"  {diff.yardstick_reason}", style="dim")
    if diff.structure:
        out.print(f"  structure: {diff.structure}", style="red")
    for leaf in diff.leaves:
        show_leaf(out, leaf, diff.yardstick)


def show_leaf(out: Console, leaf: LeafDiff, yardstick: str) -> None:
    """One output of two runs: what it is, its mark, and everything that was measured where it differs."""
    head = Text(f"{clean_line(leaf.path)}  {shape(leaf.dtype, leaf.shape) if leaf.dtype else ''}  ")
    head.append(f"{SIGNS[leaf.mark]} {leaf.reason or leaf.mark}", MARK_STYLES.get(leaf.mark, ""))
    out.print(head)
    if not leaf.mismatched:
        return
    out.print(
        f"  max|Δ| {measure(leaf.max_abs)} · mean|Δ| {measure(leaf.mean_abs)} · RMSE {measure(leaf.rmse)} · "
        f"max rel {measure(leaf.max_rel)} · mean rel {measure(leaf.mean_rel)}"
    )
    ulp = f"{leaf.max_ulp} ULP (p99 {leaf.p99_ulp}) · " if leaf.max_ulp else ""
    out.print(
        f"  {ulp}allclose {'yes' if leaf.allclose else 'no'} · {leaf.mismatched} of {leaf.elements} differ "
        f"({share(leaf.mismatched, leaf.elements, percent=True)})"
    )
    tops = (("top-1", leaf.top1), ("top-5", leaf.top5))
    agreement = "".join(f" · {name} agrees {100 * value:.1f} %" for name, value in tops if value >= 0)
    noise = multiple_words(leaf.noise_multiple, yardstick)
    out.print(f"  {noise} · cosine {leaf.cosine:.6f} · SNR {measure(leaf.snr_db)} dB{agreement}")
    out.print(f"  worst {list(leaf.worst_index)}  {leaf.worst_a} → {leaf.worst_b}")
    found = [f"{word} {count}" for word, count in zip(DECADES, leaf.decades, strict=False) if count]
    out.print(f"  |Δ| by decade: {' · '.join(found)}", style="dim")


def show_divergence(out: Console, found: Divergence) -> None:
    """Where two runs part."""
    out.print(f"cause: {found.words}" + (f"  ({found.where})" if found.where else ""))
    for seen in found.evidence:
        out.print(f"  · {seen}", style="dim")
    if found.remedy:
        out.print(f"  try: {found.remedy}")


def show_errors(out: Console, errors: ErrorTable, told: str = "") -> None:
    """Where the error starts and grows, and the calls that say most; all of them are in the JSON. `told`: what stands
    above already."""
    out.print("errors:" if errors.words in told else f"errors: {errors.words}")
    for note in errors.notes:
        out.print(f"  {note}", style="dim")
    telling_most = telling(errors, ERRORS_SHOWN)
    table = plain_table("", "module", "call", "type", "given", "own", "answer")
    for place, call in telling_most:
        mark = " ".join(word for word, at in (("starts", errors.starts), ("grows", errors.grows)) if at == place)
        table.add_row(
            mark,
            clean_line("  " * call.depth + (call.path or "(root)")),
            str(call.call + 1),
            clean_line(call.type),
            measure(call.received),
            Text(measure(call.local), "bold red" if call.local > call.limit else ""),
            clean_line(call.note) or measure(call.answered),
        )
    if telling_most:
        out.print(table)
    if errors.total > len(telling_most):
        out.print(f"  {errors.total - len(telling_most)} more of {errors.total} calls: --json has them", style="dim")


def show_leak(out: Console, leak: Leak) -> None:
    """What memory did over the runs."""
    out.print(f"memory: {leak.words}", style="bold red" if leak.climbing else "")
    if leak.climbing and leak.remedy:
        out.print(f"  try: {leak.remedy}")


def check_line(out: Console, row: CheckRow, like: str = "") -> None:
    """One check, as soon as it is answered, and what it found besides. `like`: the check that said all this before."""
    if row.status:
        word, style = _STATUS[row.status]
        line = Text(f"{word:8}", style)
        line.append(f"{row.id:18}", "bold")
        line.append(f"as {like}" if like else clean_line(row.evidence))
        out.print(line)
    if like:
        return
    for label, text in (("cause", row.cause), ("try", row.remedy)):
        if text and row.status != "pass":
            out.print(f"{'':8}{label}: {clean_line(text)}")
    for finding in row.findings:
        line = Text("· note  ", "yellow")
        line.append(f"{finding.id:18}", "bold")
        line.append(clean_line(f"{finding.words} {finding.remedy}".rstrip()))
        out.print(line)


def show_policy(out: Console, policy: Policy) -> None:
    """What was declared about the model, and where."""
    if policy.declared:
        out.print(f"declared in {clean_line(policy.source)}: {clean_line('; '.join(policy.declared))}", style="yellow")
        out.print()


def show_check_verdict(out: Console, rows: Iterable[CheckRow]) -> None:
    """What the checks came to."""
    rows = tuple(rows)
    verdict = check_verdict(rows)
    sign = {"pass": "=", "fail": "✗", "error": "!"}[verdict]
    style = {"pass": "bold green", "fail": "bold red", "error": "bold yellow"}[verdict]
    out.print(f"{sign} {verdict}: {check_counts(rows)}", style=style)


def show_proof(out: Console, proof: Proof, findings: Iterable[Finding] = ()) -> None:
    """Every check of a proof, the worst leaf by leaf, and the verdict."""
    for row in proof.checks:
        check_line(out, row)
    for finding in (*findings, *proof.findings):
        out.print(f"{'note':8}{finding.id:15}{clean_line(finding.words)}", style="dim")
    for leaf in proof.worst:
        out.print(
            f"{'':8}worst of {clean_line(leaf.path)}: {SIGNS.get(leaf.mark, '?')} max|Δ| {measure(leaf.max_abs)}, "
            f"{multiple_words(leaf.noise_multiple, proof.yardstick)}, cosine {leaf.cosine:.6f}, {leaf.max_ulp} ULP"
        )
    sign = {"fail": "✗", "error": "!"}.get(proof.verdict) or SIGNS.get(proof.mark, "?")
    style = {"pass": "bold green", "fail": "bold red", "error": "bold yellow"}[proof.verdict]
    style = style if compared(proof) or proof.verdict != "pass" else "bold yellow"
    cases = f"{proof.cases} cases by {proof.yardstick}, " if proof.cases else ""
    out.print(
        f"{sign} {proof_words(proof)}: {cases}torch {proof.torch or '?'}, {duration(proof.seconds)}",
        style=style,
    )


def plain_table(*columns: str) -> Table:
    """A table without lines."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table

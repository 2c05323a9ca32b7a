"""Commands on artifacts: export as a proven bundle, verify, look into a file."""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from workbench.client.exports import Dropped
from workbench.client.flows import remember_made
from workbench.client.trust import TrustStore
from workbench.protocol.artifacts import ExportResult, Proof, VerifyResult
from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.inspected import InspectedPair, InspectPair
from workbench.protocol.messages import Export
from workbench.protocol.model import Modes
from workbench.protocol.proven import PROVEN, UNCOMPARED, compared, proof_words
from workbench.report.marks import multiple_words
from workbench.tui.desk import Desk
from workbench.tui.draw.inspection import inspection_told, pair_told
from workbench.tui.screens.ask import AskText, Choose
from workbench.tui.screens.text_card import TextCard, Told

_SIGNS = {"pass": "✓", "fail": "✗", "skip": "-", "error": "!"}


async def export(desk: Desk) -> None:
    from workbench.tui.screens.export_screen import ExportScreen

    info = desk.state.info
    assert info is not None
    chosen = await desk.ask(ExportScreen(info.name, desk.export_folder, desk.exports.kinds, desk.exports.outs))
    if chosen is None:
        return
    epoch = desk.state.epoch
    recipe, modes = desk.state.recipe, desk.state.modes or Modes()  # a load may have ended while the card was open
    assert recipe is not None
    request = Export(recipe, chosen.kind, str(Path(chosen.out).absolute()), device=modes.device, dtype=modes.dtype,
                     threads=modes.threads, python=desk.python, tolerance=desk.app.options.tolerance,
                     search=chosen.search)  # fmt: skip
    if before := len(desk.exports.kinds):
        desk.app.main.artifacts.wait(chosen.kind, desk.exports.kinds[-1])
        desk.say(f"{chosen.kind}: waits for {before} other export{'s' if before > 1 else ''}")
    try:
        async with desk.exports.turn(request):
            with _exporting(desk, chosen.kind):
                if desk.state.epoch != epoch:
                    raise error("usage", f"The model on the bench was changed before the turn of {chosen.kind} came.",
                                remedy="Ask for it again: x.")  # fmt: skip
                result = await desk.session.export(request, aside=desk.firing.paused)
    except Dropped as dropped:
        desk.say(dropped.failure.message, "warning")
        return
    note = remember_made(result, TrustStore())
    if result.published:
        well = compared(result.proof)
        said = f"{PROVEN} on {result.proof.cases} cases" if well else UNCOMPARED
        said = f"{result.kind}: {said}, in {result.path}"
        desk.say(f"{said}. {note}" if note else said, "good" if well and not note else "warning")
        desk.show_pane("artifacts")
        return
    show_proof(desk, result)


@contextlib.contextmanager
def _exporting(desk: Desk, kind: str) -> Iterator[None]:
    """An export of this kind runs meanwhile; a failure of it stays in its pane after the card was closed."""
    main = desk.app.main
    main.painter.exporting = kind
    main.artifacts.start(kind)
    try:
        yield
    except WorkbenchError as problem:
        main.artifacts.fail(kind, problem.failure)
        raise
    finally:
        main.painter.exporting = ""


async def unexport(desk: Desk) -> None:
    """The export at the cursor of its pane, the only one, or the one that is chosen."""
    kinds, pane = desk.exports.kinds, desk.app.main.artifacts
    kind = pane.chosen if pane.has_focus and pane.chosen in kinds else kinds[0] if len(kinds) == 1 else ""
    if not kinds:
        desk.say("nothing is being exported; x exports")
        return
    if not kind:
        states = ["runs", *(f"waits for {before}" for before in kinds)]
        choices = list(zip(kinds, states))  # noqa: B905 (one state more than kinds)
        chosen = await desk.ask(Choose("Cancel an export", "Which one?", choices, kinds[-1]))
        if chosen is None:
            return
        kind = chosen
    if desk.exports.drop(kind):
        pane.unwait(kind)
        for before, waiting in itertools.pairwise(desk.exports.kinds):
            pane.wait(waiting, before)
        return
    # it begins with a snapshot of the bench
    for number in [job.number for job in desk.state.jobs.values() if job.name in ("SaveState", "Export")]:
        await desk.session.cancel(number)
    desk.say(f"cancelling {kind} …", "warning")


async def inspect(desk: Desk) -> None:
    question = "File to look into, or two to compare; none of their code runs:"
    text = await desk.ask(AskText("Inspect", question, "", _no_paths))
    if not text:
        return
    path, *more = [_absolute(one) for one in _paths(text)]
    if more:
        pair: InspectedPair = await desk.session.request(InspectPair(path, more[0]))
        desk.show_card(TextCard(f"{Path(path).name} and {Path(more[0]).name}", pair_told(pair)))
        return
    found = await desk.session.inspect(path)
    desk.show_card(TextCard(Path(path).name, inspection_told(found), copy=found.sha256))


async def show_artifact(desk: Desk, name: str) -> None:
    """Everything about one line of the artifacts pane; a kind that was not made yet is offered for export."""
    result = desk.state.exports.get(name) or desk.state.verified.get(name)
    if result is not None:
        show_proof(desk, result)
    else:
        desk.do("export")


def show_proof(desk: Desk, result: ExportResult | VerifyResult) -> None:
    """A card with every check of a proof."""
    holds = result.proof.verdict == "pass"
    heading = f"{result.kind}: {proof_words(result.proof)}"
    desk.show_card(TextCard(heading, _told(result.proof, result.path), copy=result.path, danger=not holds))


def _told(proof: Proof, path: str) -> list[tuple[str, str] | Told]:
    """A proof as paragraphs: each check with what was measured, and for those that failed why and what next."""
    worst = multiple_words(proof.noise_multiple, proof.yardstick) if proof.noise_multiple else "identical"
    measured = f"{proof.cases} cases, {worst}, yardstick {proof.yardstick}" if proof.cases else "no answer was compared"
    told: list[tuple[str, str] | Told] = []
    told.append(("strong gap", f"{measured}, {proof.seconds:.0f} s"))
    for row in proof.checks:
        style = {"fail": "bad", "error": "bad", "skip": "dim"}.get(row.status, "")
        told.append(Told(style, f"{_SIGNS.get(row.status, '?')} {row.id:14}{row.evidence}", 16))
        if row.status != "pass":
            told += [Told("dim", f"{'':16}{line}", 16) for line in (row.cause, row.remedy) if line]
    told += [Told("dim", f"· {finding.words} {finding.remedy}".rstrip(), 2) for finding in proof.findings]
    told.append(("gap dim", path))
    return told


def _absolute(text: str) -> str:
    return os.path.abspath(os.path.expanduser(text))


def _paths(text: str) -> list[str]:
    """One path as it stands, blanks and all, where there is such a file; else up to two, quoted as for a shell."""
    if os.path.exists(os.path.expanduser(text)):
        return [text]
    try:
        return shlex.split(text)
    except ValueError:
        return [text]


def _no_paths(text: str) -> str:
    paths = _paths(text)
    if not 1 <= len(paths) <= 2:
        return "One path, or two; a blank in one wants quotes."
    missing = [path for path in paths if not os.path.exists(os.path.expanduser(path))]
    return f"{missing[0]} is not there." if missing else ""

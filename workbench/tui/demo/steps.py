"""The story, step by step. Every claim is made of what was measured a moment ago, never of what is expected."""

from __future__ import annotations

from workbench.protocol.runs import BEYOND, IDENTICAL, RunRow
from workbench.report import numbers

from . import stage
from .scene import Claim, Quiz, Scene, Step


def _compared(scene: Scene, training: str) -> RunRow | None:
    """The newest run that was compared with one in the same mode."""
    for row in reversed(scene.rows(training=training)):
        against = scene.state.rows.get(row.against)
        if row.mark and against is not None and against.training == training:
            return row
    return None


def _train(scene: Scene) -> Claim:
    row = _compared(scene, "train")
    assert row is not None
    words = f"#{row.run} against #{row.against}: {row.mismatched} of {row.elements} numbers differ, by up to "
    words += f"{numbers.measure(row.max_abs)}; same input, same weights. Cause: {row.cause or 'not named'}."
    return Claim(row.mark == BEYOND, words)


def _eval(scene: Scene) -> Claim:
    row = _compared(scene, "eval")
    assert row is not None
    held = row.mark == IDENTICAL
    words = f"#{row.run} is {'identical to' if held else 'different from'} #{row.against}, bit for bit. "
    words += f"But a graph is still built: {numbers.size(row.saved_bytes)} are kept for backward."
    return Claim(held and row.saved_bytes > 0, words)


def _quiz(scene: Scene) -> Claim:
    leak = scene.state.leak
    assert leak is not None
    right = _LOOP.right
    judged = "You did not say." if not scene.answer else "You were right." if scene.answer == right else (
        f"You said {scene.answer}; it is {right}.")  # fmt: skip
    words = (
        f"{judged} {'Climbs' if leak.climbing else 'Flat'}: {numbers.growth(leak.slope)} a run over {leak.runs} runs. "
    )
    words += f"Each kept loss keeps its graph, and the graph {numbers.size(leak.saved_bytes)} of activations."
    return Claim(leak.climbing, words)


def _no_grad(scene: Scene) -> Claim:
    leak = scene.state.leak
    assert leak is not None
    row = scene.rows(grad="no_grad")[-1]
    words = (
        f"{'Still climbing' if leak.climbing else 'Flat'}: {numbers.growth(leak.slope)} a run over {leak.runs} runs, "
    )
    words += f"{numbers.size(row.saved_bytes)} saved for backward, outputs kept all the same."
    return Claim(not leak.climbing and row.saved_bytes == 0, words)


def _pickled(scene: Scene) -> Claim:
    facts = scene.facts
    refused = facts.get("bench", "")
    held = facts.get("whole") != "loads" and facts.get("state") == "loads" and bool(refused)
    words = f"Pickled: {facts.get('whole')}. state_dict: {facts.get('state')}. "
    words += f"On the bench the pickle is {'refused' if refused else 'taken'}, and the state_dict runs."
    return Claim(held, words)


def _diagnosed(scene: Scene) -> Claim:
    failure = scene.failure
    assert failure is not None
    known = failure.kind in ("forward", "inputs") and bool(failure.remedy)
    return Claim(known, f"{failure.message} {failure.remedy}".strip())


def _export(scene: Scene) -> Claim:
    result = scene.export("export")
    assert result is not None
    proof, speed = result.proof, result.made.speed
    words = f"{'Proven' if proof.verdict == 'pass' else 'Not proven'} on {proof.cases} cases in a clean process, "
    unit = "eager's own noise" if proof.yardstick == "float64" else "torch's tolerance, for eager's noise is not known"
    words += f"{numbers.multiple(proof.noise_multiple)} {unit}."
    if speed is not None:
        words += f" Speed {numbers.multiple(speed.ratio)} eager ({numbers.multiple(speed.low)} to "
        words += f"{numbers.multiple(speed.high)}; eager against itself {numbers.multiple(speed.control)})."
    return Claim(proof.verdict == "pass" and result.published, words)


def _trace(scene: Scene) -> Claim:
    result = scene.export("trace")
    assert result is not None
    bad = [row for row in result.proof.checks if row.status == "fail"]
    why = f" {bad[0].id}: {bad[0].cause or bad[0].evidence}" if bad else ""
    verdict = "The proof says no." if result.proof.verdict == "fail" else "The proof did not find it."
    return Claim(result.proof.verdict == "fail" and not result.published, verdict + why)


def _killed(scene: Scene) -> Claim:
    died = scene.state.died
    assert died is not None
    return Claim(scene.state.engine == "dead", f"Gone: {died.cause}. The app is still here, and so is what it knows.")


def _restarted(scene: Scene) -> Claim:
    state = scene.state
    assert state.info is not None
    assert state.modes is not None
    words = (
        f"A fresh worker, {state.info.name} with {state.info.parameters:,} parameters, {state.modes.training_word}, "
    )
    return Claim(state.engine == "ready", words + f"{state.modes.grad}: as it was. Only the runs' outputs are lost.")


def _leak_of(scene: Scene, grad: str) -> bool:
    """A finished repeat of this step in this grad mode, and what memory did meanwhile."""
    rows, leak = scene.rows(grad=grad), scene.state.leak
    return bool(rows) and leak is not None and leak.run >= rows[-1].run


_LOOP = Quiz(
    f"A validation loop: eval mode, and `total += loss`, so every output is kept. What does memory do over "
    f"{stage.LOOP_RUNS} batches?",
    (("a", "flat: eval() builds no graph"), ("b", "it climbs with every batch"), ("c", "it climbs once, then stays")),
    "b",
)

STEPS: tuple[Step, ...] = (
    Step(
        "train mode",
        "A small classifier with dropout, trained well, as constructed: in train mode.",
        "Press space twice: the same input, run twice.",
        ("space", "space"),
        lambda scene: _compared(scene, "train") is not None,
        _train,
        stage.story_in_train,
    ),
    Step(
        "eval()",
        "eval() switches dropout off and freezes batch statistics.",
        "Press e, then space; b makes that run the reference; space again.",
        ("e", "space", "b", "space"),
        lambda scene: _compared(scene, "eval") is not None,
        _eval,
    ),
    Step(
        "the quiz",
        "Another model, in eval mode with grad. Its outputs are kept, as a loop does that sums its losses.",
        "",
        (),
        lambda scene: _leak_of(scene, "grad"),
        _quiz,
        stage.validation_loop,
        _LOOP,
        stage.loop_runs,
        pane="memory",
    ),
    Step(
        "no_grad",
        "The same loop without a graph. Outputs are still kept.",
        "Press g for no_grad, then r, 20 and enter.",
        ("g", "r", "2", "0", "enter"),
        lambda scene: _leak_of(scene, "no_grad"),
        _no_grad,
        pane="memory",
    ),
    Step(
        "weights apart",
        "One model saved as a pickle and as a state_dict, then loaded in a process that lacks its source.",
        "",
        (),
        lambda scene: "state" in scene.facts,
        _pickled,
        stage.pickled_trial,
    ),
    Step(
        "export and proof",
        "A portable graph is worth what can be proven of it, and measured.",
        "Press x and enter: torch.export, proven in a clean process.",
        ("x", "enter"),
        lambda scene: scene.export("export") is not None,
        _export,
        stage.to_export,
        pane="artifacts",
    ),
    Step(
        "a trace that lies",
        "This model branches on its data. A trace keeps one side of it, without a word.",
        "Press x, then up for trace, and enter.",
        ("x", "up", "enter"),
        lambda scene: scene.export("trace") is not None,
        _trace,
        stage.to_trace,
        pane="artifacts",
    ),
    Step(
        "a wrong shape",
        "The first model again, with 11 features where it wants 10.",
        "Press space.",
        ("space",),
        lambda scene: scene.failure is not None,
        _diagnosed,
        stage.wrong_shape,
    ),
    Step(
        "a wrong dtype",
        "And with float64 where its weights are float32.",
        "Press space.",
        ("space",),
        lambda scene: scene.failure is not None,
        _diagnosed,
        stage.wrong_dtype,
    ),
    Step(
        "a worker that dies",
        "Models run in a process of their own, and that one may die.",
        "Press K: the worker is killed.",
        ("K",),
        lambda scene: scene.state.engine == "dead" and scene.state.died is not None,
        _killed,
        stage.to_export,
    ),
    Step(
        "and comes back",
        "What a model is made from is known here, not only there.",
        "Press K once more.",
        ("K",),
        lambda scene: scene.state.engine == "ready" and scene.state.info is not None and not scene.state.jobs,
        _restarted,
    ),
)

"""A bundle's report.md."""

from __future__ import annotations

from dataclasses import replace

from workbench.protocol.artifacts import CheckRow, Finding, Made, Proof, Speed
from workbench.protocol.proven import UNCOMPARED
from workbench.protocol.runs import LeafDiff
from workbench.report.bundle import render_report

MADE = Made(
    "export", "model.pt2", 1 << 20, 2.5, "ab" * 32, Speed(2e-3, 1e-3, 2.0, 1.8, 2.2, 1.0, 0.9, 1.1, 30, 1, 4),
    ("x[0] = batch in [1, 64]",), ("x[1] = 10",), (Finding("legacy", "an old format", "Use export."),),
)  # fmt: skip
LEAF = LeafDiff(
    "output['logits']", "noise", dtype="float32", shape=(4, 10), elements=40, mismatched=3, max_abs=1e-6, max_rel=2e-6,
    noise_multiple=1.25, max_ulp=4, worst_index=(2, 7), worst_a="1.204", worst_b="0.713",
)  # fmt: skip
PROOF = Proof(
    "pass", "noise", (CheckRow("values", "pass", "16 cases hold"), CheckRow("clean", "skip", "", "no source")),
    (Finding("guards", "unguarded"),), (LEAF,), 16, 1.25, "float64", "", 3.0, 0.2, "3.11.7", "2.13.0", True,
)  # fmt: skip


def test_golden_text():
    assert render_report(MADE, PROOF) == (
        "# model.pt2: proven\n\n"
        "- verdict: ≈ pass, 1.2× the noise, over 16 cases\n"
        "- yardstick: float64\n"
        "- artifact: kind export, 1.0 MB, made in 2.5 s\n"
        f"- sha256: `{'ab' * 32}`\n"
        "- judged by Python 3.11.7 with torch 2.13.0 in 3.0 s; the model's source was not importable\n"
        "- loads in 200 ms\n\n"
        "## Checks\n\n"
        "| check | status | evidence | cause |\n|---|---|---|---|\n"
        "| values | pass | 16 cases hold |  |\n"
        "| clean | skipped |  | no source |\n\n"
        "## Outputs, each at its worst case\n\n"
        "| output | mark | noise | max abs | max rel | ULP | mismatched | worst element | eager | artifact |\n"
        "|---|---|---|---|---|---|---|---|---|---|\n"
        "| output\\['logits'\\] float32[4,10] | ≈ noise | 1.2× | 1.0e-06 | 2.0e-06 | 4 | 3 of 40 | [2,7] | "
        "1.204 | 0.713 |"
        "\n\n## Speed\n\n"
        "2.00 times eager's speed (80 % of rounds between 1.80 and 2.20): 1.0 ms a call against 2.0 ms, batch 4, "
        "1 threads, 30 shuffled rounds. Eager against itself: 1.00 (0.90 to 1.10).\n\n"
        "## Dimensions\n\n"
        "- dynamic: x\\[0\\] = batch in \\[1, 64\\]\n- fixed: x\\[1\\] = 10\n\n"
        "## Worth knowing\n\n"
        "- legacy: an old format Use export.\n- guards: unguarded\n\n"
        "## Prove it again\n\n"
        "`python verify.py` in this directory, with Python and torch alone, or `workbench verify` with its path.\n"
    )


def test_weights_without_an_answer_are_not_called_proven():
    report = render_report(MADE, replace(PROOF, mark="identical", cases=0, worst=()))
    assert report.startswith(f"# model.pt2: {UNCOMPARED}\n\n- verdict: = pass; no answer was compared\n")
    assert "proven" not in report.partition("## Prove it again")[0].replace(UNCOMPARED, "")


def test_a_refusal_says_so_first():
    report = render_report(MADE, replace(PROOF, verdict="fail", mark="beyond", clean=False))
    assert report.startswith("# model.pt2: NOT proven")
    assert "**the model's source was importable**" in report


def test_a_speed_within_the_control_is_called_noise():
    speed = replace(MADE.speed, ratio=1.05)
    assert "proves no difference" in render_report(replace(MADE, speed=speed), PROOF)


def test_foreign_strings_are_no_markup():
    row = CheckRow("values", "fail", "a|b\n<script>`\x1b[31m", "*x*")
    report = render_report(MADE, replace(PROOF, checks=(row,)))
    line = next(line for line in report.splitlines() if line.startswith("| values"))
    assert line == "| values | **FAIL** | a\\|b &lt;script>\\`\\\\x1b\\[31m | \\*x\\* |"

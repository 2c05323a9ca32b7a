from tests.unit.pane_host import hosted, spy_on_refresh
from tests.unit.pane_records import leaf_diff
from workbench.protocol.runs import Diff, Divergence, LeafDiff
from workbench.tui.draw.diff_lines import diff_lines
from workbench.tui.draw.spans import cells_of, text_of
from workbench.tui.panes.diff import DiffPane

DIFF = Diff(2, 1, "beyond", "", (leaf_diff(), LeafDiff("output['ids']", "identical", "", "int64", (4,), 4)), "float64")
PARTS = Divergence(
    2, 1, "drop", 0, "Dropout", "dropout", 0.49, "cnn.py:41",
    "drop (Dropout p=0.5) is in train mode: it draws a new mask each run.", "press e for eval", ("drop", "head"),
)  # fmt: skip


def words(diff: Diff, width: int = 80, divergence: Divergence | None = None, unicode: bool = True) -> str:
    return "\n".join(text_of(line).rstrip() for line in diff_lines(diff, divergence, width, unicode))


def test_the_whole_difference_as_text() -> None:
    assert words(DIFF, unicode=True) == "\n".join(
        [
            "✗ beyond the noise  #2 against #1",
            "yardstick float64: 4e+05× the noise (limit 3×)",
            "",
            "✗ output['logits']  float32[4,10]  beyond the noise",
            "max|Δ| 0.491   noise 4e+05×   differ 10/40   mean|Δ| 0.02   RMSE 0.1",
            "max rel 0.77   mean rel 0.03   ULP 12,345   p99 ULP 9,216   allclose no",
            "cosine 0.987310   SNR 12.1 dB   top-1 60.0 %   top-5 100.0 %",
            "worst [2,7]  1.204 → 0.713",
            "|Δ| from  elements",
            "     0│█████████████████████████████████████████████████████████████████████ 30",
            " 1e-01│███████████████████████ 10",
            "largest |Δ| of 4 rows × 10 columns",
            "    0│··░░",
            "    2│██▒▒",
            "     └0  9",
            "  · 0  ░ ≤0.123  ▒ ≤0.245  ▓ ≤0.368  █ ≤0.491  ! NaN/inf",
            "",
            "= output['ids']  int64[4]  identical bits",
        ]
    )


def test_it_fits_a_narrow_pane() -> None:
    for width in range(24, 80):
        for line in diff_lines(DIFF, PARTS, width, True):
            assert cells_of(line) <= max(width, 44), text_of(line)


def test_nan_and_structure_and_reason_are_said() -> None:
    leaf = leaf_diff(nan_b=3, reason="NaN where eager has none")
    text = words(Diff(3, 1, "beyond", "output has 2 leaves against 3", (leaf,), "tolerance", "downcast in aten.mm"))
    assert "structure differs: output has 2 leaves against 3" in text
    assert "NaN 0 → 3" in text
    assert "NaN where eager has none" in text
    assert "(limit 1×); downcast in aten.mm" in text


def test_divergence_is_shown_with_its_own_runs_only() -> None:
    text = words(DIFF, divergence=PARTS)
    assert "parts at drop  Dropout  dropout" in text
    assert "at cnn.py:41" in text
    assert "→ press e for eval" in text
    assert "then head" in text
    assert "parts at" not in words(Diff(3, 1, "beyond", "", (), "float64"), divergence=PARTS)


async def test_pane_scrolls_jumps_and_stays_put() -> None:
    pane = DiffPane()
    async with hosted(pane, (60, 10)) as (host, pilot):
        assert host.has("d compares a run")
        pane.show(DIFF)
        pane.show_divergence(PARTS)
        await pilot.pause()
        assert host.has("beyond the noise")
        assert pane.shown == (2, 1)
        await pilot.press("right_square_bracket", "right_square_bracket")
        await pilot.pause()
        assert "output['logits']" in host.picture()[1]
        calls = spy_on_refresh(pane)
        pane.show(DIFF)
        await pilot.pause()
        assert calls == []
        pane.clear("fire first")
        await pilot.pause()
        assert host.has("fire first")


async def test_pane_in_ascii() -> None:
    pane = DiffPane(unicode=False)
    async with hosted(pane, (60, 30)) as (host, pilot):
        pane.show(DIFF)
        await pilot.pause()
        assert all(line.isascii() for line in host.picture())
        assert host.has("@@")

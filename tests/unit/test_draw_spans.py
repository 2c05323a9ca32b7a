from rich.cells import cell_len
from rich.segment import ControlType, Segment
from textual.color import Color

from workbench.tui.draw.spans import ascii_text, cells_of, changed_cells, fit, fit_line, text_of, wrapped
from workbench.tui.guard import ControlGuard, guarded


def test_fit_is_exact_also_with_wide_characters() -> None:
    assert fit("abc", 5) == "abc  "
    assert fit("abc", 5, right=True) == "  abc"
    assert fit("abcdef", 4) == "abc…"
    for width in range(8):
        assert cell_len(fit("模型abc模型", width)) == width


def test_fit_line_pads_cuts_and_joins_spans_of_one_style() -> None:
    assert fit_line((("ab", ""), ("cd", "")), 6) == (("abcd  ", ""),)
    assert fit_line((("ab", ""), ("cdef", "bad")), 5) == (("ab", ""), ("cd…", "bad"))
    assert cells_of(fit_line((("模" * 9, ""),), 7)) == 7


def test_changed_cells_names_the_smallest_range() -> None:
    old = (("run ", ""), ("12.3", ""), (" ms", "dim"))
    assert changed_cells(old, old) == (0, 0)
    assert changed_cells(old, (("run ", ""), ("12.9", ""), (" ms", "dim"))) == (7, 8)
    assert changed_cells(old, (("run ", ""), ("99.9", ""), (" ms", "dim"))) == (4, 8)
    assert changed_cells((("aaaa", ""),), (("aa", ""), ("aa", "bad"))) == (2, 4)
    assert changed_cells((("ab", "x"), ("cd", "")), (("abcd", ""),)) == (0, 2)


def test_changed_cells_counts_cells_not_characters() -> None:
    assert changed_cells((("模x ", ""),), (("模y ", ""),)) == (2, 3)


def test_changed_cells_with_repeated_text_still_covers_the_change() -> None:
    old, new = (("aab", ""),), (("abb", ""),)
    start, end = changed_cells(old, new)
    assert text_of(old)[:start] == text_of(new)[:start]
    assert text_of(old)[end:] == text_of(new)[end:]
    assert start <= 1 < end


def test_ascii_keeps_the_width_and_leaves_nothing_else() -> None:
    for text in ("✗ max|Δ| 0.49 · 10/10", "≈ 1.1× noise", "▸ body", "★1", "模型", "▲eval"):
        folded = ascii_text(text)
        assert folded.isascii()
        assert cell_len(folded) == cell_len(text)


def test_wrapped_indents_all_but_the_first() -> None:
    lines = [text_of(line) for line in wrapped("one two three four five", 10, indent="  ")]
    assert lines == ["one two", "  three", "  four", "  five"]


def test_guard_makes_control_characters_visible() -> None:
    assert guarded("plain") == "plain"
    assert guarded("\x1b[31mred") == "\\x1b[31mred"
    assert guarded("a\nb\tc") == "a\\nb\\tc"
    assert guarded("\u202eevil\u200b\x9b") == "\\u202eevil\\u200b\\x9b"
    assert guarded("≈ 模型 ⣿") == "≈ 模型 ⣿"


def test_the_filter_for_other_widgets_does_the_same_and_touches_nothing_else() -> None:
    clear, black = Segment("plain ≈"), Color(0, 0, 0)
    assert ControlGuard().apply([clear], black)[0] is clear
    control = Segment("\x1b[H", None, [(ControlType.HOME,)])
    found = ControlGuard().apply([Segment("a\x1b[31m"), control, clear], black)
    assert [segment.text for segment in found] == ["a\\x1b[31m", "\x1b[H", "plain ≈"]

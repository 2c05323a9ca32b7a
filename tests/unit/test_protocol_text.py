"""The cleaner: nothing that steers a terminal gets through, and nothing disappears."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest

from workbench.protocol.text import clean, clean_line, escaped_json, shorten

INVISIBLE = [
    *(0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810)),
    *(*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x3164),
    *(*range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0, *range(0xFFF0, 0xFFF9)),
    *(*range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000)),
]
"""Unicode's Default_Ignorable_Code_Point: what a terminal draws as nothing at all."""


@pytest.mark.parametrize(
    ("foreign", "seen"),
    [
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("a\u202eb", "a\\u202eb"),
        ("user\u200bname", "user\\u200bname"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("bell\a back\b", "bell\\x07 back\\x08"),
    ],
)
def test_what_steers_a_terminal_is_made_visible(foreign: str, seen: str) -> None:
    assert clean(foreign) == seen
    assert clean_line(foreign) == seen


def test_every_control_surrogate_separator_and_invisible_character_is_escaped() -> None:
    codes = [code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in ("Cc", "Cs", "Zl", "Zp")]
    passed = [f"{code:x}" for code in {*codes, *INVISIBLE} if chr(code) in clean(f"a{chr(code)}b")]
    assert sorted(passed) == ["9", "a"]  # tab and newline
    assert not {"\t", "\n"} & set(clean_line("a\tb\nc"))


@pytest.mark.parametrize(
    "text", ["", "plain", "a b", "naïve Δ ≈ ✗ ×", "日本語", "🙂", "two\nlines\tand a tab", "[/x] [bold]"]
)
def test_what_is_harmless_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


def test_line_ends() -> None:
    assert clean("one\r\ntwo\r\n") == "one\ntwo\n"
    assert clean("50%\r100%") == "50%\\x0d100%"
    assert clean_line("one\r\ntwo\tthree") == "one\\ntwo\\tthree"


def test_cleaning_twice_is_cleaning_once() -> None:
    foreign = "".join(chr(code) for code in range(0x400)) + "\u202e\ud800\U000e0001"
    assert clean(clean(foreign)) == clean(foreign)
    assert clean_line(clean_line(foreign)) == clean_line(foreign)
    clean(foreign).encode("utf-8")


def test_different_names_stay_different() -> None:
    assert len({clean(name) for name in ("ab", "a\u200bb", "a\u200cb", "a\ufe0fb", "a\u00adb", "a\x00b")}) == 6


@pytest.mark.parametrize(
    ("text", "limit", "short"), [("abcdef", 6, "abcdef"), ("abcdef", 5, "abcd…"), ("abc", 1, "…"), ("abc", 0, "…")]
)
def test_shorten_marks_the_cut(text: str, limit: int, short: str) -> None:
    assert shorten(text, limit) == short


@pytest.mark.parametrize("indent", [None, 2])
def test_json_for_a_terminal_says_the_same_and_steers_nothing(indent: int | None) -> None:
    value = {"a\x9b2J": ["\u202e", "\x7f\x1b[2J", "\U000e0001", "\ud800", "≈ 1 ms\n\t"]}
    text = escaped_json(json.dumps(value, ensure_ascii=False, indent=indent))
    assert json.loads(text) == value
    assert clean(text) == text
    assert "≈" in text

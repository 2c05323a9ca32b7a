"""Names of keys and the bytes a classic terminal sends for them.

Owns the keyboard's encoding and nothing else. Names are Textual's: "ctrl+p", "shift+tab", "pagedown", "x".
"""

from __future__ import annotations

_PLAIN = {
    "tab": "\t",
    "enter": "\r",
    "escape": "\x1b",
    "space": " ",
    "backspace": "\x7f",
    "shift+tab": "\x1b[Z",
    "ctrl+@": "\x00",
    "ctrl+backslash": "\x1c",
}
_LETTERS = {"up": "A", "down": "B", "right": "C", "left": "D", "home": "H", "end": "F", "f1": "P", "f2": "Q", "f3": "R"}
_LETTERS["f4"] = "S"
_NUMBERS = {"insert": 2, "delete": 3, "pageup": 5, "pagedown": 6, "f5": 15, "f6": 17, "f7": 18, "f8": 19}
_NUMBERS |= {"f9": 20, "f10": 21, "f11": 23, "f12": 24}
_MODIFIERS = {"shift": 1, "alt": 2, "ctrl": 4}


def encode(name: str) -> bytes:
    """The bytes of one key. A single character stands for itself. Raises ValueError for a name it does not know."""
    if len(name) == 1:
        return name.encode()
    if name in _PLAIN:
        return _PLAIN[name].encode()
    *modifiers, key = name.split("+")
    held = sum(_MODIFIERS.get(modifier, 64) for modifier in modifiers)
    if held >= 64:
        raise ValueError(f"unknown modifier in the key {name!r}")
    if key in _LETTERS:
        if held:
            return f"\x1b[1;{held + 1}{_LETTERS[key]}".encode()
        return f"\x1b{'O' if key.startswith('f') else '['}{_LETTERS[key]}".encode()
    if key in _NUMBERS:
        return f"\x1b[{_NUMBERS[key]}{f';{held + 1}' if held else ''}~".encode()
    if len(key) == 1 and key.isalpha() and held & 4:
        return (b"\x1b" if held & 2 else b"") + bytes([ord(key.upper()) & 31])
    if held == 2:
        return b"\x1b" + encode(key)
    raise ValueError(f"unknown key {name!r}")


def click(row: int, column: int) -> bytes:
    """A click of the left button on a cell, from 0, in the SGR encoding (mode 1006)."""
    where = f"{column + 1};{row + 1}"
    return f"\x1b[<0;{where}M\x1b[<0;{where}m".encode()


def paste(text: str, bracketed: bool) -> bytes:
    """Pasted text, in brackets where the program asked for them (mode 2004)."""
    return f"\x1b[200~{text}\x1b[201~".encode() if bracketed else text.encode()

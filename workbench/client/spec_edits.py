"""Edits of inputs as a person makes them: rows of specs, the next dtype, other values, one element. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.protocol.failures import WorkbenchError
from workbench.protocol.model import InputInfo, Recipe
from workbench.protocol.spec import FLOATING, InputSpec
from workbench.protocol.spec_reader import parse

DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool")
"""Those that are gone through; any other can be typed."""

_FROM_FILE = re.compile(
    r"from \S.*\.(safetensors|np[yz]|pth?|json|png|jpe?g|bmp|gif|webp|tiff?)( #\d+)?", re.IGNORECASE
)
"""Origin of an input that a file of --inputs or of a capture gave."""


@dataclass(frozen=True)
class Row:
    """One input, or a part of one, as it can be edited."""

    name: str
    """`x`, `batch.x`; empty for one that is to be added."""
    text: str
    """What stands behind the "=": `float32[4,10]`, `None`."""
    origin: str
    """Where it came from; empty for one that is to be added."""


def rows(infos: Sequence[InputInfo]) -> list[Row]:
    """The inputs of the bench, one row each part, and an empty one for one more."""
    found = []
    for info in infos:
        for word in split_specs(info.spec):
            name, equals, rest = word.partition("=")
            bare = equals and re.fullmatch(r"[^\[{]*", name) is None and not name.endswith("]")
            found.append(Row("" if bare or not equals else name, word if bare or not equals else rest, info.origin))
    return [*found, Row("", "", "")]


def split_specs(text: str) -> tuple[str, ...]:
    """`x=float32[4,10] ids=int64[2,16]{0..100} name="a b"`: one spec a word, brackets and quotes kept whole."""
    found: list[str] = []
    word, depth, quote = "", 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote and not word.endswith("\\") else quote
        elif sign in "\"'":
            quote = sign
        elif sign in "[{(":
            depth += 1
        elif sign in "]})":
            depth = max(0, depth - 1)
        elif sign.isspace() and not depth:
            found.append(word)
            word = ""
            continue
        word += sign
    return tuple(one for one in [*found, word] if one)


def edited(recipe: Recipe, before: Sequence[Row], texts: Sequence[str], seed: int) -> Recipe:
    """The recipe with what stands in the rows now; rows out of files that nobody touched stay with their files.

    Raises `WorkbenchError("inputs")` for a row that does not read.
    """
    if seed == recipe.seed and all(text.strip() == row.text for row, text in zip(before, texts, strict=True)):
        return recipe
    specs: list[str] = []
    kept = 0
    for row, text in zip(before, texts, strict=True):
        text = text.strip()
        if _FROM_FILE.fullmatch(row.origin) and text == row.text:
            kept += 1
            continue
        if text:
            spec = f"{row.name}={text}" if row.name else text
            parse(spec)
            specs.append(spec)
    files = recipe.inputs_files if kept else ()
    init = _init_seed(recipe, seed)
    return dataclasses.replace(recipe, inputs=tuple(specs), inputs_files=files, seed=seed, init_seed=init)


def _init_seed(recipe: Recipe, seed: int) -> int | None:
    """What keeps the parameters of the bench under another seed of its inputs; a file that sets them all does so."""
    first = recipe.construction_seed
    return None if first == seed or (recipe.weights and not recipe.repair) else first


def next_dtype(text: str) -> str:
    """The same tensor in the next of `DTYPES`; values that this one cannot have are left out."""
    spec = _tensor(text)
    if spec is None:
        return text
    place = DTYPES.index(spec.dtype) + 1 if spec.dtype in DTYPES else 0
    turned = dataclasses.replace(spec, dtype=DTYPES[place % len(DTYPES)])
    bare = InputSpec("", turned.dtype, turned.shape, dynamic=turned.dynamic)
    return next(one.text for one in (turned, dataclasses.replace(turned, elements=()), bare) if _reads(one.text))


def next_values(text: str) -> str:
    """The same tensor with the next distribution; elements with values of their own keep them."""
    spec = _tensor(text)
    if spec is None:
        return text
    known = ["", "zeros", "ones"]
    if spec.dtype != "bool":
        known[1:1] = ["normal(0,2)", "0..1"] if spec.dtype in FLOATING else ["0..100"]
    kind, mark, elements = spec.values.partition(";")
    kind = known[(known.index(kind) + 1) % len(known)] if kind in known else known[0]
    values = kind + mark + elements
    bare = InputSpec("", spec.dtype, spec.shape, dynamic=spec.dynamic).text
    return f"{bare}{{{values}}}" if values else bare


def with_element(text: str) -> str:
    """The same tensor with a value of its own for one more element, the first that has none."""
    spec = _tensor(text)
    if spec is None or not all(spec.shape):
        return text
    taken = {index for index, _ in spec.elements}
    index = tuple(0 for _ in spec.shape)
    for axis in reversed(range(len(spec.shape))):
        while index in taken and index[axis] + 1 < spec.shape[axis]:
            index = (*index[:axis], index[axis] + 1, *index[axis + 1 :])
    if index in taken:
        return text
    return dataclasses.replace(spec, elements=(*spec.elements, (index, spec.dtype == "bool" or 1))).text


def _tensor(text: str) -> InputSpec | None:
    try:
        found = parse(text)
    except WorkbenchError:
        return None
    return found if isinstance(found, InputSpec) else None


def _reads(text: str) -> bool:
    return _tensor(text) is not None

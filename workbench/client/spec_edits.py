"""Edits of inputs as a person makes them: rows of specs, the next dtype, other values, one element. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.model import FROM_FILE, FROM_MODEL, FROM_SPEC, InputInfo, Recipe
from workbench.protocol.spec import FLOATING, InputSpec, Step, steps_of
from workbench.protocol.spec_reader import parse

DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool")
"""Those that are gone through; any other can be typed."""

Place = tuple[str, tuple[Step, ...]]
"""An argument, and the way to a part of it."""


@dataclass(frozen=True)
class Row:
    """One input, or a part of one, as it can be edited."""

    name: str
    """`x`, `batch.x`; empty for one that is to be added."""
    text: str
    """What stands behind the "=": `float32[4,10]`, `None`."""
    origin: str
    """Where it came from; empty for one that is to be added."""
    source: str = FROM_SPEC
    """Who gives it now, as `InputInfo.source`."""
    fixed: bool = False
    """It cannot be edited: no spec says what it is."""


def rows(infos: Sequence[InputInfo], recipe: Recipe) -> list[Row]:
    """The inputs of the bench, one row each part, and an empty one for one more."""
    given = [_place(text) for text in recipe.inputs]
    found = []
    for info in infos:
        for part in info.parts or (info.spec,):
            if info.parts and _reads(part):
                leaf = parse(part)
                text = part[len(leaf.name) + 1 :] if leaf.name else part
                said = bool(leaf.name) and any(_within(steps_of(leaf.name), one) for one in given)
                found.append(Row(leaf.name, text, info.origin, FROM_SPEC if said else info.source))
            else:
                name, equals, rest = part.partition("=")
                found.append(Row(*((name, rest) if equals else ("", part)), info.origin, info.source, fixed=True))
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
    """The recipe with what stands in the rows now. Rows that nobody touched and whose values no spec can say (those of
    a file, or of the model's own `example_inputs()`) are left to where they came from.

    Raises `WorkbenchError("inputs")` for a row that does not read, or that cannot be had so.
    """
    pairs = [(row, text.strip()) for row, text in zip(before, texts, strict=True)]
    if seed == recipe.seed and all(text == row.text for row, text in pairs):
        return recipe
    kept = [row for row, text in pairs if row.source in (FROM_FILE, FROM_MODEL) and text == row.text]
    specs: list[str] = []
    for row, text in pairs:
        if row.fixed:
            _unchanged(row, text)
            if row.source == FROM_SPEC:
                specs += [one for one in recipe.inputs if _place(one)[0] == steps_of(row.name)[0] and one not in specs]
        elif row.source in (FROM_FILE, FROM_MODEL) and text == row.text:
            continue
        elif text:
            spec = f"{row.name}={text}" if row.name else text
            parse(spec)
            _alone(row, kept)
            specs.append(spec)
        elif row.source == FROM_MODEL or (row.source == FROM_FILE and kept):
            raise error(
                "inputs", f"{row.name or 'It'} would come {row.origin} again.", remedy="Write None to pass none."
            )
    files = recipe.inputs_files if any(row.source == FROM_FILE for row in kept) else ()
    init = _init_seed(recipe, seed)
    return dataclasses.replace(recipe, inputs=tuple(specs), inputs_files=files, seed=seed, init_seed=init)


def _unchanged(row: Row, text: str) -> None:
    """Raises `WorkbenchError("inputs")` for a row of what no spec says."""
    if text != row.text:
        message = f"{row.name or 'It'} cannot be edited here: no spec says what it is."
        raise error("inputs", message, remedy="Give it in a file: --inputs FILE")


def _alone(row: Row, kept: Sequence[Row]) -> None:
    """Raises `WorkbenchError("inputs")` for one of several inputs without names, of which others stay as they were."""
    if row.source in (FROM_FILE, FROM_MODEL) and not row.name and any(not one.name for one in kept):
        message = "These inputs have no names, so that one of them alone cannot be another."
        raise error("inputs", message, remedy="Change all of them, or give forward's arguments names.")


def _place(spec: str) -> Place:
    return steps_of(parse(spec).name)


def _within(place: Place, other: Place) -> bool:
    """Whether `place` is `other`, or a part of it."""
    return place[0] == other[0] and place[1][: len(other[1])] == other[1]


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
    try:
        parse(text)
    except WorkbenchError:
        return False
    return True

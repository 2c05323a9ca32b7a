"""Which sizes an artifact serves: what its graph declares, and what its answers and refusals show.

Pure: records in, words out. Never runs the artifact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workbench.worker.artifact.manifest import manifest_tensors
from workbench.worker.artifact.naming_graph import declared_shapes
from workbench.worker.artifact.open_onnx import onnx_inputs
from workbench.worker.artifact.prove_cases import Golden

Asked = Sequence[tuple[Mapping[str, int], bool]]
"""(size of each dimension by its name, whether it was served) of every case."""


def sizes_words(asked: Asked, fixed: Mapping[str, int]) -> str:
    """ "its batch is fixed at 3", or which sizes of one dimension are served; empty where the sizes are not the reason.

    fixed: of `fixed_sizes`, which is believed where no answer says otherwise.
    """
    names = list(dict.fromkeys(name for sizes, _ in asked for name in sizes))
    answered = [sizes for sizes, served in asked if served]
    known = {name: fixed[name] for name in names if name in fixed and _varies(asked, name, fixed[name])}
    known = {name: size for name, size in known.items() if all(one.get(name) == size for one in answered)}
    if known or (known := _shown_fixed(asked, names)):
        listed = ", its ".join(f"{name} at {size}" for name, size in known.items())
        were = "sizes were" if len(known) > 1 else "size was"
        return f"its {listed.replace(' at ', ' is fixed at ', 1)}: the example's {were} baked in"
    for name in names:
        good = {sizes.get(name) for sizes, served in asked if served}
        bad = {sizes.get(name) for sizes, served in asked if not served}
        if good and bad and not good & bad:
            right, wrong = (", ".join(map(str, sorted(one for one in side if one is not None))) for side in (good, bad))
            return f"of the sizes asked it serves {name} {right}, and not {wrong}"
    return ""


def _varies(asked: Asked, name: str, size: int) -> bool:
    """Whether a dimension was asked for at another size."""
    return any(sizes.get(name, size) != size for sizes, _ in asked)


def _shown_fixed(asked: Asked, names: Sequence[str]) -> dict[str, int]:
    """Dimensions whose one size tells every case that was served from every one that was not: one alone where that is
    enough, else all that never varied. Empty where that is not so, or where two would do and nothing tells which."""
    answered = [sizes for sizes, served in asked if served]
    if not answered:
        return {}
    constant = {name: answered[0][name] for name in names if name in answered[0]}
    constant = {name: size for name, size in constant.items() if all(one.get(name) == size for one in answered)}
    constant = {name: size for name, size in constant.items() if _varies(asked, name, size)}
    alone = {name: size for name, size in constant.items() if _tells(asked, {name: size})}
    if alone:
        return alone if len(alone) == 1 else {}
    return constant if constant and _tells(asked, constant) else {}


def _tells(asked: Asked, wanted: Mapping[str, int]) -> bool:
    """Whether exactly those cases are served that have the wanted sizes."""
    return all(all(sizes.get(name) == size for name, size in wanted.items()) == served for sizes, served in asked)


def case_sizes(golden: Golden, index: int) -> dict[str, int]:
    """The size that each dynamic dimension of the contract has in a case, read from its inputs."""
    inputs, found = golden.part(index, "input"), {}
    for name, axes in _contract_dims(golden.manifest):
        sizes = [inputs[path].shape[axis] for path, axis in axes if path in inputs and axis < inputs[path].dim()]
        if sizes:
            found[name] = int(sizes[0])
    return found


def fixed_sizes(program: Any, manifest: dict[str, Any]) -> dict[str, int]:
    """Dynamic dimension of the contract → the one size that the artifact's graph declares for it."""
    own, found = _declared(program, manifest), {}
    for name, axes in _contract_dims(manifest):
        sizes = {own[path][axis] for path, axis in axes if path in own and axis < len(own[path])} - {None}
        if len(sizes) == 1:
            found[name] = int(next(iter(sizes)) or 0)
    return found


def shapes_words(program: Any, golden: Golden) -> str:
    """Which input the artifact's graph declares in another shape than every call has, apart from what may vary; empty
    where it declares none so."""
    free = {(path, axis) for _, axes in _contract_dims(golden.manifest) for path, axis in axes}
    inputs = golden.part(0, "input")
    for path, sizes in _declared(program, golden.manifest).items():
        given = list(inputs[path].shape)
        pairs = enumerate(zip(sizes, given))  # noqa: B905 (compared first)
        if len(sizes) != len(given) or any(
            own not in (None, its) and (path, at) not in free for at, (own, its) in pairs
        ):
            listed = ", ".join("any" if one is None else str(one) for one in sizes)
            return f"it takes {path} as [{listed}], and is given {given}"
    return ""


def _declared(program: Any, manifest: dict[str, Any]) -> dict[str, tuple[int | None, ...]]:
    """Path of an input tensor → the sizes that the graph declares for it, None where one is free."""
    shapes = declared_shapes(program)
    paths = [path for entry in manifest["inputs"] for path in manifest_tensors(entry["tree"])]
    try:
        return {path: shapes[name] for name, path in onnx_inputs(list(shapes), paths).items()}
    except ValueError:
        return {}  # other inputs than the model's: which is which is not known


def _contract_dims(manifest: dict[str, Any]) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    for dim in (manifest.get("contract") or {}).get("dims") or ():
        yield str(dim["name"]), [(path, int(axis)) for path, axis in dim["axes"].items()]

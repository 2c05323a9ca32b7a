"""Architectures that an installed package makes by name: `timm:resnet18`, `transformers:DIR`. Nothing is downloaded.

Owns what such a target stands for. A directory's own code is never run: transformers builds the class that its
config.json names, from the installed package.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from torch import nn

from workbench.protocol.failures import WorkbenchError, error

TRANSFORMERS = "transformers:"
TIMM = "timm:"


def directory_of(target: str, directory: str) -> str:
    """The directory of `transformers:DIR`, absolute; empty for every other target."""
    if not target.startswith(TRANSFORMERS):
        return ""
    path = os.path.join(directory, target.removeprefix(TRANSFORMERS))
    return os.path.abspath(path) if os.path.isdir(path) else ""


def importable(target: str) -> str:
    """`timm:resnet18` as the module and function that it stands for; every other target as it is."""
    return f"timm.models:{target.removeprefix(TIMM)}" if target.startswith(TIMM) else target


def holds_weights(path: str) -> bool:
    """Whether a directory brings weights of its own."""
    from workbench.worker.bench.shards import in_directory

    try:
        return bool(in_directory(path))
    except WorkbenchError:
        return False


def from_config(path: str) -> tuple[str, Callable[..., nn.Module], Any]:
    """(class name, what constructs it, its module) of a directory with a config.json.

    Raises `WorkbenchError("model")` where the package or the class is not there.
    """
    named = _architecture(path)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing of what follows may ask a network
    try:
        import transformers
    except ImportError as problem:
        message = f"{path} is built by transformers, which cannot be imported: {problem}."
        raise error("model", message, path, "pip install transformers beside the torch of --python.") from problem
    try:
        config = transformers.AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        kind = getattr(transformers, named) if named else None
    except AttributeError as problem:
        message = f"config.json asks for {named}, which transformers {transformers.__version__} has not."
        remedy = "Install the transformers that it was saved with, or name the class in a file of your own."
        raise error("model", message, path, remedy) from problem
    except Exception as problem:
        if words := _torchvision(problem):
            raise error("model", f"transformers cannot be used here: {words}", path, details=str(problem)) from problem
        reason = str(problem).strip().split("\n")[0]
        raise error("model", f"transformers does not read {path}: {reason}", path, details=str(problem)) from problem

    generic: Callable[..., nn.Module] = transformers.AutoModel.from_config

    def construct(**changes: Any) -> nn.Module:
        config.update(changes)
        made: nn.Module = (kind._from_config if kind is not None else generic)(config)
        return made

    return named or "AutoModel", construct, transformers


def names_as_read(model: nn.Module, tensors: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """(the tensors of a file under the names that the model's own package reads them under, what to say of it).

    From version 5 on transformers keeps the names of older versions in its files and changes them while it loads.
    Raises `WorkbenchError("weights")` where it would compute tensors from others.
    """
    transformers = sys.modules.get("transformers")
    if transformers is None or not isinstance(model, transformers.PreTrainedModel):
        return tensors, []
    try:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightRenaming, rename_source_key
    except ImportError:  # an older one: its files have its names
        return tensors, []
    changes: list[Any] = get_model_conversion_mapping(model)
    renamings = [one for one in changes if isinstance(one, WeightRenaming)]
    computing = [one for one in changes if not isinstance(one, WeightRenaming)]
    found, computed = {}, []
    for name in tensors:
        found[name], pattern = rename_source_key(name, renamings, computing)
        computed += [name] if pattern is not None else []
    if computed:
        message = f"transformers computes {found[computed[0]]} from {computed[0]} and others while it loads the file."
        remedy = "Save what it makes of it, and give that: model = Auto….from_pretrained(DIR); "
        raise error("weights", message, "--weights", remedy + "torch.save(model.state_dict(), 'state.pt')")
    moved = {old: new for old, new in found.items() if old != new}
    own = model.state_dict(keep_vars=True)
    if len(set(found.values())) < len(found) or sum(map(own.__contains__, found.values())) <= sum(
        map(own.__contains__, found)
    ):
        return tensors, []
    old, new = next(iter(moved.items()))
    words = f"{len(moved)} names as transformers {transformers.__version__} reads them: {old} is {new}"
    return {found[name]: tensor for name, tensor in tensors.items()}, [words]


def _torchvision(problem: BaseException | None) -> str:
    """Why torchvision spoils the import of another package; empty where it does not."""
    while problem is not None:
        if "operator torchvision::" in str(problem):
            return (
                "the torchvision that is installed was built for another torch. Install the pair that belongs together."
            )
        problem = problem.__cause__ or problem.__context__
    return ""


def _architecture(path: str) -> str:
    """The class that config.json names first; empty where it names none. Raises `WorkbenchError("model")`."""
    file = os.path.join(path, "config.json")
    try:
        with open(file, encoding="utf-8") as stream:
            content = json.load(stream)
        named = content.get("architectures") or [""]
        return named[0] if isinstance(named[0], str) else ""
    except OSError as problem:
        message = f"{path} has no config.json that says which architecture it is."
        raise error("model", message, path, "Name the class: file.py:Name --weights DIR") from problem
    except (ValueError, AttributeError, LookupError, TypeError) as problem:
        raise error("model", f"{file} is no configuration of a model: {problem}.", file) from problem

"""What a source file offers to be opened, found without running a line of it."""

from __future__ import annotations

import ast
import io
import threading
import tokenize
from collections.abc import Iterator
from pathlib import Path

from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.model import Candidate
from workbench.protocol.text import shorten

from .fingerprint import open_regular

_LIMIT = 8 << 20
"""Bytes of a source file."""

_HOOKS = frozenset({"example_inputs", "main"})
"""Functions that are called by name for something else, and make no model."""

_NO_MODELS = frozenset(
    {
        *("None", "int", "float", "str", "bool", "bytes", "dict", "list", "tuple", "set", "frozenset", "object"),
        *("Tensor", "Path", "Iterator", "Iterable", "Generator", "Sequence", "Mapping", "Callable", "Dict", "List"),
        *("Tuple", "Set", "Namespace", "ArgumentParser", "NoReturn", "Never", "DataLoader", "Dataset", "Optimizer"),
    }
)
"""Last words of return annotations that say a function makes no model."""

_MODEL_WORDS = ("Module", "PreTrainedModel", "LightningModule", "ModelMixin", "ScriptModule")
"""Ends of names that bases have which are modules without saying torch."""

_SUMMARY = 120


def scan(path: str, stop: threading.Event) -> tuple[Candidate, ...]:
    """Classes, factories and instances at the top level of a file, in the order they stand there.

    Raises `WorkbenchError("model")` for what is not there, cannot be read, or is no Python.
    """
    try:
        with open_regular(Path(path)) as stream:
            data = stream.read(_LIMIT + 1)
    except WorkbenchError as problem:
        failure = problem.failure
        raise error("model", failure.message, failure.where, failure.remedy) from problem
    if len(data) > _LIMIT:
        raise error("model", f"{path} is too long for a Python file.", path)
    return candidates(_parse(path, data))


def _parse(path: str, data: bytes) -> ast.Module:
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return ast.parse(data.decode(encoding), path)
    except SyntaxError as problem:
        where = f"{path}:{problem.lineno}" if problem.lineno else path
        raise error("model", f"{path} is no Python: {problem.msg}.", where, "Mend the file, then open it again.") from (
            problem
        )
    except (ValueError, LookupError, RecursionError, MemoryError) as problem:
        raise error("model", f"{path} is no Python: {problem}.", path) from problem


def candidates(tree: ast.Module) -> tuple[Candidate, ...]:
    """What the parsed file offers; pure."""
    names = _imported(tree)
    classes = {node.name: node for node in _statements(tree.body) if isinstance(node, ast.ClassDef)}
    found = []
    for node in _statements(tree.body):
        match node:
            case ast.ClassDef():
                kind = "class" if _is_module(node, classes, names) else "other class"
                found.append(Candidate(node.name, kind, node.lineno, _constructor(node, classes), _summary(node)))
            case ast.FunctionDef() if _may_make_models(node, names):
                arguments = _arguments(node.args)
                found.append(Candidate(node.name, "factory", node.lineno, arguments, _summary(node)))
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.Call() as call)
            ) if not name.startswith("_") and _makes_module(call, classes, names):
                found.append(Candidate(name, "instance", node.lineno, (), shorten(ast.unparse(call), _SUMMARY)))
    return tuple(found)


def _may_make_models(node: ast.FunctionDef, names: dict[str, str]) -> bool:
    if node.name.startswith("_") or node.name in _HOOKS:
        return False
    match node.returns:
        case None:
            return True
        case ast.Constant(value=None):
            return False
        case ast.Constant(value=str(word)):
            return word.rpartition(".")[2] not in _NO_MODELS
    return _dotted(node.returns, names).rpartition(".")[2] not in _NO_MODELS


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of the top level, also those under `if` and `try`, but not under `if __name__ == "__main__"`."""
    for node in body:
        yield node
        if isinstance(node, ast.If) and "__main__" not in ast.unparse(node.test):
            yield from _statements([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            handlers = [statement for handler in node.handlers for statement in handler.body]
            yield from _statements([*node.body, *handlers, *node.orelse, *node.finalbody])


def _imported(tree: ast.Module) -> dict[str, str]:
    """What each imported name stands for: `nn` is `torch.nn`, `Linear` is `torch.nn.Linear`."""
    names = {}
    for node in _statements(tree.body):
        if isinstance(node, ast.Import):
            for one in node.names:
                names[one.asname or one.name.partition(".")[0]] = one.name if one.asname else one.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            for one in node.names:
                names[one.asname or one.name] = f"{node.module or '.'}.{one.name}"
    return names


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    """`nn.Module` as `torch.nn.Module`; subscripts (generics) are looked through; "" for anything else."""
    if isinstance(node, ast.Subscript):
        return _dotted(node.value, names)
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value, names)
        return f"{before}.{node.attr}" if before else ""
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else ""


def _is_module(
    node: ast.ClassDef, classes: dict[str, ast.ClassDef], names: dict[str, str], seen: frozenset[str] = frozenset()
) -> bool:
    for base in node.bases:
        word = _dotted(base, names)
        own = classes.get(word)
        if own is not None and word not in seen and _is_module(own, classes, names, seen | {word}):
            return True
        if own is None and _names_module(word):
            return True
    return False


def _names_module(word: str) -> bool:
    last = word.rpartition(".")[2]
    return word.startswith(("torch.nn.", "torchvision.models.")) or last.endswith(_MODEL_WORDS)


def _makes_module(call: ast.Call, classes: dict[str, ast.ClassDef], names: dict[str, str]) -> bool:
    """`Net(...)`, `nn.Sequential(...)`, and the same with `.eval()` or `.to(...)` behind it."""
    function = call.func
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Call):
        return _makes_module(function.value, classes, names)
    word = _dotted(function, names)
    if (own := classes.get(word)) is not None:
        return _is_module(own, classes, names)
    return _names_module(word) and not word.startswith(("torch.nn.functional.", "torch.nn.init.", "torch.nn.utils."))


def _constructor(node: ast.ClassDef, classes: dict[str, ast.ClassDef], depth: int = 0) -> tuple[str, ...]:
    """Arguments of `__init__`, its own or inherited from a class of the same file."""
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            return _arguments(statement.args, skip=1)
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes and depth < 20:
            return _constructor(classes[base.id], classes, depth + 1)
    return ()


def _arguments(given: ast.arguments, skip: int = 0) -> tuple[str, ...]:
    """Arguments as written: "width: int = 16", "*layers", "bias=True"."""
    plain = [*given.posonlyargs, *given.args]
    defaults: list[ast.expr | None] = [*[None] * (len(plain) - len(given.defaults)), *given.defaults]
    texts = [_argument(one, default) for one, default in zip(plain, defaults, strict=True)][skip:]
    if given.vararg is not None:
        texts.append("*" + ast.unparse(given.vararg))
    elif given.kwonlyargs:
        texts.append("*")
    texts += [_argument(one, default) for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    if given.kwarg is not None:
        texts.append("**" + ast.unparse(given.kwarg))
    return tuple(texts)


def _argument(one: ast.arg, default: ast.expr | None) -> str:
    text = ast.unparse(one)
    if default is None:
        return text
    equals = " = " if one.annotation is not None else "="
    return shorten(f"{text}{equals}{ast.unparse(default)}", _SUMMARY)


def _summary(node: ast.ClassDef | ast.FunctionDef) -> str:
    text = ast.get_docstring(node) or ""
    return shorten(text.partition("\n")[0].strip(), _SUMMARY)

"""How a result record travels inside `Done`."""

from __future__ import annotations

from typing import Any

from .codec import CodecError, from_plain, plain
from .failures import Failure
from .messages import REGISTRY, Done


def done(result: Any = None) -> Done:
    """The end of a job that went well."""
    if result is None:
        return Done()
    return Done({"type": type(result).__name__, "body": plain(result)})


def failed(failure: Failure) -> Done:
    """The end of a job that did not."""
    return Done(None, failure)


def result_of(message: Done, foreign: bool) -> Any:
    """The record inside, decoded (and with `foreign` cleaned); None when there is none. Raises `CodecError`."""
    if message.result is None:
        return None
    try:
        kind = REGISTRY[message.result["type"]]
        body = message.result["body"]
    except (KeyError, TypeError) as problem:
        raise CodecError(f"not a result: {problem}") from problem
    return from_plain(kind, body, foreign)

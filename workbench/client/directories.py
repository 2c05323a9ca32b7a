"""Which directories are more than folders: captures, bundles, and models as Hugging Face's programs write them."""

from __future__ import annotations

import json
import os

from workbench.protocol.captures import is_capture

CAPTURE, BUNDLE, MODEL, FOLDER = "capture", "bundle", "model with a config.json", "folder"
"""What a directory is, by the files that every one of its kind has."""

_CONFIG = 1 << 20
"""Bytes of a config.json."""


def kind_of(directory: str) -> str:
    """What a directory is: one of the words above; what lies in it is not read."""
    if is_capture(directory):
        return CAPTURE
    if _has(directory, "manifest.json") and _has(directory, "verify.py"):
        return BUNDLE
    return MODEL if _has(directory, "config.json") else FOLDER


def _has(directory: str, name: str) -> bool:
    return os.path.isfile(os.path.join(directory, name))


def built_by(directory: str) -> str:
    """How a target of a directory with a config.json begins; empty where it is not transformers that builds it."""
    try:
        with open(os.path.join(directory, "config.json"), "rb") as stream:
            config = json.loads(stream.read(_CONFIG))
    except (OSError, ValueError, RecursionError):
        return ""
    named = isinstance(config, dict) and (config.get("architectures") or config.get("model_type"))
    return "transformers:" if named else ""

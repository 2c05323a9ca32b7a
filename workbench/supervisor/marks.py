"""Words for the moments worth a mark on the memory pane's time axis. Pure."""

from __future__ import annotations

from workbench.protocol.model import Modes


def modes_label(before: Modes | None, now: Modes) -> str:
    """What changed between two switch boards, as short as the axis wants it; empty when nothing did."""
    old = before or Modes()
    words = []
    if (now.training, now.flips) != (old.training, old.flips):
        words.append(_training(old, now))
    if now.grad != old.grad:
        words.append(now.grad)
    if (now.rng, now.rng == "fixed" and now.seed) != (old.rng, old.rng == "fixed" and old.seed):
        words.append(f"rng {now.rng}" + (f" {now.seed}" if now.rng == "fixed" else ""))
    if now.dtype != old.dtype:
        words.append(now.dtype or "dtype as loaded")
    if now.device != old.device:
        words.append(now.device)
    if now.threads != old.threads:
        words.append(f"{now.threads} threads" if now.threads else "threads free")
    if now.keep_outputs != old.keep_outputs:
        words.append("keep outputs" if now.keep_outputs else "drop outputs")
    return " ".join(words)


def _training(old: Modes, now: Modes) -> str:
    changed = set(old.flips) ^ set(now.flips)
    if now.training == old.training and len(changed) == 1 and (path := changed.pop()):
        return f"{path} flipped" if path in now.flips else f"{path} as its parent"
    return now.training_word


def fire_label(run: int, count: int) -> str:
    """ "#3", "#4 ×100", or "#5 …" for one that goes on until it is stopped."""
    if count == 0:
        return f"#{run} …"
    return f"#{run}" if count == 1 else f"#{run} ×{count}"

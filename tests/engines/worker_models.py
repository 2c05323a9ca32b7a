"""Factories that misbehave while a worker builds them: what a worker must live through."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time

import torch
from torch import Tensor, nn


class Plain(nn.Module):
    """Nothing wrong with it."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.fc = nn.Linear(10, width)
        self.norm = nn.BatchNorm1d(width)
        self.register_buffer("seen", torch.zeros(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.fc(x))


def loud() -> nn.Module:
    """Prints from Python, past Python and from C, without a newline at the end."""
    print("from python")
    os.write(1, b'{"type":"Done","job":1,"from":"bench","body":{}}\n')
    ctypes.CDLL(None).puts(b"from C")
    sys.stdout.write("unfinished")
    return Plain()


def reads() -> nn.Module:
    """What stdin gives it becomes its width."""
    return Plain(1 + len(sys.stdin.read()))


def stops() -> nn.Module:
    breakpoint()
    return Plain()


def exits() -> nn.Module:
    raise SystemExit(3)


def sleeps() -> nn.Module:
    """A minute, unless somebody interrupts it."""
    print("asleep", file=sys.stderr, flush=True)
    time.sleep(60)
    return Plain()


def closes() -> nn.Module:
    """Closes its own stdout object."""
    sys.stdout.close()
    return Plain()


def forks() -> nn.Module:
    """Leaves a child behind that lives longer than we do."""
    if os.fork() == 0:
        time.sleep(20)
        os._exit(0)
    return Plain()


def threads() -> nn.Module:
    """A thread that never ends and is no daemon."""
    threading.Thread(target=time.sleep, args=(20,)).start()
    return Plain()


def arguments() -> nn.Module:
    """As wide as there are command line arguments."""
    return Plain(len(sys.argv))

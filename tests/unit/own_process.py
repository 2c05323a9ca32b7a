"""A measurement of memory in an interpreter of its own, as a worker is one.

A process that has done much holds free pages and garbage: new work needs no new pages there, and what others left is
given back in the middle of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SECONDS = 100
"""Time that the interpreter has, with its import of torch."""


def told(module: str, function: str) -> Any:
    """What `tests.unit.MODULE.FUNCTION()` returns there, through JSON. Raises AssertionError with what it printed
    when it raised."""
    code = f"import json\nfrom tests.unit.{module} import {function}\nprint(json.dumps({function}()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])

"""The real supervisor with a worker program of the tests: `supervisor.py worker.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from workbench.supervisor.__main__ import main

PROGRAM = str(Path(__file__).with_name(sys.argv[1]))

main(lambda role, python, isolated: [python or sys.executable, *(["-I"] if isolated else []), PROGRAM, role])

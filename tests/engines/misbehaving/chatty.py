"""A worker whose interpreter prints before the conversation begins, as shell profiles do; then it is a good one."""

import os
import sys
from pathlib import Path

os.write(1, b"Welcome to this machine!\n{}\n" + b"\x02workbench-eng" + b"\n")
os.execv(sys.executable, [sys.executable, str(Path(__file__).with_name("worker.py")), *sys.argv[1:]])

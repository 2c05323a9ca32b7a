"""`python -m tests.benchmarks`."""

from .run import main

main()

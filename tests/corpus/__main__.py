"""`python -m tests.corpus`."""

from .run import main

main()

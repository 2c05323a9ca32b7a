"""`python -m tests.fuzz`."""

from .run import main

main()

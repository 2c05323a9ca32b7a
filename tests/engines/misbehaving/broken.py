"""A worker that cannot start."""

raise ModuleNotFoundError("No module named 'torch'")

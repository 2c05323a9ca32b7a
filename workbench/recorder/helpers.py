"""Functions that `captured.py` may need to make a model's parts again, as texts: they run where it is opened."""

from __future__ import annotations

FILL, METHOD, BARE, PARAMETRIZE = "captured_filled", "captured_method", "captured_bare", "captured_parametrized"

HELPERS = {
    FILL: f'''def {FILL}(function, state):
    """A function that was made again, with what it closed over and its defaults."""
    cells, function.__defaults__, function.__kwdefaults__ = state
    for cell, value in zip(function.__closure__ or (), cells):
        if value is not Ellipsis:
            cell.cell_contents = value
    return function
''',
    METHOD: f'''def {METHOD}(function, owner):
    """A method that its class does not have under its name."""
    return function.__get__(owner)
''',
    BARE: f'''def {BARE}(kind):
    """An object of a class, without its state."""
    return kind.__new__(kind)
''',
    PARAMETRIZE: f'''def {PARAMETRIZE}(module, state):
    """Give a module its state and its parametrizations, of which torch makes a class and properties."""
    from torch.nn.utils import parametrize

    torch.nn.Module.__setstate__(module, state)
    parametrize._inject_new_class(module)
    for name in module.parametrizations:
        parametrize._inject_property(module, name)
''',
}
"""Name → definition."""

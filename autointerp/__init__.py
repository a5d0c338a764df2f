"""How good a dictionary's features really are, and how much of that verdict is a model grading a model."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autointerp.collect.sketch import Sketch
    from autointerp.dictionaries import load_dictionary
    from autointerp.pipeline import run

__all__ = ["Sketch", "load_dictionary", "run"]

_HOMES = {
    "Sketch": "autointerp.collect.sketch",
    "load_dictionary": "autointerp.dictionaries",
    "run": "autointerp.pipeline",
}


def __getattr__(name: str) -> Any:
    # Importing torch and transformers takes seconds, so the command line's help and errors do not wait for them.
    if name not in _HOMES:
        raise AttributeError(f"module 'autointerp' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)

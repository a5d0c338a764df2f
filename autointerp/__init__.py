"""How good a dictionary's features really are, and how much of that verdict is a model grading a model.

    autointerp.load_dictionary(path_or_id)    a Dictionary of any supported format
    autointerp.Sketch(width)                  what is kept of a dictionary's activations, bounded in memory
    autointerp.run("config.toml")             all stages of a config; the finished Run has its tables as DataFrames

A mistake in what was asked raises `autointerp.errors.UserError`, one sentence.
"""

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autointerp.collect.sketch import Sketch
    from autointerp.dictionaries import load_dictionary
    from autointerp.finished import open_run
    from autointerp.history import changes
    from autointerp.pipeline import run

__all__ = ["Sketch", "changes", "load_dictionary", "open_run", "run"]

# A checkout's data folder `datasets/` looks like a package without files when the checkout is on the path, and other
# libraries would take it for the Hugging Face library of that name. None in sys.modules means: there is no such module.
_spec = importlib.util.find_spec("datasets")
if _spec is not None and str(Path(__file__).parent.parent / "datasets") in (_spec.submodule_search_locations or ()):
    sys.modules["datasets"] = None  # type: ignore[assignment]  # Python's own way to say so

_HOMES = {
    "Sketch": "autointerp.collect.sketch",
    "changes": "autointerp.history",
    "load_dictionary": "autointerp.dictionaries",
    "open_run": "autointerp.finished",
    "run": "autointerp.pipeline",
}


def __getattr__(name: str) -> Any:
    # Importing torch and transformers takes seconds, so the command line's help and errors do not wait for them.
    if name not in _HOMES:
        raise AttributeError(f"module 'autointerp' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)

"""Dictionaries: one file per format on disk, detected by what the files hold and never by their name."""

from pathlib import Path

from autointerp import assets
from autointerp.dictionaries import saelens
from autointerp.dictionaries.canonical import Dictionary
from autointerp.errors import UserError

FORMATS = (saelens,)


def load_dictionary(name: str | Path) -> Dictionary:
    """Read a dictionary folder of any supported format into the canonical form; nothing is ever unpickled."""
    path = assets.locate(str(name))
    if path is None:
        raise UserError(f"you asked for the dictionary {str(name)!r}", "there is no such folder", "check the path")
    for form in FORMATS:
        if form.matches(path):
            found: Dictionary = form.load(path)
            return found
    names = sorted(p.name for p in path.iterdir())[:6] if path.is_dir() else ["a single file"]
    raise UserError(
        f"you asked for the dictionary {str(name)!r}",
        f"its files fit no known format ({', '.join(names) or 'an empty folder'})",
        "give a SAELens folder with cfg.json and sae_weights.safetensors",
    )


__all__ = ["Dictionary", "load_dictionary"]

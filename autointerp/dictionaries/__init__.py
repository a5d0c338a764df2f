"""Dictionaries: one file per format on disk, detected by what the files hold and never by their name."""

from pathlib import Path

from autointerp import assets
from autointerp.dictionaries import dictionary_learning, gemma_scope, openai_sae, saelens, saev, sparsify
from autointerp.dictionaries.canonical import Dictionary
from autointerp.errors import UserError

FORMATS = (saelens, sparsify, gemma_scope, saev, openai_sae, dictionary_learning)


def load_dictionary(name: str | Path) -> Dictionary:
    """Read a dictionary, folder or single file, of any supported format; nothing is unpickled but plain tensors."""
    path = assets.locate(str(name))
    if path is None:
        raise UserError(
            f"you asked for the dictionary {str(name)!r}", "there is no such folder or file", "check the path"
        )
    for form in FORMATS:
        if form.matches(path):
            found: Dictionary = form.load(path)
            return found
    names = sorted(p.name for p in path.iterdir())[:6] if path.is_dir() else ["a single file"]
    raise UserError(
        f"you asked for the dictionary {str(name)!r}",
        f"its files fit no known format ({', '.join(names) or 'an empty folder'})",
        "give a folder of SAELens, sparsify, dictionary_learning or Gemma Scope, or a file params.npz, ae.pt or sae.pt",
    )


__all__ = ["Dictionary", "load_dictionary"]

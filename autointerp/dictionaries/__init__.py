"""Dictionaries: one file per format on disk, detected by what the files hold and never by their name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from autointerp.dictionaries import dictionary_learning, gemma_scope, hub, openai_sae, saelens, saev, sparsify, vision
from autointerp.dictionaries.canonical import Dictionary
from autointerp.errors import UserError

FORMATS = (saelens, sparsify, gemma_scope, vision, saev, openai_sae, dictionary_learning)


def load_dictionary(name: str | Path) -> Dictionary:
    """Read a dictionary, folder or single file, of any supported format; nothing is unpickled but plain tensors.

    What is not here is looked for on the Hugging Face hub as `owner/name[@revision][/folder or file]`. Its
    `convention` says how the files were read, and from where they came. Raises UserError where nothing is found, where
    no format fits, where a file cannot be read, and where weights contradict one another or hold NaN or infinity.
    """
    path = hub.find(str(name))
    found: Dictionary = form_of(path, str(name)).load(path)
    source = hub.source(path)
    return replace(found, convention=found.convention | {"source": source}) if source else found


def form_of(path: Path, name: str) -> Any:
    """The module that reads the files at `path`, which a user called `name`; UserError where no format fits them."""
    for form in FORMATS:
        if form.matches(path):
            return form
    names = sorted(p.name for p in path.iterdir())[:6] if path.is_dir() else ["a single file"]
    raise UserError(
        f"you asked for the dictionary {name!r}",
        f"its files fit no known format ({', '.join(names) or 'an empty folder'})",
        "give a folder of SAELens, sparsify, dictionary_learning, Gemma Scope, saev or ViT-Prisma, or its weights",
    )


__all__ = ["Dictionary", "form_of", "load_dictionary"]

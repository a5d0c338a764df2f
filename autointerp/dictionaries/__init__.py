"""Dictionaries: one file per format on disk, detected by what the files hold and never by their name.

Formats of other packages come through the same door as those here (see `format`).
"""

from dataclasses import replace
from pathlib import Path

from autointerp import plugins
from autointerp.dictionaries import hub
from autointerp.dictionaries.canonical import Dictionary
from autointerp.errors import UserError


def load_dictionary(name: str | Path) -> Dictionary:
    """Read a dictionary, folder or single file, of any supported format; nothing is unpickled but plain tensors.

    What is not here is looked for on the Hugging Face hub as `owner/name[@revision][/folder or file]`. Its
    `convention` says how the files were read, and from where they came. Raises UserError where nothing is found, where
    no format fits, where a file cannot be read, and where weights contradict one another or hold NaN or infinity.
    """
    path = hub.find(str(name))
    found: Dictionary = form_of(path, str(name)).made.load(path)
    source = hub.source(path)
    return replace(found, convention=found.convention | {"source": source}) if source else found


def form_of(path: Path, name: str) -> plugins.Plugin:
    """The format of the files at `path`, which a user called `name`; UserError where none fits them, or several do."""
    asked = f"you asked for the dictionary {name!r}"
    plugins.refuse_stale(asked)
    known = [plugins.find(plugins.FORMAT, one) for one in plugins.names(plugins.FORMAT)]
    fitting, unread = [], None
    for form in known:
        try:
            if form.made.matches(path):
                fitting.append(form)
        except UserError as error:  # files that one format cannot look into may be those of another
            unread = unread or error
    if len(fitting) == 1:
        return fitting[0]
    if unread and not fitting:
        raise unread
    if fitting:
        several = " and ".join(f"{form.name} ({form.package})" for form in fitting)
        raise UserError(asked, f"its files fit several formats, {several}", "uninstall what is not meant")
    names = sorted(p.name for p in path.iterdir())[:6] if path.is_dir() else ["a single file"]
    raise UserError(
        asked,
        f"its files fit no known format ({', '.join(names) or 'an empty folder'})",
        f"give a folder, or the weights, of one of {', '.join(form.name for form in known)}",
    )


__all__ = ["Dictionary", "form_of", "load_dictionary"]

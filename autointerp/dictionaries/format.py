"""What a format is: the contract of the entry points `autointerp.formats`, for ours and for a user's.

The least is a module that a package registers as, say, `mine = "mine_format"`:

    def matches(path: Path) -> bool:
        return path.suffix == ".mine"

    def load(path: Path) -> Dictionary:
        raw = torch.load(path, weights_only=True)
        return Dictionary(raw["in"], raw["b"], raw["out"], raw["c"], "relu", convention={"format": "mine"})
"""

from pathlib import Path
from typing import Protocol

from autointerp.dictionaries.canonical import Dictionary


class Format(Protocol):
    """A module, or anything else with these names. Files that two formats know are refused, so `matches` is narrow.

    Of a folder on the hub only files are fetched that are called as those of the formats here.
    """

    def matches(self, path: Path) -> bool:
        """Whether a file or folder is of this format, by what it holds and never by how the dictionary is called."""
        ...

    def load(self, path: Path) -> Dictionary:
        """The dictionary in it, in the one form that all share (see `canonical`). UserError where it is damaged."""
        ...

"""A pickle that does harm when it is read, for tests that it is not."""

from collections.abc import Callable
from pathlib import Path


class Trap:
    """Unpickling this leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)

"""The rooms of the house import in one direction: each knows of those before it alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import autointerp

HOUSE = Path(autointerp.__file__).parent
ROOMS = [
    "errors", "lock", "mirror", "assets", "store", "progress", "records", "plugins", "config", "toml",
    "pictures", "prompt", "rubric", "sheets", "ratings",
    "dictionaries", "subjects", "corpus", "llm", "exhibit", "measure",
    "finished", "history", "job",
    "collect", "evidence", "judge", "explain", "audit", "score", "compare", "causal", "watch",
    "report", "rate",
    "pipeline", "plan", "init", "doctor", "__init__", "cli", "__main__", "testing",
]  # fmt: skip


def room(path: Path) -> str:
    return path.relative_to(HOUSE).with_suffix("").parts[0]


def imported(path: Path) -> Iterator[str]:
    """The rooms that a file imports from, wherever in it, for the type checker alone too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports by a relative name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for package, *inside in (name.split(".") for name in names):
            if package == HOUSE.name:
                yield inside[0] if inside and inside[0] in ROOMS else "__init__"


def test_every_room_has_a_place() -> None:
    assert {room(path) for path in HOUSE.rglob("*.py")} == set(ROOMS)


def test_rooms_import_from_those_before_them() -> None:
    place = {name: at for at, name in enumerate(ROOMS)}
    backwards = {
        f"{path.relative_to(HOUSE)} imports from {other}"
        for path in HOUSE.rglob("*.py")
        for other in imported(path)
        if place[other] > place[room(path)]
    }
    assert not backwards

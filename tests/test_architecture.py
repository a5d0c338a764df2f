"""The rooms of the house import in one direction: each knows of those before it alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

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
REPORT = [
    "frames", "columns", "metrics", "data", "words", "gather", "parts", "sections", "page", "summary", "stage",
    "several", "__init__",
]  # fmt: skip
CONFIG = ["record", "roles", "stages", "limits", "run", "__init__"]
HOUSES = [
    (HOUSE, ROOMS),
    (HOUSE / "report", REPORT),
    (HOUSE / "config", CONFIG),
]  # a room with rooms of its own is a house, too


def room(path: Path, house: Path) -> str:
    return path.relative_to(house).with_suffix("").parts[0]


def imported(path: Path, house: Path, rooms: list[str]) -> Iterator[str]:
    """The rooms of a house that a file imports from, wherever in it, for the type checker alone too."""
    door = house.relative_to(HOUSE.parent).parts
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports by a relative name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for parts in (tuple(name.split(".")) for name in names):
            if parts[: len(door)] == door:
                inside = parts[len(door) :]
                yield inside[0] if inside and inside[0] in rooms else "__init__"


@pytest.mark.parametrize(("house", "rooms"), HOUSES)
def test_every_room_has_a_place(house: Path, rooms: list[str]) -> None:
    assert {room(path, house) for path in house.rglob("*.py")} == set(rooms)


@pytest.mark.parametrize(("house", "rooms"), HOUSES)
def test_rooms_import_from_those_before_them(house: Path, rooms: list[str]) -> None:
    place = {name: at for at, name in enumerate(rooms)}
    backwards = {
        f"{path.relative_to(HOUSE)} imports from {other}"
        for path in house.rglob("*.py")
        for other in imported(path, house, rooms)
        if place[other] > place[room(path, house)]
    }
    assert not backwards


def test_statistics_know_the_nouns_and_nothing_else() -> None:
    known = {other for path in (HOUSE / "measure").rglob("*.py") for other in imported(path, HOUSE, ROOMS)}
    assert known == {"measure", "records"}

"""Lists of concepts: what is read of a folder, and what it cannot be."""

from pathlib import Path

import pytest

from autointerp.corpus import categories
from autointerp.corpus.categories import Category
from autointerp.errors import UserError

TWO = "category,template\nbirds,I saw a {concept}\nbirds,A {concept}\nplaces,In {concept}\nplaces,To {concept}\n"
BIRDS, PLACES = "concept,pseudo\nowl,\nnull,\nblick,yes\n", "concept\nOslo\n"


def folder(path: Path, **files: str) -> str:
    for name, text in {"templates": TWO, "birds": BIRDS, "places": PLACES, **files}.items():
        (path / f"{name}.csv").write_text(text, "utf-8")
    return str(path)


def test_a_folder_of_lists(tmp_path: Path) -> None:
    birds, places = categories.read(folder(tmp_path))
    assert birds == Category("birds", ("owl", "null"), ("blick",), ("I saw a {concept}", "A {concept}"))
    assert birds.words == ("owl", "null", "blick")
    assert (places.concepts, places.pseudo) == (("Oslo",), ())
    assert categories.sentence(places.templates[1], "Oslo") == "To Oslo"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"birds": "name\nowl\n"}, "birds.csv has no column 'concept', but name"),
        ({"birds": "concept\nsnowy owl\n"}, "'snowy owl' in birds is not a single word"),
        ({"birds": "concept\nOslo\n"}, "'Oslo' is in it 2 times"),
        ({"birds": "concept,pseudo\nowl,\nowl,yes\n"}, "'owl' is in it 2 times"),
        ({"fish": "concept\npike\n"}, "templates.csv has 0 templates for fish"),
        ({"templates": TWO.replace("A {concept}", "A {concept} flew")}, "'A {concept} flew' of birds does not end in"),
        ({"templates": TWO.replace("A {", "A {concept} {")}, "'A {concept} {concept}' of birds does not end in"),
        ({"templates": "category\nbirds\n"}, "templates.csv has no column 'template'"),
        ({"birds": ""}, "birds.csv cannot be read"),
    ],
)
def test_lists_that_cannot_be_meant(tmp_path: Path, files: dict[str, str], reason: str) -> None:
    with pytest.raises(UserError) as error:
        categories.read(folder(tmp_path, **files))
    assert reason in str(error.value)


@pytest.mark.parametrize("left_out", [("templates",), ("birds", "places")])
def test_a_folder_needs_templates_and_a_list(tmp_path: Path, left_out: tuple[str, ...]) -> None:
    path = folder(tmp_path)
    for name in left_out:
        (tmp_path / f"{name}.csv").unlink()
    with pytest.raises(UserError, match=r"no folder of lists with a templates\.csv"):
        categories.read(path)


def test_the_shipped_lists() -> None:
    found = {category.name: category for category in categories.read("concepts")}
    assert sorted(found) == ["animals", "cities", "countries", "elements", "foods"]
    for category in found.values():
        assert 100 <= len(category.concepts) <= 200 and len(category.pseudo) == 60
        capital = category.name in ("cities", "countries")
        assert all(word[0].isupper() == capital for word in category.words)
    # Which word is meant does not depend on its case.
    words = [word.lower() for category in found.values() for word in category.words]
    assert len(set(words)) == len(words)

"""The committed example says what a run says today: a table that changes is read by a person before it ships.

What is new beside it (a section, a metric, a column of features) is let pass; `make example` takes it in.
"""

import re
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

import autointerp
from autointerp import sheets

EXAMPLE = Path(__file__).parents[2] / "reports" / "example"
KEYS = {
    "dictionaries": ["dictionary", "metric", "control", "explainer", "scorer"],
    "features": ["dictionary", "feature", "explainer"],
    "scores": ["dictionary", "feature", "metric", "control", "explainer", "scorer"],
    "roles": ["role"],
}
NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?")
MOST_BYTES = 850_000  # half of it is the library that draws charts, packed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the report that the example's config makes now."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOINTERP_CACHE", str(tmp_path_factory.mktemp("cache")))
        return autointerp.run(EXAMPLE / "example.toml", out=tmp_path_factory.mktemp("runs")).report.parent


class Tables(HTMLParser):
    """The rows of every table, as the texts of their cells, by the heading of their section."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: defaultdict[str, list[list[str]]] = defaultdict(list)
        self._section = ""
        self._cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "section":
            self._section = dict(attrs).get("aria-labelledby") or ""
        elif tag == "tr":
            self.rows[self._section].append([])
        elif tag in ("td", "th") and self.rows[self._section]:
            self.rows[self._section][-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.rows[self._section][-1][-1] += f"{data} "


def same_text(one: str, other: str) -> bool:
    """Equal but for numbers, which may differ by one in the last digit that both show, or by a thousandth."""
    if " ".join(NUMBER.sub("0", one).split()) != " ".join(NUMBER.sub("0", other).split()):
        return False
    return all(map(near, NUMBER.findall(one), NUMBER.findall(other)))


def near(one: str, other: str) -> bool:
    digits = min(len(text.partition(".")[2]) for text in (one, other))
    a, b = (float(text.replace(",", "")) for text in (one, other))
    return abs(a - b) <= max(1.001 * 10**-digits if digits else 0, 1e-3 * abs(a))


def test_near() -> None:
    assert same_text("0.31 [0.29, 0.34]", "0.32  [0.29,  0.33]")
    assert not same_text("0.31 [0.29, 0.34]", "0.33 [0.29, 0.34]")
    assert same_text("1,296 scores", "1,297 scores") and not same_text("8 features", "9 features")
    assert not same_text("0.31 B", "0.31 C") and not same_text("0.31", "unscored")


@pytest.mark.parametrize("name", KEYS)
def test_the_files_say_the_same(name: str, today: Path) -> None:
    there, now = (
        sheets.read(folder / f"{name}.csv").fillna({"explainer": "", "scorer": ""}) for folder in (EXAMPLE, today)
    )
    now = now.set_index(KEYS[name])
    there = there.set_index(KEYS[name])
    assert set(there.columns) <= set(now.columns)
    assert not there.index.difference(now.index).size, "rows are gone"
    pd.testing.assert_frame_equal(
        now.loc[there.index, there.columns], there, check_dtype=False, rtol=1e-3, atol=1e-3, obj=f"{name}.csv"
    )


@pytest.mark.parametrize("name", ["index", "audit"])
def test_the_tables_say_the_same(name: str, today: Path) -> None:
    there, now = (Tables((folder / f"{name}.html").read_text("utf-8")).rows for folder in (EXAMPLE, today))
    assert any(there.values())
    for section, rows in there.items():
        assert len(rows) == len(now[section]), f"the tables of {section!r} have other rows: run make example"
        for row, other in zip(rows, now[section], strict=True):
            changed = [(a, b) for a, b in zip(row, other, strict=False) if not same_text(a, b)]
            assert not changed and len(row) == len(other), f"a row of {section!r} changed: run make example"


def test_the_example_is_small() -> None:
    made = [path for path in EXAMPLE.iterdir() if path.suffix in (".html", ".csv", ".toml")]
    assert sum(path.stat().st_size for path in made) < MOST_BYTES

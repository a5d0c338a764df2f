"""What is said and listed of dictionaries held against each other."""

import dataclasses
import re

from autointerp.report.page.html import render
from tests.report.builders import HOSTILE, build, hostile, with_comparison
from tests.report.pages import Page


# dictionaries compared
def test_the_comparison_says_its_numbers() -> None:
    text = Page(render(with_comparison(build()))).text
    assert "Every step splits : a feature has on average 1.80 [1.70, 1.90] of demo-256 in demo-512" in text
    assert "random directions in their place would be 0.02" in text
    assert "of 40 concepts, a dedicated feature exists for 40% [30%, 50%] in demo-256 (3.0% of pseudo-concepts)" in text
    assert "A power law needs at least 4 different sizes, and there are 3." in text
    assert "10^0.25 [0.10, 0.40] occurrences per alive feature. One curve for all sizes: p = 0.3." in text
    assert "the five loudest features miss 25% of 16 in demo-256" in text


def test_a_law_without_bounds_names_no_frequency() -> None:
    report = with_comparison(build())
    assert report.comparison is not None
    laws = report.comparison.laws
    unbounded = laws["quantity"] == "x50"
    laws = laws.assign(low=laws["low"].mask(unbounded), note=laws["note"].mask(unbounded, "It does not rise."))
    text = Page(render(dataclasses.replace(report, comparison=dataclasses.replace(report.comparison, laws=laws)))).text
    assert "no frequency at which half of them are found. It does not rise." in text
    assert "10^0.25" not in text


def test_the_most_absorbed_features_stand_first_with_bounds_and_chance() -> None:
    html = render(with_comparison(build()))
    table = html.split("Which features are most absorbed")[1].split("</table>")[0]
    rows = [re.sub(r"<[^>]+>", " ", row).split() for row in table.split("<tr>")[2:]]
    assert [(row[0], row[1]) for row in rows[:2]] == [("demo-256", "demo-256/1"), ("demo-256", "demo-256/0")]
    assert {"0.60", "[0.20,", "0.70]", "0.05", "101"} <= set(rows[0])
    assert len(rows) == 4  # one that never fires has no share


def test_nothing_is_said_of_a_comparison_that_was_not_made() -> None:
    page = Page(render(build()))
    assert "children by direction" not in page.text
    assert not page.all("canvas")


def test_a_dictionary_without_any_concept_is_said_to_have_none() -> None:
    report = with_comparison(build())
    rows = report.dictionaries["metric"] == "completeness.search"
    frame = report.dictionaries.assign(value=report.dictionaries["value"].mask(rows, 0.0))
    text = Page(render(dataclasses.replace(report, dictionaries=frame))).text
    assert "No concept has a feature of its own" in text


def test_a_tree_holds_every_descendant_below_its_parent() -> None:
    html = render(with_comparison(build()))
    tree = html.split('<ul class="tree">')[1].split("</details>")[0]
    names = re.findall(r"<bdi>(demo-\d+/\d+)</bdi>", tree)
    assert names == [
        "demo-256/1",
        "demo-512/2",
        "demo-1024/4",
        "demo-1024/5",
        "demo-512/3",
        "demo-1024/6",
        "demo-1024/7",
    ]
    assert tree.count("<ul>") == 3
    assert tree.count('class="told"') == 7


def test_every_number_of_a_comparison_has_a_definition() -> None:
    text = Page(render(with_comparison(build()))).text
    assert "No definition is recorded" not in text
    assert "Mean detection.ap of this dictionary less that of the one named as control" in text


def test_hostile_names_in_a_comparison_stay_text() -> None:
    page = Page(render(with_comparison(hostile(), text=HOSTILE)))
    assert not page.all("img")
    assert len(page.all("script")) == len([name for name in page.all("script") if name.get("id")]) + 1
    assert "onerror" in page.text

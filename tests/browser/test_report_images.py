"""Feature pages of a run on pictures, in a real Chromium: each patch of a heat map lies on the patch that fires."""

import io
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Browser

from autointerp import pictures
from autointerp.records import Grid
from autointerp.report.data import FeatureEvidence, Passage
from autointerp.report.page.html import render
from tests.browser.test_report import Opened, browser, opened
from tests.report.builders import HOSTILE, build

__all__ = ["browser"]
pytestmark = pytest.mark.browser
ROWS, COLUMNS = 2, 3
FIRING = {0: 4.0, 5: 1.0}  # patch and activation: the upper left and the lower right one


def picture() -> bytes:
    """Six cells of six colours, as a thumbnail."""
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255)]
    small = Image.new("RGB", (COLUMNS, ROWS))
    small.putdata(colours)
    target = io.BytesIO()
    small.resize((COLUMNS * 30, ROWS * 30), Image.Resampling.NEAREST).save(target, "PNG")
    return pictures.thumbnail(target.getvalue())


def passage(stratum: str, start: int, label: str, words: tuple[str, ...] = ()) -> Passage:
    """`start` special positions, the patches, then words, of which the last one fires."""
    n = start + ROWS * COLUMNS + len(words)
    activations = [0.0] * n
    if stratum.startswith("bin"):
        for patch, value in FIRING.items():
            activations[start + patch] = value
        if words:
            activations[-1] = 2.0
    pieces = ("",) * (start + ROWS * COLUMNS) + words
    return Passage(stratum, 0.0, 4.0, pieces, tuple(activations), Grid(start, ROWS, COLUMNS), 77, label)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    report = build(features=3)
    key = next(iter(report.evidence))
    shown = FeatureEvidence(
        (
            passage("bin4", 1, "a cat & a dog"),
            passage("bin3", 0, HOSTILE[0], (" two", " words")),
            passage("random", 1, ""),
        ),
        concept="animals",
        home="de",
    )
    forms = [("auroc.de", "none", 0.9), ("auroc.en", "none", 0.7), ("fire_rate.en", "distractors", 0.1)]
    blank = {"explainer": "", "scorer": "", "rubric": "", "low": None, "high": None, "n": 9, "unscored": 0}
    rows = [
        {**blank, "dictionary": key[0], "feature": key[1], "metric": f"generalisation.{metric}", "control": control,
         "value": value, "unscored_reason": "", "circularity": "A"}
        for metric, control, value in forms
    ]  # fmt: skip
    scores = pd.concat([report.scores, pd.DataFrame(rows)], ignore_index=True)[report.scores.columns]
    report = replace(report, evidence={**report.evidence, key: shown}, pictures={77: picture()}, scores=scores)
    path = tmp_path_factory.mktemp("images") / "report.html"
    path.write_text(render(report), "utf-8")
    return f"{path.as_uri()}#feature={key[0]}/{key[1]}"


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Opened]:
    """The page must neither complain nor ask the network for anything: `opened` checks that at its end."""
    file, _, fragment = address.partition("#")
    for found in opened(browser, file):
        found.go(f"#{fragment}")
        yield found


def test_a_picture_is_shown_whole_with_its_label(page: Opened) -> None:
    figures = page.tab.locator("figure.seen")
    assert figures.count() == 3
    page.tab.wait_for_function("[...document.querySelectorAll('.seen img')].every((image) => image.naturalWidth > 0)")
    sizes = page.tab.eval_on_selector_all(".seen img", "all => all.map((one) => [one.naturalWidth, one.naturalHeight])")
    assert sizes == [[COLUMNS * 30, ROWS * 30]] * 3
    captions = page.tab.locator("figure.seen figcaption bdi").all_inner_texts()
    assert captions[0] == "a cat & a dog" and captions[1].split() == HOSTILE[0].split()


def test_each_patch_of_the_heat_map_lies_on_its_place_in_the_picture(page: Opened) -> None:
    found = page.tab.eval_on_selector_all(
        ".seen:first-of-type .heat rect",
        """all => all.map((cell) => {
          const image = cell.closest('.frame').querySelector('img');
          const [inner, outer] = [cell.getBoundingClientRect(), image.getBoundingClientRect()];
          return [(inner.x - outer.x) / outer.width, (inner.y - outer.y) / outer.height, inner.width / outer.width,
            inner.height / outer.height, Number(cell.getAttribute('fill-opacity'))];
        })""",
    )[:2]
    (left, top, width, height, strong), (right, bottom, _, _, weak) = found
    assert (left, top, width, height) == pytest.approx((0, 0, 1 / COLUMNS, 1 / ROWS), abs=0.02)
    assert (right, bottom) == pytest.approx((2 / 3, 1 / 2), abs=0.02)
    assert strong > weak > 0
    titles = page.tab.locator(".seen:first-of-type .heat title").all_text_contents()[:2]
    assert titles == ["activation 4.0", "activation 1.0"]


def test_a_silent_picture_has_no_heat_and_text_beside_a_picture_keeps_its_own(page: Opened) -> None:
    silent = page.tab.locator("figure.seen").nth(2)
    assert silent.locator(".heat rect").count() == 0
    beside = page.tab.locator("figure.seen").nth(1)
    assert beside.locator(".heat rect").count() == 2
    assert beside.locator(".passage .token.fires").all_inner_texts() == ["words"]


def test_the_concept_of_a_feature_is_shown_form_by_form(page: Opened) -> None:
    table = page.tab.locator("table.forms")
    rows = [row.split() for row in table.locator("tbody tr").all_inner_texts()]
    assert [row[0] for row in rows] == ["de", "en"]  # the best known first
    assert "found here" in table.locator("tbody tr").first.inner_text()
    assert rows[1][-3:] == ["0.70", "–", "0.10"]
    listed = page.tab.locator("h2:has-text('All scores') + div").inner_text()
    assert "generalisation.auroc.de" not in listed

"""Charts in a real Chromium: drawn live under the page's policy, told by mouse and keyboard, in every light."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator

from autointerp.report.page.html import render
from tests.browser.test_report import Opened, browser, opened
from tests.report.builders import HOSTILE, build, with_comparison
from tests.report.parts.test_charts import EXPRESSION, named

__all__ = ["browser"]
pytestmark = pytest.mark.browser
DETECTION = "#chart-detection .chart"
MARKS = f"{DETECTION} .role-mark.mark-symbol path"
FILL = "mark => getComputedStyle(mark).fill"


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("charts")
    made = {"plain": with_comparison(build()), "expression": named(EXPRESSION), "markup": named(HOSTILE)}
    for name, report in made.items():
        (folder / f"{name}.html").write_text(render(report), "utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in made}


@pytest.fixture
def plain(browser: Browser, addresses: dict[str, str]) -> Iterator[Opened]:
    """What it said or asked for is looked at in the end: a word about its policy would be a complaint."""
    yield from opened(browser, addresses["plain"])


@pytest.fixture(params=["expression", "markup"])
def hostile(browser: Browser, addresses: dict[str, str], request: pytest.FixtureRequest) -> Iterator[Opened]:
    yield from opened(browser, addresses[request.param])


def drawn(found: Opened, chart: str = DETECTION) -> Locator:
    """A chart once the library has drawn it where its picture was."""
    found.tab.locator(chart).scroll_into_view_if_needed()
    found.tab.wait_for_selector(f"{chart}[data-drawn=yes]")
    return found.tab.locator(chart)


def test_a_chart_is_drawn_where_its_picture_was(plain: Opened) -> None:
    plain.tab.set_viewport_size({"width": 1240, "height": 300})
    plain.go()
    assert plain.tab.locator(f"{DETECTION}:not([data-drawn])").count() == 1  # far below the first screen
    before = plain.tab.locator(MARKS).evaluate_all("all => all.map(mark => mark.getAttribute('transform'))")
    drawn(plain)
    after = plain.tab.locator(MARKS).evaluate_all("all => all.map(mark => mark.getAttribute('transform'))")
    assert len(after) == len(before) == 6
    place = [[float(x) for x in text[10:-1].split(",")] for text in (*before, *after)]
    for old, new in zip(place[:6], place[6:], strict=True):
        assert new == pytest.approx(old, abs=3)


def test_a_mark_tells_interval_n_and_grade_to_the_mouse(plain: Opened) -> None:
    plain.go()
    drawn(plain)
    plain.tab.locator(MARKS).first.hover()
    lines = plain.tab.locator("#tip div").all_inner_texts()
    for line in ("dictionary demo-256", "value 0.61", "interval [0.56, 0.66]", "n 97", "unscored 3", "control none",
                 "arm lexical → minilm", "grade B"):  # fmt: skip
        assert line in lines
    plain.tab.mouse.move(5, 5)
    assert plain.tab.locator("#tip").is_hidden()


def test_arrow_keys_walk_through_the_marks(plain: Opened) -> None:
    plain.go()
    drawn(plain).focus()
    told = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft"):
        plain.tab.keyboard.press(key)
        assert plain.tab.locator("#tip").is_visible() and plain.tab.get_attribute("#tip", "role") == "status"
        told.append(plain.tab.locator("#tip div").all_inner_texts())
    assert "dictionary demo-256" in told[0] and "dictionary demo-512" in told[1]
    assert told[2] == told[0]
    assert "dictionary demo-1024" in told[3] and "control shuffled" in told[3]  # round to the last one
    plain.tab.keyboard.press("Escape")
    assert plain.tab.locator("#tip").is_hidden()
    plain.tab.keyboard.press("ArrowRight")
    plain.tab.keyboard.press("Tab")
    assert plain.tab.locator("#tip").is_hidden()
    assert plain.tab.evaluate("() => document.activeElement.textContent") == "its numbers"


def test_the_numbers_of_a_chart_stand_in_a_table(plain: Opened) -> None:
    plain.go()
    plain.tab.focus("#chart-detection summary")
    plain.tab.keyboard.press("Enter")
    rows = plain.tab.locator("#chart-detection tbody tr").all_inner_texts()
    assert len(rows) == 6
    assert rows[0].split("\t")[:4] == ["demo-256", "0.61", "[0.56, 0.66]", "97"]


def test_dark_and_light_and_print_colour_a_chart(plain: Opened) -> None:
    plain.go()
    drawn(plain)
    mark = plain.tab.locator(MARKS).first
    light = mark.evaluate(FILL)
    plain.tab.click("#theme")
    dark = mark.evaluate(FILL)
    assert dark != light
    plain.tab.emulate_media(media="print")
    assert mark.evaluate(FILL) == light
    plain.tab.emulate_media(media="screen")
    assert mark.evaluate(FILL) == dark


def test_every_chart_is_drawn_in_the_end(plain: Opened) -> None:
    plain.go()
    charts = plain.tab.locator(".chart")
    assert charts.count() == 14
    for at in range(charts.count()):
        charts.nth(at).scroll_into_view_if_needed()
    plain.tab.wait_for_function("document.querySelectorAll('.chart[data-drawn]').length === 14")


def test_a_link_leads_to_a_chart(plain: Opened) -> None:
    plain.go("#chart-never-fired")
    assert plain.tab.evaluate("() => document.getElementById('chart-never-fired').getBoundingClientRect().top") < 60
    plain.go()
    plain.tab.click("#list tbody a >> nth=0")  # far below the chart
    plain.tab.wait_for_selector("#feature h1")
    plain.tab.evaluate("() => { location.hash = '#chart-detection'; }")
    plain.tab.wait_for_selector("#report:not([hidden])")
    assert abs(plain.tab.evaluate("() => document.getElementById('chart-detection').getBoundingClientRect().top")) < 60


def test_hostile_names_are_told_as_they_are_and_run_nothing(hostile: Opened) -> None:
    name = EXPRESSION if "expression" in hostile.address else HOSTILE.replace("\u202e", "\ufffd")
    hostile.go()
    charts = hostile.tab.locator(".chart")
    for at in range(charts.count()):
        charts.nth(at).scroll_into_view_if_needed()
    hostile.tab.wait_for_function("document.querySelectorAll('.chart:not([data-drawn])').length === 0")
    drawn(hostile).focus()
    hostile.tab.keyboard.press("ArrowRight")
    assert f"dictionary {name}" in hostile.tab.locator("#tip div").first.inner_text()
    assert hostile.tab.locator("#tip *:not(div, span, bdi), .chart img, .chart script, .chart a").count() == 0
    assert hostile.tab.locator(".chart text", has_text=name[:5]).count() >= 1


def test_without_script_the_pictures_stand_there(browser: Browser, addresses: dict[str, str]) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(addresses["plain"])
    assert tab.locator(MARKS).count() == 6
    box = tab.locator(f"{DETECTION} svg").bounding_box()
    assert box is not None and box["width"] > 200 and box["height"] > 100
    context.close()


def test_nothing_may_be_made_into_code(plain: Opened) -> None:
    plain.go()
    drawn(plain)
    refused = plain.tab.evaluate(
        "() => { const script = document.createElement('script'); script.textContent = 'window.ran = 1';"
        " document.head.append(script); return window.ran === undefined; }"
    )
    assert refused
    assert plain.complaints  # the browser says so
    plain.complaints.clear()


def test_a_page_without_charts_has_no_library(browser: Browser, tmp_path: Path) -> None:
    text = render(dataclasses.replace(build((1024,)), densities={}))
    (tmp_path / "one.html").write_text(text, "utf-8")
    assert len(text) < 300_000 and 'id="library"' not in text
    for found in opened(browser, (tmp_path / "one.html").as_uri()):
        found.go()
        assert found.tab.locator(".chart").count() == 0

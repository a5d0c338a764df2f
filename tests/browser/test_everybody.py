"""The pages for everybody: axe finds nothing serious, a phone shows them whole, and they print."""

import re
import zlib
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from autointerp.report.page.html import render, render_audit
from tests.browser.test_report import Opened, browser, opened
from tests.report.builders import build, with_comparison, with_control
from tests.report.sections.test_causal import report_of, steered

__all__ = ["browser"]
pytestmark = pytest.mark.browser
WORSE = ("serious", "critical")
PAGES = [
    ("compared", ""), ("compared", "#feature=demo-256/7"), ("controls", ""), ("causal", ""), ("audit", ""),
]  # fmt: skip
NIGHT = (b".0784 .0902 .1098", b".5098 .7176 .902", b".4575 .6179 .8425")  # paper, marks, the map's first hue


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("everybody")
    compared = with_comparison(build(features=20))
    made = {
        "compared": render(compared),
        "controls": render(with_control(build(), "pca", "demo-512", 0.66)),
        "causal": render(report_of(steered(0.3, 0.2))),
        "audit": render_audit(compared),
    }
    for name, text in made.items():
        (folder / f"{name}.html").write_text(text, "utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in made}


@pytest.fixture(params=PAGES, ids=lambda page: "".join(page))
def page(browser: Browser, addresses: dict[str, str], request: pytest.FixtureRequest) -> Iterator[Opened]:
    name, fragment = request.param
    for found in opened(browser, addresses[name]):
        found.tab.goto(addresses[name] + fragment)
        if name != "audit":  # it runs no script
            found.tab.wait_for_selector("html[data-ready=yes]")
        for chart in found.tab.locator(".chart:visible").all():
            chart.scroll_into_view_if_needed()
        yield found


@pytest.mark.parametrize("light", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Opened, light: str) -> None:
    page.tab.emulate_media(color_scheme="dark" if light == "dark" else "light")
    found = Axe().run(page.tab).response["violations"]
    assert not [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in WORSE]


def test_a_phone_shows_the_page_whole(page: Opened) -> None:
    page.tab.set_viewport_size({"width": 390, "height": 800})
    assert page.tab.evaluate("() => document.documentElement.scrollWidth") <= 390


@pytest.fixture
def printed(browser: Browser, addresses: dict[str, str]) -> Iterator[Opened]:
    """A page that was switched to dark by hand."""
    for found in opened(browser, addresses["compared"]):
        found.go()
        found.tab.click("#theme")
        yield found


def test_a_dark_page_prints_on_white_and_whole(printed: Opened) -> None:
    wanted = [text.strip() for text in printed.tab.locator("#report h2").all_text_contents()]
    file = printed.tab.pdf(prefer_css_page_size=True, print_background=True, outline=True, tagged=True)
    streams = []
    for found in re.finditer(rb"stream\r?\n(.*?)endstream", file, re.DOTALL):
        try:
            streams.append(zlib.decompress(found[1]))
        except zlib.error:
            continue  # a picture or a font
    assert streams and not any(colour + b" rg" in stream for stream in streams for colour in NIGHT)
    outline = {title.decode("latin-1") for title in re.findall(rb"/Title \(([^)]*)\)", file)}
    assert {text for text in wanted if text.isascii() and "(" not in text and "  " not in text} <= outline
    assert "Features" in outline and "Methods and limits" in outline
    sides = {tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox \[([^\]]*)\]", file)}
    ((_, _, width, height),) = sides
    assert width > height  # tables are wide
    assert 3 < len(re.findall(rb"/Type\s*/Page\b", file)) < 40


def test_details_are_printed_open_and_controls_left_out(printed: Opened) -> None:
    hidden = printed.tab.locator("details:not(.told):not([open]) table").first
    assert not hidden.is_visible()
    printed.tab.emulate_media(media="print")
    assert hidden.evaluate("node => node.getBoundingClientRect().height") > 50
    for control in ("#theme", "#filters", "#more", "#map-form", "a.skip"):
        assert printed.tab.locator(control).is_hidden()
    assert printed.tab.locator(".told:visible").count() == 0
    assert printed.tab.locator(".chart svg").first.is_visible()

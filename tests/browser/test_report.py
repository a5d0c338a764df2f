"""The report in a real Chromium: it works, stays quiet, asks the network for nothing, and hostile text stays text."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, sync_playwright
from playwright.sync_api import Page as Tab

from autointerp.report.page.html import render
from tests.report.builders import HOSTILE, build, hostile, with_comparison, with_control

pytestmark = pytest.mark.browser
CHROMIUM = Path("/usr/bin/chromium")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync",
    "--disable-component-update", "--disable-quic",
)  # fmt: skip


@dataclass
class Opened:
    """A report in a tab, with everything it said or asked for."""

    tab: Tab
    address: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def go(self, fragment: str = "") -> None:
        self.tab.goto("about:blank")  # a change of fragment alone would not load the page
        self.tab.goto(self.address + fragment)
        self.tab.wait_for_selector("html[data-ready=yes]")

    def rows(self) -> list[str]:
        return self.tab.locator("#list tbody tr").all_inner_texts()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.fail(f"The browser tests need Chromium at {CHROMIUM}, but there is none: install the chromium package.")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(QUIET))
        yield found
        found.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("report")
    made = {
        "plain": build(features=60),
        "hostile": hostile(),
        "compared": with_comparison(build(features=20)),
        "hostile map": with_comparison(hostile(), text=HOSTILE),
        "controls": with_control(build(), "pca", "demo-512", 0.66),
    }
    for name, report in made.items():
        (folder / f"{name}.html").write_text(render(report), "utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in made}


def refuse(dialog: Dialog, found: Opened) -> None:
    found.complaints.append(dialog.message)
    dialog.dismiss()


def opened(browser: Browser, address: str) -> Iterator[Opened]:
    context = browser.new_context(viewport={"width": 1240, "height": 900}, color_scheme="light")
    found = Opened(context.new_page(), address)
    found.tab.on("console", lambda message: found.complaints.append(message.text))
    found.tab.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.tab.on("dialog", lambda dialog: refuse(dialog, found))
    found.tab.on("request", lambda request: found.requests.append(request.url))
    yield found
    asked = [url for url in found.requests if not url.startswith((address, "about:", "data:", "blob:"))]
    context.close()
    assert not found.complaints
    assert not asked


@pytest.fixture
def plain(browser: Browser, pages: dict[str, str]) -> Iterator[Opened]:
    yield from opened(browser, pages["plain"])


@pytest.fixture
def controlled(browser: Browser, pages: dict[str, str]) -> Iterator[Opened]:
    yield from opened(browser, pages["controls"])


@pytest.fixture
def compared(browser: Browser, pages: dict[str, str]) -> Iterator[Opened]:
    yield from opened(browser, pages["compared"])


@pytest.fixture
def nasty_map(browser: Browser, pages: dict[str, str]) -> Iterator[Opened]:
    yield from opened(browser, pages["hostile map"])


@pytest.fixture
def nasty(browser: Browser, pages: dict[str, str]) -> Iterator[Opened]:
    yield from opened(browser, pages["hostile"])


def test_first_screen(plain: Opened) -> None:
    plain.go()
    assert plain.tab.locator("h1").first.inner_text() == "demo-text"
    assert "Explanations predict" in plain.tab.locator(".lead").inner_text()
    assert plain.tab.locator("#who ~ .chains .grade-E").is_visible()
    assert len(plain.rows()) == 50


def test_nothing_is_wider_than_a_phone(plain: Opened) -> None:
    plain.tab.set_viewport_size({"width": 390, "height": 800})
    for fragment in ("", "#feature=demo-256/7"):
        plain.go(fragment)
        assert plain.tab.evaluate("() => document.documentElement.scrollWidth") <= 390


def test_a_control_is_marked_in_the_table_the_list_and_on_its_features(controlled: Opened) -> None:
    mark = "control: random directions, held against demo-512"
    controlled.go()
    row = "[data-dictionary=pca] th"
    assert [line.strip() for line in controlled.tab.locator(row).inner_text().splitlines()][:2] == [
        "pca",
        "512 features",
    ]
    assert mark in controlled.tab.locator(row).inner_text()
    sentence = controlled.tab.locator("header").get_by_text("not measurably better than those of its control")
    box = sentence.bounding_box()
    assert box is not None and box["y"] + box["height"] < 900  # the first screen
    controlled.tab.select_option("#by-dictionary", "pca")
    assert all(row.split("\t")[0].strip().endswith("control") for row in controlled.rows())
    controlled.tab.select_option("#by-dictionary", "demo-512")
    assert not any("control" in row for row in controlled.rows())
    controlled.go("#feature=pca/1")
    assert mark in controlled.tab.inner_text("#feature")
    controlled.go("#feature=demo-512/1")
    assert "held against" not in controlled.tab.inner_text("#feature")


def test_controls_fit_a_screen_and_a_phone(controlled: Opened) -> None:
    for width in (1240, 390):
        controlled.tab.set_viewport_size({"width": width, "height": 800})
        for fragment in ("", "#feature=pca/7"):
            controlled.go(fragment)
            assert controlled.tab.evaluate("() => document.documentElement.scrollWidth") <= width


def test_search_by_words_and_by_number(plain: Opened) -> None:
    plain.go()
    plain.tab.fill("#search", "harbour")
    assert plain.rows()
    assert all("harbour" in row for row in plain.rows())
    plain.tab.fill("#search", "17")
    assert [row.split("\t")[0].strip() for row in plain.rows()] == [
        f"demo-{w}/17" for w in (256, 512, 1024) for _ in range(2)
    ]
    plain.tab.fill("#search", "no such words")
    assert plain.rows() == []
    assert plain.tab.inner_text("#found").startswith("0 of ")


def test_filters(plain: Opened) -> None:
    plain.go()
    plain.tab.select_option("#by-dictionary", "demo-512")
    plain.tab.select_option("#by-explainer", "self")
    assert all(row.startswith("demo-512/") and "self" in row for row in plain.rows())
    plain.tab.select_option("#by-state", "unscored")
    assert len(plain.rows()) == 6  # features 3, 13, … 53
    assert all("too few firings in the score documents" in row for row in plain.rows())
    plain.tab.select_option("#by-explainer", "")
    plain.tab.select_option("#by-state", "dead")
    assert [row.split("\t")[0].strip() for row in plain.rows()] == ["demo-512/60"]
    plain.tab.select_option("#by-state", "")
    plain.tab.select_option("#by-grade", "E")
    assert plain.tab.locator("#list tbody .grade-B").count() == 0


def test_rows_below_a_score_or_a_margin_can_be_left_out(plain: Opened) -> None:
    plain.go()

    def cells(column: int) -> list[str]:
        return plain.tab.locator(f"#list tbody tr td:nth-child({column})").all_inner_texts()

    plain.tab.select_option("#by-dictionary", "demo-512")
    plain.tab.select_option("#by-explainer", "lexical")
    everything = plain.tab.inner_text("#found")
    plain.tab.fill("#least-score", "0.6")
    above = cells(5)
    assert above and all(re_number(value) and float(value) >= 0.6 for value in above)
    assert plain.tab.inner_text("#found") != everything
    plain.tab.fill("#least-score", "")
    assert plain.tab.inner_text("#found") == everything
    plain.tab.click("[data-sort=margin]")
    margins = [float(value.replace("\u2212", "-")) for value in cells(7) if value]
    assert margins == sorted(margins, reverse=True) and margins[0] > margins[-1]
    middle = margins[len(margins) // 2]
    plain.tab.fill("#least-margin", str(middle - 0.005))
    kept = cells(7)
    assert kept and all(value and float(value.replace("\u2212", "-")) >= middle - 0.01 for value in kept)
    assert len(kept) < len(margins)


def test_sort_puts_the_unscored_last_both_ways(plain: Opened) -> None:
    plain.go()
    plain.tab.select_option("#by-dictionary", "demo-256")
    plain.tab.click("#more")
    plain.tab.click("#more")
    for direction in ("descending", "ascending"):
        plain.tab.click("[data-sort=value]")
        plain.tab.click("#more")
        plain.tab.click("#more")
        values = plain.tab.locator("#list tbody tr td:nth-child(5)").all_inner_texts()
        scored = [float(value) for value in values if re_number(value)]
        assert scored == sorted(scored, reverse=direction == "descending")
        assert not any(re_number(value) for value in values[len(scored) :])
        assert plain.tab.get_attribute("th:has([data-sort=value])", "aria-sort") == direction


def re_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def test_another_score_can_be_shown(plain: Opened) -> None:
    plain.go()
    plain.tab.select_option("#metric", "probe.ap")
    assert plain.tab.locator("#list tbody tr").first.locator(".grade-A").count() == 1


def test_open_a_feature_and_come_back(plain: Opened) -> None:
    plain.go()
    plain.tab.click("#list tbody a >> nth=2")
    plain.tab.wait_for_selector("#feature h1")
    assert plain.tab.inner_text("#feature h1") == "Feature 1"
    assert plain.tab.url.endswith("#feature=demo-256/1")
    assert plain.tab.is_hidden("#report")
    plain.tab.click("a[rel=next]")
    plain.tab.wait_for_function("() => document.querySelector('#feature h1').textContent === 'Feature 2'")
    plain.tab.go_back()
    plain.tab.go_back()
    plain.tab.wait_for_selector("#report:not([hidden])")
    assert plain.tab.is_hidden("#feature")


def test_deep_link_shows_scores_evidence_and_histogram(plain: Opened) -> None:
    plain.go("#feature=demo-1024/7")
    text = plain.tab.inner_text("#feature")
    assert "of 1,024, demo-1024" in text
    for words in (
        "detection.ap",
        "detection.ap permuted",
        "lexical_floor.ap",
        "7.4 – 9.2",
        "silent, though near",
        "How strongly, how often",
    ):
        assert words in text
    assert plain.tab.locator("#feature .token.fires").count() >= 5
    assert plain.tab.locator("#feature .histogram rect").count() > 5
    assert plain.tab.locator("#feature .grade-B").count() >= 2
    token = plain.tab.locator("#feature .token.fires").first
    assert float(token.get_attribute("data-value") or "nan") > 0
    assert token.evaluate("node => getComputedStyle(node).backgroundColor") != "rgba(0, 0, 0, 0)"


def test_deep_link_to_the_unscored_the_dead_and_the_unknown(plain: Opened) -> None:
    plain.go("#feature=demo-256/3")
    assert "too few firings in the score documents" in plain.tab.inner_text("#feature")
    plain.go("#feature=demo-256/60")
    assert "never fired in 431 documents" in plain.tab.inner_text("#feature")
    plain.go("#feature=demo-256/99999")
    assert "No feature 99999" in plain.tab.inner_text("#feature")
    plain.go("#feature=%E0%A4%A/1")
    assert "No feature 1" in plain.tab.inner_text("#feature")


def test_dark_and_light(plain: Opened) -> None:
    plain.go()
    colour = "() => getComputedStyle(document.body).backgroundColor"
    before = plain.tab.evaluate(colour)
    plain.tab.click("#theme")
    assert plain.tab.evaluate(colour) != before
    assert plain.tab.get_attribute("#theme", "aria-pressed") == "true"
    plain.tab.click("#theme")
    assert plain.tab.evaluate(colour) == before


def test_by_keyboard_alone(plain: Opened) -> None:
    plain.go()
    plain.tab.focus("#list tbody a")
    plain.tab.keyboard.press("Enter")
    plain.tab.wait_for_selector("#feature h1")
    assert plain.tab.evaluate("() => document.activeElement.tagName") == "H1"
    plain.tab.focus("#feature .passage")
    shown = "() => getComputedStyle(document.querySelector('#feature .token.fires'), '::after').display"
    assert plain.tab.evaluate(shown) == "block"


def test_hostile_text_stays_text(nasty: Opened) -> None:
    nasty.go()
    visible = HOSTILE.replace("\u202e", "\ufffd")
    assert nasty.tab.inner_text("h1 >> nth=0") == visible
    assert visible in nasty.tab.inner_text("#list tbody tr >> nth=0")
    assert "hand-picked" in nasty.tab.inner_text("#list tbody tr >> nth=0")
    nasty.tab.click("#list tbody a >> nth=0")
    nasty.tab.wait_for_selector("#feature h1")
    text = nasty.tab.inner_text("#feature")
    assert visible in text
    assert "<b>bold</b>" in text
    assert "hand-picked" in text
    assert nasty.tab.locator("img, b:has-text('bold')").count() == 0
    assert nasty.tab.locator("script:not([type])").count() == 1
    nasty.go("#feature=pca/1")
    assert f"control: {visible}, held against demo-512" in nasty.tab.inner_text("#feature")


def test_a_feature_page_says_where_it_stands_among_those_that_were_drawn(plain: Opened) -> None:
    frame = build(features=60).features
    own = frame[(frame["dictionary"] == "demo-1024") & frame["detection.ap"].notna()]
    first = own[own["feature"] == 7].iloc[0]
    others = own[(own["explainer"] == first["explainer"]) & (own["scorer"] == first["scorer"]) & (own["feature"] != 7)]
    below = (others["detection.ap"] < first["detection.ap"]).mean() + (
        others["detection.ap"] == first["detection.ap"]
    ).mean() / 2
    plain.go("#feature=demo-1024/7")
    said = plain.tab.locator(".standing").inner_text()
    shown = f"{100 * below:.0f}%" if below >= 0.1 or not below else f"{100 * below:.1f}%"
    assert said == f"Its detection is higher than that of {shown} of {len(others)} other features drawn by seed."


# the map


def ink(found: Opened) -> int:
    """How many pixels of the map are painted."""
    return int(
        found.tab.evaluate(
            "() => { const c = document.getElementById('map');"
            " return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((_, i) => i % 4 === 3)"
            ".filter((alpha) => alpha > 0).length; }"
        )
    )


def picture(found: Opened) -> str:
    return str(found.tab.evaluate("() => document.getElementById('map').toDataURL()"))


def found_place(found: Opened, words: str) -> tuple[float, float]:
    """Where on the screen the one feature lies that a search finds: the middle of the opaque pixels."""
    found.tab.fill("#map-search", words)
    x, y = found.tab.evaluate(
        "() => { const c = document.getElementById('map'), box = c.getBoundingClientRect();"
        " const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let [x, y, n] = [0, 0, 0];"
        " for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 250) {"
        " x += (i / 4) % c.width; y += Math.floor(i / 4 / c.width); n += 1; }"
        " return [box.x + x / n * box.width / c.width, box.y + y / n * box.height / c.height]; }"
    )
    return float(x), float(y)


def test_the_map_is_moved_and_zoomed(compared: Opened) -> None:
    compared.go()
    compared.tab.locator("#map").scroll_into_view_if_needed()
    assert "90 of 90 features on the map" in compared.tab.inner_text("#map-found")
    whole = picture(compared)
    assert ink(compared) > 300
    compared.tab.click("#map-in")
    zoomed = picture(compared)
    assert zoomed != whole
    compared.tab.click("#map-whole")
    assert picture(compared) == whole
    box = compared.tab.locator("#map").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    compared.tab.mouse.move(x, y)
    compared.tab.mouse.wheel(0, -300)
    compared.tab.wait_for_function("(before) => document.getElementById('map').toDataURL() !== before", arg=whole)
    compared.tab.click("#map-whole")
    compared.tab.mouse.move(x, y)
    compared.tab.mouse.down()
    compared.tab.mouse.move(x + 80, y + 30, steps=4)
    compared.tab.mouse.up()
    assert picture(compared) != whole
    assert compared.tab.evaluate("() => location.hash") == ""  # a drag opens nothing
    compared.tab.focus("#map")
    compared.tab.keyboard.press("+")
    compared.tab.keyboard.press("ArrowLeft")
    assert picture(compared) not in (whole, zoomed)


def test_a_feature_is_found_on_the_map_and_opened(compared: Opened) -> None:
    compared.go()
    compared.tab.fill("#map-search", "harbour")
    listed = compared.tab.locator("#map-list li").all_inner_texts()
    assert listed
    assert all("harbour" in text for text in listed)
    compared.tab.locator("#map").scroll_into_view_if_needed()
    compared.tab.mouse.click(*found_place(compared, "demo-512/7"))
    compared.tab.wait_for_selector("#feature:not([hidden])")
    assert compared.tab.inner_text("#feature h1") == "Feature 7"
    assert "demo-512" in compared.tab.inner_text("#feature .subtitle")


def test_a_feature_that_was_not_evaluated_is_named_and_opens_nothing(compared: Opened) -> None:
    compared.go()
    compared.tab.locator("#map").scroll_into_view_if_needed()
    compared.tab.mouse.click(*found_place(compared, "demo-512/25"))
    assert "not evaluated" in compared.tab.inner_text("#map-list")
    assert compared.tab.locator("#feature").is_hidden()


def test_neighbours_stand_on_feature_pages_with_links(compared: Opened) -> None:
    compared.go("#feature=demo-256/1")
    rows = compared.tab.locator(".near tr:not(.subhead)")
    assert rows.count() == 6
    assert compared.tab.locator(".near .chance-only").count() == 3
    compared.tab.locator(".near a", has_text="demo-1024/2").first.click()
    compared.tab.wait_for_function("() => document.title === 'demo-1024/2'")


def test_a_comparison_fits_a_phone_and_hostile_names_stay_text(nasty_map: Opened) -> None:
    for width in (1240, 390):
        nasty_map.tab.set_viewport_size({"width": width, "height": 800})
        nasty_map.go()
        assert nasty_map.tab.evaluate("() => document.documentElement.scrollWidth") <= width
    nasty_map.tab.fill("#map-search", "script")
    assert "<script>" in nasty_map.tab.inner_text("#map-list")
    assert nasty_map.tab.locator("#map-list script, #map-list img").count() == 0

"""The rating page in a real Chromium: by keys and by mouse, back and on, kept at once, quiet, and text stays text."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, expect

from autointerp import ratings
from autointerp.rate import items
from autointerp.rate.items import Material, Task
from tests.browser.test_report import Opened, browser, opened
from tests.rate import rated
from tests.rate.rated import Page

__all__ = ["browser"]
pytestmark = pytest.mark.browser
ITEMS = 6
HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)"> {{7*7}}'


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Material]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOINTERP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield items.material(rated.make(tmp_path_factory.mktemp("rated")))


@pytest.fixture
def page(found: Material, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page for a rater of this test alone."""
    with rated.served(found, ITEMS, rater=request.node.name) as served:
        yield served


@pytest.fixture
def tab(browser: Browser, page: Page) -> Iterator[Opened]:
    for one in opened(browser, page.server.address):
        one.tab.goto(one.address)
        at(one, 0)
        yield one


def at(one: Opened, place: int) -> None:
    one.tab.wait_for_selector(f"html[data-at='{place}']")


def press(one: Opened, key: str, place: int) -> None:
    """A key, after which the page shows a place."""
    one.tab.keyboard.press(key)
    at(one, place)


def given(page: Page) -> list[float | None]:
    """What is on the disk, in the order of the draw; "none" where there is no answer."""
    session = page.server.session
    kept = ratings.latest(session.answers.path)
    return [kept[task.id].rating if task.id in kept else -1 for task in session.tasks]


def test_rating_by_keys(tab: Opened, page: Page) -> None:
    first = tab.tab.inner_text("#explanation")
    assert first == page.server.session.tasks[0].case.text
    assert tab.tab.inner_text("#place") == f"1 of {ITEMS}"
    assert tab.tab.locator("#excerpt mark").count() >= 1
    press(tab, "3", 1)
    press(tab, "0", 2)
    press(tab, "s", 3)
    assert given(page) == [3, 0, None, -1, -1, -1]
    press(tab, "7", 3)  # no such rating
    press(tab, "Control+1", 3)
    assert given(page)[3] == -1
    press(tab, "ArrowLeft", 2)
    expect(tab.tab.locator("#skip")).to_have_attribute("aria-pressed", "true")
    press(tab, "Backspace", 1)
    press(tab, "Backspace", 0)
    expect(tab.tab.locator("[data-rating='3']")).to_have_attribute("aria-pressed", "true")
    expect(tab.tab.locator("#back")).to_be_disabled()
    press(tab, "1", 3)  # changed, and on to what is left
    assert given(page) == [1, 0, None, -1, -1, -1]
    press(tab, "ArrowLeft", 2)
    press(tab, "ArrowRight", 3)
    kept = ratings.latest(page.server.session.answers.path).values()
    assert all(0 <= rating.seconds < 60 for rating in kept)


def test_a_reload_goes_on_and_the_end_is_said(tab: Opened, page: Page) -> None:
    press(tab, "2", 1)
    press(tab, "2", 2)
    tab.tab.reload()
    at(tab, 2)
    for place in range(3, ITEMS + 1):
        press(tab, "1", place)
    expect(tab.tab.locator("#done")).to_contain_text(f"All {ITEMS} items have an answer")
    assert not tab.tab.is_visible("#item")
    assert given(page) == [2, 2, 1, 1, 1, 1]
    press(tab, "3", ITEMS)  # nothing is left to rate
    press(tab, "ArrowLeft", ITEMS - 1)
    assert given(page)[-1] == 1


def test_rating_by_mouse_and_by_tab(tab: Opened, page: Page) -> None:
    tab.tab.click("[data-rating='2']")
    at(tab, 1)
    tab.tab.click("#skip")
    at(tab, 2)
    tab.tab.click("#back")
    at(tab, 1)
    tab.tab.click("#on")
    at(tab, 2)
    tab.tab.focus("#help-button")
    tab.tab.keyboard.press("Tab")
    focused = tab.tab.evaluate(
        "() => [document.activeElement.dataset.rating, getComputedStyle(document.activeElement).outlineStyle]"
    )
    assert focused == ["0", "solid"]
    press(tab, "Enter", 3)
    assert given(page) == [2, None, 0, -1, -1, -1]


def test_help(tab: Opened, page: Page) -> None:
    press(tab, "?", 0)
    assert tab.tab.is_visible("#help")
    assert "The feature cleanly identifies the activating text." in tab.tab.inner_text("#rubric")
    tab.tab.keyboard.press("3")  # rates nothing while the help is open
    tab.tab.keyboard.press("Escape")
    assert not tab.tab.is_visible("#help")
    assert given(page) == [-1] * ITEMS
    press(tab, "?", 0)
    press(tab, "?", 0)
    assert not tab.tab.is_visible("#help")


def test_a_screen_reader_is_told(tab: Opened) -> None:
    press(tab, "2", 1)
    assert tab.tab.locator("[aria-live=polite] #announced").inner_text() == f"Item 2 of {ITEMS}."
    press(tab, "ArrowLeft", 0)
    assert tab.tab.inner_text("#announced") == f"Item 1 of {ITEMS}. You have rated it 2."
    assert tab.tab.get_by_role("group", name="How well does the marked part fit the description?").is_visible()
    assert tab.tab.get_by_role("button", name="3 The feature cleanly identifies").is_visible()


def test_it_fits_a_phone(tab: Opened) -> None:
    tab.tab.set_viewport_size({"width": 390, "height": 800})
    assert tab.tab.evaluate("() => document.documentElement.scrollWidth") <= 390


def test_hostile_text_stays_text(tab: Opened, page: Page) -> None:
    session = page.server.session
    session.tasks = [hostile(task) for task in session.tasks]
    tab.tab.reload()
    at(tab, 0)
    expect(tab.tab.locator("#explanation")).to_have_text(HOSTILE)
    assert HOSTILE in (tab.tab.locator("#excerpt").text_content() or "")
    assert tab.tab.locator("#item script, #excerpt img").count() == 0
    press(tab, "2", 1)


def hostile(task: Task) -> Task:
    excerpt = task.shown.item.excerpt
    item = replace(task.shown.item, excerpt=replace(excerpt, pieces=(HOSTILE, *excerpt.pieces[1:-1], "\n<b>x</b>")))
    return replace(task, case=replace(task.case, text=HOSTILE), shown=replace(task.shown, item=item))


def test_an_answer_that_cannot_be_kept_stays_on_the_screen(
    tab: Opened, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("os.fsync", full)
        tab.tab.keyboard.press("2")
        expect(tab.tab.locator("#problem")).to_contain_text("This answer was not kept")
    at(tab, 0)
    press(tab, "2", 1)
    expect(tab.tab.locator("#problem")).to_be_hidden()
    assert [text for text in tab.complaints if "500" not in text] == []
    tab.complaints.clear()

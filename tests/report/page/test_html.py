"""The page: self-contained, inert under hostile text, and saying the same numbers as the frames."""

import base64
import dataclasses
import gzip
import hashlib
import re
from typing import Any

import pandas as pd
import pytest

from autointerp.measure.scores import PRIMARY
from autointerp.report.data import Report
from autointerp.report.page.html import render
from autointerp.report.sections import dictionaries, measurements, provenance, who
from autointerp.report.sections.sizes import drawn
from tests.report.builders import HOSTILE, LEXICAL, NAN, SELF, build, changed, hostile, with_control
from tests.report.pages import Page, unpack


@pytest.fixture(scope="module")
def report() -> Report:
    return build()


@pytest.fixture(scope="module")
def page(report: Report) -> Page:
    return Page(render(report))


def test_equal_reports_are_equal_bytes() -> None:
    assert render(build()) == render(build())


def test_nothing_is_loaded(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("img", "iframe", "object", "embed", "base", "form") or tag == "form"
        assert "src" not in attributes, tag
        assert (attributes.get("href") or "#").startswith(("#", "data:,")), attributes
        assert not [name for name in attributes if name.startswith("on")], attributes
    style = render(build((256,))).split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_policy_names_exactly_the_style_and_the_scripts_of_the_page() -> None:
    text = render(build())
    policy = next(item["content"] for item in Page(text).all("meta") if item.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    for content in (
        re.findall(r"<style>(.*?)</style>", text, re.S)[0],
        re.findall(r"<script>(.*?)</script>", text, re.S)[0],
        gzip.decompress(base64.b64decode(Page(text).blocks["library"])).decode(),
    ):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert policy.count("sha256-") == 3
    assert "unsafe" not in policy
    assert not [
        attributes for _, attributes in Page(text).elements if "style" in attributes
    ]  # the policy would refuse them


def test_hostile_text_is_inert() -> None:
    text = render(hostile())
    found = Page(text)
    assert len(re.findall("<script", text)) == text.count("</script>")
    assert [item.get("type") for item in found.all("script")].count(None) == 1
    assert "alert(1)" not in {item.get("id") for item in found.all("script")}
    assert not found.all("img")
    assert not [attributes for _, attributes in found.elements if any(name.startswith("on") for name in attributes)]
    assert "{{7*7}}" in found.text
    assert not re.search(r"\b49\b", found.text)
    assert "\u202e" not in text


def test_hostile_text_arrives_whole_in_the_data() -> None:
    found = Page(render(hostile()))
    index, block = unpack(found.blocks["index"]), unpack(found.blocks["features-0"])
    wanted = HOSTILE.replace("\u202e", "\ufffd")
    assert set(index["columns"]["text"]) == {wanted}
    assert wanted in index["reasons"]
    assert [wanted, "</script>", "<b>bold</b>", "\n", "{{7*7}}"] in block["pieces"]


def test_every_grade_is_a_letter(page: Page, report: Report) -> None:
    badges = [item for item in page.all("span") if (item.get("class") or "").startswith("grade ")]
    assert {str(item["class"])[-1] for item in badges} == set("ABCDE")
    for letter in "ABCDE":
        assert f"grade {letter} " in page.text + " "
    assert [(grade, page_n) for grade, page_n, _ in who.by_grade(report)] == [
        (grade, int((report.dictionaries["circularity"] == grade).sum())) for grade in "ABCDE"
    ]


def test_numbers_are_those_of_the_frame(page: Page, report: Report) -> None:
    shown = {float(item["value"] or "nan") for item in page.all("data")}
    kept = report.dictionaries[~report.dictionaries["metric"].str.startswith("dead_")]
    kept = kept[
        ~((kept["metric"] == "detection.ap") & (kept["control"].isin(["shuffled", "permuted"])))
    ]  # drawn on the axis, in its label
    # Elsewhere the shuffled control stands beside its score, and differences of primary scores alone are shown.
    base = kept["metric"].str.partition(".minus_")[0]
    kept = kept[base.isin(PRIMARY.values()) | ~kept["metric"].str.contains(".minus_", regex=False)]
    assert shown == {value for value in kept["value"] if value == value}
    titles = [item["title"] for item in page.all("data") if item["value"] == "0.61"]
    assert titles[0] == "[0.56, 0.66], n 97, unscored 3, grade B"
    labels = [item.get("aria-label") or "" for item in page.all("svg")]
    assert "score 0.61, shuffled 0.36, permuted 0.27" in labels
    assert "0.61 [0.56, 0.65]" in page.text.replace("0.66]", "0.65]")


def test_unscored_is_said_and_counted(report: Report) -> None:
    found = Page(render(changed(report, "detection.ap", NAN, NAN, "demo-512", LEXICAL)))
    assert "unscored" in found.text
    assert "nan" not in re.findall(r"[a-z]+", found.text)
    assert "too few firings in the score documents" in found.text
    assert "3 of 100" in found.text


def test_the_reason_to_allow_stands_on_the_first_screen(page: Page) -> None:
    assert page.text.index("allowed because “shows what circularity looks like”") < page.text.index("Dictionaries")


def test_an_unneeded_reason_is_still_printed(report: Report) -> None:
    calm = dataclasses.replace(build(arms=(LEXICAL,)), settings=report.settings)
    assert "though no arm needed it" in Page(render(calm)).text


def test_chains_merge_a_model_that_grades_itself(report: Report) -> None:
    first, second = who.chains(report)
    assert [link.name for link in first.links] == ["smollm-2-135m", "lexical", "all-minilm-l6-v2"]
    assert [(link.role, link.name) for link in second.links] == [("subject, explainer and scorer", "smollm-2-135m")]


def test_index_and_blocks_hold_the_frames(page: Page, report: Report) -> None:
    index = unpack(page.blocks["index"])
    assert index["columns"]["feature"] == report.features["feature"].tolist()
    assert index["columns"]["text"] == report.features["explanation"].tolist()
    ours = report.features["detection.ap"].tolist()
    for shown, value in zip(index["shown"]["detection.ap"]["value"], ours, strict=True):
        assert shown is None if value != value else shown == pytest.approx(value, rel=1e-3)
    block = unpack(page.blocks["features-0"])
    rows = report.scores[(report.scores["dictionary"] == "demo-256") & (report.scores["feature"] == 3)]
    assert len(block["features"]["demo-256/3"]["scores"]) == len(rows)
    reasons = {index["reasons"][row[10]] for row in block["features"]["demo-256/3"]["scores"]}
    assert "too few firings in the score documents" in reasons


def test_the_shuffled_control_stands_beside_its_own_arm(page: Page, report: Report) -> None:
    index = unpack(page.blocks["index"])
    scores = report.scores
    for at, row in enumerate(report.features.head(6).itertuples()):
        own = scores[
            (scores["dictionary"] == row.dictionary) & (scores["feature"] == row.feature)
            & (scores["metric"] == "detection.ap")
            & (scores["control"] == "shuffled") & (scores["scorer"] == row.scorer)
        ]  # fmt: skip
        assert index["shown"]["detection.ap"]["shuffled"][at] == pytest.approx(own["value"].iloc[0], rel=1e-3)


MARK = "control: random directions, held against demo-512"


@pytest.fixture(scope="module")
def controlled() -> Report:
    """Three sizes, and a control whose name would come first and whose width is the smallest but one."""
    return with_control(build(), "a", "demo-512", 0.66)


def test_controls_stand_after_what_learned_something(controlled: Report) -> None:
    names = ["demo-256", "demo-512", "demo-1024"]
    assert list(controlled.names) == names
    assert list(controlled.everyone) == [*names, "a"]
    assert list(dict.fromkeys(row.dictionary for row in dictionaries.main_table(controlled))) == [*names, "a"]
    for grid in (*measurements.anchor_tables(controlled), *measurements.other_tables(controlled)):
        assert list(dict.fromkeys(name for name, _, _ in grid.rows)) == [*names, "a"]
    assert list(controlled.evaluated) == [*names, "a"]
    assert [item["name"] for item in unpack(Page(render(controlled)).blocks["index"])["dictionaries"]] == [*names, "a"]


def test_controls_are_in_the_order_of_their_originals() -> None:
    report = with_control(with_control(build(), "b", "demo-256"), "a", "demo-1024")
    stray = with_control(report, "0", "demo-512")
    stray.notes["0"].convention.pop("held against")
    assert stray.controls == ("b", "a", "0")
    assert stray.notes["0"].mark == "control: random directions"
    assert stray.notes["demo-256"].mark == ""


def test_a_control_is_marked_as_one(controlled: Report, page: Page) -> None:
    found = Page(render(controlled))
    assert "3 dictionaries and 1 control" in found.text
    main, provenance = found.text.split("Dictionary sizes")[0], found.text.split("as they were read")[1]
    assert main.count(MARK) == provenance.count(MARK) == 1
    titles = [item.get("title") for item in found.all("th")]
    others = (*measurements.anchor_tables(controlled), *measurements.other_tables(controlled))
    rows = sum(name == "a" for grid in others for name, _, _ in grid.rows)
    assert titles.count(f"a ({MARK})") == rows > 3  # in the other tables: the word alone
    marks = {item["name"]: item["mark"] for item in unpack(found.blocks["index"])["dictionaries"]}
    assert marks == {"demo-256": "", "demo-512": "", "demo-1024": "", "a": MARK}
    assert "held against" not in page.text
    assert " and 1 control" not in page.text


def test_a_control_is_in_no_plot_over_size(controlled: Report, report: Report) -> None:
    shown, alone = (drawn.by_size(one) for one in (controlled, report))
    assert [item.vega for item in shown] == [item.vega for item in alone]


def test_an_unbeaten_control_stands_on_the_first_screen(controlled: Report) -> None:
    text = render(controlled)
    strong = "<strong>not measurably better than those of its control</strong> a (0.00 [−0.06, 0.06])"
    assert text.index(strong) < text.index("Who says so")
    assert "<strong>Explanations of a control are not measurably worse</strong>" in text


def test_losses_stand_in_the_table_of_anchors(page: Page, report: Report) -> None:
    assert "0.92 [0.90, 0.94]" in page.text  # 0.91 + 0.01 * (log2(512) - 8), ± 0.02
    assert "loss rise, nats a token" in page.text
    found = measurements.anchor_tables(changed(report, "loss_recovered", NAN, NAN, "demo-512"))[0]
    at = found.metrics.index("loss_recovered")
    assert [cells[at].estimate.scored for _, _, cells in found.rows] == [True, False, True]


def test_masked_positions_are_told_in_words(report: Report) -> None:
    masked = {"first": 512, "not finite": 3, "norm": 0, "padding": 7, "something new": 1}
    counts = dataclasses.replace(report.counts, masked=masked)
    said = [
        item for item in provenance.facts(dataclasses.replace(report, counts=counts)) if item[0].startswith("masked")
    ]
    assert said == [
        ("masked: at the first position", "512"),
        ("masked: with NaN or infinity", "3"),
        ("masked: something new", "1"),
    ]


@pytest.mark.parametrize(
    "odd",
    [
        build((1024,)),
        build(arms=()),
        build(arms=(SELF,)),
        build(features=0),
        changed(build(), "detection.ap", NAN, NAN),
        with_control(build((1024,), ()), "pca", "demo-1024"),
        changed(with_control(build(), "pca", "demo-512"), "detection.ap", NAN, NAN),
    ],
)
def test_odd_runs_render(odd: Report) -> None:
    assert "autointerp" in Page(render(odd)).text


def test_csv_round_trip_changes_nothing(tmp_path: Any, report: Report) -> None:
    """A frame read back from its CSV has nan where there were empty strings; the page is the same."""
    frames: dict[str, Any] = {}
    for name in ("dictionaries", "features", "scores", "roles", "costs", "unscored"):
        getattr(report, name).to_csv(tmp_path / f"{name}.csv", index=False)
        frames[name] = pd.read_csv(tmp_path / f"{name}.csv")
    again = Page(render(dataclasses.replace(report, **frames)))
    assert again.text == Page(render(report)).text
    assert unpack(again.blocks["index"]) == unpack(Page(render(report)).blocks["index"])

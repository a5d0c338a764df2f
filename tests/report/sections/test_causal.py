"""What the causal section says, branch by branch: a claim only where the whole interval lies on one side of 0."""

import dataclasses
from typing import Any

import pandas as pd
import pytest

from autointerp.measure.answers import by_prompt, summarise
from autointerp.report.data import Causal, Report
from autointerp.report.metrics.meanings import DEFINITIONS
from autointerp.report.page import html
from autointerp.report.sections import methods
from autointerp.report.sections.causal.listed import ANSWERED, STEERED
from autointerp.report.sections.causal.section import Section, section
from tests.measure.test_answers import made
from tests.report.builders import HOSTILE, build, number

NAMES = ("demo-256", "demo-512")


def section_of(report: Report) -> Section:
    found = section(report)
    assert found is not None
    return found


def report_of(rows: list[dict[str, Any]], right: bool = True, via: str = "cow", explained: str = "") -> Report:
    """Two dictionaries with answers to the same prompts, two of them in two steps."""
    prompts = pd.concat([made(4).assign(dictionary=name) for name in NAMES], ignore_index=True)
    prompts = prompts.assign(
        kind=[*["prompt"] * 2, *["two hops"] * 2] * 2, family=HOSTILE, text=[*"abcd", *"abcd"], target=HOSTILE, via=via,
        right=right, pieces=[[HOSTILE] * 60] * 8,
    )  # fmt: skip
    doses = [
        (name, control, dose) for name in NAMES for control in ("none", "random-feature") for dose in (0.0, 1.0, 5.0)
    ]
    curves = pd.DataFrame(
        [
            {"dictionary": name, "feature": 1, "control": control, "dose": dose, "gain": dose / 10, "off_target": 0.0,
             "loss_rise": dose, "off_distribution": dose > 1, "text": HOSTILE}
            for name, control, dose in doses
        ]
    )  # fmt: skip
    known = pd.DataFrame({"dictionary": NAMES, "feature": 1, "words": [["x"], ["y"]]})
    said = {("demo-256", feature): explained for feature in range(100, 160)} if explained else {}
    done = Causal(prompts, by_prompt(prompts, 0), curves, known, {"prompt": 3}, said)
    made_of = build(widths=(256, 512))
    frame = pd.concat([made_of.dictionaries, pd.DataFrame(rows)], ignore_index=True)
    return dataclasses.replace(made_of, dictionaries=frame, causal=done)


def steered(gain: float, inside: float, beyond: float = 0.5) -> list[dict[str, Any]]:
    return [
        number("demo-256", 256, "steering.concept_rate.minus_random_feature", gain, 0.05),
        number("demo-256", 256, "steering.concept_rate_in_range", inside, 0.05),
        number("demo-256", 256, "steering.off_distribution", beyond),
    ]


@pytest.mark.parametrize(
    ("gain", "inside", "said"),
    [
        (0.3, 0.2, "even within their own range, write their words, as thermostats do"),
        (0.3, 0.01, "only when turned up beyond what they ever reach"),
        (0.02, 0.0, "do not measurably write their words: thermometers, as far as this shows"),
        (-0.3, 0.0, "write their words less than a random direction does"),
    ],
)
def test_thermometer_or_thermostat(gain: float, inside: float, said: str) -> None:
    lead = section_of(report_of(steered(gain, inside))).lead
    assert said in lead.plain and "50% of best doses are off-distribution" in lead.plain
    assert "demo-512" not in lead.plain and lead.grades == ("A",)


def test_nothing_steered_is_not_known() -> None:
    assert section_of(report_of([])).lead.plain.startswith("No feature was steered")


@pytest.mark.parametrize(("right", "said"), [(True, "no proof of two steps"), (False, "does not take two steps here")])
def test_a_subject_that_cannot_take_two_steps_is_said_to(right: bool, said: str) -> None:
    found = section_of(report_of([], right)).two_hops
    assert found is not None and said in found.plain
    assert f"{2 if right else 0} of 2 facts" in found.plain


def test_facts_stand_by_effect_and_say_what_is_named() -> None:
    found = section_of(report_of([], explained="about a Cow")).facts
    effects = [max(abs(link.ablation) for link in fact.links) for fact in found]
    assert effects == sorted(effects, reverse=True) and len(found) == 2
    assert all(fact.named and fact.dictionary == "demo-256" for fact in found)
    assert not any(fact.named for fact in section_of(report_of([], explained="a horse")).facts)
    assert not any(fact.named for fact in section_of(report_of([], via="", explained="a horse")).facts)


def test_doses_beyond_the_range_have_a_star() -> None:
    first, second, *_ = section_of(report_of([])).figures
    assert first.title == "demo-256: their words" and second.title == "demo-256: loss on the text"
    assert list(first.told["dose"]) == ["0", "1", "5*"] * 2
    assert list(first.told["control"]) == ["none"] * 3 + ["random-feature"] * 3
    assert list(first.told["value"])[:3] == ["0.00", "0.10", "0.50"]  # a tenth of the dose, as the curves were made


def test_a_point_of_a_dose_curve_is_a_mean_over_features_with_its_interval() -> None:
    report = report_of([])
    assert report.causal is not None
    own = report.causal.curves
    more = [own.assign(feature=at, gain=own["gain"] + at / 100) for at in range(5)]
    wide = dataclasses.replace(report.causal, curves=pd.concat(more, ignore_index=True))
    rows = section_of(dataclasses.replace(report, causal=wide)).figures[0].told
    assert list(rows["value"])[:2] == ["0.02", "0.12"]  # (0 + 1 + 2 + 3 + 4) / 500 over that of one feature
    assert set(rows["n"]) == {"5"}
    low, high = (float(text.strip("[]")) for text in rows["interval"].iloc[0].split(", "))
    assert 0 <= low < 0.02 < high <= 0.04


def test_the_chart_of_a_chain_has_every_ablated_feature_at_its_rank() -> None:
    report = report_of([])
    assert report.causal is not None
    chain = section_of(report).chains[0]
    row = report.causal.answers.iloc[0]
    rows = chain.figure.told
    assert len(rows) == chain.n == 60
    loudest = int(row["activation"].argmax())
    assert rows["rank by loudness"].iloc[loudest] == "1 of 60"
    assert chain.links[0].ablation == max(row["ablation"], key=abs)
    assert set(rows["token"]) == {HOSTILE}


def test_the_page_holds_hostile_text_and_defines_what_it_shows() -> None:
    rows = [number("demo-256", 256, metric, 0.4, 0.1) for metric in (*ANSWERED, *STEERED)]
    report = report_of([*steered(0.3, 0.2), *rows], via=HOSTILE, explained=HOSTILE)
    page = html.render(report)
    assert 'id="causal"' in page and "<script>alert" not in page and 'onerror="alert' not in page
    assert "{{7*7}}" in page or "{{7*7}}".replace("{", "&#123;") in page
    assert "3 prompts of the file were left out" in page
    meanings = dict(methods.definitions(report))
    assert all("No definition" not in meanings[metric] for metric in (*ANSWERED, *STEERED))
    assert html.render(report) == page


def test_every_metric_of_the_rows_has_a_definition() -> None:
    metrics = {row["metric"] for row in summarise(by_prompt(made(3), 0), 0, 100)}
    assert metrics <= set(DEFINITIONS)

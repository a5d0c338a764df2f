"""What features do in the subject, for the page: is a feature a thermometer or a thermostat?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from autointerp.causal.answers import PROMPT, TWO_HOPS
from autointerp.causal.steer import MATCHED, NONE, RANDOM
from autointerp.measure import answers as measure
from autointerp.measure.causal import ranks
from autointerp.measure.intervals import mean_interval
from autointerp.report.data import Causal, Estimate, Report
from autointerp.report.frames import texts
from autointerp.report.parts import charts
from autointerp.report.parts.charts import Figure
from autointerp.report.words.saying import Sentence, say, sign
from autointerp.report.words.wording import count, decimal, interval, listing, percent, plural, signed

SHOWN = 3  # prompts whose chain is drawn
LINKS = 8  # features of a chain
FIRST = 3  # features that a fact in two steps is said to rest on
ANSWERED = (*measure.CORRELATIONS, *measure.OVERLAPS, measure.LOUDNESS, measure.ERROR)
STEERED = (
    "steering.concept_rate",
    "steering.concept_rate_in_range",
    "steering.off_distribution",
    "steering.off_target",
    "steering.loss_rise",
    "ablation.effect",
    "causal.above_random",
)


# ---- the section


@dataclass(frozen=True, slots=True)
class Row:
    """One dictionary: its numbers under the metrics of the table, each with its controls by name."""

    name: str
    cells: tuple[tuple[Estimate | None, tuple[tuple[str, Estimate], ...]], ...]


@dataclass(frozen=True, slots=True)
class Table:
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """Prompts of one family in one dictionary."""

    name: str
    dictionary: str
    n: int
    n_right: int
    attribution: float
    activation: float


@dataclass(frozen=True, slots=True)
class Link:
    """A feature at a position of a prompt, in the order of what it does."""

    token: str
    dictionary: str
    feature: int
    words: str
    activation: float
    loudness: float
    attribution: float
    ablation: float


@dataclass(frozen=True, slots=True)
class Chain:
    """A prompt, what mattered in it, and a chart of the ablated features: importance against loudness."""

    text: str
    target: str
    dictionary: str
    right: bool
    n: int
    links: tuple[Link, ...]
    figure: Figure


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact in two steps and the features its answer rests on; `named` where their words hold what is passed by."""

    text: str
    target: str
    via: str
    right: bool
    dictionary: str
    links: tuple[Link, ...]
    named: bool


@dataclass(frozen=True, slots=True)
class Section:
    lead: Sentence
    notes: tuple[Sentence, ...]
    answered: Table
    steered: Table
    families: tuple[Family, ...]
    figures: tuple[Figure, ...]
    chains: tuple[Chain, ...]
    two_hops: Sentence | None
    facts: tuple[Fact, ...]


def section(report: Report) -> Section | None:
    """None where the run did not ask."""
    found = report.causal
    if found is None:
        return None
    notes = [sentence for name in dictionaries(report) for sentence in (importance(report, name),) if sentence]
    return Section(
        lead=verdicts(report),
        notes=(*notes, asked(found)),
        answered=table(report, ANSWERED),
        steered=table(report, STEERED),
        families=families(found),
        figures=tuple(figure for name in dictionaries(report) for figure in curves(report, name)),
        chains=chains(report),
        two_hops=hops(found),
        facts=facts(report),
    )


def dictionaries(report: Report) -> tuple[str, ...]:
    """Those with answers, in the order of every table."""
    assert report.causal is not None
    there = set(texts(report.causal.answers, "dictionary"))
    return tuple(name for name in report.everyone if name in there)


def table(report: Report, metrics: Sequence[str]) -> Table:
    rows = []
    for name in dictionaries(report):
        cells = []
        for metric in metrics:
            beside = [(control, report.estimate(name, metric, None, control)) for control in (RANDOM, MATCHED)]
            known = tuple((control, item) for control, item in beside if item is not None)
            cells.append((report.estimate(name, metric), known))
        rows.append(Row(name, tuple(cells)))
    return Table(tuple(metrics), tuple(rows))


# ---- sentences


def verdicts(report: Report) -> Sentence:
    """Thermometer or thermostat? Each dictionary by whether its features, turned up, write their own words."""
    parts: list[str | tuple[str]] = []
    for name in dictionaries(report):
        if clause := verdict(report, name):
            parts += ["; " if parts else "", f"in {name} ", *clause]
    if not parts:
        return say("No feature was steered, so whether features drive the subject is not known.")
    return say("A thermometer shows what a thermostat drives: ", *parts, ".", grades=("A",))


def verdict(report: Report, name: str) -> list[str | tuple[str]]:
    gain = report.estimate(name, "steering.concept_rate.minus_random_feature")
    inside = report.estimate(name, "steering.concept_rate_in_range")
    if gain is None or not gain.scored:
        return []
    beyond = report.estimate(name, "steering.off_distribution")
    where = f"{percent(beyond.value)} of best doses are off-distribution" if beyond and beyond.scored else ""
    told = f" ({signed(gain.value)} {interval(gain)} over a random direction, {plural(gain.n, 'feature')}; {where})"
    if sign(gain) == "above" and sign(inside) == "above":
        return ["features turned up, even within their own range, ", ("write their words, as thermostats do",), told]
    if sign(gain) == "above":
        return ["features write their words ", ("only when turned up beyond what they ever reach",), told]
    if sign(gain) == "below":
        return ["features turned up ", ("write their words less than a random direction does",), told]
    return ["features turned up ", ("do not measurably write their words: thermometers, as far as this shows",), told]


def importance(report: Report, name: str) -> Sentence | None:
    """Is what is loud what matters, and does attribution know it?"""
    loud, known = (report.estimate(name, metric) for metric in reversed(measure.CORRELATIONS))
    if loud is None or known is None or not (loud.scored and known.scored):
        return None
    found = [f"{name}: over {plural(known.n, 'prompt')}, attribution correlates with ablation at "]
    hits = [report.estimate(name, metric) for metric in measure.OVERLAPS]
    chance = report.estimate(name, measure.OVERLAPS[0], None, RANDOM)
    ten = ""
    if all(item is not None and item.scored for item in (*hits, chance)):
        shares = [10 * item.value for item in (*hits, chance) if item is not None]
        ten = (
            f" Of the ten that mattered most, {decimal(shares[0], 1)} are among the ten most attributed and "
            f"{decimal(shares[1], 1)} among the ten loudest; of ten random ones {decimal(shares[2], 1)} would be."
        )
    error = report.estimate(name, measure.ERROR)
    through = f" {percent(error.value)} of the effect runs through its error term." if error and error.scored else ""
    return say(
        found[0], (f"{decimal(known.value)} {interval(known)}",),
        f", loudness at {decimal(loud.value)} {interval(loud)}.{ten}{through}", grades=("A",),
    )  # fmt: skip


def asked(found: Causal) -> Sentence:
    """What the prompts are, and what was left out."""
    rows = found.answers[found.answers["kind"] == PROMPT].drop_duplicates(["text", "target"])
    left = found.left_out.get(PROMPT, 0)
    more = f" {plural(left, 'prompt')} of the file were left out, whose answers are not one token." if left else ""
    return say(
        f"The subject prefers the right word to every wrong one on {count(int(rows['right'].sum()))} of "
        f"{plural(len(rows), 'prompt')}; all count. Other prompts and other wrong words are other questions.{more}"
    )


def hops(found: Causal) -> Sentence | None:
    """Whether the subject takes two steps at all; None where it was not asked."""
    rows = found.answers[found.answers["kind"] == TWO_HOPS].drop_duplicates(["text", "target"])
    if rows.empty:
        return None
    right = int(rows["right"].sum())
    of_all = f"{count(right)} of {plural(len(rows), 'fact')}"
    told = f"The subject prefers the right word to the wrong ones in {of_all} in two steps"
    if right <= len(rows) / 2:
        return say(told, (", so it does not take two steps here, and what follows says nothing of how it would",), ".")
    return say(
        told, ". That it does is no proof of two steps: it may know the fact by heart, or which words go together."
    )


# ---- tables


def families(found: Causal) -> tuple[Family, ...]:
    rows = found.answers.assign(**{name: found.prompts[name] for name in measure.CORRELATIONS})
    rows = rows[rows["kind"] == PROMPT]
    made = []
    for (family, dictionary), own in rows.groupby(["family", "dictionary"], sort=True):
        means = [float(own[name].mean()) for name in measure.CORRELATIONS]
        made.append(Family(str(family), str(dictionary), len(own), int(own["right"].sum()), means[0], means[1]))
    return tuple(made)


def links(found: Causal, row: Mapping[Any, Any], most: int) -> tuple[Link, ...]:
    name = str(row["dictionary"])
    return tuple(
        Link(
            str(row["pieces"][one["position"]]), name, one["feature"], found.explained.get((name, one["feature"]), ""),
            one["activation"], one["loudness"], one["attribution"], one["ablation"],
        )
        for one in measure.mattered(row, most)
    )  # fmt: skip


def chains(report: Report) -> tuple[Chain, ...]:
    """The first prompts of the seeded draw, in the first dictionary: chosen by nobody."""
    found = report.causal
    assert found is not None
    return tuple(chain(found, row) for row in first_rows(report, PROMPT).head(SHOWN).to_dict("records"))


def first_rows(report: Report, kind: str) -> pd.DataFrame:
    """Answers of the first dictionary."""
    assert report.causal is not None
    answers = report.causal.answers
    return answers[(answers["kind"] == kind) & answers["dictionary"].isin(dictionaries(report)[:1])]


def chain(found: Causal, row: Mapping[Any, Any]) -> Chain:
    ablation, activation = np.asarray(row["ablation"], float), np.asarray(row["activation"], float)
    known = np.flatnonzero(np.isfinite(ablation))
    loudness = ranks(activation)
    columns = {name: np.asarray(row[name])[known].tolist() for name in ("position", "feature", "attribution")}
    frame = pd.DataFrame(
        {
            "x": loudness[known],
            "y": np.abs(ablation[known]),
            "series": "",
            "token": [str(row["pieces"][at]) for at in columns["position"]],
            "feature": [str(number) for number in columns["feature"]],
            "rank by loudness": [f"{decimal(rank, 0)} of {count(len(activation))}" for rank in loudness[known]],
            "ablation": [signed(value) for value in ablation[known]],
            "attribution": [signed(value) for value in columns["attribution"]],
            "interval": "none: it is exact",
            "grade": "A",
        }
    )
    # The loudest are on the right.
    x = alt.X("x:Q", scale=alt.Scale(type="log", reverse=True, nice=False, domain=[1, max(len(activation), 2)]))
    label = f"|ablation| of {plural(len(known), 'feature')} at positions by rank of loudness"
    chart = charts.points(frame, x, alt.Y("y:Q"))
    text, target, name = (str(row[key]) for key in ("text", "target", "dictionary"))
    title = f"Importance against loudness, {text} {target}"
    drawn = charts.figure(title, "|ablation|, by rank", "A", label, chart, frame)
    return Chain(text, target, name, bool(row["right"]), len(activation), links(found, row, LINKS), drawn)


def facts(report: Report) -> tuple[Fact, ...]:
    """Facts in two steps in the first dictionary, by the largest effect of a feature."""
    assert report.causal is not None
    made = []
    for row in first_rows(report, TWO_HOPS).to_dict("records"):
        own = links(report.causal, row, FIRST)
        via = str(row["via"]).lower()
        named = bool(via) and any(via in link.words.lower() for link in own)
        made.append(Fact(row["text"], row["target"], row["via"], bool(row["right"]), row["dictionary"], own, named))
    return tuple(sorted(made, key=lambda fact: -max((abs(link.ablation) for link in fact.links), default=0.0)))


# ---- dose curves

NAMES = {NONE: "the features", RANDOM: "random direction", MATCHED: "density-matched"}


def curves(report: Report, name: str) -> list[Figure]:
    """What doses do on average over the steered features of a dictionary: their words, and the subject's loss."""
    assert report.causal is not None
    frame = report.causal.curves
    own = frame[frame["dictionary"] == name]
    if own.empty:
        return []
    wanted = (
        ("gain", "their words", "share over unsteered"),
        ("loss_rise", "loss on the text", "nats a token over unsteered"),
    )
    return [curve(report, name, own, column, title, unit) for column, title, unit in wanted]


def curve(report: Report, name: str, own: pd.DataFrame, column: str, title: str, unit: str) -> Figure:
    rows = []
    for control, word in NAMES.items():
        for dose, group in own[own["control"] == control].groupby("dose", sort=True):
            found = mean_interval(group[column].to_numpy(float), report.seed, report.settings.resamples)
            star = "*" if group["off_distribution"].iloc[0] else ""
            item = Estimate(found.value, found.low, found.high, found.n, found.unscored, "A")
            about = {"dose": f"{dose:g}{star}", "series": word}
            rows.append(charts.row(name, item, None, control, x=f"{dose:g}{star}", **about))
    frame = pd.DataFrame(rows)
    main = ", ".join(f"{row['dose']}: {row['value']}" for row in rows if row["control"] == NONE)
    doses = alt.Scale(domain=list(dict.fromkeys(frame["x"])))
    chart = charts.lines(frame, alt.X("x:N", sort=None, scale=doses, axis=alt.Axis(labelAngle=0)))
    label = f"by dose: {main}; doses with a star are off-distribution"
    n = plural(own["feature"].nunique(), "feature")
    return charts.figure(f"{name}: {title}", f"{unit}, {n}", "A", label, chart, frame)


def doses_of(report: Report) -> dict[tuple[str, int], list[list[Any]]]:
    """For feature pages: rows of control, dose, gain, loss rise, whether off-distribution, text."""
    if report.causal is None:
        return {}
    found: dict[tuple[str, int], list[list[Any]]] = {}
    for row in report.causal.curves.to_dict("records"):
        values = [None if math.isnan(row[name]) else round(row[name], 4) for name in ("dose", "gain", "loss_rise")]
        found.setdefault((str(row["dictionary"]), int(row["feature"])), []).append(
            [row["control"], *values, bool(row["off_distribution"]), row["text"] if row["control"] == NONE else ""]
        )
    return found


def limits(report: Report) -> tuple[Sentence, ...]:
    """What the causal numbers of this run do not say."""
    if report.causal is None:
        return ()
    said = [f for f in texts(report.causal.curves, "dose") if f] if len(report.causal.curves) else []
    found = [
        "Attribution is a straight line through what is bent, from activation 0; ablation is exact, one feature at a "
        "position at a time, and misses what others make up for. What a dictionary does not hold is in its error term.",
        "Effects at one hook say nothing of features at other layers.",
    ]
    if said:
        found.append(
            "Doses with a star clamp a feature beyond its largest activation in the corpus, or below 0: the subject "
            "never sees such inputs, and what it then writes need not say what the feature does. Steering is judged by "
            "counting words of the lexical explanation; what it does in other words is not seen."
        )
    listed = listing(list(dictionaries(report)))
    return tuple(say(text) for text in (*found, f"The causal numbers are those of {listed}."))

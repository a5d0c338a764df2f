"""A run in one line, fit for a chat message."""

import math

from autointerp.report.data import Arm, Report
from autointerp.report.frames import numbers
from autointerp.report.sections.gates import tally
from autointerp.report.words.wording import count, decimal, interval, money, percent, signed

SHOWN = 3  # dictionaries by themselves; of more, the smallest and the largest


def summary(report: Report, place: str) -> str:
    """Name, headline number with its interval, dead share, gates, what is unscored, cost, and where the page is."""
    arm = report.headline
    names = report.names if len(report.names) <= SHOWN else (report.names[0], report.names[-1])
    said = [f"{report.name}: " + ", ".join(of_dictionary(report, name, arm) for name in names)]
    if len(names) < len(report.names):
        said[0] += f" (the ends of {len(report.names)} dictionaries)"
    if arm is not None:
        said.append(f"{arm.explainer} judged by {arm.scorer}, grade {arm.grade}")
    said += [gates] if (gates := tally(report.gates)) else []
    missing, asked = int(report.scores["value"].isna().sum()), len(report.scores)
    said += [f"{count(missing)} of {count(asked)} scores unscored", cost(report), f"report: {place}"]
    return " · ".join(" ".join(part.split()) for part in said)


def of_dictionary(report: Report, name: str, arm: Arm | None) -> str:
    """The headline number of one dictionary, what it is above the shuffled control, and the share that never fired."""
    note = report.notes[name]
    dead = f"{percent(note.n_dead / note.width)} never fired"
    score = report.estimate(name, "detection.ap", arm) if arm else None
    if score is None or not score.scored:
        return f"{name} without detection.ap, {dead}"
    gain = report.estimate(name, "detection.ap.minus_shuffled", arm)
    over = f" ({signed(gain.value)} {interval(gain)} over shuffled)" if gain and gain.scored else ""
    return f"{name} detection.ap {decimal(score.value)} {interval(score)}{over}, {dead}"


def cost(report: Report) -> str:
    """What this run has spent, all its starts together; unknown where the price of any role is."""
    if not len(report.costs):
        return "no requests"
    spent = numbers(report.costs, "price_usd")
    return money(math.nan if any(map(math.isnan, spent)) else sum(spent))

"""What is said of what features do: is a feature a thermometer or a thermostat?"""

from autointerp.causal.answers import PROMPT, TWO_HOPS
from autointerp.causal.steer import RANDOM
from autointerp.measure import answers
from autointerp.report.data import Causal, Report
from autointerp.report.sections.causal.listed import dictionaries
from autointerp.report.words.saying import Sentence, say, sign
from autointerp.report.words.wording import count, decimal, interval, percent, plural, signed


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
    loud, known = (report.estimate(name, metric) for metric in reversed(answers.CORRELATIONS))
    if loud is None or known is None or not (loud.scored and known.scored):
        return None
    found = [f"{name}: over {plural(known.n, 'prompt')}, attribution correlates with ablation at "]
    hits = [report.estimate(name, metric) for metric in answers.OVERLAPS]
    chance = report.estimate(name, answers.OVERLAPS[0], None, RANDOM)
    ten = ""
    if all(item is not None and item.scored for item in (*hits, chance)):
        shares = [10 * item.value for item in (*hits, chance) if item is not None]
        ten = (
            f" Of the ten that mattered most, {decimal(shares[0], 1)} are among the ten most attributed and "
            f"{decimal(shares[1], 1)} among the ten loudest; of ten random ones {decimal(shares[2], 1)} would be."
        )
    error = report.estimate(name, answers.ERROR)
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

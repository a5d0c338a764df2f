"""The first screen: what a run says in two paragraphs, and whom it chose."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from autointerp.report.data import Arm, Report
from autointerp.report.frames import texts
from autointerp.report.sections.calibration import calibrated
from autointerp.report.words.saying import (
    Sentence,
    Sign,
    by_sign,
    difference,
    gains_over_controls,
    place_words,
    say,
    sign,
    spread,
    together,
    told,
)
from autointerp.report.words.wording import count, listing, plural


@dataclass(frozen=True, slots=True)
class Section:
    lead: Sentence
    seconds: tuple[Sentence, ...]
    selection: str


def section(report: Report) -> Section:
    return Section(lead(report), tuple(seconds(report)), selection(report))


def lead(report: Report) -> Sentence:
    """What the run is about, in its first paragraph."""
    if len(report.calibration):
        n = len(set(texts(report.calibration, "scorer")) - {""})
        return say(
            "The features of this run are planted, and their rules known: ",
            (f"{plural(n, 'judge')} held against the truth",),
            ".",
        )
    return together([headline(report), growth(report)])


def seconds(report: Report) -> list[Sentence]:
    """What is said next, one paragraph each."""
    if found := calibrated(report):
        return list(found[:3])
    return [item for item in (floor(report), over_controls(report)) if item]


def headline(report: Report) -> Sentence:
    """Do explanations predict where features fire better than shuffled ones do?"""
    arm = report.headline
    if arm is None:
        return say("Nothing was explained and judged: this run measures the dictionaries alone.")
    if not any(report.evaluated.values()):
        return say(
            ("No feature was drawn by seed",), ": what is said of the hand-picked ones says nothing of a dictionary."
        )
    groups = by_sign(report, "detection.ap.minus_shuffled", arm)
    if len(groups["unscored"]) == len(report.names):
        return say(
            ("No explanation could be scored",), " against its shuffled control: nothing is known about meaning."
        )
    if len(report.names) == 1:
        return headline_of_one(report, report.names[0], arm)
    if len(groups["above"]) == len(report.names):
        where = place_words(report, groups["above"])
        return say(
            f"Explanations predict where features fire better than shuffled ones in {where}.", grades=(arm.grade,)
        )
    words: dict[Sign, str] = {
        "above": "better than shuffled ones in",
        "undecided": "not measurably better than shuffled ones in"
        if not groups["above"]
        else "not measurably better in",
        "below": "worse than shuffled ones in" if not groups["above"] else "worse in",
    }
    clauses = [f"{words[key]} {listing(groups[key])}" for key in words if groups[key]]
    if groups["unscored"]:
        clauses.append(f"{listing(groups['unscored'])} could not be scored")
    return say("Explanations predict where features fire ", ("; ".join(clauses),), ".", grades=(arm.grade,))


def headline_of_one(report: Report, name: str, arm: Arm) -> Sentence:
    gain = report.estimate(name, "detection.ap.minus_shuffled", arm)
    assert gain is not None  # the caller has seen that it is scored
    verdict = {
        "above": "better than shuffled ones do",
        "below": "worse than shuffled ones do",
        "undecided": "not measurably better than shuffled ones do",
    }[sign(gain)]
    return say(
        f"In {name}, explanations predict where features fire ", (verdict,),
        f" (difference {told(gain)}).", grades=(gain.grade,),
    )  # fmt: skip


def growth(report: Report) -> Sentence | None:
    """Is a larger dictionary better explained? None where there are no two sizes with a score and an interval."""
    arm = report.headline
    found = [(name, report.estimate(name, "detection.ap", arm)) for name in report.names] if arm else []
    scored = [(name, estimate) for name, estimate in found if estimate is not None and estimate.bounded]
    widths = [report.notes[name].width for name, _ in scored]
    if len(scored) < 2 or len(set(widths)) < len(widths):
        return None
    steps = [(small[0], large[0], difference(large[1], small[1])) for small, large in pairwise(scored)]
    small, large, step = steps[-1]
    rising = next((i for i, item in enumerate(steps) if sign(item[2]) != "above"), len(steps))
    lead = ""
    if rising == len(steps) > 1:
        lead = "Each larger dictionary scores higher than the one before; "
    elif 0 < rising < len(steps):
        lead = f"Larger is better up to {steps[rising - 1][1]}; "
    verdict = {"above": "is better than", "below": "is worse than", "undecided": "is not measurably better than"}[
        sign(step)
    ]
    return say(
        lead,
        (f"{large} {verdict} {small}",),
        f" (difference {told(step)}){dead_clause(report, large)}.",
        grades=(step.grade,),
    )


def dead_clause(report: Report, name: str) -> str:
    dead, width = report.notes[name].n_dead, report.notes[name].width
    return f", and {count(dead)} of its {count(width)} features never fired" if dead else ""


def floor(report: Report) -> Sentence | None:
    """How much of the score do plain words carry? None where no token lookup was fitted."""
    floors = [estimate for name in report.names if (estimate := report.estimate(name, "lexical_floor.ap"))]
    reached = [estimate.value for estimate in floors if estimate.scored]
    if not reached:
        return None
    span = spread(reached)
    arm = report.arm_with("detection.ap.minus_lexical_floor")
    groups = by_sign(report, "detection.ap.minus_lexical_floor", arm) if arm else None
    beaten = groups is not None and len(groups["below"]) == len(report.names)
    verdict = "Plain words do better" if beaten else "Part of that is plain words"
    start = f"{verdict}: a lookup of each token's mean activation reaches {span} without explanations"
    clauses = list(floor_clauses(report, arm)) if arm else []
    grades = tuple(estimate.grade for estimate in floors) + ((arm.grade,) if arm and clauses else ())
    return say(start + ("; " + "; ".join(clauses) if clauses else "") + ".", grades=grades)


def floor_clauses(report: Report, arm: Arm) -> Iterator[str]:
    groups = by_sign(report, "detection.ap.minus_lexical_floor", arm)
    words: dict[Sign, str] = {
        "above": "explanations add",
        "undecided": "explanations add nothing measurable:",
        "below": "explanations stay below it:",
    }
    for key, verb in words.items():
        found = [(name, report.estimate(name, "detection.ap.minus_lexical_floor", arm)) for name in groups[key]]
        pairs = [(name, estimate) for name, estimate in found if estimate]
        if len(pairs) > 3:  # a list of five intervals is a table, and the table stands below
            ends = sorted(pairs, key=lambda pair: pair[1].value)
            yield f"{verb} " + " to ".join(f"{told(estimate)} in {name}" for name, estimate in (ends[0], ends[-1]))
        elif pairs:
            yield f"{verb} " + listing([f"{told(estimate)} in {name}" for name, estimate in pairs])


def over_controls(report: Report) -> Sentence | None:
    """Do explanations of a dictionary predict firing better than those of its controls? None without controls."""
    found = [sentence for name in report.names if (sentence := over_controls_of(report, name))]
    return together(found) if found else None


def over_controls_of(report: Report, name: str) -> Sentence | None:
    """A control that is as good or better stands there strongly, except where it cannot but be as good."""
    groups = gains_over_controls(report, name)
    words = {
        "above": "better than",
        "undecided": "not measurably better than",
        "below": "worse than",
        "agrees": "not measurably better than",
    }
    parts: list[str | tuple[str]] = []
    for key, verdict in words.items():
        if pairs := groups[key]:
            lead = f"{verdict} those of its control{'s' if len(pairs) > 1 else ''}"
            parts += ["; "] if parts else []
            parts.append(lead if key in ("above", "agrees") else (lead,))
            parts.append(" " + listing([f"{control} ({told(gain)})" for control, gain in pairs]))
    if not parts:
        return None
    end = ", where firing is the same by construction." if groups["agrees"] else "."
    grades = tuple(gain.grade for pairs in groups.values() for _, gain in pairs)
    return say(f"Explanations of {name} predict firing ", *parts, end, grades=grades)


def selection(report: Report) -> str:
    """How many features, and who chose them."""
    sizes = sorted(set(report.evaluated.values())) or [0]
    each = " each" if len(report.everyone) > 1 and len(sizes) == 1 else ""
    total = sum(report.evaluated.values())
    features = (
        f"{plural(sizes[-1], 'feature')}{each}"
        if len(sizes) == 1
        else f"{count(sizes[0])} to {plural(sizes[-1], 'feature')}"
    )
    named = len(report.picked)
    if not named:
        return f"{features}, drawn by seed {report.seed} · nothing hand-picked"
    if not total:
        return f"no feature drawn by seed · {plural(named, 'feature')} hand-picked"
    return f"{features}, drawn by seed {report.seed} · {count(named)} more hand-picked"

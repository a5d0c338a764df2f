"""What the page says of a run in words: its first screen, and the notes beside its tables."""

from collections.abc import Iterator
from itertools import pairwise

from autointerp.measure.scores import PRIMARY
from autointerp.report import tables
from autointerp.report.data import Arm, Report
from autointerp.report.distrust import DOUBTS
from autointerp.report.frames import numbers, texts
from autointerp.report.words.saying import (
    FEW,
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
    unscored_reasons,
)
from autointerp.report.words.wording import count, decimal, interval, listing, percent, plural


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


def generalisation(report: Report) -> Sentence | None:
    """How many features carry their concept into other languages and pictures? None without a concept list."""
    metric = "generalisation.carries_over"
    found = [(name, report.estimate(name, metric)) for name in report.names]
    shares = [(name, estimate) for name, estimate in found if estimate is not None and estimate.scored]
    if not shares:
        return None
    told_of = listing(
        [
            f"{percent(estimate.value)} of {plural(estimate.n, 'feature')} in {name} "
            f"[{percent(estimate.low)}, {percent(estimate.high)}]"
            for name, estimate in shares
        ]
    )
    beside = [(name, estimate) for name in report.controls if (estimate := report.estimate(name, metric))]
    controls = listing([f"{percent(estimate.value)} in {name}" for name, estimate in beside if estimate.scored])
    chance = [report.estimate(name, "generalisation.auroc", control="permuted") for name, _ in shares]
    reached = [report.estimate(name, "generalisation.auroc") for name, _ in shares]
    areas = spread([estimate.value for estimate in reached if estimate and estimate.scored])
    needed = spread([estimate.value for estimate in chance if estimate and estimate.scored])
    without = sum(estimate.unscored for _, estimate in shares)
    silent = f" Of {plural(without, 'feature')} the list says nothing: see their reasons." if without else ""
    return say(
        "Found in one language or style, a concept carries over to the others for ",
        (told_of,),
        f" ({controls}, which learned nothing)" if controls else "",
        f". Outside the form in which it was found, the AUROC against matched distractors is {areas} on average; the "
        f"best of all features reaches {needed} by chance.{silent} The concept of a feature is chosen on one half of "
        "the documents and measured on the other.",
        grades=("A",),
    )


def calibrated(report: Report) -> tuple[Sentence, ...]:
    """How far each judge is from the truth on planted features, the exact ones first; empty without them."""
    found = tables.calibrations(report)
    if found is None:
        return ()
    place = {column: at for at, column in enumerate(found.columns)}

    def of(row: tables.Calibration, quantity: str, against: str = "") -> tables.Known:
        return row.cells[place[quantity, against]] if (quantity, against) in place else tables.Known(None)

    sentences = []
    for row in found.rows:
        error = of(row, "error").estimate
        if error is None or not error.scored:
            continue
        beats = [(against, of(row, "beats", against)) for against in STATED]
        over = listing(
            [
                f"{STATED[against]} in {percent(known.estimate.value)}"
                + (f" (a perfect reader: {percent(known.reader)})" if known.reader < 1 else "")
                for against, known in beats
                if known.estimate is not None and known.estimate.scored
            ]
        )
        sentences.append(
            say(
                f"{row.scorer} on {row.metric}, {row.dictionary}: ",
                (f"off the truth by {decimal(error.value)} {interval(error)}",),
                f" on average. The rule itself scores above {over} of {plural(error.n, 'feature')}.",
                grades=(row.grade,),
            )
        )
    return tuple(sentences)


STATED = {"wrong": "another feature's", "broader": "a broader one", "narrower": "a narrower one"}


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


def circular_approvals(report: Report) -> tuple[Sentence, ...]:
    """What a circular arm makes of shuffled explanations, one sentence per arm of grade D or E."""
    return tuple(circular_approval(report, arm) for arm in report.arms if arm.grade in "DE")


def circular_approval(report: Report, arm: Arm) -> Sentence:
    metric = own_question(report, arm)
    how = "measured on texts by" if metric == PRIMARY["sensitivity"] else "judged by"
    who = f"{arm.explainer} {how} {arm.scorer}" if arm.explainer != arm.scorer else arm.explainer
    part = "that the subject takes part in" if arm.grade == "E" else "of one model in two roles"
    start = f"The arm {part} ({who})"
    groups = by_sign(report, f"{metric}.minus_shuffled", arm)
    clauses = [approval(report, arm, metric, verdict, groups[verdict]) for verdict in APPROVAL if groups[verdict]]
    if not clauses:
        return say(f"{start} could not be scored against its own shuffled control.", grades=(arm.grade,))
    return say(f"{start} scores " + "; ".join(clauses) + ".", grades=(arm.grade,))


APPROVAL: dict[Sign, str] = {
    "above": "it tells them apart",
    "undecided": "it cannot tell them apart",
    "below": "it prefers the wrong ones",
}


def own_question(report: Report, arm: Arm) -> str:
    """The primary metric of the first question that an arm answers: detection where it is one of them."""
    asked = (metric for metric in PRIMARY.values() for name in report.names if report.estimate(name, metric, arm))
    return next(asked, PRIMARY["detection"])


def approval(report: Report, arm: Arm, metric: str, verdict: Sign, names: list[str]) -> str:
    """One clause for the dictionaries of one verdict. It "cannot tell" only where the interval holds 0."""
    true, shuffled, gains = (
        [estimate for name in names if (estimate := report.estimate(name, asked, arm, control)) and estimate.scored]
        for asked, control in ((metric, "none"), (metric, "shuffled"), (f"{metric}.minus_shuffled", "none"))
    )
    where = "" if len(report.names) == 1 else f" in {place_words(report, names)}"
    pair = " and ".join(
        f"{spread([item.value for item in items])} on {word}"
        for items, word in ((true, "true"), (shuffled, "shuffled"))
        if items
    )
    said = f"{pair} explanations{where}" if pair else f"unknown values{where}"
    if not all(gain.bounded for gain in gains):
        return f"{said}, without an interval to tell them apart"
    proof = f" (difference {told(gains[0])})" if len(gains) == 1 else ""
    n = min(gain.n for gain in gains)
    if verdict == "undecided" or n < FEW:
        return f"{said}: as far as {plural(n, 'feature')} can tell{proof}, {APPROVAL[verdict]}"
    return f"{said}: {APPROVAL[verdict]}{proof}"


def distrust(report: Report) -> tuple[Sentence, ...]:
    """What the report says against its own run, in the order in which a reader should hear it."""
    return tuple(sentence for doubt in DOUBTS if (sentence := doubt(report)) is not None)


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


def dead_note(report: Report) -> str:
    """Never fired is a censored statement, and this is its bound (the rule of three)."""
    documents = report.counts.documents
    if not documents:
        return "No document was read."
    return (
        f"“Never fired” means in {plural(documents, 'document')}: with 95% confidence such a feature fires in the part "
        f"read of fewer than {percent(min(1, 3 / documents))} of documents."
    )


def unscored_note(report: Report) -> str:
    """Why features have no primary score, over the arms of the table; other reasons stand in a table below."""
    missing = unscored_reasons(report, report.everyone)
    if missing:
        return "Unscored: " + ", ".join(f"{count(number)} {reason}" for reason, number in missing) + "."
    others = sum(numbers(report.unscored, "count"))
    if others:
        return f"Every detection score has a value; {plural(others, 'other number')} could not be scored."
    return "Nothing was left unscored."

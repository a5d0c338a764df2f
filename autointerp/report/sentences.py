"""Sentences of the page, made from its numbers: pure functions, so that every branch can be tested.

A sentence claims a difference only where its whole interval lies on one side of 0, and says "not measurably"
otherwise: an interval around 0 is no proof of equality.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from autointerp.llm.lineage import normal_form
from autointerp.measure.intervals import Interval, difference_interval
from autointerp.measure.scores import PERCENTILE, PRIMARY
from autointerp.records import PICKED
from autointerp.report import tables
from autointerp.report.data import Arm, Estimate, Report, flags, numbers, texts
from autointerp.report.wording import count, decimal, interval, listing, masks, percent, plural, signed

Sign = Literal["above", "below", "undecided", "unscored"]
FEW = 30  # below this many features a bootstrap interval is too narrow
SAME_FIRINGS = "decoder rows permuted"  # a control that fires where its original does, so that detection has to agree


@dataclass(frozen=True, slots=True)
class Sentence:
    """Text in parts, some of them strong, and the circularity grades of the numbers in it."""

    parts: tuple[tuple[str, bool], ...]
    grades: tuple[str, ...] = ()

    @property
    def plain(self) -> str:
        return "".join(text for text, _ in self.parts)


def say(*parts: str | tuple[str], grades: tuple[str, ...] = ()) -> Sentence:
    """Strings are plain; a string in a 1-tuple is strong."""
    return Sentence(
        tuple((part, False) if isinstance(part, str) else (part[0], True) for part in parts),
        tuple(sorted({grade for grade in grades if grade})),
    )


def together(sentences: Iterable[Sentence | None]) -> Sentence:
    """One paragraph, whose grades stand once at its end."""
    kept = [sentence for sentence in sentences if sentence]
    parts = [part for i, sentence in enumerate(kept) for part in ((((" ", False),) if i else ()) + sentence.parts)]
    return Sentence(tuple(parts), tuple(sorted({grade for sentence in kept for grade in sentence.grades})))


def sign(estimate: Estimate | None) -> Sign:
    """On which side of 0 the whole interval lies. Without an interval nothing is decided."""
    if estimate is None or not estimate.scored:
        return "unscored"
    if not estimate.bounded:
        return "undecided"
    return "above" if estimate.low > 0 else "below" if estimate.high < 0 else "undecided"


def difference(larger: Estimate, smaller: Estimate) -> Estimate:
    """Of two independent samples of features."""
    found = difference_interval(*(Interval(e.value, e.low, e.high, e.n, e.unscored) for e in (larger, smaller)))
    return Estimate(found.value, found.low, found.high, found.n, 0, max(larger.grade, smaller.grade))


def by_sign(report: Report, metric: str, arm: Arm | None) -> dict[Sign, list[str]]:
    groups: dict[Sign, list[str]] = {"above": [], "undecided": [], "below": [], "unscored": []}
    for name in report.names:
        groups[sign(report.estimate(name, metric, arm))].append(name)
    return groups


def told(estimate: Estimate) -> str:
    return f"{signed(estimate.value)} {interval(estimate)}"


# --- first screen


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


def gains_over_controls(report: Report, name: str) -> dict[str, list[tuple[str, Estimate]]]:
    """By how much the detection of a dictionary exceeds that of each of its controls, by sign.

    "agrees" holds the controls that fire where the dictionary does, so that no difference is to be expected.
    """
    arm = report.headline
    own = report.estimate(name, "detection.ap", arm) if arm else None
    groups: dict[str, list[tuple[str, Estimate]]] = {"above": [], "undecided": [], "below": [], "agrees": []}
    for control in report.controls:
        note, theirs = report.notes[control], report.estimate(control, "detection.ap", arm)
        if note.like == name and own and theirs and own.scored and theirs.scored:
            gain = difference(own, theirs)
            verdict = sign(gain)
            expected = verdict == "undecided" and note.control == SAME_FIRINGS
            groups["agrees" if expected else verdict].append((control, gain))
    return groups


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


def place_words(report: Report, names: list[str]) -> str:
    if len(names) == len(report.names) and len(names) > 2:
        return f"all {len(names)} dictionaries"
    return "both dictionaries" if len(names) == len(report.names) == 2 else listing(names)


def spread(values: list[float]) -> str:
    """One number, or from the smallest to the largest."""
    low, high = decimal(min(values)), decimal(max(values))
    return low if low == high else f"{low} to {high}"


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


def unscored_reasons(report: Report, dictionaries: Sequence[str], arm: Arm | None = None) -> list[tuple[str, int]]:
    """Why drawn features have no primary score, under one arm or under all, the most frequent reason first."""
    names = ("dictionary", "metric", "control", "explainer", "scorer", "unscored_reason")
    columns = [texts(report.scores, name) for name in names]
    features = (int(feature) for feature in report.scores["feature"])
    rows = zip(*columns, features, numbers(report.scores, "value"), strict=True)
    missing = Counter(
        reason or "no reason given"
        for name, metric, control, explainer, scorer, reason, feature, value in rows
        if name in dictionaries and metric == "detection.ap" and control == "none" and math.isnan(value)
        if (name, feature) not in report.picked
        if arm is None or (explainer, scorer) == (arm.explainer, arm.scorer)
    )
    return sorted(missing.items(), key=lambda item: (-item[1], item[0]))


# --- what to distrust


def distrust(report: Report) -> tuple[Sentence, ...]:
    """What a careful reader would find against this run, said first by the report itself."""
    checks = (
        circular_arms, unknown_lineage, renamed_models, one_judge, unbeaten_controls, plain_words, below_shuffled,
        falling_sensitivity, flat_sensitivity, rare_positives, many_unscored, few_features, hand_picked,
        poor_reconstruction, still_dead, masked,
    )  # fmt: skip
    return tuple(sentence for check in checks if (sentence := check(report)) is not None)


def circular_arms(report: Report) -> Sentence | None:
    arms = [arm for arm in report.arms if arm.grade > report.settings.worst]
    if not arms:
        return None
    names = listing([f"{arm.explainer} judged by {arm.scorer}" for arm in arms])
    reason = f", allowed because “{report.settings.allow}”" if report.settings.allow else ""
    return say(("Circular numbers stand on this page",), f": {names}{reason}.", grades=tuple(arm.grade for arm in arms))


def unknown_lineage(report: Report) -> Sentence | None:
    known = flags(report.roles, "known")
    unknown = [role for role, flag in zip(texts(report.roles, "role"), known, strict=True) if not flag]
    if not unknown:
        return None
    return say(
        ("Unknown lineage",),
        f": {listing(unknown)}. It may share a family with the subject; the grade assumes the worse.",
    )


def renamed_models(report: Report) -> Sentence | None:
    columns = (texts(report.roles, name) for name in ("role", "requested", "resolved"))
    moved = [
        f"{role} asked for {requested} and got {resolved}"
        for role, requested, resolved in zip(*columns, strict=True)
        if requested and resolved and not same_name(requested, resolved)
    ]
    return say(("Another model answered",), f" than the one named: {'; '.join(moved)}.") if moved else None


def same_name(requested: str, resolved: str) -> bool:
    """A resolved id may add an owner or a date to the name that was asked for; any other word is another model."""
    return normal_form(requested) == normal_form(resolved)


def one_judge(report: Report) -> Sentence | None:
    judges = {arm.scorer for arm in report.arms if arm.grade <= report.settings.worst}
    if len(judges) != 1:
        return None
    judge = next(iter(judges))
    grades = listing(sorted({arm.grade for arm in report.arms if arm.grade <= report.settings.worst}))
    return say(
        ("One judge",),
        f": {judge} alone stands behind every number of grade {grades} on this page. No human rating has entered.",
    )


def unbeaten_controls(report: Report) -> Sentence | None:
    found: dict[str, list[str]] = {"undecided": [], "below": []}
    for name in report.names:
        groups = gains_over_controls(report, name)
        for key, clauses in found.items():
            if groups[key]:
                clauses.append(f"{listing([control for control, _ in groups[key]])} beside {name}")
    if not report.headline or not any(found.values()):
        return None
    grades = (report.headline.grade,)
    better = say(
        ("Explanations of a control do better",),
        f" ({'; '.join(found['below'])}): these scores say nothing about what was learned.",
        grades=grades,
    )
    neither = say(
        ("Explanations of a control are not measurably worse",),
        f" ({'; '.join(found['undecided'])}): by these scores, what was learned cannot be told from what was not.",
        grades=grades,
    )
    return together([better if found["below"] else None, neither if found["undecided"] else None])


def plain_words(report: Report) -> Sentence | None:
    arm = report.arm_with("detection.ap.minus_lexical_floor")
    groups = by_sign(report, "detection.ap.minus_lexical_floor", arm) if arm else None
    if not arm or not groups or not (groups["below"] or groups["undecided"]):
        return None
    better = say(
        ("Counting words does better",),
        f" in {listing(groups['below'])}: explanations stay below a lookup of tokens.",
        grades=(arm.grade,),
    )
    neither = say(
        ("Counting words is not measurably worse",),
        f" in {listing(groups['undecided'])}: explanations cannot be told from a lookup of tokens.",
        grades=(arm.grade,),
    )
    return together([better if groups["below"] else None, neither if groups["undecided"] else None])


def below_shuffled(report: Report) -> Sentence | None:
    arm = report.headline
    groups = by_sign(report, "detection.ap.minus_shuffled", arm) if arm else None
    if not arm or not groups or not (groups["below"] or groups["undecided"]):
        return None
    better = say(
        ("Shuffled explanations do better",),
        f" in {listing(groups['below'])}: these scores say nothing about meaning.",
        grades=(arm.grade,),
    )
    neither = say(
        ("Shuffled explanations are not measurably worse",),
        f" in {listing(groups['undecided'])}: by these scores, explanations cannot be told from them.",
        grades=(arm.grade,),
    )
    return together([better if groups["below"] else None, neither if groups["undecided"] else None])


def falling_sensitivity(report: Report) -> Sentence | None:
    """Measured over the shuffled control: the plain rate falls with the base rate, whatever the explanations are."""
    metric = "sensitivity.retrieval.minus_shuffled"
    arm = report.arm_with(metric)
    found = [report.estimate(name, metric, arm) for name in report.names] if arm else []
    scored = [
        (name, estimate) for name, estimate in zip(report.names, found, strict=False) if estimate and estimate.bounded
    ]
    if len(scored) < 2 or report.notes[scored[0][0]].width == report.notes[scored[-1][0]].width:
        return None
    (small, first), (large, last) = scored[0], scored[-1]
    change = difference(last, first)
    if sign(change) != "below":
        return None
    values = f"from {decimal(first.value)} in {small} to {decimal(last.value)} in {large} ({told(change)})"
    meaning = "the explanations are wider than the features they name"
    return say(("Sensitivity over the shuffled control falls",), f" {values}: {meaning}.", grades=(change.grade,))


def flat_sensitivity(report: Report) -> Sentence | None:
    """Contexts that fit the explanation must fire more often than contexts that fit another one, feature by feature."""
    metric = "sensitivity.retrieval.minus_shuffled"
    arm = report.arm_with(metric)
    found = [(name, report.estimate(name, metric, arm)) for name in report.names] if arm else []
    names = [name for name, gain in found if gain and gain.bounded and sign(gain) != "above"]
    if not names or not arm:
        return None
    where = f" than texts that fit another explanation in {listing(names)}."
    return say(("Fitting texts do not measurably fire more often",), where, grades=(arm.grade,))


def rare_positives(report: Report) -> Sentence | None:
    """A score at a comfortable prevalence is not the score in the wild."""
    arm = report.arm_with("detection.ap_corpus")
    pairs = []
    for name in report.names if arm else ():
        ours, corpus = (report.estimate(name, metric, arm) for metric in ("detection.ap", "detection.ap_corpus"))
        if ours and corpus and ours.scored and corpus.scored and corpus.value < ours.value:
            pairs.append((name, ours, corpus))
    if not pairs or not arm:
        return None
    name, ours, corpus = max(pairs, key=lambda item: item[1].value - item[2].value)
    fall = f" At the rate of the corpus, {name} falls from {decimal(ours.value)} to {decimal(corpus.value)}."
    return say((f"Scores assume {percent(report.settings.prevalence)} positives.",), fall, grades=(arm.grade,))


def many_unscored(report: Report) -> Sentence | None:
    arm = report.headline
    found = [report.estimate(name, "detection.ap", arm) for name in report.names] if arm else []
    missing, asked = sum(item.unscored for item in found if item), sum(item.asked for item in found if item)
    if not missing or not arm:
        return None
    reasons = unscored_reasons(report, report.names, arm)
    why = f" (most often: {reasons[0][0]})" if reasons else ""
    warning = ": the means are of those that could be." if missing > asked / 10 else "."
    lead = f"{count(missing)} of {plural(asked, 'feature')} could not be scored"
    return say((lead,), why + warning, grades=(arm.grade,))


def few_features(report: Report) -> Sentence | None:
    small: dict[int, list[str]] = {}
    for name, n in report.evaluated.items():
        if 0 < n < FEW:
            small.setdefault(n, []).append(name)
    arms = [arm for arm in report.arms if 0 < arm.n_features < FEW]
    clauses = [f"{plural(n, 'feature')} of {listing(names)}" for n, names in small.items()]
    clauses += [
        f"{plural(arm.n_features, 'feature')} for {arm.explainer} judged by {arm.scorer}" for arm in arms if not small
    ]
    if not clauses:
        return None
    return say(("Few features",), f": {'; '.join(clauses)}. Bootstrap intervals of so few are too narrow.")


def hand_picked(report: Report) -> Sentence | None:
    """How the features that somebody chose stand among those that nobody did, by detection."""
    if not report.picked:
        return None
    metric = f"{PRIMARY['detection']}{PERCENTILE}"
    arm = report.headline
    found = [(name, report.estimate(name, metric, arm, PICKED)) for name in report.everyone] if arm else []
    known = [(name, item) for name, item in found if item and item.scored]
    places = [f"{percent(item.value)} [{percent(item.low)}, {percent(item.high)}] in {name}" for name, item in known]
    beaten = f" By detection they exceed {listing(places)} of the sample; 50% would be as if picked by lot."
    return say(
        (f"{plural(len(report.picked), 'feature')} hand-picked",),
        ": they stand beside the seeded sample and count in no mean." + (beaten if places else ""),
        grades=tuple(item.grade for _, item in known),
    )


def poor_reconstruction(report: Report) -> Sentence | None:
    found = [(name, report.estimate(name, "explained_variance")) for name in report.names]
    poor = [(name, item) for name, item in found if item and item.scored and item.value < 0.5]
    if not poor:
        return None
    clauses = [f"{name} explains {decimal(item.value)} of the variance" for name, item in poor]
    return say(
        ("Most of the signal is outside",),
        f": {listing(clauses)}. What the features miss, no explanation covers.",
        grades=("A",),
    )


def still_dead(report: Report) -> Sentence | None:
    dead = [name for name in report.names if report.notes[name].n_dead]
    documents = report.counts.documents
    if not dead or not documents:
        return None
    bound = percent(min(1, 3 / documents))
    return say(
        ("Never fired is not dead",),
        f": a feature of {listing(dead)} that fires in the part read of fewer than {bound} of documents could look "
        "the same here.",
    )


def masked(report: Report) -> Sentence | None:
    """Positions that were left out are a part of the subject about which the page is silent."""
    found = masks(report.counts)
    total = sum(found.values())
    everything = total + report.counts.positions
    if not everything or total / everything < 0.05:
        return None
    reasons = [f"{count(number)} {reason}" for reason, number in found.items()]
    return say(
        (f"{percent(total / everything)} of positions are masked",),
        f" ({listing(reasons)}): nothing here is about them.",
    )

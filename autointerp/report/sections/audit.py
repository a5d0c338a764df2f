"""What a reviewer asks of a model-graded verdict: who graded whom, what changed when others did, what is anchored,
and what nobody knows."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from autointerp.measure.scores import PRIMARY
from autointerp.report.data import Arm, Estimate, Report
from autointerp.report.frames import flags, numbers, texts
from autointerp.report.words.saying import Sentence, say, sign, told
from autointerp.report.words.wording import count, decimal, interval, listing, plural

KIN = ("self-preference", "same-family gap", "circular share", "paraphrase change", "equal opportunity")
OWED = ("owed to the explanation", "leaked share")
AGREED = ("shared error", "effective judges", "kappa", "alpha")
SIZE = "more features to rate"
CORRECTED = "ppi"


@dataclass(frozen=True, slots=True)
class EffectRow:
    """One effect of the crossed design; `estimate` is None where the design cannot tell it."""

    effect: str
    estimate: Estimate | None
    power: float
    note: str

    def of(self, *names: str) -> bool:
        return self.effect.startswith(names)


@dataclass(frozen=True, slots=True)
class Matrix:
    """Explainers in rows, judges in columns; a cell is empty where nobody asked."""

    judges: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Arm | None, ...]], ...]


@dataclass(frozen=True, slots=True)
class AnchoredRow:
    """A mean as the judge gave it, and as people's ratings correct it."""

    dictionary: str
    arm: Arm
    judged: Estimate | None
    corrected: Estimate
    more: str


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often a judge said one thing where people said another: counts[people][judge] on the ratings 0 to 3."""

    judge: str
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """The section and the page of its own. Groups of rows are empty where nothing was asked."""

    matrix: Matrix
    verdicts: tuple[Sentence, ...]
    kin: tuple[EffectRow, ...]
    owed: tuple[EffectRow, ...]
    agreed: tuple[EffectRow, ...]
    anchored: tuple[AnchoredRow, ...]
    confusions: tuple[Confusion, ...]
    unknown: tuple[str, ...]


def section(report: Report) -> Section:
    rows = effects(report)
    return Section(
        matrix(report),
        tuple(verdicts(rows)),
        tuple(row for row in rows if row.of(*KIN)),
        tuple(row for row in rows if row.of(*OWED)),
        tuple(row for row in rows if row.of(*AGREED)),
        tuple(anchored(report, rows)),
        tuple(confusions(report)),
        tuple(unknown(report, rows)),
    )


def effects(report: Report) -> tuple[EffectRow, ...]:
    """The rows of circularity.csv."""
    frame = report.circularity
    if frame.empty:
        return ()
    values = zip(
        texts(frame, "effect"), flags(frame, "identified"), texts(frame, "note"),
        *(numbers(frame, name) for name in ("value", "low", "high", "n", "power")), strict=True,
    )  # fmt: skip
    return tuple(
        EffectRow(effect, Estimate(value, low, high, int(n), 0, "") if identified else None, power, note)
        for effect, identified, note, value, low, high, n, power in values
    )


def matrix(report: Report) -> Matrix:
    arms = {(arm.explainer, arm.scorer): arm for arm in report.arms}
    explainers, judges = (tuple(dict.fromkeys(names)) for names in zip(*arms, strict=True)) if arms else ((), ())
    return Matrix(judges, tuple((name, tuple(arms.get((name, judge)) for judge in judges)) for name in explainers))


def verdicts(rows: tuple[EffectRow, ...]) -> Iterator[Sentence]:
    """What changed when others judged. A difference is claimed where its whole interval lies on one side of 0."""
    found = {row.effect: row for row in rows}
    preference = found.get("self-preference")
    if preference is not None and preference.estimate is not None:
        value, seen = preference.estimate, seen_from(preference)
        yield {
            "above": say(
                ("Judges prefer their own family",),
                f": they give its explanations {told(value)} more of average precision than others get, over "
                f"{plural(value.n, 'feature')}.",
            ),
            "below": say(
                ("Judges are harder on their own family",), f" than on others, by {told(value)} of average precision."
            ),
        }.get(
            sign(value),
            say(
                ("No preference of judges for their own family was measured",),
                f" ({told(value)} of average precision, {plural(value.n, 'feature')}){seen}.",
            ),
        )
    change = found.get("paraphrase change")
    if change is not None and change.estimate is not None:
        what = {
            "above": "Said in a third model's words, the preference shrinks: part of it is wording",
            "below": "Said in a third model's words, the preference grows",
        }.get(sign(change.estimate), "Saying it in a third model's words changes the preference not measurably")
        yield say(what, f" ({told(change.estimate)}){seen_from(change)}.")
    share = found.get("circular share")
    if share is not None and share.estimate is not None:
        yield say(
            "Of what explanations score above the floor when their own family judges, ",
            (f"{decimal(100 * share.estimate.value, 0)}% is that preference",),
            f" {interval(share.estimate)}.",
        )
    judges = found.get("effective judges")
    if judges is not None and judges.estimate is not None:
        yield say(
            "The judges err together: they are worth ",
            (f"{decimal(judges.estimate.value, 1)} that err apart",),
            f" {interval(judges.estimate)}.",
        )


def seen_from(row: EffectRow) -> str:
    return "" if math.isnan(row.power) else f"; {decimal(row.power)} would have been seen in four of five such runs"


def anchored(report: Report, rows: tuple[EffectRow, ...]) -> Iterator[AnchoredRow]:
    """Means that people's ratings correct, beside the judge's own."""
    metric = PRIMARY["specificity"]
    for (dictionary, found, control, explainer, scorer), corrected in report.estimates.items():
        if (found, control) != (metric, CORRECTED):
            continue
        arm = next((arm for arm in report.arms if (arm.explainer, arm.scorer) == (explainer, scorer)), None)
        name = f"{SIZE}, {explainer} by {scorer}, {dictionary}"
        row = next((row for row in rows if row.effect == name), None)
        more = "" if row is None else row.note if row.estimate is None else count(row.estimate.value)
        judged = report.estimate(dictionary, metric, arm) if arm else None
        yield AnchoredRow(dictionary, arm or Arm(explainer, scorer, "", 0), judged, corrected, more)


def confusions(report: Report) -> Iterator[Confusion]:
    """Ratings of judges against those of people, judge by judge."""
    frame = report.confusion
    for scorer in dict.fromkeys(texts(frame, "scorer") if len(frame) else []):
        own = frame[frame["scorer"].astype(str) == scorer]
        table = own.pivot_table(index="people", columns="judge", values="count", aggfunc="sum", fill_value=0)
        grid = table.reindex(index=range(4), columns=range(4), fill_value=0).to_numpy()
        yield Confusion(scorer, tuple(tuple(int(n) for n in line) for line in grid))


def unknown(report: Report, rows: tuple[EffectRow, ...]) -> Iterator[str]:
    """What no number of this run tells, as sentences."""
    strangers = [
        model or role
        for role, model, known in zip(
            texts(report.roles, "role"), texts(report.roles, "resolved"), flags(report.roles, "known"), strict=True
        )
        if not known
    ]
    if strangers:
        yield f"The lineage of {listing(list(dict.fromkeys(strangers)))} is unknown, and is not taken for different."
    if not rows:
        yield (
            "No crossed design was asked for ([audit] with two explainers and two scorers): how much of these scores "
            "is a family agreeing with itself is unknown."
        )
    for row in rows:
        if row.estimate is None and not row.of(SIZE):
            yield f"Unidentified: {row.effect}. {row.note}".strip()
    if not any(control == CORRECTED for _, _, control, _, _ in report.estimates):
        yield "Nobody has rated anything: no mean that a model graded is corrected by people (autointerp rate)."
    yield "Judges that all err alike, on the same items and in the same way, are not found by comparing them."

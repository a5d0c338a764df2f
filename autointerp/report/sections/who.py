"""Who says so: who explained, who judged, and what of it is circular."""

from collections import Counter
from dataclasses import dataclass

from autointerp.llm.lineage import normal_form
from autointerp.measure.scores import PRIMARY
from autointerp.report.data import GRADES, Arm, Report
from autointerp.report.frames import texts
from autointerp.report.parts.tables import cells
from autointerp.report.words.saying import FEW, Sentence, Sign, by_sign, place_words, say, spread, told
from autointerp.report.words.wording import model_name, plural


@dataclass(frozen=True, slots=True)
class Link:
    """One box of a chain: who, in which role, made by whom."""

    role: str
    name: str
    maker: str
    title: str


@dataclass(frozen=True, slots=True)
class Chain:
    """Subject, explainer and scorer of an arm. `reason` says why a grade worse than the gate was allowed."""

    links: tuple[Link, ...]
    arm: Arm
    reason: str


@dataclass(frozen=True, slots=True)
class Section:
    chains: tuple[Chain, ...]
    by_grade: tuple[tuple[str, int, int], ...]
    approvals: tuple[Sentence, ...]


def section(report: Report) -> Section:
    return Section(chains(report), by_grade(report), circular_approvals(report))


def chains(report: Report) -> tuple[Chain, ...]:
    """Who graded whom, best grade first."""
    roles = dict(zip(texts(report.roles, "role"), cells(report.roles), strict=True))
    subject = link("subject", "subject", report.subject, roles.get("subject"))
    found = []
    for arm in sorted(report.arms, key=lambda arm: arm.grade):
        explainer = link(
            "explainer", f"explainer {arm.explainer}", arm.explainer, roles.get(f"explainer {arm.explainer}")
        )
        kind = "generator" if f"generator {arm.scorer}" in roles else "scorer"
        scorer = link(kind, f"{kind} {arm.scorer}", arm.scorer, roles.get(f"{kind} {arm.scorer}"))
        reason = (report.settings.allow or "") if arm.grade > report.settings.worst else ""
        found.append(Chain(merged((subject, explainer, scorer)), arm, reason))
    return tuple(found)


def merged(links: tuple[Link, ...]) -> tuple[Link, ...]:
    """Neighbours that are one model become one box: a chain that ends where it began should look like it."""
    boxes: list[Link] = []
    for item in links:
        if boxes and (boxes[-1].name, boxes[-1].maker) == (item.name, item.maker):
            last = boxes.pop()
            role = f"{last.role.replace(' and ', ', ')} and {item.role}"
            item = Link(role, item.name, item.maker, f"{last.title}; {item.title}")
        boxes.append(item)
    return tuple(boxes)


def link(role: str, key: str, fallback: str, row: dict[str, str] | None) -> Link:
    """A model is named by its resolved id in normal form, so one model is one name; code has a name and no maker."""
    identifier = (row["resolved"] or row["requested"]) if row else ""
    if not identifier or row is None:
        return Link(role, model_name(fallback), "subject of the run" if role == "subject" else "no model", key)
    maker = row["developer"] or ("no model" if row["known"] == "yes" else "unknown developer")
    asked = row["requested"]
    title = f"{key}: {identifier}" + (f", requested as {asked}" if asked not in ("", identifier) else "")
    return Link(role, normal_form(identifier) if row["developer"] else model_name(identifier), maker, title)


def by_grade(report: Report) -> tuple[tuple[str, int, int], ...]:
    """For each grade, how many numbers stand in the tables and how many on feature pages."""
    page, features = (Counter(texts(frame, "circularity")) for frame in (report.dictionaries, report.scores))
    return tuple((grade, page[grade], features[grade]) for grade in GRADES)


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

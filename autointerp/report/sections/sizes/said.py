"""What the page says of dictionaries held against each other."""

import math
from collections.abc import Iterable, Sequence

from autointerp.report.data import Estimate, Report
from autointerp.report.frames import numbers, texts
from autointerp.report.words.saying import Sentence, say
from autointerp.report.words.wording import count, decimal, interval, listing, percent, plural


def sentences(report: Report) -> tuple[Sentence, ...]:
    """All that is said, in the order of the section; nothing where nothing was compared."""
    if report.comparison is None:
        return ()
    said = (splits(report), absorbs(report), neurons(report), *complete(report), *laws(report), seen(report))
    return tuple(item for item in said if item is not None) + tuple(
        say(note) for note in texts(report.comparison.notes, "note")
    )


def bounds(estimate: Estimate, as_share: bool = False) -> str:
    if not estimate.bounded:
        return percent(estimate.value) if as_share else decimal(estimate.value)
    if not as_share:
        return f"{decimal(estimate.value)} {interval(estimate)}"
    return f"{percent(estimate.value)} [{percent(estimate.low)}, {percent(estimate.high)}]"


def spread(values: Sequence[tuple[str, Estimate]], as_share: bool = True) -> str:
    ends = sorted(item.value for _, item in values)
    words = [percent(x) if as_share else decimal(x) for x in (ends[0], ends[-1])]
    return words[0] if words[0] == words[1] else f"{words[0]} to {words[1]}"


def before(report: Report) -> dict[str, str]:
    """The next smaller dictionary of each that has one."""
    assert report.comparison is not None
    columns = (texts(report.comparison.steps, name) for name in ("larger", "smaller"))
    return dict(zip(*columns, strict=True))


def splits(report: Report) -> Sentence | None:
    """How many children a feature has in the next larger dictionary, beside random directions."""
    steps, smaller = report.known("splitting.children"), before(report)
    if not steps:
        return None
    clauses = [f"{bounds(item)} of {smaller[name]} in {name}" for name, item in steps if name in smaller]
    splitting = [name for name, item in report.known("splitting.split") if item.low > 0.05]
    lead = "Every step splits" if len(splitting) == len(steps) > 1 else "Features and their children"
    control, novel = report.known("splitting.children", "random"), report.known("splitting.novel")
    beside = f"; random directions in their place would be {spread(control, False)}" if control else ""
    fresh = f" {spread(novel)} of the features of a larger dictionary have no parent." if novel else ""
    return say(
        (lead,), f": a feature has on average {listing(clauses)} children by direction{beside}.{fresh}", grades=("A",)
    )


def absorbs(report: Report) -> Sentence | None:
    found = report.known("absorption.absorbed")
    if not found:
        return None
    clauses = listing([f"{bounds(item, True)} in {name}" for name, item in found])
    chance = report.known("absorption.absorbed", "random")
    beside = f", where random features that fire as often do on {spread(chance)}" if chance else ""
    return say(
        "Where a feature that splits fires, its counterpart in the next larger dictionary is silent while another "
        f"child of it fires on {clauses} of the positions{beside}.",
        grades=("A",),
    )


def neurons(report: Report) -> Sentence | None:
    found = report.known("neurons.alone")
    if not found:
        return None
    clauses = listing([f"{bounds(item, True)} in {name}" for name, item in found])
    chance = report.known("neurons.alone", "shifted")
    beside = f"; by chance alone it would be {spread(chance)}" if chance else ""
    return say(f"Share of features that correlate with no neuron by more than 0.3: {clauses}{beside}.", grades=("A",))


def complete(report: Report) -> Iterable[Sentence]:
    """How many concepts have a feature of their own, beside words that mean nothing."""
    found = report.known("completeness.search")
    if not found:
        return
    wrongly = dict(report.known("completeness.search", "pseudo"))
    n = max(item.n for _, item in found)
    clauses = [
        f"{bounds(item, True)} in {name}"
        + (f" ({percent(wrongly[name].value)} of pseudo-concepts)" if name in wrongly else "")
        for name, item in found
    ]
    yield say(
        ("No concept has a feature of its own" if not any(item.value for _, item in found) else "Concepts found",),
        f": of {plural(n, 'concept')}, a dedicated feature exists for {listing(clauses)}.",
        grades=("A",),
    )
    missed = [(name, item) for name, item in report.known("completeness.missed_by_loudest") if item.n]
    if missed:
        yield say(
            "Of the concepts that a search over all features finds, the five loudest features miss "
            + listing([f"{percent(item.value)} of {count(item.n)} in {name}" for name, item in missed])
            + ".",
            grades=("A",),
        )


def laws(report: Report) -> Iterable[Sentence]:
    """Exponents, and where half of the concepts are found; or why there is none."""
    assert report.comparison is not None
    frame = report.comparison.laws
    for law, group in frame.groupby("law", sort=False):
        rows = {name: group[group["quantity"] == name].iloc[0] for name in group["quantity"]}
        if "exponent" in rows:
            exponent = rows["exponent"]
            if math.isnan(exponent["value"]):
                yield say(f"{str(law).capitalize()}: {exponent['note']}")
                continue
            off = group.loc[group["quantity"].str.startswith("left out"), "value"].abs().max()
            yield say(
                f"{str(law).capitalize()} follows a power law with the exponent {decimal(-exponent['value'])} "
                f"[{decimal(-exponent['high'])}, {decimal(-exponent['low'])}]; a size predicted from the others is "
                f"off by up to {percent(off)}.",
                grades=("A",),
            )
        elif "x50" in rows:
            x50, one = rows["x50"], rows["p of one curve"]
            if math.isnan(x50["value"]):
                yield say(f"{str(law).capitalize()}: {x50['note']}")
                continue
            if math.isnan(x50["low"]):
                yield say(f"{str(law).capitalize()}: no frequency at which half of them are found. {x50['note']}")
                continue
            ends = f" [{decimal(x50['low'])}, {decimal(x50['high'])}]"
            single = one["note"] if math.isnan(one["value"]) else f"One curve for all sizes: p = {one['value']:.2g}."
            yield say(
                f"{str(law).capitalize()}: half of the concepts are found at a frequency of 10^{decimal(x50['value'])}"
                f"{ends} occurrences per alive feature. {single}",
                grades=("A",),
            )


def seen(report: Report) -> Sentence | None:
    """What the samples could have shown at all."""
    rows = report.dictionaries[report.dictionaries["metric"].str.endswith(".detectable")]
    values = [value for value in numbers(rows, "value") if not math.isnan(value)]
    if not values:
        return None
    return say(
        f"With the features evaluated here, a difference between two dictionaries is seen in four of five runs from "
        f"{decimal(min(values))} standard deviations on."
    )

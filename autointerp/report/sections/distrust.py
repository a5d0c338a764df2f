"""What a careful reader would find against a run, said first by its own report: one function for each doubt.

Each returns None where the run gives no cause for it.
"""

from autointerp.llm.lineage import normal_form
from autointerp.measure.scores import PERCENTILE, PRIMARY
from autointerp.records import PICKED
from autointerp.report.data import Arm, Report
from autointerp.report.frames import flags, texts
from autointerp.report.words.saying import (
    FEW,
    Sentence,
    by_sign,
    difference,
    gains_over_controls,
    say,
    sign,
    together,
    told,
    unscored_reasons,
)
from autointerp.report.words.wording import count, decimal, listing, masks, percent, plural


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
    metric = "detection.ap.minus_lexical_floor"
    return not_beaten(
        report,
        metric,
        report.arm_with(metric),
        ("Counting words does better", "explanations stay below a lookup of tokens"),
        ("Counting words is not measurably worse", "explanations cannot be told from a lookup of tokens"),
    )


def below_shuffled(report: Report) -> Sentence | None:
    return not_beaten(
        report,
        "detection.ap.minus_shuffled",
        report.headline,
        ("Shuffled explanations do better", "these scores say nothing about meaning"),
        (
            "Shuffled explanations are not measurably worse",
            "by these scores, explanations cannot be told from them",
        ),
    )


def not_beaten(
    report: Report, metric: str, arm: Arm | None, better: tuple[str, str], as_good: tuple[str, str]
) -> Sentence | None:
    """What is said, and what it means, of dictionaries in which a difference is below 0, and of those undecided."""
    groups = by_sign(report, metric, arm) if arm else None
    if not arm or not groups or not (groups["below"] or groups["undecided"]):
        return None
    return together(
        say((said,), f" in {listing(names)}: {meaning}.", grades=(arm.grade,)) if names else None
        for names, (said, meaning) in ((groups["below"], better), (groups["undecided"], as_good))
    )


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


DOUBTS = (
    circular_arms, unknown_lineage, renamed_models, one_judge, unbeaten_controls, plain_words, below_shuffled,
    falling_sensitivity, flat_sensitivity, rare_positives, many_unscored, few_features, hand_picked,
    poor_reconstruction, still_dead, masked,
)  # fmt: skip


def section(report: Report) -> tuple[Sentence, ...]:
    """What the report says against its own run, in the order in which a reader should hear it."""
    return tuple(sentence for doubt in DOUBTS if (sentence := doubt(report)) is not None)

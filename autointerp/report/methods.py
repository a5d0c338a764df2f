"""What the numbers mean and where they end, said only of what this run measured."""

from autointerp.report.data import Report, texts
from autointerp.report.sentences import Sentence, say
from autointerp.report.wording import count, decimal, listing, percent, plural

DEFINITIONS = {
    "dead_share": "Share of the features that never fired on the positions kept: a censored statement, see its bounds.",
    "dead_bound_documents": "3 / documents: the 95% bound on the share of documents in whose read part such a feature "
    "fires.",
    "dead_bound_tokens": "3 / positions: the same bound if positions were independent, which bursts are not.",
    "l0": "Mean number of features that fire at a position.",
    "explained_variance": "1 − squared reconstruction error / variance about the mean, over the positions kept. "
    "Can be negative.",
    "loss_recovered": "(ablated − substituted) / (ablated − clean), where each is the subject's next-token loss at the "
    "positions kept of {contexts}: clean as it is, substituted with the reconstruction in place of the hook's output, "
    "ablated with zeros in its place. 1 loses nothing, 0 is as bad as zeros. Zeros do such harm that many a poor "
    "dictionary comes near 1, so read it beside loss_rise; where they do little harm, it means nothing.",
    "loss_rise": "(substituted − clean) / positions, in nats a token, over the same {contexts}: how much worse the "
    "subject predicts with the reconstruction in place of the hook's output. 0 loses nothing.",
    "detection.ap": "Average precision of the judge's verdicts about held-out excerpts, weighted to {prevalence} "
    "positives: a judge that knows nothing reaches {chance}; a perfect one reaches 1.",
    "detection.ap_corpus": "The same verdicts weighted to the rate at which the feature fires in the corpus.",
    "detection.auroc": "Chance that a firing excerpt is ranked above a silent one: 0.5 knows nothing. "
    "Blind to how rare firing is.",
    "fuzzing.ap": "Average precision of verdicts about marked tokens, weighted to {prevalence} positives.",
    "simulation.pearson": "Correlation of the simulated with the true activations.",
    "specificity.mean": "Mean rating, 0 to 3, of how well excerpts fit the explanation, over activation intervals.",
    "sensitivity.retrieval": "Of the {retrieved} held-out excerpts most like the explanation, one per document, the "
    "share on which the feature fires. To be read beside the base rate.",
    "sensitivity.retrieval_base": "Share of the excerpts in the retrieval pool on which the feature fires anyway.",
    "sensitivity.generated": "Share of texts written for the explanation on which the feature fires.",
    "lexical_floor.ap": "Average precision of a token lookup (its mean activation on the explain documents), at "
    "{prevalence} positives: what words alone predict, without an explanation.",
    "lexical_floor.ap_corpus": "The same lookup, weighted to the rate at which the feature fires in the corpus.",
    "lexical_floor.auroc": "The same lookup: the chance that a firing excerpt is ranked above a silent one.",
    "probe.ap": "Average precision of a probe fitted on the explain documents, at {prevalence} positives: what the "
    "activations allow.",
    "probe.ap_corpus": "The same probe, weighted to the rate at which the feature fires in the corpus.",
    "probe.auroc": "The same probe: the chance that a firing excerpt is ranked above a silent one.",
}


def definitions(report: Report) -> tuple[tuple[str, str], ...]:
    """Metric and meaning, for every metric of the run; a difference is defined by its two halves."""
    settings = report.settings
    filled = {
        "prevalence": percent(settings.prevalence),
        "chance": chance(report),
        "retrieved": settings.retrieved,
        "contexts": plural(loss_contexts(report), "context"),
    }
    metrics = dict.fromkeys(metric for metric, _ in report.metrics)
    return tuple(
        (metric, DEFINITIONS[metric].format(**filled) if metric in DEFINITIONS else derived(metric))
        for metric in metrics
    )


def loss_contexts(report: Report) -> int:
    """How many contexts the losses are sums over; 0 where there is no loss."""
    found = [report.estimate(name, "loss_rise") for name in report.everyone]
    return max((item.n for item in found if item and item.scored), default=0)


def chance(report: Report) -> str:
    """What average precision a judge reaches that knows nothing, as measured by dealing out its verdicts at random."""
    constant = f"{report.settings.prevalence:g}"
    if report.permuted is None:
        return constant
    return f"about {decimal(report.permuted)} with this many excerpts (a constant one {constant})"


def derived(metric: str) -> str:
    base, separator, other = metric.partition(".minus_")
    if not separator:
        return "No definition is recorded for this metric."
    against = "its shuffled control" if other == "shuffled" else f"the {other.replace('_', ' ')}"
    return f"{base} minus {against}, feature by feature, then averaged."


def sight(report: Report) -> tuple[str, ...]:
    """Which documents the explainers saw. Of one whose explanations were given, nobody here can know."""
    columns = (texts(report.roles, name) for name in ("role", "provider", "requested"))
    from_outside = {
        role.removeprefix("explainer ")
        for role, provider, requested in zip(*columns, strict=True)
        if role.startswith("explainer ") and (provider == "given" or (not provider and requested == "human"))
    }
    given = sorted({arm.explainer for arm in report.arms if arm.explainer in from_outside})
    others = sorted({arm.explainer for arm in report.arms} - from_outside)
    if not given:
        return ("Explanations of this run saw only the explain documents.",)
    unknown = f"The explanations of {listing(given)} were given: what their author saw is unknown."
    return (unknown, f"The explanations of {listing(others)} saw only the explain documents.") if others else (unknown,)


def score_documents(report: Report) -> tuple[str, ...]:
    """Where the numbers of the run come from: only the judged excerpts are all from the score documents."""
    found = []
    if report.arms:
        found.append(
            "Judged excerpts come from the score documents; the activation intervals they are drawn from are parts of "
            "the feature's maximum over both halves."
        )
    names = {"lexical_floor": "token lookup", "probe": "probe"}
    metrics = {metric.partition(".")[0] for metric, _ in report.metrics}
    fitted = [name for prefix, name in names.items() if prefix in metrics]
    if fitted:
        verb = "are" if len(fitted) > 1 else "is"
        found.append(f"The {' and the '.join(fitted)} {verb} fitted on the explain documents.")
    return tuple(found)


def limits(report: Report) -> tuple[Sentence, ...]:
    """What intervals, splits, shuffles and grades of this run do and do not say."""
    settings, documents = report.settings, report.counts.documents
    halves = [f"{count(number)} {name}" for name, number in report.counts.split_documents.items()]
    found = [
        f"Intervals are 95% bootstrap intervals over features ({plural(settings.resamples, 'resample')}). They say how "
        "much another draw of features would move the mean, not another corpus or another judge.",
        "Documents are split in two" + (f" ({listing(halves)})" if halves else "") + "; no document is in both halves.",
        *(sight(report) if report.arms else ()),
        *score_documents(report),
    ]
    if n_contexts := loss_contexts(report):
        found.append(f"The intervals of loss recovered and loss rise are over {plural(n_contexts, 'context')}.")
    compared = ["between two sizes"] if len(report.names) > 1 else []
    compared += ["between a dictionary and its control"] if report.controls else []
    if compared:
        found.append(
            f"A difference {' or '.join(compared)} treats their features as independent samples; its interval adds the "
            "two margins in squares."
        )
    if report.controls:
        found.append(
            "Controls are dictionaries that learned nothing, put through the same pipeline: what one reaches as well "
            "says nothing about what was learned. One with permuted decoder rows fires where its original does: only "
            "explained variance and loss can tell them apart. One on shuffled weights takes its loss from that subject."
        )
    if "shuffled" in texts(report.dictionaries, "control"):
        found.append(
            "Shuffled: the same judge reads the same excerpts with another feature's explanation of that dictionary."
        )
    if "permuted" in texts(report.dictionaries, "control"):
        found.append(
            "Permuted: the same verdicts dealt out at random over the same excerpts, which is what a judge that knows "
            "nothing reaches with this many excerpts; the thin line of a score's axis stands there."
        )
    found.append("Unscored is neither zero nor left out in silence: it is counted beside each mean, with its reason.")
    if documents:
        found.append(
            f"Dead is censored: of {plural(documents, 'document')} a part was read, all of it or less. With 95% "
            "confidence, a feature that never fired there fires in the part read of fewer than "
            f"{percent(min(1, 3 / documents))} of documents (3 / documents)."
        )
    rubrics = sorted({rubric for rubric in texts(report.scores, "rubric") if rubric})
    if rubrics:
        found.append(f"Rubrics: {listing(rubrics)}.")
    return tuple(say(text) for text in found)

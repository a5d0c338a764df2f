"""What the numbers mean and where they end, said only of what this run measured."""

from autointerp.report.data import Report, texts
from autointerp.report.sentences import Sentence, say
from autointerp.report.wording import count, listing, percent, plural

DEFINITIONS = {
    "dead_share": "Share of the features that never fired on the positions kept: a censored statement, see its bounds.",
    "dead_bound_documents": "3 / documents: the 95% bound on the share of documents in which such a feature fires.",
    "dead_bound_tokens": "3 / positions: the same bound if positions were independent, which bursts are not.",
    "l0": "Mean number of features that fire at a position.",
    "explained_variance": "1 − squared reconstruction error / variance about the mean, over the positions kept. "
    "Can be negative.",
    "loss_recovered": "Share of the loss between ablating the layer and leaving it alone that reconstruction recovers.",
    "detection.ap": "Average precision of the judge's verdicts about held-out excerpts, weighted to {prevalence} "
    "positives: a judge that knows nothing reaches {chance}, a perfect one 1.",
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
    "probe.ap": "Average precision of a probe fitted on the explain documents, at {prevalence} positives: what the "
    "activations allow.",
}


def definitions(report: Report) -> tuple[tuple[str, str], ...]:
    """Metric and meaning, for every metric of the run; a difference is defined by its two halves."""
    settings = report.settings
    filled = {
        "prevalence": percent(settings.prevalence),
        "chance": f"{settings.prevalence:g}",
        "retrieved": settings.retrieved,
    }
    metrics = dict.fromkeys(metric for metric, _ in report.metrics)
    return tuple(
        (metric, DEFINITIONS[metric].format(**filled) if metric in DEFINITIONS else derived(metric))
        for metric in metrics
    )


def derived(metric: str) -> str:
    base, separator, other = metric.partition(".minus_")
    if not separator:
        return "No definition is recorded for this metric."
    against = "its shuffled control" if other == "shuffled" else f"the {other.replace('_', ' ')}"
    return f"{base} minus {against}, feature by feature, then averaged."


def limits(report: Report) -> tuple[Sentence, ...]:
    """What intervals, splits, shuffles and grades of this run do and do not say."""
    settings, documents = report.settings, report.counts.documents
    halves = [f"{count(number)} {name}" for name, number in report.counts.split_documents.items()]
    found = [
        f"Intervals are 95% bootstrap intervals over features ({plural(settings.resamples, 'resample')}). They say how "
        "much another draw of features would move the mean, not another corpus or another judge.",
        "Explanations of this run saw only the explain documents and every score uses only the score documents"
        + (f" ({listing(halves)})" if halves else "")
        + "; no document is in both.",
    ]
    if len(report.names) > 1:
        found.append(
            "The difference between two sizes treats their features as independent samples; its interval adds the two "
            "margins in squares."
        )
    if "shuffled" in texts(report.dictionaries, "control"):
        found.append(
            "Shuffled: the same judge reads the same excerpts with another feature's explanation of that dictionary."
        )
    found.append("Unscored is neither zero nor left out in silence: it is counted beside each mean, with its reason.")
    if documents:
        found.append(
            f"Dead is censored: {plural(documents, 'document')} bound the document rate of a feature that never fired "
            f"at {percent(min(1, 3 / documents))} (3 / documents)."
        )
    rubrics = sorted({rubric for rubric in texts(report.scores, "rubric") if rubric})
    if rubrics:
        found.append(f"Rubrics: {listing(rubrics)}.")
    return tuple(say(text) for text in found)

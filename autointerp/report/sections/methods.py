"""What the numbers mean and where they end, said only of what this run measured."""

from dataclasses import dataclass

from autointerp.report.data import Report
from autointerp.report.frames import texts
from autointerp.report.metrics.meanings import DEFINITIONS, OF_PLUGINS, derived
from autointerp.report.metrics.names import by_form, of_any_list
from autointerp.report.sections import watch
from autointerp.report.sections.causal import listed as causal
from autointerp.report.words.saying import Sentence, say
from autointerp.report.words.wording import count, decimal, listing, percent, plural


@dataclass(frozen=True, slots=True)
class Section:
    definitions: tuple[tuple[str, str], ...]
    limits: tuple[Sentence, ...]


def section(report: Report) -> Section:
    return Section(definitions(report), limits(report))


def definitions(report: Report) -> tuple[tuple[str, str], ...]:
    """Metric and meaning, for every metric of the run; a difference is defined by its two halves."""
    settings = report.settings
    filled = {
        "prevalence": percent(settings.prevalence),
        "chance": chance(report),
        "retrieved": settings.retrieved,
        "contexts": plural(loss_contexts(report), "context"),
    }
    metrics = dict.fromkeys(of_any_list(metric) for metric, _ in report.metrics if not by_form(metric))
    known = {metric: DEFINITIONS.get(metric) or OF_PLUGINS.get(metric.partition(".")[2], "") for metric in metrics}
    return tuple((metric, said.format(**filled) or derived(metric)) for metric, said in known.items())


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
    names = {"lexical_floor": "token lookup", "probe": "probe", "probe_logistic": "logistic probe"}
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
    if "hard_shuffled" in texts(report.dictionaries, "control"):
        found.append(
            "Hard-shuffled: the explanation of the feature whose decoder direction is nearest, among those explained. "
            "Generic: one sentence that fits any text, for every feature."
        )
    if "always_all" in texts(report.dictionaries, "control"):
        found.append("always_all and always_none are what a judge reaches that says yes, or no, to everything.")
    if report.picked:
        found.append(
            "Hand-picked features are evaluated beside the seeded sample and count in no mean, share or difference. "
            "Their shuffled explanations are those of features drawn by seed, where there are some. The interval of "
            "their mean percentile takes both them and the sample for draws at random (Newcombe 2006, method 5)."
        )
    if "ppi" in texts(report.dictionaries, "control"):
        found.append(
            "ppi: a judge's mean rating corrected by the people who rated a seeded draw of the same items "
            "(prediction-powered inference), which is anchored whatever the judge thinks."
        )
    if "permuted" in texts(report.dictionaries, "control"):
        found.append(
            "Permuted: the same verdicts dealt out at random over the same excerpts, which is what a judge that knows "
            "nothing reaches with this many excerpts; the thin line of a score's axis stands there."
        )
    if report.comparison is not None:
        found.append(
            "Splitting, overlap and absorption speak of these dictionaries, feature by feature: what another training "
            "run would give is in no interval. Dead features have no part in them, and controls have no parents. The "
            "map keeps who is near whom, not distances."
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
    return (*(say(text) for text in found), *causal_limits(report), *watch_limits(report))


def causal_limits(report: Report) -> tuple[Sentence, ...]:
    """What the causal numbers of this run do not say."""
    if report.causal is None:
        return ()
    said = [f for f in texts(report.causal.curves, "dose") if f] if len(report.causal.curves) else []
    found = [
        "Attribution is a straight line through what is bent, from activation 0; ablation is exact, one feature at a "
        "position at a time, and misses what others make up for. What a dictionary does not hold is in its error term.",
        "Effects at one hook say nothing of features at other layers.",
    ]
    if said:
        found.append(
            "Doses with a star clamp a feature beyond its largest activation in the corpus, or below 0: the subject "
            "never sees such inputs, and what it then writes need not say what the feature does. Steering is judged by "
            "counting words of the lexical explanation; what it does in other words is not seen."
        )
    listed = listing(list(causal.dictionaries(report)))
    return tuple(say(text) for text in (*found, f"The causal numbers are those of {listed}."))


def watch_limits(report: Report) -> tuple[Sentence, ...]:
    """What a watch list does not say."""
    if report.watched is None:
        return ()
    pairs, cut = int(report.watched.lists["pairs"].sum()), int(report.watched.lists["cut"].sum())
    more = f" {plural(cut, 'text')} were longer than a context and were cut." if cut else ""
    said = (
        f"The lists that are watched are {count(pairs)} pairs of short texts, half of which choose: what no pair shows "
        "is not watched, and that no single feature tells a pair apart does not mean that the subject does not know "
        "the difference. A feature is said to tell them where p, corrected for the number of lists, is at most "
        f"{watch.TELLS:g}.{more}"
    )
    return (say(said),)

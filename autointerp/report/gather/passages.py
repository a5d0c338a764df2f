"""What the page of a feature shows: excerpts, pictures and a histogram."""

from collections import Counter

import pandas as pd

from autointerp import pictures
from autointerp.collect.sketch import histogram_edges
from autointerp.evidence.reader import DictionaryEvidence, read_pictures
from autointerp.job import Job
from autointerp.report.data import FeatureEvidence, Passage

SHOWN_FIRING, SHOWN_SILENT = 3, 2  # excerpts on a feature page, per interval and per kind of silence


def thumbnails(job: Job, evidence: dict[tuple[str, int], FeatureEvidence]) -> dict[int, bytes]:
    """The pictures of all passages, small, by context."""
    wanted = {passage.picture for side in evidence.values() for passage in side.passages if passage.grid}
    return (
        {context: pictures.thumbnail(png) for context, png in read_pictures(job.directory.path, wanted).items()}
        if wanted
        else {}
    )


def passages(
    order: list[str], evidence: dict[str, DictionaryEvidence], bins: int, concepts: pd.DataFrame
) -> dict[tuple[str, int], FeatureEvidence]:
    """What feature pages show: firing excerpts of the score split by interval, silent ones of each kind, histograms."""
    edges = tuple(histogram_edges().tolist())
    columns = (concepts[column].tolist() for column in ("dictionary", "feature", "concept", "home"))
    about = {(name, feature): (concept, home) for name, feature, concept, home in zip(*columns, strict=True)}
    found: dict[tuple[str, int], FeatureEvidence] = {}
    for name in order:
        side = evidence[name]
        histograms = dict(zip(side.features["feature"], side.features["histogram"], strict=True))
        for feature in side.alive:
            known = side.by_feature.get(feature)
            shown: list[Passage] = []
            shown_of: Counter[str] = Counter()
            for item in known.items["score"] if known else ():
                shown_of[item.stratum] += 1
                if shown_of[item.stratum] > (SHOWN_FIRING if item.fires else SHOWN_SILENT):
                    continue
                step = known.max_activation / bins if known else 0.0
                low = int(item.stratum.removeprefix("bin")) * step if item.fires else 0.0
                excerpt = item.excerpt
                activations = tuple(round(a, 3) for a in excerpt.activations)
                high = low + step if item.fires else 0.0
                picture = excerpt.context if excerpt.grid else 0
                shown.append(
                    Passage(item.stratum, low, high, excerpt.pieces, activations, excerpt.grid, picture, excerpt.label)
                )
            counts = [int(n) for n in histograms[feature]]
            filled = [at for at, n in enumerate(counts) if n] or [0]
            inside = slice(filled[0], filled[-1] + 1)
            found[name, feature] = FeatureEvidence(
                tuple(shown), tuple(counts[inside]), edges[filled[0] : filled[-1] + 2], *about.get((name, feature), ())
            )
    return found

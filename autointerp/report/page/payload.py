"""What the page carries for its feature browser: packed, because most readers open a handful of features.

Each block is JSON, gzipped and in base64, in a script element of its own that the browser never runs. Base64 has no
character that means anything to HTML, so no text of the corpus can leave its block. The list of features is one
block; scores and evidence come in blocks of CHUNK features, of which a reader unpacks the one he asked for.
"""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from autointerp.audit.circularity import MEANING
from autointerp.causal.steer import NONE
from autointerp.report.columns import FEATURES
from autointerp.report.data import FeatureEvidence, Passage, Report
from autointerp.report.frames import flags, numbers, texts
from autointerp.report.metrics.names import by_form, domain
from autointerp.report.page.packing import Block, Vocabulary, pack, short, squeeze
from autointerp.report.parts.charts import Figure, library

CHUNK = 200
MAP_STEPS = 4095  # places along a side of the map
PICTURES = 100  # in a block: some 200 kB


@dataclass(slots=True)
class Words:
    """Every string that scores refer to by number."""

    metrics: Vocabulary = field(default_factory=Vocabulary)
    controls: Vocabulary = field(default_factory=Vocabulary)
    explainers: Vocabulary = field(default_factory=Vocabulary)
    scorers: Vocabulary = field(default_factory=Vocabulary)
    rubrics: Vocabulary = field(default_factory=Vocabulary)
    reasons: Vocabulary = field(default_factory=Vocabulary)

    def values(self) -> dict[str, list[Any]]:
        return {name: getattr(self, name).values() for name in self.__slots__}


ScoreRow = list[Any]  # metric, control, explainer, scorer, rubric, value, low, high, n, unscored, reason, grade


def blocks(report: Report) -> tuple[Block, ...]:
    """The list of features first, then the chunks that feature pages are drawn from."""
    words = Words()
    scores = score_rows(report, words)
    near = neighbours(report)
    keys = feature_keys(report, scores)
    chunks = [keys[start : start + CHUNK] for start in range(0, len(keys), CHUNK)]
    packed = [pack(f"features-{i}", chunk_content(report, chunk, scores, near)) for i, chunk in enumerate(chunks)]
    places = {key: i // CHUNK for i, key in enumerate(keys)}
    index = pack("index", index_content(report, scores, words, places))
    return (index, *packed, *map_blocks(report), *picture_blocks(report))


def chart_blocks(figures: Sequence[Figure]) -> tuple[Block, ...]:
    """What draws the charts, and what they are, by their place on the page; nothing where there are none."""
    if not figures:
        return ()
    return squeeze("library", library()), pack("charts", {figure.id: figure.vega for figure in figures})


def neighbours(report: Report) -> dict[tuple[str, int], list[list[Any]]]:
    """Of each evaluated feature its nearest: dictionary, feature, cosine, and the cosine that chance seldom exceeds."""
    found: dict[tuple[str, int], list[list[Any]]] = {}
    if report.comparison is not None:
        place = {name: at for at, name in enumerate(report.everyone)}
        frame = report.comparison.neighbours
        for name, feature, other, neighbour, cosine, chance in frame.itertuples(index=False):
            found.setdefault((name, int(feature)), []).append(
                [place[other], int(neighbour), short(cosine), short(chance)]
            )
    return found


def doses(report: Report) -> dict[tuple[str, int], list[list[Any]]]:
    """For feature pages: rows of control, dose, gain, loss rise, whether off-distribution, text."""
    if report.causal is None:
        return {}
    found: dict[tuple[str, int], list[list[Any]]] = {}
    for row in report.causal.curves.to_dict("records"):
        values = [None if math.isnan(row[name]) else round(row[name], 4) for name in ("dose", "gain", "loss_rise")]
        found.setdefault((str(row["dictionary"]), int(row["feature"])), []).append(
            [row["control"], *values, bool(row["off_distribution"]), row["text"] if row["control"] == NONE else ""]
        )
    return found


def map_blocks(report: Report) -> list[Block]:
    """Where features lie on the map, in steps of 1 / MAP_STEPS of its side; none without a comparison."""
    if report.comparison is None or report.comparison.map.empty:
        return []
    frame = report.comparison.map
    place = {name: at for at, name in enumerate(report.everyone)}
    sites = []
    for site, group in frame.groupby("site", sort=False):
        low = group[["x", "y"]].min()
        side = max(float((group[["x", "y"]].max() - low).max()), 1e-9)
        steps = ((group[["x", "y"]] - low) / side * MAP_STEPS).round().astype(int)
        sites.append(
            {
                "site": site,
                "dictionary": [place[name] for name in group["dictionary"]],
                "feature": group["feature"].tolist(),
                "x": steps["x"].tolist(),
                "y": steps["y"].tolist(),
            }
        )
    return [pack("map-points", {"steps": MAP_STEPS, "sites": sites})]


def picture_blocks(report: Report) -> list[Block]:
    """Pictures in the order of their contexts, PICTURES to a block, as data addresses."""
    data = [
        f"data:image/webp;base64,{base64.b64encode(file).decode('ascii')}"
        for _, file in sorted(report.pictures.items())
    ]
    return [pack(f"pictures-{at // PICTURES}", data[at : at + PICTURES]) for at in range(0, len(data), PICTURES)]


def score_rows(report: Report, words: Words) -> dict[tuple[str, int], list[ScoreRow]]:
    """scores.csv by feature."""
    frame = report.scores
    named = [
        vocabulary.indices(texts(frame, column))
        for column, vocabulary in (
            ("metric", words.metrics), ("control", words.controls), ("explainer", words.explainers),
            ("scorer", words.scorers), ("rubric", words.rubrics),
        )
    ]  # fmt: skip
    measured = [[short(x) for x in numbers(frame, column)] for column in ("value", "low", "high", "n", "unscored")]
    reasons = words.reasons.indices(texts(frame, "unscored_reason"))
    rows: dict[tuple[str, int], list[ScoreRow]] = {}
    keys = zip(texts(frame, "dictionary"), (int(x) for x in frame["feature"].tolist()), strict=True)
    for key, *row in zip(keys, *named, *measured, reasons, texts(frame, "circularity"), strict=True):
        rows.setdefault(key, []).append(row)
    return rows


def feature_keys(report: Report, scores: dict[tuple[str, int], list[ScoreRow]]) -> list[tuple[str, int]]:
    """Every feature of which the page knows something, in the order of the list."""
    listed = zip(
        texts(report.features, "dictionary"), (int(x) for x in report.features["feature"].tolist()), strict=True
    )
    return list(dict.fromkeys([*listed, *scores, *report.evidence]))


def index_content(
    report: Report, scores: dict[tuple[str, int], list[ScoreRow]], words: Words, places: dict[tuple[str, int], int]
) -> dict[str, Any]:
    """Columns of the feature browser, and the words that every block refers to."""
    frame = report.features
    dictionaries, selections = Vocabulary(), Vocabulary()
    dictionaries.indices(report.everyone)
    features = [int(x) for x in frame["feature"].tolist()]
    names = texts(frame, "dictionary")
    columns = {
        "dictionary": dictionaries.indices(names),
        "feature": features,
        "dead": [int(flag) for flag in flags(frame, "dead")],
        "fired": [short(x) for x in numbers(frame, "n_fired")],
        "density": [short(x) for x in numbers(frame, "density")],
        "max": [short(x) for x in numbers(frame, "max_activation")],
        "selection": selections.indices(texts(frame, "selected_by")),
        "explainer": words.explainers.indices(texts(frame, "explainer")),
        "scorer": words.scorers.indices(texts(frame, "scorer")),
        "text": texts(frame, "explanation"),
        "grade": texts(frame, "circularity"),
        "chunk": [places[key] for key in zip(names, features, strict=True)],
    }
    shown = {metric: shown_metric(report, metric, scores, words) for metric in listed_metrics(report)}
    return {
        "columns": columns,
        "shown": shown,
        "domains": {metric: domain(metric) for metric in words.metrics.values()},
        "dictionaries": [dictionary_facts(report, name) for name in dictionaries.values()],
        "selections": selections.values(),
        "documents": report.counts.documents,
        "pictures": PICTURES,
        "meaning": MEANING,
        **words.values(),
    }


def dictionary_facts(report: Report, name: str) -> dict[str, Any]:
    note = report.notes.get(name)
    return {"name": name, "width": note.width if note else None, "mark": note.mark if note else ""}


def listed_metrics(report: Report) -> list[str]:
    """Metrics that the list can show and sort by; detection.ap first, because it is the primary one."""
    metrics = [str(name) for name in report.features.columns if name not in FEATURES and not by_form(str(name))]
    return sorted(metrics, key=lambda name: name != "detection.ap")


def shown_metric(
    report: Report, metric: str, scores: dict[tuple[str, int], list[ScoreRow]], words: Words
) -> dict[str, list[Any]]:
    """One metric for every row of the list: value, interval, shuffled control, grade and the reason for no value."""
    frame = report.features
    columns: dict[str, list[Any]] = {name: [] for name in ("value", "low", "high", "shuffled", "reason", "grade")}
    wanted = words.metrics.index(metric)
    none, shuffled = words.controls.index("none"), words.controls.index("shuffled")
    rows = zip(
        texts(frame, "dictionary"), (int(x) for x in frame["feature"].tolist()), texts(frame, "explainer"),
        texts(frame, "scorer"), numbers(frame, metric), strict=True,
    )  # fmt: skip
    for name, feature, explainer, scorer, value in rows:
        arms = [
            (words.explainers.index(explainer), words.scorers.index(scorer)),
            (words.explainers.index(""), words.scorers.index("")),
        ]
        found = {
            row[1]: row for row in scores.get((name, feature), ()) if row[0] == wanted and (row[2], row[3]) in arms
        }
        row, control = found.get(none), found.get(shuffled)
        columns["value"].append(short(value))
        columns["low"].append(row[6] if row else None)
        columns["high"].append(row[7] if row else None)
        columns["shuffled"].append(control[5] if control else None)
        columns["reason"].append(row[10] if row else words.reasons.index(""))
        columns["grade"].append(row[11] if row else "")
    return columns


def chunk_content(
    report: Report,
    keys: list[tuple[str, int]],
    scores: dict[tuple[str, int], list[ScoreRow]],
    near: dict[tuple[str, int], list[list[Any]]],
) -> dict[str, Any]:
    """Scores and evidence of some features. Excerpts that features share are stored once."""
    pieces, edges = Vocabulary(), Vocabulary()
    places = {context: at for at, context in enumerate(sorted(report.pictures))}
    features = {}
    steered = doses(report)
    for key in keys:
        evidence = report.evidence.get(key, FeatureEvidence())
        features[f"{key[0]}/{key[1]}"] = {
            "scores": scores.get(key, []),
            "passages": [[item.stratum, short(item.low), short(item.high), pieces.index(item.pieces), sparse(item),
                          seen(item, places)] for item in evidence.passages],
            "concept": evidence.concept,
            "home": evidence.home,
            "near": near.get(key, []),
            **({"doses": steered[key]} if key in steered else {}),
            "histogram": list(evidence.histogram),
            "edges": edges.index(tuple(short(x) for x in evidence.edges)),
        }  # fmt: skip
    return {"features": features, "pieces": pieces.values(), "edges": edges.values()}


def seen(passage: Passage, places: dict[int, int]) -> list[int | str] | None:
    """Which picture, where its patches are among the positions, and what it shows; None without one."""
    if passage.grid is None or passage.picture not in places:
        return None
    grid = passage.grid
    return [places[passage.picture], grid.start, grid.rows, grid.columns, passage.label]


def sparse(passage: Passage) -> list[float | int | None]:
    """place, value, place, value …: a feature is silent on most tokens."""
    return [x for i, value in enumerate(passage.activations) if value > 0 for x in (i, short(value))]

"""A small synthetic report, and the large one that sizes are measured on. Every number is invented."""

import dataclasses
import math
import random
from collections.abc import Sequence

import pandas as pd

from autointerp.compare.tables import comparison
from autointerp.measure.scores import standings
from autointerp.records import PICKED, Score
from autointerp.report.columns import COSTS, ROLES, SCORES
from autointerp.report.data import Arm, Counts, DictionaryNote, Estimate, FeatureEvidence, Passage, Report, Settings
from autointerp.report.sections import distrust

HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)"> \' " & {{7*7}} {% raw %} \u202e'
WORDS = [
    "the",
    "ferry",
    "crossed",
    "a",
    "narrow",
    "strait",
    "at",
    "dawn",
    "and",
    "entered",
    "the",
    "harbour",
    "under",
    "sail",
    "while",
    "a",
    "small",
    "stream",
    "flows",
    "into",
]
NAN = math.nan
GAIN = "detection.ap.minus_shuffled"
UNBEATEN = "Explanations of a control"
LEXICAL = Arm("lexical", "minilm", "B", 100)
SELF = Arm("self", "self", "E", 8)
Row = dict[str, object]


def number(
    dictionary: str,
    width: int,
    metric: str,
    value: float,
    half: float = NAN,
    arm: Arm | None = None,
    control: str = "none",
    n: int = 100,
    unscored: int = 0,
) -> Row:
    """One row of dictionaries.csv."""
    return {
        "dictionary": dictionary,
        "width": width,
        "metric": metric,
        "control": control,
        "explainer": arm.explainer if arm else "",
        "scorer": arm.scorer if arm else "",
        "rubric": "detection.cosine@1" if arm else "",
        "value": value,
        "low": value - half,
        "high": value + half,
        "n": n,
        "unscored": unscored,
        "circularity": arm.grade if arm else "A",
    }


def dictionary_rows(name: str, width: int, arms: Sequence[Arm], documents: int = 431) -> list[Row]:
    """A larger dictionary is explained better, up to a point, and has more dead features."""
    size = math.log2(width) - 8
    rows = [
        number(name, width, "dead_share", dead(width) / width, min(0.004, dead(width) / width)),
        number(name, width, "dead_bound_documents", 3 / documents),
        number(name, width, "dead_bound_tokens", 3 / 65536),
        number(name, width, "l0", 31.6 + size, 0.4),
        number(name, width, "explained_variance", 0.67 + 0.04 * size, 0.003),
        number(name, width, "loss_recovered", 0.91 + 0.01 * size, 0.02, n=32),
        number(name, width, "loss_rise", 0.34 - 0.05 * size, 0.06, n=32),
        number(name, width, "lexical_floor.ap", 0.55 + 0.01 * size, 0.03),
        number(name, width, "probe.ap", 0.82 + 0.01 * size, 0.02),
    ]
    for arm in arms:
        own = arm.grade == "E"
        true = 0.43 if own else 0.61 + 0.05 * min(size, 2)
        shuffled = 0.42 if own else 0.36
        half, n, missing = (0.11, 8, 1) if own else (0.045, 97, 3)
        gain = true - shuffled
        rows += [
            number(name, width, "detection.ap", true, half, arm, n=n, unscored=missing),
            number(name, width, "detection.ap", shuffled, half * 0.6, arm, "shuffled", n, missing),
            number(name, width, "detection.ap", 0.27, 0.02, arm, "permuted", n, missing),
            number(name, width, "detection.ap.minus_shuffled", gain, half, arm, n=n, unscored=missing),
            number(name, width, "detection.auroc", 0.5 + gain, half, arm, n=n, unscored=missing),
            number(name, width, "detection.auroc", 0.51, half, arm, "shuffled", n, missing),
            number(name, width, "detection.ap_corpus", true / 3, half, arm, n=n, unscored=missing),
            number(name, width, "detection.ap_corpus", 0.05, 0.01, arm, "shuffled", n, missing),
            number(
                name,
                width,
                "detection.ap.minus_lexical_floor",
                true - 0.55 - 0.01 * size,
                half,
                arm,
                n=n,
                unscored=missing,
            ),
        ]
        if not own:
            rows += [
                number(name, width, "sensitivity.retrieval", 0.52 - 0.06 * size, 0.05, arm, n=n, unscored=missing),
                number(name, width, "sensitivity.retrieval", 0.11, 0.03, arm, "shuffled", n, missing),
                number(
                    name,
                    width,
                    "sensitivity.retrieval.minus_shuffled",
                    0.41 - 0.06 * size,
                    0.05,
                    arm,
                    n=n,
                    unscored=missing,
                ),
                number(name, width, "sensitivity.retrieval_base", 0.08, 0.01, n=n, unscored=missing),
            ]
    return rows


def dead(width: int) -> int:
    return 0 if width <= 512 else int(width * (math.log2(width) - 9) ** 2 / 240)


def passages(draw: random.Random, top: float, words: Sequence[str], length: int, each: int) -> tuple[Passage, ...]:
    made = []
    for stratum in ("bin4", "bin3", "bin2", "bin1", "bin0", "near", "same_token", "random"):
        low, high = (
            (top * int(stratum[3]) / 5, top * (int(stratum[3]) + 1) / 5) if stratum.startswith("bin") else (0.0, 0.0)
        )
        for _ in range(each):
            start = draw.randrange(max(1, len(words) - length))
            pieces = tuple((" " if i else "") + word for i, word in enumerate(words[start : start + length]))
            fires = (
                {draw.randrange(len(pieces)): draw.uniform(low, high), draw.randrange(len(pieces)): high * 0.4}
                if high
                else {}
            )
            made.append(Passage(stratum, low, high, pieces, tuple(fires.get(i, 0.0) for i in range(len(pieces)))))
    return tuple(made)


def feature_scores(draw: random.Random, name: str, feature: int, arms: Sequence[Arm]) -> list[Row]:
    """Rows of scores.csv for one feature; every tenth feature could not be judged."""

    def row(metric: str, value: float, arm: Arm | None, control: str = "none", reason: str = "") -> Row:
        return {
            "dictionary": name,
            "feature": feature,
            "metric": metric,
            "control": control,
            "explainer": arm.explainer if arm else "",
            "scorer": arm.scorer if arm else "",
            "rubric": "detection.cosine@1" if arm else "",
            "value": value,
            "low": value - 0.08,
            "high": value + 0.07,
            "n": 0 if reason else 40,
            "unscored": 40 if reason else 0,
            "unscored_reason": reason,
            "circularity": arm.grade if arm else "A",
        }

    rows = [row("lexical_floor.ap", draw.uniform(0.3, 0.8), None), row("probe.ap", draw.uniform(0.6, 0.99), None)]
    for arm in arms:
        reason = "too few firings in the score documents" if feature % 10 == 3 else ""
        value = NAN if reason else draw.uniform(0.3, 0.95)
        control = NAN if reason else draw.uniform(0.2, 0.5)
        rows += [
            row("detection.ap", value, arm, "none", reason),
            row("detection.ap", control, arm, "shuffled", reason),
            row("detection.ap", NAN if reason else 0.27, arm, "permuted", reason),
            row("detection.ap.minus_shuffled", value - control, arm, "none", reason),
            row("detection.auroc", value, arm, "none", reason),
            row("detection.auroc", control, arm, "shuffled", reason),
            row("sensitivity.retrieval", value, arm, "none", reason),
            row("sensitivity.retrieval_base", control, arm, "none", reason),
        ]
    return rows


def percentiles(scores: Sequence[Row]) -> list[Row]:
    """The rows that say where each feature stands."""
    named = [{"reason" if name == "unscored_reason" else name: value for name, value in row.items()} for row in scores]
    found = standings([Score(**row) for row in named], frozenset())
    return [{**dataclasses.asdict(score), "unscored_reason": score.reason} for score in found]


def feature_rows(
    draw: random.Random, name: str, feature: int, arms: Sequence[Arm], scores: list[Row], words: Sequence[str]
) -> list[Row]:
    rows = []
    for arm in arms:
        measured = {
            str(row["metric"]): row["value"]
            for row in scores
            if row["control"] == "none" and (row["explainer"], row["scorer"]) in ((arm.explainer, arm.scorer), ("", ""))
        }
        text = "fires on words like " + ", ".join(f"“{word}”" for word in draw.sample(list(words), 4))
        rows.append(
            {
                "dictionary": name,
                "feature": feature,
                "dead": False,
                "n_fired": draw.randrange(20, 4000),
                "density": draw.uniform(1e-4, 0.02),
                "max_activation": draw.uniform(2, 12),
                "selected_by": "seed 0",
                "explainer": arm.explainer,
                "explanation": text,
                "scorer": arm.scorer,
                "circularity": arm.grade,
                **measured,
            }
        )
    return rows


def build(
    widths: Sequence[int] = (256, 512, 1024),
    arms: Sequence[Arm] = (LEXICAL, SELF),
    features: int = 12,
    words: Sequence[str] = WORDS,
    length: int = 14,
    each: int = 1,
) -> Report:
    """Dictionaries of these widths under these arms, `features` features each; feature 3 unscored, the last dead."""
    draw = random.Random(0)
    names = {f"demo-{width}": width for width in widths}
    listed: list[Row] = []
    scores: list[Row] = []
    evidence = {}
    edges = tuple(round(0.05 * 1.3**i, 4) for i in range(25))
    for name in names:
        for feature in range(features):
            mine = feature_scores(draw, name, feature, arms)
            scores += mine
            listed += feature_rows(draw, name, feature, arms, mine, words)
            counts = tuple(int(400 * math.exp(-(((i - 9) / 4) ** 2))) for i in range(24))
            evidence[name, feature] = FeatureEvidence(passages(draw, 9.2, words, length, each), counts, edges)
        listed.append(
            {
                "dictionary": name,
                "feature": features,
                "dead": True,
                "n_fired": 0,
                "density": 0.0,
                "max_activation": 0.0,
                "selected_by": "seed 0",
                "explainer": "",
                "explanation": "",
                "scorer": "",
                "circularity": "",
            }
        )
    return Report(
        name="demo-text",
        generated="21 Nov 2026 02:14",
        version="0.1.0",
        subject="HuggingFaceTB/SmolLM2-135M",
        hooks=("layer 15 output",),
        seed=0,
        command="autointerp run demo-text",
        counts=Counts(
            431,
            512,
            65536,
            64512,
            {"first position": 512, "special token": 498, "norm above 10 × median": 14},
            23,
            17,
            {"explain": 214, "score": 217},
        ),
        settings=Settings(
            0.2, 20, 2000, "B", "shows what circularity looks like" if any(arm.grade > "B" for arm in arms) else None
        ),
        dictionaries=pd.DataFrame([row for name, width in names.items() for row in dictionary_rows(name, width, arms)]),
        features=pd.DataFrame(listed),
        scores=pd.DataFrame([*scores, *percentiles(scores)], columns=SCORES),
        roles=pd.DataFrame(
            [
                (
                    "subject",
                    "HuggingFaceTB/SmolLM2-135M",
                    "HuggingFaceTB/SmolLM2-135M",
                    "transformers",
                    "Hugging Face",
                    "SmolLM",
                    "2",
                    True,
                ),
                ("explainer lexical", "", "", "code", "", "", "", True),
                (
                    "scorer minilm",
                    "sentence-transformers/all-MiniLM-L6-v2",
                    "sentence-transformers/all-MiniLM-L6-v2",
                    "embedding",
                    "Microsoft",
                    "MiniLM",
                    "1",
                    True,
                ),
                (
                    "explainer self",
                    "SmolLM2-135M",
                    "HuggingFaceTB/SmolLM2-135M",
                    "local",
                    "Hugging Face",
                    "SmolLM",
                    "2",
                    True,
                ),
                (
                    "scorer self",
                    "HuggingFaceTB/SmolLM2-135M",
                    "HuggingFaceTB/SmolLM2-135M",
                    "local",
                    "Hugging Face",
                    "SmolLM",
                    "2",
                    True,
                ),
            ],
            columns=ROLES,
        ),
        costs=pd.DataFrame(
            [("scorer self", "local", "SmolLM2-135M", 192, 40, 80412, 2410, NAN, 62.4)],
            columns=COSTS,
        ),
        arms=tuple(arms),
        notes={
            name: DictionaryNote(
                width,
                dead(width),
                {
                    "format": "sae_lens",
                    "activation": "topk",
                    "k": "32",
                    "hook": "model.layers.15",
                    "path": f"datasets/dictionaries/{name}",
                    "hash": "sha256:9f2c…",
                },
            )
            for name, width in names.items()
        },
        unscored=pd.DataFrame(
            [
                ("too few firings in the score documents", "detection.ap", 9),
                ("answer missing after a second try", "detection.ap", 3),
            ],
            columns=["reason", "metric", "count"],
        ),
        evidence=evidence,
        config='name = "demo-text"\nseed = 0\n',
    )


def changed(
    report: Report, metric: str, value: float, half: float, dictionary: str = "", arm: Arm | None = None
) -> Report:
    """The same report with one metric moved (control none) in one dictionary or in all."""
    frame = report.dictionaries.copy()
    rows = (frame["metric"] == metric) & (frame["control"] == "none")
    if dictionary:
        rows &= frame["dictionary"] == dictionary
    if arm:
        rows &= frame["scorer"] == arm.scorer
    frame.loc[rows, ["value", "low", "high"]] = [value, value - half, value + half]
    return dataclasses.replace(report, dictionaries=frame)


def with_control(
    report: Report, name: str, like: str, detection: float = 0.4, what: str = "random directions"
) -> Report:
    """The same report with a control, which has all the rows of `like` but its own detection under LEXICAL."""
    frames = {}
    for kind in ("dictionaries", "features", "scores"):
        frame = getattr(report, kind)
        frames[kind] = pd.concat([frame, frame[frame["dictionary"] == like].assign(dictionary=name)], ignore_index=True)
    note = dataclasses.replace(report.notes[like], convention={"hook": "model.layers.15", "control": what})
    note.convention["held against"] = like
    evidence = {(name, feature): item for (other, feature), item in report.evidence.items() if other == like}
    made = dataclasses.replace(
        report, notes={**report.notes, name: note}, evidence={**report.evidence, **evidence}, **frames
    )
    return changed(made, "detection.ap", detection, 0.045, name, LEXICAL)


def hostile() -> Report:
    """Every place that takes text from outside holds text that wants to be markup."""
    report = with_control(build((256, 512), features=4), "pca", "demo-512", what=HOSTILE)
    features, scores, roles, unscored = (
        frame.copy() for frame in (report.features, report.scores, report.roles, report.unscored)
    )
    features["explanation"] = HOSTILE
    features.loc[0, "selected_by"] = PICKED
    scores.loc[scores["unscored_reason"] != "", "unscored_reason"] = HOSTILE
    roles.loc[roles["role"] == "scorer minilm", ["resolved", "developer"]] = HOSTILE
    unscored["reason"] = HOSTILE
    pieces = (HOSTILE, "</script>", "<b>bold</b>", "\n", "{{7*7}}")
    passage = Passage("bin4", 7.4, 9.2, pieces, (9.2, 1.0, 8.0, 0.0, 7.5))
    evidence = {
        key: dataclasses.replace(item, passages=(passage, *item.passages)) for key, item in report.evidence.items()
    }
    for frame in (report.dictionaries, features, scores):
        frame["dictionary"] = frame["dictionary"].replace("demo-256", HOSTILE)
    return dataclasses.replace(
        report,
        name=HOSTILE,
        subject=HOSTILE,
        hooks=(HOSTILE,),
        command=HOSTILE,
        config=HOSTILE,
        features=features,
        scores=scores,
        roles=roles,
        unscored=unscored,
        settings=dataclasses.replace(report.settings, allow=HOSTILE),
        notes={
            HOSTILE if name == "demo-256" else name: dataclasses.replace(
                note, convention={**note.convention, HOSTILE: HOSTILE}
            )
            for name, note in report.notes.items()
        },
        evidence={
            (HOSTILE if name == "demo-256" else name, feature): item for (name, feature), item in evidence.items()
        },
    )


def with_comparison(report: Report, concepts: bool = True, text: str = "") -> Report:
    """The same report with a comparison of its dictionaries: children, chains, neighbours, concepts and a map.

    Feature i of a larger dictionary descends from feature i // 2; `text` stands wherever a name or a note can.
    """
    names, rows = list(report.names), report.notes
    numbers: list[Row] = []
    tables: dict[str, list[Row]] = {
        "children": [],
        "steps": [],
        "chains": [],
        "neighbours": [],
        "absorption": [],
        "concepts": [],
        "map": [],
    }
    for at, name in enumerate(names):
        width = rows[name].width
        tables["map"] += [
            {
                "site": "layer 15",
                "dictionary": name,
                "feature": feature,
                "x": float(feature % 7),
                "y": float(at + feature // 7),
            }
            for feature in range(30)
        ]
        tables["neighbours"] += [
            {"dictionary": name, "feature": 1, "other": other, "neighbour": 2, "cosine": 0.8 - rank / 2, "chance": 0.4}
            for other in names
            for rank in range(2)
        ]
        if concepts:
            numbers += [
                number(name, width, "completeness.search", 0.4, 0.1, n=40),
                number(name, width, "completeness.search", 0.03, 0.02, control="pseudo", n=20),
                number(name, width, "completeness.missed_by_loudest", 0.25, 0.2, n=16),
            ]
            tables["concepts"] += [
                {"dictionary": name, "way": "search", "category": text or "sea", "concept": text or f"word{i}",
                 "pseudo": i % 4 == 3, "sets_threshold": False, "occurrences": 10 * i, "frequency": 1e-4 * (i + 1),
                 "found": float(i % 4 < 2), "feature": i % 5, "auroc": 0.97, "precision": (i % 10) / 10,
                 "threshold": 0.5}
                for i in range(40)
            ]  # fmt: skip
        if not at:
            continue
        smaller = names[at - 1]
        numbers += [
            number(name, width, "splitting.children", 1.8, 0.1, n=rows[smaller].width),
            number(name, width, "splitting.children", 0.02, 0.01, control="random", n=rows[smaller].width),
            number(name, width, "splitting.split", 0.6, 0.05, n=rows[smaller].width),
            number(name, width, "splitting.novel", 0.2, 0.03, n=width),
            number(name, width, "absorption.absorbed", 0.15, 0.05, n=50),
            number(name, width, "contrast.detection.ap", 0.05, 0.03, LEXICAL, smaller, 194, 6),
            number(name, width, "contrast.detection.ap.rank_biserial", 0.2, 0.1, LEXICAL, smaller, 194, 6),
            number(name, width, "contrast.detection.ap.detectable", 0.4, NAN, LEXICAL, smaller, 194, 6),
        ]
        tables["steps"].append(
            {"smaller": smaller, "larger": name, "feature": 0, "nearest": 0, "cosine": 0.9, "threshold": 0.4}
        )
        tables["absorption"] += [
            {"dictionary": smaller, "feature": i, "larger": name, "counterpart": 2 * i, "children": 2, "fired": 100 + i,
             "documents": 9, "absorbed": [0.3, 0.6, NAN][i], "low": 0.2, "high": 0.7, "silent": 0.8, "beside": 0.5,
             "null": 0.05, "p": 0.005, "reason": text if i < 2 else "it never fires"}
            for i in range(3)
        ]  # fmt: skip
        tables["children"] += [
            {"smaller": smaller, "larger": name, "control": control, "children": n, "features": features}
            for control, counts in (("none", (10, 40, 50)), ("random", (98, 2)))
            for n, features in enumerate(counts)
        ]
        tables["chains"] += [
            {
                "root": 1,
                "generation": at,
                "dictionary": name,
                "feature": 2**at + i,
                "parent": 2 ** (at - 1) + i // 2,
                "cosine": 0.7,
            }
            for i in range(2**at)
        ]
    tables["chains"].insert(
        0, {"root": 1, "generation": 0, "dictionary": names[0], "feature": 1, "parent": 1, "cosine": 1.0}
    )
    laws: list[Row] = [
        {"law": "1 - explained variance against width", "quantity": "exponent", "value": NAN, "low": NAN, "high": NAN,
         "n": len(names), "note": "A power law needs at least 4 different sizes, and there are 3."},
        {"law": "concepts found by search against frequency", "quantity": "slope", "value": 2.0, "low": 1.0,
         "high": 3.0, "n": 40, "note": ""},
        {"law": "concepts found by search against frequency", "quantity": "intercept", "value": -0.5, "low": NAN,
         "high": NAN, "n": 40, "note": ""},
        {"law": "concepts found by search against frequency", "quantity": "x50", "value": 0.25, "low": 0.1,
         "high": 0.4, "n": 40, "note": ""},
        {"law": "concepts found by search against frequency", "quantity": "p of one curve", "value": 0.3, "low": NAN,
         "high": NAN, "n": 40, "note": ""},
    ]  # fmt: skip
    found = comparison(
        {
            **tables,
            "numbers": numbers,
            "laws": laws,
            "notes": [{"about": "map", "note": text or "All features are shown."}],
        }
    )
    return dataclasses.replace(
        report,
        dictionaries=pd.concat([report.dictionaries, found.numbers], ignore_index=True),
        comparison=found,
        densities={name: tuple(10 ** -(1 + i / 20) for i in range(60)) for name in names},
    )


def beside(*detections: float, own: float = 0.7) -> Report:
    """One dictionary that reaches `own` ± 0.045, with a control for each of `detections`, as sure."""
    report = changed(build((1024,), (LEXICAL,)), "detection.ap", own, 0.045)
    for i, detection in enumerate(detections):
        report = with_control(report, f"control-{i}", "demo-1024", detection)
    return report


def estimate(value: float, low: float = NAN, high: float = NAN) -> Estimate:
    return Estimate(value, low, high, 100, 0, "B")


def said(report: Report) -> str:
    """All that the report says against its own run."""
    return " ".join(sentence.plain for sentence in distrust.section(report))

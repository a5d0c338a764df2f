"""Nobody wins detection or fuzzing by layout alone: classifiers are trained on it and stay at chance on other features.

Requests are the real ones, on English text, for TopK features of a tiny random model: their firings follow the text as
those of any model do (they come in bursts and runs), and there is no need to know what they mean.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autointerp import config as configuration
from autointerp import toml
from autointerp.evidence.reader import DictionaryEvidence
from autointerp.job import Job
from autointerp.judge import asking
from autointerp.judge.asking import Asked
from autointerp.judge.question import Shown
from autointerp.measure import ranking
from autointerp.pipeline import STAGES, do, open_job
from autointerp.prompt import MARK, marked
from autointerp.score import llm
from autointerp.score.cases import Case
from tests import planted

FEATURES, D, ITEMS, DRAWS = 160, 16, 20, 3
BOUNDS = (1.0, 99.0)  # percentiles: eight looks are taken
pytestmark = pytest.mark.slow
Change = Callable[[Asked], Asked | None]


@pytest.fixture(scope="module")
def evaluated(tiny_subject_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Job, Any]]:
    """A job with collected evidence, and the evidence."""
    folder = tmp_path_factory.mktemp("cues")
    W_dec = torch.nn.functional.normalize(torch.randn(FEATURES, D, generator=torch.Generator().manual_seed(0)), dim=1)
    tensors = {"W_enc": W_dec.T.contiguous(), "W_dec": W_dec, "b_enc": torch.zeros(FEATURES), "b_dec": torch.zeros(D)}
    planted.write_dictionary(
        folder / "dictionary", tensors, architecture="topk", k=5, metadata={"hook_name": "model.layers.1"}
    )
    tree = {
        "name": "cues",
        "subject": {"model": str(tiny_subject_path), "device": "cpu"},
        "corpus": {"path": "english/heldout.parquet", "contexts": 256, "contexts_per_document": 2},
        "dictionaries": {"d": {"path": str(folder / "dictionary")}},
        "collect": {"loss_contexts": 0, "gate": False},
        "evidence": {"features": FEATURES, "bins": 1, "per_bin": ITEMS, "negatives": ITEMS},
        "explainers": {"words": {"kind": "lexical"}},
        "scorers": {"judge": planted.scripted("judge_nonsense")},
        "circularity": {"allow": "nothing is judged here"},
    }
    job = open_job(toml.build(tree, "test"), folder)
    for name in ("collect", "evidence"):
        do(job, name, STAGES[name])
    yield job, {"d": DictionaryEvidence(job.directory / "evidence", "d", job.directory.facts("collect")["split_hash"])}
    job.close()


Ask = Callable[..., list[tuple[int, Asked]]]  # feature and request


@pytest.fixture(scope="module")
def ask(evaluated: tuple[Job, Any]) -> Ask:
    """All requests of a question, drawn anew by each of several seeds: coins and order differ, excerpts do not.

    Only features with as many firing excerpts as silent ones: that a feature fires in few of its excerpts is told by
    the truth of any of them. It is the same for all its items and so of no help to tell them apart.
    """
    job, evidence = evaluated
    known = evidence["d"].by_feature
    full = [f for f in evidence["d"].alive if sum(item.fires for item in known[f].items["score"]) == ITEMS]
    assert len(full) >= 100

    @cache
    def asked(question: str, items_per_request: int) -> list[tuple[int, Asked]]:
        role = configuration.LLMScorer(
            kind="llm", provider="scripted", model="m", scores=[question], items_per_request=items_per_request
        )
        texts = {name: asking.rubric_of(role, name, job.config, job.sees) for name in role.scores}
        draws = [Job(job.config.model_copy(update={"seed": seed}), job.directory) for seed in range(DRAWS)]
        return [
            (feature, one)
            for feature in full
            for again in draws
            for one in llm.questions(again, role, Case("d", feature, "a", "none", "x"), texts, evidence, {}, False)
        ]

    return asked


def flags_of(text: str, pieces: Sequence[str]) -> list[bool]:
    """Which tokens stand in marks, read off a text without brackets of its own. A token may be part of a character."""
    flags, at, inside = [], 0, False
    for piece in pieces:
        if text.startswith(MARK[inside], at):
            at, inside = at + 2, not inside
        flags.append(inside)
        at += len(piece)
    return flags


def layouts(one: Asked) -> list[list[float]]:
    """All that is to be seen of each item beside its words, and how many of the others in its request are true.

    Lengths are in tokens: how many characters 32 tokens take is a matter of which tokens they are, and those are what
    a question is about. The same holds for the characters under a mark.
    """
    lines = [json.loads(line) for line in one.request.content.split("\n")[1:]]
    n, tokens = len(lines), [len(shown.item.excerpt.pieces) for shown in one.group]
    rows = []
    for at, (line, shown) in enumerate(zip(lines, one.group, strict=True)):
        others = sum(other.fires for other in one.group) - shown.fires
        row = [line["id"], at, n, at / n, others, others / max(n - 1, 1)]
        row += [tokens[at], tokens[at - 1] if at else 0, tokens[at + 1] if at + 1 < n else 0]
        row += [line["text"].count(mark) for mark in MARK]
        rows.append(row + marks(flags_of(line["text"], shown.item.excerpt.pieces)))
    return rows


def marks(flags: list[bool]) -> list[float]:
    """Number, lengths and places of the runs of marked tokens, and of the gaps between them."""
    ends, edge = [], 0
    for flag, run in groupby(flags):
        edge += (length := len(list(run)))
        if flag:
            ends.append((edge - length, edge))
    if not ends:
        return [0.0] * 11
    gaps = [later - sooner for (_, sooner), (later, _) in pairwise(ends)] or [-1]
    lengths = [stop - start for start, stop in ends]
    middles = [(start + stop) / 2 for start, stop in ends]
    row = [len(ends), sum(lengths), max(lengths), min(lengths), ends[0][0], len(flags) - ends[-1][1]]
    return [*row, float(np.mean(middles)), float(np.std(middles)), min(gaps), max(gaps), float(np.mean(gaps))]


def aurocs(asked: Sequence[tuple[int, Asked]]) -> dict[str, tuple[float, float, float]]:
    """AUROC of each classifier on features that it was not trained on, with bounds by resampling those features."""
    rows = [
        (row, shown.fires, feature)
        for feature, one in asked
        for row, shown in zip(layouts(one), one.group, strict=True)
        if one.question == "detection" or not set("[]") & set(shown.item.excerpt.text)
    ]
    X, truth, feature = (np.array(column) for column in zip(*rows, strict=True))
    features = np.random.default_rng(0).permutation(np.unique(feature))
    trained = np.isin(feature, features[::2])
    found = {}
    for model in (
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=8, learning_rate=0.05, random_state=0),
    ):
        score = model.fit(X[trained], truth[trained]).predict_proba(X[~trained])[:, 1]
        found[type(model).__name__] = resampled(truth[~trained], score, feature[~trained])
    return found


def resampled(truth: NDArray[Any], score: NDArray[Any], feature: NDArray[Any]) -> tuple[float, float, float]:
    """The AUROC and its bounds. A feature counts as often as it is drawn, which takes no new ranking of its items."""
    rng = np.random.default_rng(0)
    drawn, place = np.unique(feature, return_inverse=True)
    times = [np.bincount(rng.integers(drawn.size, size=drawn.size), minlength=drawn.size) for _ in range(200)]
    low, high = np.percentile(ranking.auroc(truth, score, np.array(times)[:, place]), BOUNDS)
    return ranking.auroc(truth, score, np.ones(score.size)), float(low), float(high)


@pytest.mark.parametrize("items_per_request", [5, 18])
@pytest.mark.parametrize("question", ["detection", "fuzzing"])
def test_layout_alone_stays_at_chance(ask: Ask, question: str, items_per_request: int) -> None:
    for classifier, (value, low, high) in aurocs(ask(question, items_per_request)).items():
        assert low <= 0.5, (classifier, value, low, high)  # below chance nothing is won
        assert value < 0.55, (classifier, value, low, high)


# what such classifiers would find


def rebuilt(one: Asked, group: Sequence[Shown]) -> Asked:
    return replace(
        one, group=group, request=asking.request(asking.QUESTIONS[one.question], "x", group, one.rubric, 100)
    )


def firing_first(one: Asked) -> Asked:
    """Three requests out of four are in random order, one begins with what fires."""
    return rebuilt(one, sorted(one.group, key=lambda shown: not shown.fires)) if chosen(one, 4) else one


def one_mark_more(one: Asked) -> Asked:
    """A run of marks too many in a third of the wrong ones."""
    group = []
    for shown in one.group:
        pieces = shown.item.excerpt.pieces
        flags = flags_of(shown.data["text"], pieces)
        if not shown.fires and chosen(shown, 3):
            flags[flags.index(False)] = True
        group.append(replace(shown, data={"text": marked(pieces, flags)}))
    return rebuilt(one, group)


def as_many_of_each(one: Asked) -> Asked | None:
    """Only requests in which half of the items fire."""
    return one if 2 * sum(shown.fires for shown in one.group) == len(one.group) else None


def chosen(one: Asked | Shown, share: int) -> bool:
    """One in `share`, always the same."""
    return zlib.crc32((one.data["text"] if isinstance(one, Shown) else one.request.content).encode()) % share == 0


@pytest.mark.parametrize(
    ("question", "change", "items_per_request"),
    [("detection", firing_first, 5), ("fuzzing", one_mark_more, 5), ("detection", as_many_of_each, 4)],
)
def test_a_planted_cue_is_found(ask: Ask, question: str, change: Change, items_per_request: int) -> None:
    changed = [(feature, new) for feature, one in ask(question, items_per_request) if (new := change(one))]
    value, low, _ = max(aurocs(changed).values())
    assert value > 0.6
    assert low > 0.55

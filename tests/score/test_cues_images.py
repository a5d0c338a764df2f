"""Nobody wins fuzzing or specificity of pictures by layout alone, though things stand in the middle of pictures.

Marks and numbers are those of real requests, on shipped pictures with an object in the middle of each, for TopK
features of a tiny random model: they fire on the middles of things or around them, and nobody needs to know on what.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from scipy.ndimage import label
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autointerp import assets, toml
from autointerp import config as configuration
from autointerp.evidence.reader import DictionaryEvidence
from autointerp.job import Job
from autointerp.judge import asking
from autointerp.judge.asking import Asked
from autointerp.judge.question import Shown
from autointerp.pipeline import STAGES, do, open_job
from autointerp.score import llm
from autointerp.score.cases import Case
from tests import planted, sighted
from tests.score.test_cues import resampled

FEATURES, D, ITEMS, DRAWS, SIZE = 160, 16, 14, 3, 64
pytestmark = pytest.mark.slow
Change = Callable[[Shown], Shown]


class OnePicture(Mapping[int, bytes]):
    """The same for every context: what is in pictures is no part of their layout."""

    def __getitem__(self, context: int) -> bytes:
        return PICTURE

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 0


PICTURE = sighted.png([sighted.GROUND] * sighted.GRID**2)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Job, DictionaryEvidence]]:
    """A job with collected evidence, and the evidence."""
    folder = tmp_path_factory.mktemp("cues")
    W_dec = torch.nn.functional.normalize(torch.randn(FEATURES, D, generator=torch.Generator().manual_seed(0)), dim=1)
    tensors = {"W_enc": W_dec.T.contiguous(), "W_dec": W_dec, "b_enc": torch.zeros(FEATURES), "b_dec": torch.zeros(D)}
    planted.write_dictionary(folder / "dictionary", tensors, architecture="topk", k=5, metadata={"hook_name": "4"})
    source = assets.locate("emoji/heldout.parquet")
    assert source is not None
    column = pq.read_table(source, columns=["image"])["image"]
    images = column.filter(pc.is_valid(column)).slice(0, 256)
    names = pa.array([f"d{number}" for number in range(len(images))])
    pq.write_table(pa.table({"document": names, "image": images}), folder / "corpus.parquet")
    tree = {
        "name": "cues",
        "subject": {"model": "python:tests.sighted:random_eyes", "device": "cpu", "picture": {"size": SIZE}},
        "corpus": {"path": str(folder / "corpus.parquet"), "contexts": 256},
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
    yield job, DictionaryEvidence(job.directory / "evidence", "d", job.directory.facts("collect")["split_hash"])
    job.close()


Ask = Callable[[str], list[tuple[int, Asked]]]  # feature and request


@pytest.fixture(scope="module")
def ask(evaluated: tuple[Job, DictionaryEvidence]) -> Ask:
    """All requests of a question, drawn anew by each of several seeds, for features with enough items."""
    job, evidence = evaluated
    known = evidence.by_feature
    counts = {f: [item.fires for item in known[f].items["score"]] for f in evidence.alive}
    full = [f for f, fires in counts.items() if sum(fires) == ITEMS and len(fires) >= ITEMS + ITEMS // 3]
    assert len(full) >= 24

    def asked(question: str) -> list[tuple[int, Asked]]:
        role = configuration.LLMScorer(kind="llm", provider="scripted", model="m", scores=[question])
        texts = {name: asking.rubric_of(role, name, job.config, job.sees) for name in role.scores}
        draws = [Job(job.config.model_copy(update={"seed": seed}), job.directory) for seed in range(DRAWS)]
        pictures = OnePicture()
        return [
            (feature, one)
            for feature in full
            for again in draws
            for one in llm.questions(
                again, role, Case("d", feature, "a", "none", "x"), texts, {"d": evidence}, pictures, False
            )
        ]

    return asked


def layouts(one: Asked) -> list[list[float]]:
    """All that is to be seen of each item beside what is in its picture."""
    lines = [json.loads(line) for line in one.request.content.split("\n")[1:]]
    assert all(line.keys() == {"id", "image"} for line in lines)
    found = []
    for at, (line, shown) in enumerate(zip(lines, one.group, strict=True)):
        found.append([line["id"], line["image"], at, len(lines), *places(shown)])
    return found


def places(shown: Shown) -> list[float]:
    """Number, box, middle and groups of the marked patches, and how far they are from the edges."""
    grid, marks = shown.item.excerpt.grid, shown.marks
    assert grid is not None and marks is not None
    patches = np.array(marks[grid.positions]).reshape(grid.rows, grid.columns)
    cells = np.argwhere(patches)
    low, high, middle = cells.min(0), cells.max(0), cells.mean(0)
    from_middle = np.abs(middle - (grid.rows - 1) / 2)
    edge = patches[[0, -1]].sum() + patches[:, [0, -1]].sum()
    return [len(cells), *low, *high, *(high - low), *middle, *from_middle, float(np.hypot(*from_middle)), edge,
            label(patches)[1]]  # fmt: skip


def aurocs(asked: Sequence[tuple[int, Asked]]) -> dict[str, tuple[float, float, float]]:
    """AUROC of each classifier on features that it was not trained on, with bounds by resampling those features."""
    rows = [
        (row, shown.fires, feature)
        for feature, one in asked
        for row, shown in zip(layouts(one), one.group, strict=True)
    ]
    X, truth, feature = (np.array(column) for column in zip(*rows, strict=True))
    features = np.random.default_rng(0).permutation(np.unique(feature))
    trained = np.isin(feature, features[::2])
    found = {}
    for model in (
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=8, learning_rate=0.05, random_state=0),
    ):
        score = model.fit(X[trained], truth[trained]).predict_proba(X[~trained])[:, 1]
        found[type(model).__name__] = resampled(truth[~trained], score, feature[~trained])
    return found


@pytest.mark.parametrize("question", ["fuzzing", "specificity"])
def test_layout_alone_stays_at_chance(ask: Ask, question: str) -> None:
    for classifier, (value, low, high) in aurocs(ask(question)).items():
        assert low <= 0.5, (classifier, value, low, high)  # below chance nothing is won
        assert value < 0.55, (classifier, value, low, high)


# what such classifiers would find


def moved(shown: Shown, to: Callable[[int], int]) -> Shown:
    """Wrong marks as the same shape, so far down and so far to the right as `to` says of the room that there is."""
    grid = shown.item.excerpt.grid
    if shown.fires or grid is None or shown.marks is None:
        return shown
    cells = np.argwhere(np.array(shown.marks[grid.positions]).reshape(grid.rows, grid.columns))
    cells -= cells.min(0)
    room = np.array([grid.rows, grid.columns]) - 1 - cells.max(0)
    cells += [to(int(n)) for n in room]
    marks = np.zeros(len(shown.marks), dtype=bool)
    marks[grid.start + cells[:, 0] * grid.columns + cells[:, 1]] = True
    return replace(shown, marks=marks.tolist())


def to_the_corner(shown: Shown) -> Shown:
    return moved(shown, lambda room: 0)


def anywhere(shown: Shown) -> Shown:
    """Which is not where things are."""
    rng = np.random.default_rng(shown.item.excerpt.context)
    return moved(shown, lambda room: int(rng.integers(room + 1)))


@pytest.mark.parametrize(
    ("question", "change"), [("fuzzing", to_the_corner), ("fuzzing", anywhere), ("specificity", to_the_corner)]
)
def test_wrong_marks_in_other_places_are_found(ask: Ask, question: str, change: Change) -> None:
    changed = [(at, replace(one, group=[change(shown) for shown in one.group])) for at, one in ask(question)]
    value, low, _ = max(aurocs(changed).values())
    assert value > (0.8 if change is to_the_corner else 0.58)
    assert low > 0.5

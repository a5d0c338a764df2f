"""What a report is made of: the frames that become CSV files, and the little that stands on the page beside them.

Every number on the page is looked up in `dictionaries` or `scores`, the two long frames of the CSV contract, so
the page cannot say something else than the files next to it. In both, `n` is how many entered the value and
`unscored` is how many could not; their sum is how many were asked.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from autointerp.compare.tables import Comparison
from autointerp.records import PICKED, Grid
from autointerp.report.frames import flags, numbers, texts

GRADES = "ABCDE"
PADDING = "padding"  # a key of Counts.masked: what fills up a batch, no positions of the corpus
CONTROL, AGAINST = "control", "held against"  # keys of a control's convention


@dataclass(frozen=True, slots=True)
class Estimate:
    """One number of the page with its interval. `value` is nan when it is unscored; `low`, `high` may be nan alone."""

    value: float
    low: float
    high: float
    n: int
    unscored: int
    grade: str

    @property
    def scored(self) -> bool:
        return not math.isnan(self.value)

    @property
    def bounded(self) -> bool:
        return self.scored and not math.isnan(self.low) and not math.isnan(self.high)

    @property
    def asked(self) -> int:
        return self.n + self.unscored


@dataclass(frozen=True, slots=True)
class Arm:
    """Who explained and who judged, the circularity grade of the two, and for how many features drawn by seed."""

    explainer: str
    scorer: str
    grade: str
    n_features: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What was read and what was left out. `masked` counts positions by reason; `split_documents` by split.

    `pictures` are contexts with one; `left_out` counts parts of documents that were not read, or not as they were.
    """

    documents: int
    contexts: int
    tokens: int
    positions: int
    masked: dict[str, int]
    dropped_tails: int
    excluded_documents: int
    split_documents: dict[str, int]
    pictures: int = 0
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DictionaryNote:
    """How a dictionary was read: `convention` holds format, activation, hook, path, hash … in words.

    A control, which learned nothing, says there what it is made of and which dictionary it is held against.
    """

    width: int
    n_dead: int
    convention: dict[str, str]

    @property
    def n_alive(self) -> int:
        return self.width - self.n_dead

    @property
    def control(self) -> str:
        """What a control is made of; empty for a dictionary that learned something."""
        return self.convention.get(CONTROL, "")

    @property
    def like(self) -> str:
        """The dictionary that a control is held against."""
        return self.convention.get(AGAINST, "")

    @property
    def mark(self) -> str:
        """What stands under the name of a control, and under no other."""
        if not self.control:
            return ""
        return f"control: {self.control}" + (f", held against {self.like}" if self.like else "")


@dataclass(frozen=True, slots=True)
class Passage:
    """One excerpt of the score split on a feature page, with the activation interval that it was drawn for.

    One with a picture has its grid of patches, a key of `Report.pictures` and what the corpus says that it shows.
    """

    stratum: str
    low: float
    high: float
    pieces: tuple[str, ...]
    activations: tuple[float, ...]
    grid: Grid | None = None
    picture: int = 0
    label: str = ""


@dataclass(frozen=True, slots=True)
class FeatureEvidence:
    """What a feature page shows. `histogram[i]` counts activations between `edges[i]` and `edges[i + 1]`.

    `concept` is what was found in the concept list that the feature fires on above all, in the form `home`.
    """

    passages: tuple[Passage, ...] = ()
    histogram: tuple[int, ...] = ()
    edges: tuple[float, ...] = ()
    concept: str = ""
    home: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings that give the numbers their meaning, and the gate that the run had to pass."""

    prevalence: float
    retrieved: int
    resamples: int
    worst: str = "B"
    allow: str | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Causal:
    """What features do: rows of answers.parquet, the numbers of each, dose curves, and the words of what is steered.

    `explained` is an explanation of each feature that has one; `left_out` counts prompts by the file they are in.
    """

    answers: pd.DataFrame
    prompts: pd.DataFrame
    curves: pd.DataFrame
    words: pd.DataFrame
    left_out: dict[str, int]
    explained: dict[tuple[str, int], str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class Watched:
    """What was looked at for the lists that are watched: watch.csv, texts with what they do, and what the lists are."""

    found: pd.DataFrame
    texts: pd.DataFrame
    lists: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Baseline:
    """The run that this one is compared with: baseline.csv, and the settings that differ, before and now."""

    name: str
    changes: pd.DataFrame
    settings: dict[str, tuple[str, str]]


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that the page says, and nothing else: two equal reports render to equal bytes."""

    name: str
    generated: str
    version: str
    subject: str
    hooks: tuple[str, ...]
    seed: int
    command: str
    counts: Counts
    settings: Settings
    dictionaries: pd.DataFrame
    features: pd.DataFrame
    scores: pd.DataFrame
    roles: pd.DataFrame
    costs: pd.DataFrame
    arms: tuple[Arm, ...]
    notes: dict[str, DictionaryNote]
    unscored: pd.DataFrame
    evidence: dict[tuple[str, int], FeatureEvidence] = field(default_factory=dict)
    config: str = ""
    pictures: dict[int, bytes] = field(default_factory=dict)  # WebP files by context
    circularity: pd.DataFrame = field(default_factory=pd.DataFrame)  # circularity.csv, empty where no audit ran
    confusion: pd.DataFrame = field(default_factory=pd.DataFrame)  # scorer, people, judge, count: see audit.invariance
    causal: Causal | None = None  # where the run measured what features do
    watched: Watched | None = None  # where the run watches for something
    calibration: pd.DataFrame = field(default_factory=pd.DataFrame)  # calibration.csv, empty on features of a model
    comparison: Comparison | None = None  # None where dictionaries were not compared
    densities: dict[str, tuple[float, ...]] = field(default_factory=dict)  # share of positions, of features that fire
    gates: pd.DataFrame = field(default_factory=pd.DataFrame)  # gates.csv, empty without [gates]
    baseline: Baseline | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Dictionaries that learned something, smallest first: those that sentences and plots over size speak of."""
        learned = [name for name, note in self.notes.items() if not note.control]
        return tuple(sorted(learned, key=lambda name: (self.notes[name].width, name)))

    @cached_property
    def controls(self) -> tuple[str, ...]:
        """Dictionaries that learned nothing, in the order of those they are held against."""
        made = [name for name, note in self.notes.items() if note.control]
        place = {name: at for at, name in enumerate(self.names)}
        return tuple(sorted(made, key=lambda name: (place.get(self.notes[name].like, len(place)), name)))

    @property
    def everyone(self) -> tuple[str, ...]:
        """The order of every table."""
        return self.names + self.controls

    @cached_property
    def estimates(self) -> dict[tuple[str, str, str, str, str], Estimate]:
        """Dictionary-level numbers by (dictionary, metric, control, explainer, scorer)."""
        frame = self.dictionaries
        keys = [texts(frame, name) for name in ("dictionary", "metric", "control", "explainer", "scorer")]
        values = [numbers(frame, name) for name in ("value", "low", "high")]
        totals = [[0 if math.isnan(x) else int(x) for x in numbers(frame, name)] for name in ("n", "unscored")]
        rows = zip(zip(*keys, strict=True), *values, *totals, texts(frame, "circularity"), strict=True)
        return {(d, m, c or "none", e, s): Estimate(*rest) for (d, m, c, e, s), *rest in rows}

    def estimate(self, dictionary: str, metric: str, arm: Arm | None = None, control: str = "none") -> Estimate | None:
        """The number of an arm, or one that belongs to none; None where the run did not ask for it."""
        anchored = self.estimates.get((dictionary, metric, control, "", ""))
        return (
            self.estimates.get((dictionary, metric, control, arm.explainer, arm.scorer), anchored) if arm else anchored
        )

    def known(self, metric: str, control: str = "none") -> list[tuple[str, Estimate]]:
        """The dictionaries for which a number that belongs to no arm is known, smallest first."""
        found = [(name, self.estimate(name, metric, None, control)) for name in self.everyone]
        return [(name, item) for name, item in found if item is not None and item.scored]

    @cached_property
    def metrics(self) -> tuple[tuple[str, bool], ...]:
        """Metrics in the order of the frame, each with whether it belongs to an arm."""
        return tuple(
            dict.fromkeys((metric, bool(explainer or scorer)) for _, metric, _, explainer, scorer in self.estimates)
        )

    @cached_property
    def pairs(self) -> tuple[Arm, ...]:
        """Two explainers and the judge of both, where the run compares them."""
        found = {
            (explainer, scorer): (estimate.grade, estimate.asked)
            for (_, metric, _, explainer, scorer), estimate in self.estimates.items()
            if metric.startswith("agreement.")
        }
        return tuple(Arm(explainer, scorer, *rest) for (explainer, scorer), rest in found.items())

    @cached_property
    def headline(self) -> Arm | None:
        """The arm that the first sentence speaks of: the best grade, then the most features, then the first named."""
        scored = [arm for arm in self.arms if self.has("detection.ap", arm)] or list(self.arms)
        return min(scored, key=lambda arm: (arm.grade, -arm.n_features), default=None)

    def has(self, metric: str, arm: Arm | None) -> bool:
        found = (self.estimate(name, metric, arm) for name in self.names)
        return any(estimate is not None and estimate.scored for estimate in found)

    @cached_property
    def permuted(self) -> float | None:
        """What a judge that knows nothing reaches: the headline arm's verdicts dealt out at random, on average."""
        found = [self.estimate(name, "detection.ap", self.headline, "permuted") for name in self.names]
        values = [item.value for item in found if item and item.scored]
        return sum(values) / len(values) if values else None

    def arm_with(self, metric: str) -> Arm | None:
        """The headline arm if it has the metric, otherwise the best graded one that does."""
        arms = sorted(self.arms, key=lambda arm: (arm is not self.headline, arm.grade))
        return next((arm for arm in arms if self.has(metric, arm)), None)

    @cached_property
    def evaluated(self) -> dict[str, int]:
        """Alive features that were drawn by seed, per dictionary: those that every mean is over."""
        drawn = [text != PICKED for text in texts(self.features, "selected_by")]
        alive = [not dead and kept for dead, kept in zip(flags(self.features, "dead"), drawn, strict=True)]
        kept = self.features[alive].drop_duplicates(["dictionary", "feature"])
        return {name: int((kept["dictionary"].astype(str) == name).sum()) for name in self.everyone}

    @cached_property
    def picked(self) -> frozenset[tuple[str, int]]:
        """The features that were chosen by hand, as (dictionary, feature)."""
        columns = texts(self.features, "dictionary"), self.features["feature"], texts(self.features, "selected_by")
        return frozenset((name, int(feature)) for name, feature, by in zip(*columns, strict=True) if by == PICKED)

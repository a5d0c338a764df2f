"""Which items a person rates: a seeded draw of what a judge is asked in the question of specificity.

A quarter are silent excerpts with marks put on them and a quarter carry another feature's explanation, independently of
each other: without both, a rating says nothing of the rater's false alarms. Marks and shuffled explanations are those
that every judge of specificity is shown, as many as the run's first one takes, so people and judges can be compared
item by item.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autointerp import rubric, toml
from autointerp.config import LLMScorer, QuestionName, RunConfig
from autointerp.errors import UserError
from autointerp.evidence.reader import DictionaryEvidence
from autointerp.explain import stage as explain
from autointerp.judge import specificity
from autointerp.judge.asking import choose, rubric_of
from autointerp.judge.question import Shown
from autointerp.ratings import Rating
from autointerp.records import Explanation
from autointerp.rubric import Rubric
from autointerp.score.cases import Case, grouped, shuffled
from autointerp.store import RunDirectory, StageRecord, digest_of, stable_hash

QUESTION: QuestionName = "specificity"
CONTROLS = ("none", "shuffled")
# Of 16 items in random order: does the feature fire in the excerpt, and whose explanation is it?
BLOCK = [(True, "none")] * 9 + [(True, "shuffled")] * 3 + [(False, "none")] * 3 + [(False, "shuffled")]

Key = tuple[str, int]  # (dictionary, feature)


@dataclass(frozen=True, slots=True)
class Task:
    """One item to rate. Its id stands for all that decides what a rater sees, the rubric among it."""

    id: str
    case: Case
    shown: Shown

    def rated(self, rater: str, rating: int | None, seconds: float) -> Rating:
        """What somebody answered to it, None where it was skipped."""
        case = self.case
        about = (case.dictionary, case.feature, case.explainer, case.control, self.shown.item.excerpt.id)
        return Rating(rater, self.id, *about, rating, round(seconds, 2))


@dataclass(frozen=True, slots=True)
class Material:
    """What there is to rate in a run: the excerpts of each feature as they are shown, and the explanations of each."""

    path: Path
    rubric: Rubric
    shown: Mapping[Key, Sequence[Shown]]
    cases: Mapping[Key, Sequence[Case]]

    def task(self, case: Case, shown: Shown) -> Task:
        marks = "".join(str(int(mark)) for mark in shown.marks or ())
        what = [case.dictionary, case.feature, case.explainer, case.control, case.text, shown.item.excerpt.id, marks]
        return Task(digest_of([self.rubric.name, *what])[:16], case, shown)

    def tasks(self) -> dict[str, Task]:
        """Every item that a draw could hold, by id."""
        every = (self.task(case, one) for key, shown in self.shown.items() for one in shown for case in self.cases[key])
        return {task.id: task for task in every}


def material(run: str | Path) -> Material:
    """What can be rated in a run directory. Raises UserError where it is none, or has no evidence or explanations."""
    asked = f"you asked for the items of {run}"
    directory = open_run(run, asked)
    config = toml.load(directory / "run.toml")
    collected = directory.facts("collect")
    evidence = {
        name: DictionaryEvidence(directory / "evidence", name, collected["split_hash"]) for name in config.dictionaries
    }
    judge, role = judge_of(config)
    sees = bool(collected["counts"].get("pictures"))
    text = rubric_of(role, QUESTION, config, sees) if role else rubric.asked(None, QUESTION, sees, config.rubrics)
    cases = cases_of(explain.read(directory / "explanations.parquet"), config, judge, evidence)
    if not cases:
        raise UserError(asked, "no feature drawn by seed has an explanation", "add an explainer and run it again")
    shown = {}
    for dictionary, feature in cases:
        items = evidence[dictionary].by_feature[feature].items["score"]
        rng = np.random.default_rng(stable_hash(config.seed, "judged", QUESTION, dictionary, feature))
        shown[dictionary, feature] = choose(specificity.show(items, rng), role.items if role else None, rng)
    return Material(directory.path, text, shown, cases)


def open_run(run: str | Path, asked: str) -> RunDirectory:
    """A run on this machine that has evidence and explanations."""
    path = Path(run)
    if "://" in str(run):
        raise UserError(asked, "it is elsewhere", "copy the run to this machine and name its folder")
    if not (path / "manifest.json").is_file() or not (path / "run.toml").is_file():
        raise UserError(asked, "that is no run", "name a folder that `autointerp run` has made, say runs/demo-text")
    directory = RunDirectory(path)
    try:
        records = directory.records()
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(asked, f"its manifest.json cannot be read ({error})", "run it again") from None
    for stage in ("collect", "evidence", "explain"):
        missing = lacking(path, records.get(stage))
        if missing:
            raise UserError(asked, f"its {stage} stage {missing}", "finish it with `autointerp run`")
    return directory


def lacking(path: Path, record: StageRecord | None) -> str:
    """What is missing of a stage, if anything."""
    if record is None:
        return "has not run"
    return next((f"left no {name}" for name in sorted(record.outputs) if not (path / name).exists()), "")


def judge_of(config: RunConfig) -> tuple[str, LLMScorer | None]:
    """The first judge of specificity of a run, by name."""
    for name, role in config.scorers.items():
        if isinstance(role, LLMScorer) and QUESTION in role.scores:
            return name, role
    return "", None


def cases_of(
    explanations: Sequence[Explanation],
    config: RunConfig,
    judge: str,
    evidence: Mapping[str, DictionaryEvidence],
) -> dict[Key, list[Case]]:
    """The explanations of each drawn feature, its own and another's, of those that the judge takes in if there is one.

    People's ratings stand for the whole sample, so nobody is asked about a hand-picked feature.
    """
    found: dict[Key, list[Case]] = {}
    for (dictionary, explainer), group in grouped(explanations).items():
        side = evidence[dictionary]
        drawn = [one for one in group if one.feature not in side.picked]
        taken = set(side.drawn[: config.judged(explainer, judge, dictionary) if judge else None])
        rng = np.random.default_rng(stable_hash(config.seed, "shuffled", dictionary, explainer))  # as for the judge
        for control, column in (("none", [one.text for one in drawn]), ("shuffled", shuffled(drawn, rng))):
            for one, text in zip(drawn, column, strict=bool(column)):
                if one.feature in taken:
                    case = Case(dictionary, one.feature, explainer, control, text)
                    found.setdefault((dictionary, one.feature), []).append(case)
    return found


def draw(found: Material, n: int, seed: int) -> list[Task]:
    """At most n items: features first, those with the fewest so far, then an excerpt that was not drawn yet.

    A shorter draw is the beginning of a longer one with the same seed. A kind that has run out is passed over.
    """
    rng = np.random.default_rng(stable_hash(seed, "rate"))
    left = {
        (key, fires): [shown[at] for at in rng.permutation(len(shown)) if shown[at].fires == fires]
        for key, shown in found.shown.items()
        for fires in (True, False)
    }
    cases = {
        (key, control): [case for case in found.cases[key] if case.control == control]
        for key in found.shown
        for control in CONTROLS
    }
    times: Counter[Key] = Counter()
    drawn: list[Task] = []
    while len(drawn) < n:
        before = len(drawn)
        for at in rng.permutation(len(BLOCK)):
            fires, control = BLOCK[at]
            able = [key for key in found.shown if left[key, fires] and cases[key, control]]
            if able:
                # Ties are broken anew every time: an order that repeats would tell whose excerpt comes next.
                fewest = min(times[key] for key in able)
                first = [key for key in able if times[key] == fewest]
                key = first[int(rng.integers(len(first)))]
                case = cases[key, control][int(rng.integers(len(cases[key, control])))]
                drawn.append(found.task(case, left[key, fires].pop()))
                times[key] += 1
        if len(drawn) == before:
            break
    return drawn[:n]

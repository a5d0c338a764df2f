"""What a scorer is: the contract of the entry points `autointerp.scorers`, for ours and for a user's.

A module of thirty lines that a package registers is one: `tests/plugins/keyword_scorer.py` is an example. It says of
each explanation, and of the control explanations beside it, which excerpts it fits. All else follows from its verdicts:
scores with intervals, differences from the controls, grades, means over features, gates, the page.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

from autointerp import plugins
from autointerp.config import LLMRole, RunConfig, ScorerRole
from autointerp.evidence.reader import DictionaryEvidence, PoolReader, picked_of
from autointerp.job import Job
from autointerp.llm.client import Client
from autointerp.records import UNSCORED, Item, Model, Verdict
from autointerp.rubric import Rubric
from autointerp.score.cases import Case, about


@dataclass(frozen=True, slots=True)
class Work:
    """What a scorer is given: the cases to judge. A case is a sentence and the feature it is held against.

    `name` is that of the role in the config, `evidence` is by dictionary, and `pool` holds excerpts of both splits, of
    which scorers read `score` alone. `job` has the settings of the run and its generators of random numbers. What tells
    a feature's own explanation from a control is `case.control`, which no judge may be shown.
    """

    job: Job
    name: str
    cases: Sequence[Case]
    evidence: Mapping[str, DictionaryEvidence]
    pool: PoolReader

    def items(self, case: Case) -> tuple[Item, ...]:
        """The excerpts that a case is judged on, firing and silent: the same for an explanation and its controls."""
        return self.evidence[case.dictionary].by_feature[case.feature].items["score"]

    def client(self, role: LLMRole) -> Client:
        """Who asks the model of a role: with the ledger, retries and caps of the run, and its costs in costs.csv."""
        return self.job.client(f"scorer {self.name}", role)

    def verdict(self, case: Case, question: str, item: Item, value: float = UNSCORED, reason: str = "") -> Verdict:
        """How well a case fits an item, larger being better; without a value, the reason why there is none."""
        return case.verdict(question, self.name, **about(item), value=value, reason=reason)

    def apart(self) -> "Iterator[Work]":
        """The drawn features, then the picked ones: what an encoder reads beside a text moves its last digits."""
        picked = picked_of(self.evidence)
        for side in (False, True):
            cases = [case for case in self.cases if ((case.dictionary, case.feature) in picked) == side]
            if cases:
                yield replace(self, cases=cases)


class Scorer(Protocol):
    """A module, or anything else with these names.

    It may also have `made_of(role, job)`: JSON values that its verdicts depend on beside its settings and the version
    of its package, say the hash of a file; and `rubrics(role, config, sees)`: the rubric of each question that is asked
    in words. The stage runs again where one of them has changed.
    """

    Settings: type[ScorerRole]
    """The keys of its table in a config: a frozen pydantic record. Which explanations and controls it takes in is among
    them, and the property `questions` says what its verdicts answer: one question, called like its kind, unless it says
    otherwise. Verdicts about detection, fuzzing, simulation, specificity or retrieval become the scores of that name
    (`autointerp/measure/scores.py` says what they have to hold). About any other question Q they say how well an item
    fits, and become `Q.ap`, the primary one, `Q.ap_corpus` and `Q.auroc`.
    """

    def models(self, role: Any, config: RunConfig) -> Sequence[Model]:
        """The pretrained models that judge, encoders among them, as they are asked for. Empty means that code judges,
        and then its scores are graded as the explanations are: A where no model wrote these.

        The first is the one that `work.client` asks: it is graded by what it answers as, too.
        """
        ...

    def verdicts(self, role: Any, work: Work) -> Iterable[Verdict]:
        """A verdict on every item of every case."""
        ...


def scorer_of(kind: str) -> Scorer:
    """The scorer of a kind. UserError where there is none that can be used."""
    return cast(Scorer, plugins.find(plugins.SCORER, kind).made)


def rubrics_of(role: ScorerRole, config: RunConfig, sees: bool) -> Mapping[str, Rubric]:
    """The rubrics of a scorer by question, of those that are asked in words."""
    rubrics = getattr(scorer_of(role.kind), "rubrics", None)
    return cast(Mapping[str, Rubric], rubrics(role, config, sees)) if rubrics else {}

"""What an explainer is: the contract of the entry points `autointerp.explainers`, for ours and for a user's.

The least that does anything is a module that a package registers as, say, `loudest = "loudest_explainer"`:

    class Settings(ExplainerRole):
        letters: int = Field(40, ge=1, description="How much of the loudest excerpt to quote.")

    def models(role: Settings, config: RunConfig) -> list[Model]:
        return []

    def explain(role: Settings, work: Work) -> dict[Key, Written]:
        found = {}
        for key in work.keys:
            loudest = max((item.excerpt for item in work.items(key)), key=lambda excerpt: excerpt.largest)
            found[key] = Written(f"Text like {loudest.text[: role.letters]!r}.")
        return found
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from autointerp import plugins
from autointerp.config import ExplainerRole, LLMRole, RunConfig
from autointerp.evidence.reader import DictionaryEvidence, PoolReader
from autointerp.job import Job
from autointerp.llm.client import Client
from autointerp.records import Author, Item, Model

Key = tuple[str, int]  # (dictionary, feature)


@dataclass(frozen=True, slots=True)
class Written:
    """What came of one feature: a text, or the reason why there is none.

    Without an `author` code or people wrote it; with one, that model is in the grade of every number about it. So is
    the `chooser` that took it from among several. `rubric` names the prompt, where there was one.
    """

    text: str
    reason: str = ""
    author: Author | None = None
    chooser: Author | None = None
    rubric: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """What an explainer is given: the features to explain, each of which has excerpts enough.

    `name` is that of the role in the config, `evidence` is by dictionary, and `pool` holds excerpts of both splits, of
    which explainers read `explain` alone. `job` has the settings of the run and its generators of random numbers.
    """

    job: Job
    name: str
    evidence: Mapping[str, DictionaryEvidence]
    keys: Sequence[Key]
    pool: PoolReader

    def client(self, role: LLMRole) -> Client:
        """Who asks the model of a role: with the ledger, retries and caps of the run, and its costs in costs.csv."""
        return self.job.client(f"explainer {self.name}", role)

    def items(self, key: Key) -> tuple[Item, ...]:
        """The excerpts of a feature that explainers may see, firing and silent ones."""
        dictionary, feature = key
        return self.evidence[dictionary].by_feature[feature].items["explain"]


class Explainer(Protocol):
    """A module, or anything else with these names.

    It may also have `made_of(role, job)`: JSON values that its explanations depend on beside its settings and the
    version of its package, say the hash of a file. The stage runs again where one of them has changed.
    """

    Settings: type[ExplainerRole]
    """The keys of its table in a config: a frozen pydantic record with the limits `features` and `dictionaries`."""

    def models(self, role: Any, config: RunConfig) -> Sequence[Model]:
        """The pretrained models that write, as far as the config says; empty for code and people.

        Grades follow from this before a run, and from the authors of what was written afterwards.
        """
        ...

    def explain(self, role: Any, work: Work) -> Mapping[Key, Written]:
        """What there is to say about each of `work.keys`."""
        ...


def explainer_of(kind: str) -> Explainer:
    """The explainer of a kind. UserError where there is none that can be used."""
    return cast(Explainer, plugins.find(plugins.EXPLAINER, kind).made)

"""Who explains, judges and writes: the settings of every role, and how a table is read as those of its kind."""

import sys
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator
from pydantic_core import PydanticCustomError

from autointerp import plugins
from autointerp.config.record import Record
from autointerp.errors import UserError

ALL = sys.maxsize  # of the features of a draw
QuestionName = Literal["detection", "fuzzing", "simulation", "specificity"]
CaseControl = Literal["shuffled", "hard_shuffled", "generic"]
PARAPHRASED = "paraphrased"  # the control that says an explanation in other words: judged for the audit alone
Statement = Literal["rule", "broader", "narrower", "wrong"]


class Role(Record):
    """An explainer or a scorer, and how much of the run it takes part in."""

    features: int | None = Field(None, ge=1, description="Only the first n features of the draw; default all.")
    dictionaries: tuple[str, ...] | None = Field(None, description="Only these dictionaries; default all.")


class ExplainerRole(Role):
    """What the settings of every explainer, a plugin's among them, are made from."""

    kind: str


class LexicalExplainer(ExplainerRole):
    """No model: words associated with the firings by log-odds with a Dirichlet prior."""

    kind: Literal["lexical"]
    words: int = Field(6, ge=1, description="At most this many words of each sort in the sentence.")


class CapabilityConfig(Record):
    """What a model takes, where you know better than the shipped table."""

    vision: bool | None = Field(None, description="Images in a request.")
    logprobs: bool | None = Field(None, description="Log-probabilities of the answer's tokens.")
    temperature: bool | None = Field(None, description="A temperature; it is then 0.")
    seed: bool | None = Field(None, description="A seed; it is then 0.")
    structured: bool | None = Field(None, description="A JSON schema for the answer; else it is only checked.")
    context: int | None = Field(None, ge=1, description="Tokens of request and answer together.")
    max_images: int | None = Field(None, ge=1, description="Images in one request.")


class LLMRole(Role):
    """A language model in a role."""

    kind: str
    provider: str = Field(description="anthropic, openai, local, scripted, or a plugin's name.")
    model: str = Field(description="Model id as the provider knows it; for local, a GGUF file or package:NAME/PATH.")
    base_url: str | None = Field(None, description="Another server that speaks the provider's protocol.")
    api_key_env: str | None = Field(None, description="Variable that holds the key; default is the provider's own.")
    max_tokens: int = Field(1024, ge=1, description="Upper bound on a reply.")
    concurrency: int = Field(16, ge=1, description="Requests in flight; fewer while the server throttles.")
    requests_per_minute: float | None = Field(None, ge=1, description="At most this many in any minute.")
    tokens_per_minute: float | None = Field(
        None, ge=1, description="At most this many in any minute, by the estimated input and max_tokens."
    )
    batch: bool = Field(False, description="Ask in batches: half the price, answers within a day (see batch_wait).")
    batch_wait: float = Field(0.0, ge=0, description="Seconds to wait for batches before the run ends with exit 75.")
    capabilities: CapabilityConfig = Field(
        CapabilityConfig(), description="What the model takes, where you know better than the shipped table."
    )


class LLMExplainer(LLMRole, ExplainerRole):
    """A language model that writes explanations."""

    kind: Literal["llm"]
    rubric: str | None = Field(
        None, description="Rubric id, or the path of a .md file; default is explain, or explain_images with pictures."
    )
    examples: int = Field(
        10, ge=1, description="Firing excerpts shown: the strongest half, the others from all activation intervals."
    )
    silent: int | None = Field(
        None, ge=0, description="Silent excerpts shown for contrast; default is half as many as examples, at least one."
    )
    show_values: bool = Field(False, description="Say beside each mark how active it is, from 0 to 10.")
    sample: int = Field(
        0,
        ge=0,
        lt=1000,
        description="An explainer that differs in this alone writes independently, from another draw of excerpts.",
    )
    candidates: int = Field(
        1, ge=1, le=16, description="Explanations written per feature, of which `chosen_by` takes one."
    )
    chosen_by: str | None = Field(
        None, description="The scorer that chooses, on explain documents that are held back from the explainer."
    )

    @property
    def n_silent(self) -> int:
        return max(1, self.examples // 2) if self.silent is None else self.silent

    @model_validator(mode="after")
    def consistent(self) -> "LLMExplainer":
        if self.candidates > 1 and self.chosen_by is None:
            raise ValueError(
                f"an explainer with candidates = {self.candidates} needs chosen_by, the scorer that takes one of them"
            )
        if self.candidates == 1 and self.chosen_by is not None:
            raise ValueError(f"chosen_by = {self.chosen_by!r} has nothing to choose from: set candidates above 1")
        return self


class Judged(Record):
    """Which explanations a scorer or generator takes in, and beside which control explanations."""

    explainers: tuple[str, ...] | None = Field(None, description="Only explanations by these; default all.")
    controls: tuple[CaseControl, ...] = Field(
        ("shuffled", "hard_shuffled", "generic"),
        description="Explanations that should fail: another feature's, that of the nearest decoder neighbour, and one "
        "sentence for all. Each is judged on the same items and costs as much.",
    )


class ScorerRole(Role, Judged):
    """What the settings of every scorer, a plugin's among them, are made from."""

    kind: str

    @property
    def questions(self) -> tuple[str, ...]:
        """What its verdicts answer: by default one question, called like its kind."""
        return (self.kind,)


class LLMScorer(LLMRole, ScorerRole):
    """A language model that judges explanations."""

    kind: Literal["llm"]
    scores: tuple[QuestionName, ...] = Field(("detection",), min_length=1, description="The questions that it answers.")
    rubrics: dict[QuestionName, str] = Field({}, description="Rubric ids by score, or paths of .md files.")
    items_per_request: int = Field(5, ge=1, description="Excerpts judged in one request.")
    items: int | None = Field(None, ge=4, description="At most this many excerpts per feature and score; default all.")

    @property
    def questions(self) -> tuple[str, ...]:
        return self.scores


class Generator(LLMRole, Judged):
    """A language model that writes texts for an explanation, on which the subject then is measured."""

    kind: Literal["llm"] = "llm"
    rubric: str = Field("generate", description="Rubric id, or the path of a .md file.")
    texts: int = Field(10, ge=1, description="Texts per explanation on which the feature should fire.")
    near_misses: int = Field(5, ge=0, description="Texts per explanation that are close to it and should not fire.")


class GivenExplainer(ExplainerRole):
    """Explanations from a file."""

    kind: Literal["given"]
    path: str = Field(
        description="CSV with the columns dictionary, feature, explanation and perhaps author, or an export of "
        "Neuronpedia: .json, .jsonl, .jsonl.gz, or a folder of them."
    )
    author: str | None = Field(
        None, description="Model that wrote them, or 'human'; default is what the file says, if anything."
    )
    only: str | None = Field(None, description="Of a file by several authors, only the explanations by this one.")
    sources: dict[str, str] = Field(
        {},
        description="Dictionary by Neuronpedia source, as 20-gemmascope-res-16k; not needed where there is only one.",
    )


class RuleExplainer(ExplainerRole):
    """On a planted subject: the rule that a feature is known to follow, or one that it does not."""

    kind: Literal["rule"]
    states: Statement = Field(
        "rule", description="The rule itself, one that holds it, one inside it, or that of another feature."
    )


class EmbeddingScorer(ScorerRole):
    """A text encoder that answers detection and retrieval by cosine similarity."""

    kind: Literal["embedding"]
    model: str = Field(description="Sentence encoder: hub id, path, or package:NAME/PATH.")
    batch_size: int = Field(64, ge=1, description="Texts per forward pass.")

    @property
    def questions(self) -> tuple[str, ...]:
        return ("detection",)


class SurprisalScorer(ScorerRole):
    """A causal language model, run here: does it predict an excerpt better once it has read the explanation?"""

    kind: Literal["surprisal"]
    model: str = Field(description="Causal language model: hub id, path, or package:NAME/PATH.")
    batch_size: int = Field(16, ge=1, description="Texts per forward pass.")


# Settings of a role that say how it is done and cannot change an answer; they take part in no stage's inputs.


class Paraphraser(LLMRole):
    """A language model of a third family that says explanations in other words: the meaning stays, the style goes."""

    kind: Literal["llm"] = "llm"
    rubric: str = Field("paraphrase", description="Rubric id, or the path of a .md file.")


MANNER = frozenset(
    {"concurrency", "requests_per_minute", "tokens_per_minute", "api_key_env", "batch", "batch_wait", "batch_size"}
)


def settings_of(group: plugins.Group, kind: str) -> type[Role]:
    """The record of the settings that a kind of explainer or scorer has."""
    plugin = plugins.find(group, kind)
    base, found = BASES[group], plugin.made.Settings
    if not (isinstance(found, type) and issubclass(found, base)):
        raise UserError(
            f"you asked for the {group.noun} {kind!r}",
            f"the Settings of {plugin.package} are not made from {base.__name__}",
            f"mend it: {group.contract} says what they are",
        )
    return found


def as_kind(group: plugins.Group) -> BeforeValidator:
    """Reads a table as the settings of its kind, whichever package brings it."""

    def read(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        kind, known = value.get("kind"), plugins.names(group)
        if kind not in known:
            plugins.refuse_stale(f"you asked for the {group.noun} {kind!r}")
            said = f", and there is no {kind!r}" if kind is not None else ""
            what = {"kinds": ", ".join(map(repr, known)), "said": said}
            raise PydanticCustomError("kind", "needs kind = one of {kinds}{said}", what)
        return settings_of(group, kind).model_validate(value)

    return BeforeValidator(read)


BASES: Mapping[plugins.Group, type[Role]] = {plugins.EXPLAINER: ExplainerRole, plugins.SCORER: ScorerRole}
Explainer = Annotated[SerializeAsAny[ExplainerRole], as_kind(plugins.EXPLAINER)]
Scorer = Annotated[SerializeAsAny[ScorerRole], as_kind(plugins.SCORER)]
ROLES: Mapping[plugins.Group, Any] = {plugins.EXPLAINER: Explainer, plugins.SCORER: Scorer}
Judge = ScorerRole | Generator


def detects(role: Judge) -> bool:
    """Whether a role answers detection."""
    return isinstance(role, ScorerRole) and "detection" in role.questions


def covered(role: Role, dictionary: str) -> int:
    """How many features of a dictionary a role takes part in by its own settings, ALL where they set no limit."""
    if role.dictionaries is not None and dictionary not in role.dictionaries:
        return 0
    return ALL if role.features is None else role.features

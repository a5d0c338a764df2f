"""What a run is asked to do: one frozen record per stage.

A mistake in a config costs a second, not a GPU hour: unknown keys, contradictions and missing roles are refused
when the record is built. `toml` reads configs from files and says in a sentence what is wrong with one.
"""

import sys
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny, model_validator
from pydantic_core import PydanticCustomError

from autointerp import assets, plugins
from autointerp.errors import UserError

Grade = Literal["A", "B", "C", "D", "E"]
ALL = sys.maxsize  # of the features of a draw
Control = Literal["neurons", "pca", "random", "density_matched", "permuted", "shuffled_subject"]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PictureConfig(Record):
    """How pictures reach a module of your own; models of transformers bring their image processor."""

    size: int = Field(224, ge=1, description="Side of the square that is cut from the middle, in pixels.")
    mean: tuple[float, float, float] = Field((0.485, 0.456, 0.406), description="Subtracted, by colour, from 0 to 1.")
    std: tuple[float, float, float] = Field((0.229, 0.224, 0.225), description="Divided by then, by colour.")


class SubjectConfig(Record):
    """The model under study."""

    model: str = Field(
        description="Hub id, local path, package:NAME/PATH of a file inside an installed package, "
        "planted:RULES.toml, whose features are the rules of a file, or python:MODULE:FUNCTION, which returns a torch "
        "module that takes pictures."
    )
    picture: PictureConfig = Field(PictureConfig(), description="For python: alone, how pictures reach it.")
    device: str = Field("auto", description="torch device; auto takes cuda, else cpu.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="Precision of the forward pass.")


class CorpusConfig(Record):
    """Held-out documents, cut into contexts."""

    path: str = Field(
        description="txt, jsonl, parquet, pictures, a folder of them, a shipped dataset, or hf:ID of a hub dataset."
    )
    text_column: str = Field("text", description="Column (or jsonl key) that holds the text.")
    image_column: str = Field("image", description="Column that holds pictures as the bytes of their files.")
    label_columns: tuple[str, ...] = Field(
        (),
        description="Columns that say in words what a part of a document shows or means; for a picture in a folder, "
        "`folder` is its name. Code that counts words reads them, and encoders that cannot see; no other model does.",
    )
    document_column: str = Field(
        "document", description="Column that names the document; without it each row is a document of its own."
    )
    trained_on: tuple[str, ...] = Field(
        (), description="Corpora that trained a dictionary; documents found there are counted and never evaluated."
    )
    contexts: int = Field(512, ge=2, description="How many contexts to read, drawn by seed.")
    context_length: int = Field(128, ge=2, description="Tokens in a context.")
    contexts_per_document: int = Field(1, ge=1, description="At most this many contexts of one document.")
    min_tokens: int = Field(16, ge=1, description="Shorter contexts (the tails of documents) are dropped and counted.")
    explain_share: float = Field(0.5, gt=0, lt=1, description="Share of documents that explainers may see.")


class PositionsConfig(Record):
    """Which positions count. The same rule holds for training, collection, explained variance and L0."""

    skip_first: bool = Field(True, description="Mask the first position of every context (attention sink).")
    skip_special: bool = Field(True, description="Mask special token ids.")
    norm_limit: float = Field(
        10.0, ge=0, description="Mask positions whose norm exceeds this multiple of the median; 0 turns it off."
    )


class DictionaryConfig(Record):
    """One dictionary of the run: from files, or a control made in the image of another."""

    path: str | None = Field(None, description="Folder or file on disk, a shipped one, or a hub id OWNER/NAME@REV/SUB.")
    hook: str | None = Field(None, description="Module whose output it reads; default is the one in its own config.")
    control: Control | None = Field(
        None,
        description="Instead of a path: the hook's neurons, its principal components or random directions, with the L0 "
        "of `like`; random directions, each of which fires as often as the feature of its number; `like` with its "
        "decoder rows permuted; or `like` on the subject with shuffled weights.",
    )
    like: str | None = Field(None, description="The dictionary that a control is held against.")

    @model_validator(mode="after")
    def consistent(self) -> "DictionaryConfig":
        if (self.path is None) == (self.control is None):
            raise ValueError("a dictionary needs a path or a control, one of them")
        if (self.like is None) != (self.control is None):
            raise ValueError("a control needs `like`, the dictionary it is held against, and nothing else has it")
        if self.control is not None and self.hook is not None:
            raise ValueError("a control reads the hook of the dictionary it is held against: leave hook out")
        return self


class CollectConfig(Record):
    """The one pass over the subject."""

    batch_size: int = Field(16, ge=1, description="Contexts per forward pass.")
    keep: int = Field(16, ge=1, description="Contexts kept per feature, split and reservoir.")
    tracked: int = Field(
        16_384, ge=1, description="Features per dictionary, first of the draw, that can be evaluated; all are counted."
    )
    shard_contexts: int = Field(4096, ge=1, description="Contexts folded in before the state is made durable.")
    loss_contexts: int = Field(32, ge=0, description="Contexts, drawn by seed, that loss recovered is measured on.")
    cache_gb: float = Field(2.0, ge=0, description="Hook outputs kept on disk for replay, at most.")
    gate: bool = Field(True, description="Refuse a dictionary whose explained variance or L0 shows it was misread.")
    max_nonfinite: float = Field(
        0.001, ge=0, le=1, description="A larger share of positions with NaN or infinity ends the run."
    )
    engine: Literal["local", "ray"] = Field("local", description="ray maps shards over a cluster.")
    ray_address: str | None = Field(None, description="An existing cluster (`auto`, ray://…); default starts one here.")
    workers: int = Field(
        0, ge=0, description="Tasks at once with ray; 0 is one per GPU, or per CPU where there is none."
    )


class EvidenceConfig(Record):
    """What explainers and judges get to see."""

    features: int = Field(
        100,
        ge=0,
        description="Alive features to evaluate per dictionary, drawn by seed; 0 evaluates picked ones alone.",
    )
    picked: dict[str, tuple[int, ...]] = Field(
        {},
        description="Hand-picked features by dictionary name, evaluated beside the draw: labelled hand-picked "
        "everywhere, in no mean.",
    )
    window: int = Field(
        32,
        ge=0,
        description="Tokens in an excerpt, the piece of a context that is shown and judged; 0 takes each text whole, "
        "as pictures always are.",
    )
    pool: int = Field(
        256, ge=8, description="Contexts per split, drawn by seed, that give silent excerpts and base rates."
    )
    bins: int = Field(5, ge=1, description="Linear activation intervals over (0, max].")
    per_bin: int = Field(4, ge=1, description="Firing excerpts per interval and split.")
    negatives: int = Field(20, ge=3, description="Silent excerpts per feature and split, a third of each kind.")
    min_firing: int = Field(5, ge=1, description="A feature with fewer firing excerpts in a split is unscored.")


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


QuestionName = Literal["detection", "fuzzing", "simulation", "specificity"]
CaseControl = Literal["shuffled", "hard_shuffled", "generic"]
PARAPHRASED = "paraphrased"  # the control that says an explanation in other words: judged for the audit alone


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


Statement = Literal["rule", "broader", "narrower", "wrong"]


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


class ScoreConfig(Record):
    """How verdicts become numbers."""

    prevalence: float = Field(
        0.2, gt=0, lt=1, description="Share of firing excerpts that every average precision assumes."
    )
    retrieved: int = Field(20, ge=1, description="Excerpts retrieved per explanation, one per document.")
    resamples: int = Field(2000, ge=100, description="Bootstrap resamples.")
    max_unscored: float = Field(
        0.5, ge=0, le=1, description="A larger share of unscored features ends the run with exit 3."
    )


class GeneralisationConfig(Record):
    """A concept list: do features that fire on a concept in one form fire on it in the others?

    Nothing here is chosen by hand: the list is a file, the concept of each feature is found on one half of its
    documents, and all is measured on the other half against members of the same form and group.
    """

    path: str = Field(description="parquet, jsonl or csv, a row a member: one name in a language, or one picture.")
    concept_column: str = Field("concept", description="What a feature may be about; a concept has several documents.")
    document_column: str = Field("document", description="The same thing in all its forms; the unit of the split.")
    form_column: str = Field("form", description="Language of a name, or style of a picture.")
    group_column: str | None = Field(
        None, description="Broad topic of a concept: only concepts of one group are held against each other."
    )
    text_column: str = Field("text", description="Column of names.")
    image_column: str = Field("image", description="Column of pictures, as the bytes of their files.")
    forms: tuple[str, ...] = Field((), description="Only these forms; default all.")
    permutations: int = Field(199, ge=19, description="Draws of the null; one more should be a multiple of 20.")


class Paraphraser(LLMRole):
    """A language model of a third family that says explanations in other words: the meaning stays, the style goes."""

    kind: Literal["llm"] = "llm"
    rubric: str = Field("paraphrase", description="Rubric id, or the path of a .md file.")


class AuditConfig(Record):
    """Who is crossed with whom: every scorer here judges every explainer's explanations of the same features."""

    explainers: tuple[str, ...] = Field(min_length=2, description="At least two, of different families.")
    scorers: tuple[str, ...] = Field(min_length=2, description="At least two, some of a family with an explainer.")
    features: int = Field(
        100,
        ge=0,
        description="Of each dictionary the first n features of the draw are crossed, whatever the roles themselves "
        "leave out; 0 asks nothing beyond what they take in.",
    )
    paraphraser: Paraphraser | None = Field(
        None, description="Who says the crossed explanations in other words, to be judged by the same scorers."
    )


class CausalConfig(Record):
    """What features do: for answers with a right and some wrong words, and for texts when they are turned up."""

    prompts: str = Field(
        "prompts/prompts.jsonl",
        description="JSON lines with family, text, target and at least three baselines: a right next word and wrong "
        "ones.",
    )
    n_prompts: int = Field(60, ge=2, description="At most this many of them, drawn by seed, families in turn.")
    two_hops: str | None = Field(
        None, description="Facts in two steps, in the same form with `via`, the word that is passed by; default none."
    )
    openings: str = Field(
        "openings/openings.txt", description="Neutral beginnings of texts, one a line; cut to the shortest."
    )
    dictionaries: tuple[str, ...] | None = Field(None, description="Only these; default all that learned something.")
    writes: dict[str, str] = Field({}, description="Of a transcoder, the module whose output it reconstructs.")
    features: int = Field(10, ge=0, description="Features of each dictionary that are steered, first of the draw.")
    doses: tuple[float, ...] = Field(
        (-1.0, 0.0, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0),
        description="What a steered feature is clamped at, in multiples of its own maximum.",
    )
    steered_prompts: int = Field(8, ge=2, description="Openings that are continued at each dose: half choose the best.")
    new_tokens: int = Field(20, ge=1, description="Tokens that the subject adds to an opening.")
    ablated: int = Field(
        50,
        ge=10,
        description="Features at positions of a prompt that are ablated: so many by attribution, and as many drawn by "
        "seed from the others; all where there are no more.",
    )

    @model_validator(mode="after")
    def consistent(self) -> "CausalConfig":
        if len(set(self.doses)) < len(self.doses) or not any(0 < dose <= 1 for dose in self.doses):
            raise ValueError(f"causal.doses = {list(self.doses)} has to hold each once, and one above 0 and up to 1")
        return self


class CalibrationConfig(Record):
    """A run on planted features, whose truth is known, to hold the judges of another run against it."""

    subject: str = Field(description="The subject of that other run: numbers are graded as they would be there.")


class CompareConfig(Record):
    """All dictionaries of the run side by side: who descends from whom, who says the same, who lacks what."""

    contexts: int = Field(
        128,
        ge=0,
        description="Contexts of the score split, drawn by seed, that every feature is read on; 0 reads none.",
    )
    absorption: int = Field(
        50, ge=0, description="Features of each dictionary, drawn by seed, whose absorption by the next is measured."
    )
    concepts: str | None = Field(
        None, description="A folder of concept lists, to see which concepts have a feature of their own; default none."
    )
    counted_in: str | None = Field(
        None,
        description="Corpus in which the frequency of concepts is counted; default is the first of corpus.trained_on, "
        "else corpus.path.",
    )
    neurons: tuple[str, ...] = Field(
        (), description="Modules whose outputs count as neurons, which evaluated features are held against."
    )
    chains: int = Field(
        6, ge=0, description="Features of the smallest dictionary, drawn by seed, whose descendants are shown."
    )
    points: int = Field(4000, ge=1, description="Features on the map, in equal shares of each dictionary.")


class WatchConfig(Record):
    """Lists of what matters for safety: when does the feature fire that seems to stand for it?"""

    lists: str = Field(
        "watch", description="A folder of lists: TOML files with `terms` and `pairs` of a concerning and a benign text."
    )
    dictionaries: tuple[str, ...] | None = Field(None, description="Only these; default all, controls among them.")
    false_positive_rate: float = Field(
        0.05, ge=0, lt=1, description="The share of benign texts in which a feature may fire at its threshold."
    )
    permutations: int = Field(
        100, ge=1, description="How often the search is done again with the texts of pairs exchanged at random."
    )


class CircularityConfig(Record):
    """Who may grade whom."""

    worst: Grade = Field("B", description="A run with a worse grade is refused before anything is spent.")
    allow: str | None = Field(None, min_length=8, description="The reason to run anyway; printed on the first screen.")


class BudgetConfig(Record):
    """Caps on what a run spends, all its starts together. No cap where there is none."""

    usd: float | None = Field(None, ge=0, description="US dollars, by [prices] or the shipped table.")
    requests: int | None = Field(None, ge=0, description="Requests that reach a provider, repeated ones included.")
    tokens: int | None = Field(None, ge=0, description="Input and output tokens together.")


class PriceConfig(Record):
    """What a model costs, in US dollars per million tokens."""

    input: float = Field(ge=0, description="Input tokens.")
    output: float = Field(ge=0, description="Output tokens.")
    cache_read: float | None = Field(None, ge=0, description="Input from the prompt cache; default as any input.")
    cache_write: float | None = Field(None, ge=0, description="Input put into the prompt cache; default as any input.")
    batch_input: float | None = Field(None, ge=0, description="Input tokens of a batch.")
    batch_output: float | None = Field(None, ge=0, description="Output tokens of a batch.")


Limit = Literal["fall", "rise", "above", "below"]


class GateConfig(Record):
    """What a number must not do. It has, where its interval proves it; without an interval the number decides."""

    fall: float | None = Field(None, ge=0, description="Fall by more than this since the baseline.")
    rise: float | None = Field(None, ge=0, description="Rise by more than this since the baseline.")
    above: float | None = Field(None, description="Be above this.")
    below: float | None = Field(None, description="Be below this.")
    dictionary: str | None = Field(None, description="Of this dictionary; default all that are no controls.")
    explainer: str | None = Field(None, description="Of explanations by this explainer; default all.")
    scorer: str | None = Field(None, description="By this scorer or generator; default all.")

    @property
    def limits(self) -> "dict[Limit, float]":
        kinds: tuple[Limit, ...] = get_args(Limit)
        return {kind: limit for kind in kinds if (limit := getattr(self, kind)) is not None}

    @model_validator(mode="after")
    def limited(self) -> "GateConfig":
        if not self.limits:
            raise ValueError("a gate needs a limit: fall, rise, above or below")
        return self


class RunConfig(Record):
    """One run. Explainers, scorers and generators are named tables; there is no default for any."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Folder of the run below runs/.")
    seed: int = Field(0, ge=0, description="Every draw of the run follows from it.")
    subject: SubjectConfig
    corpus: CorpusConfig
    dictionaries: dict[str, DictionaryConfig] = Field(min_length=1)
    explainers: dict[str, Explainer] = Field(min_length=1)
    scorers: dict[str, Scorer] = Field(min_length=1)
    generators: dict[str, Generator] = Field({}, description="Who writes texts to measure sensitivity on, by name.")
    positions: PositionsConfig = PositionsConfig()
    collect: CollectConfig = CollectConfig()
    evidence: EvidenceConfig = EvidenceConfig()
    score: ScoreConfig = ScoreConfig()
    generalisation: GeneralisationConfig | None = Field(
        None, description="A concept list to measure generalisation on."
    )
    audit: AuditConfig | None = Field(None, description="A crossed design, to see how much of a verdict is kinship.")
    causal: CausalConfig | None = Field(None, description="What features do when they are turned off and up.")
    watch: WatchConfig | None = Field(None, description="When features fire that seem to stand for what is watched.")
    calibration: CalibrationConfig | None = Field(None, description="What `autointerp calibrate` makes of a config.")
    compare: CompareConfig | None = Field(None, description="What becomes of features as dictionaries grow.")
    circularity: CircularityConfig = CircularityConfig()
    budget: BudgetConfig = BudgetConfig()
    baseline: str | None = Field(
        None, description="A finished run to compare with, or `last`: the last good one of those kept by date."
    )
    gates: dict[str, GateConfig] = Field(
        {}, description="What must not happen, by metric; a gate that fails is exit 1."
    )
    rubrics: str | None = Field(None, description="A folder of your own rubrics, searched before the shipped ones.")
    prices: dict[str, PriceConfig] = Field(
        {}, description="Your own prices by model, as requested or with * and ?; they go before the shipped table."
    )

    @property
    def judges(self) -> "Mapping[str, Judge]":
        """Scorers and generators by name: every role that makes numbers of explanations."""
        return {**self.scorers, **self.generators}

    @property
    def roles(self) -> "Mapping[str, Role]":
        """Every role by its kind and name."""
        kinds: dict[str, Mapping[str, Role]] = {
            "explainer": self.explainers,
            "scorer": self.scorers,
            "generator": self.generators,
        }
        found = {f"{kind} {name}": role for kind, table in kinds.items() for name, role in table.items()}
        return {**found, "paraphraser": self.paraphraser} if self.paraphraser else found

    @property
    def paraphraser(self) -> Paraphraser | None:
        return self.audit.paraphraser if self.audit else None

    def explained(self, explainer: str, dictionary: str) -> int:
        """How many features of a dictionary an explainer explains: so many of those alive, first of the draw."""
        crossed = self.audit.features if self.audit is not None and explainer in self.audit.explainers else 0
        return max(crossed, covered(self.explainers[explainer], dictionary))

    def judged(self, explainer: str, judge: str, dictionary: str, control: str = "none") -> int:
        """How many of these features a scorer or generator is asked about, with the explanations of an explainer.

        What the roles themselves leave out is asked where the audit crosses the two, of as many as it crosses.
        Paraphrases are judged for the audit alone, and in detection alone.
        """
        crossed = 0
        if self.audit is not None and explainer in self.audit.explainers and judge in self.audit.scorers:
            crossed = self.audit.features
        if control == PARAPHRASED:
            return min(crossed, self.paraphrased(explainer, dictionary)) if detects(self.judges[judge]) else 0
        return max(crossed, self.taken_in(explainer, judge, dictionary))

    def taken_in(self, explainer: str, judge: str, dictionary: str) -> int:
        """How many of these features the roles themselves cover, without an audit."""
        role = self.judges[judge]
        if role.explainers is not None and explainer not in role.explainers:
            return 0
        return min(covered(role, dictionary), covered(self.explainers[explainer], dictionary))

    def paraphrased(self, explainer: str, dictionary: str) -> int:
        """Of how many of these features the explanations are paraphrased."""
        if self.audit is None or self.paraphraser is None or explainer not in self.audit.explainers:
            return 0
        return min(self.audit.features, covered(self.paraphraser, dictionary))

    @model_validator(mode="after")
    def gated(self) -> "RunConfig":
        for metric, gate in self.gates.items():
            known: dict[str, Mapping[str, Any]] = {
                "dictionary": self.dictionaries,
                "explainer": self.explainers,
                "scorer": self.judges,
            }
            for field, those in known.items():
                if getattr(gate, field) not in (None, *those):
                    raise ValueError(f"gates.{metric}.{field} = {getattr(gate, field)!r} is not one of {sorted(those)}")
        return self

    @model_validator(mode="after")
    def consistent(self) -> "RunConfig":
        if 0 < self.evidence.window < 4:
            raise ValueError(f"evidence.window = {self.evidence.window} is neither 0 nor at least 4")
        if self.evidence.window > self.corpus.context_length:
            raise ValueError(
                f"evidence.window = {self.evidence.window} is longer than corpus.context_length = "
                f"{self.corpus.context_length}: lower the window"
            )
        if self.corpus.min_tokens > self.corpus.context_length:
            raise ValueError(
                f"corpus.min_tokens = {self.corpus.min_tokens} is longer than corpus.context_length = "
                f"{self.corpus.context_length}: no context could be that long"
            )
        stray = sorted(set(self.evidence.picked) - set(self.dictionaries))
        if stray:
            raise ValueError(f"evidence.picked names {stray[0]!r}, which is not one of {sorted(self.dictionaries)}")
        if not self.evidence.features and not any(self.evidence.picked.values()):
            raise ValueError(
                "evidence.features = 0 and evidence.picked names no feature: nothing would be evaluated, set either"
            )
        for name, entry in self.dictionaries.items():
            other = self.dictionaries.get(entry.like or name)
            if other is None or (entry.like and other.control):
                raise ValueError(
                    f"dictionaries.{name}.like = {entry.like!r} is not a dictionary with a path of this run"
                )
            if name in ("pool", "positions") or name.endswith((".pool", ".features")):
                raise ValueError(f"dictionaries.{name!r} would take the name of a file of the run: choose another")
        both = sorted(set(self.scorers) & set(self.generators))
        if both:
            raise ValueError(
                f"{both[0]!r} names a scorer and a generator: tables would not tell them apart, rename one"
            )
        roles: Mapping[str, Role]
        for kind, roles in (
            ("explainers", self.explainers),
            ("scorers", self.scorers),
            ("generators", self.generators),
        ):
            for name, role in roles.items():
                for field, known in (("dictionaries", self.dictionaries), ("explainers", self.explainers)):
                    for other in getattr(role, field, None) or ():
                        if other not in known:
                            raise ValueError(
                                f"{kind}.{name}.{field} names {other!r}, which is not one of {sorted(known)}"
                            )
        for field, those in (("explainers", set(self.explainers)), ("scorers", set(self.scorers))):
            crossed: tuple[str, ...] = getattr(self.audit, field, ())
            for at, name in enumerate(crossed):
                if name not in those:
                    raise ValueError(f"audit.{field} names {name!r}, which is not one of {sorted(those)}")
                if name in crossed[:at]:
                    raise ValueError(f"audit.{field} names {name!r} twice")
        asked_of = {
            "causal": (*(self.causal.dictionaries or ()), *self.causal.writes) if self.causal else (),
            "watch": (self.watch.dictionaries or ()) if self.watch else (),
        }
        for table, asked in asked_of.items():
            for name in asked:
                if name not in self.dictionaries:
                    raise ValueError(
                        f"{table} names the dictionary {name!r}, which is not one of {sorted(self.dictionaries)}"
                    )
        for name in (self.paraphraser.dictionaries if self.paraphraser else None) or ():
            if name not in self.dictionaries:
                raise ValueError(
                    f"audit.paraphraser.dictionaries names {name!r}, which is not one of {sorted(self.dictionaries)}"
                )
        for name, writer in self.explainers.items():
            # A loss on excerpts takes as long as all of scoring, so surprisal chooses nothing; nor do plugins.
            choosing = (EmbeddingScorer, LLMScorer)
            choosers = sorted(n for n, judge in self.scorers.items() if isinstance(judge, choosing))
            if isinstance(writer, LLMExplainer) and writer.chosen_by not in (None, *choosers):
                raise ValueError(
                    f"explainers.{name}.chosen_by = {writer.chosen_by!r} is none of the scorers {choosers}"
                )
            if isinstance(writer, RuleExplainer) and not self.subject.model.startswith(assets.PLANTED):
                raise ValueError(
                    f"explainers.{name} states rules, and nobody knows those of {self.subject.model!r}: only the "
                    "features of a planted subject are rules"
                )
            if isinstance(writer, GivenExplainer):
                stray = sorted(set(writer.sources.values()) - set(self.dictionaries))
                if stray:
                    raise ValueError(
                        f"explainers.{name}.sources names {stray[0]!r}, which is not one of {sorted(self.dictionaries)}"
                    )
        for kind, names in (
            ("dictionaries", self.dictionaries),
            ("explainers", self.explainers),
            ("scorers", self.scorers),
            ("generators", self.generators),
        ):
            for name in names:
                if not name or set(name) & set('/\\,"\n') or name.startswith("."):
                    raise ValueError(f"{kind}.{name!r} is not a usable name: letters, digits, '.', '_' and '-' are")
        return self


def detects(role: Judge) -> bool:
    """Whether a role answers detection."""
    return isinstance(role, ScorerRole) and "detection" in role.questions


def covered(role: Role, dictionary: str) -> int:
    """How many features of a dictionary a role takes part in by its own settings, ALL where they set no limit."""
    if role.dictionaries is not None and dictionary not in role.dictionaries:
        return 0
    return ALL if role.features is None else role.features

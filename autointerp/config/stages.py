"""What each stage is asked to do: one record a table of the config, with the descriptions that `init` prints."""

from typing import Literal

from pydantic import Field, model_validator

from autointerp.config.record import Record
from autointerp.config.roles import Paraphraser

Control = Literal["neurons", "pca", "random", "density_matched", "permuted", "shuffled_subject"]


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


class AuditConfig(Record):
    """Who is crossed with whom: every scorer here judges every explainer's explanations of the same features."""

    explainers: tuple[str, ...] = Field(min_length=2, description="At least two, of different families.")
    scorers: tuple[str, ...] = Field(min_length=2, description="At least two, some of a family with an explainer.")
    features: int = Field(
        100,
        ge=0,
        description="Of each dictionary that both take in, the first n features of the draw are crossed, even where "
        "the roles themselves take in fewer; 0 asks nothing beyond what they do.",
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

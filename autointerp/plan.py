"""What a run would do and ask for, worked out from the config alone. Nothing is loaded that costs time or money."""

from dataclasses import dataclass
from itertools import product
from math import ceil

from autointerp import assets, rubric
from autointerp.audit.circularity import MEANING
from autointerp.audit.roles import Roles
from autointerp.config import (
    PARAPHRASED,
    CompareConfig,
    EvidenceConfig,
    Generator,
    GivenExplainer,
    LLMExplainer,
    LLMRole,
    LLMScorer,
    RunConfig,
    covered,
)
from autointerp.corpus import categories, sources
from autointerp.dictionaries import hub
from autointerp.errors import UserError
from autointerp.explain import choose
from autointerp.judge.asking import rubric_of
from autointerp.judge.specificity import SILENT_SHARE
from autointerp.llm.budget import price_of, worded
from autointerp.llm.providers import batching, open_provider
from autointerp.score import paraphrase

TOKENS_PER_WORD = 1.4
TOKENS_PER_EXCERPT_OVERHEAD = 12  # the JSON around an excerpt
TOKENS_PER_PICTURE = 100  # of 256 x 256 pixels, about what the providers count
EXPLANATION_TOKENS, ANSWER_TOKENS, TEXT_TOKENS = 60, 14, 40


@dataclass(frozen=True, slots=True)
class StagePlan:
    """`price` is in US dollars, or says why there is none."""

    stage: str
    what: str
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    price: str = "0"


@dataclass(frozen=True, slots=True)
class Plan:
    stages: list[StagePlan]
    arms: list[tuple[str, str, str]]
    notes: list[str]


def plan(config: RunConfig) -> Plan:
    """What a run asks for if every feature can be scored, second questions after a useless answer left out."""
    notes = []
    for path in (config.corpus.path, *config.corpus.trained_on):
        sources.files(path)
    for entry in config.dictionaries.values():
        if entry.path is not None and assets.locate(entry.path) is None:
            hub.parse(entry.path)
            notes.append(f"the dictionary {entry.path} is not a local path: it will be loaded from the hub")
    for name, writer in config.explainers.items():
        if isinstance(writer, GivenExplainer) and assets.locate(writer.path) is None:
            raise UserError(f"you asked for explanations by {name!r}", f"there is no {writer.path}", "check its path")
    if assets.locate(config.subject.model) is None:
        notes.append(f"the subject {config.subject.model} is not a local path: it will be loaded from the hub")
    n_features, n_picked = config.evidence.features, sum(len(set(one)) for one in config.evidence.picked.values())
    sees = sources.has_pictures(config.corpus)
    shown = TOKENS_PER_PICTURE if sees else config.evidence.window or config.corpus.context_length
    per_excerpt = shown + TOKENS_PER_EXCERPT_OVERHEAD
    n_firing, n_silent = config.evidence.bins * config.evidence.per_bin, config.evidence.negatives
    n_items = n_firing + n_silent
    length = config.corpus.context_length
    stages = [
        StagePlan(
            "collect",
            f"{config.corpus.contexts:,} contexts of {length} tokens, {len(config.dictionaries)} dictionaries",
        ),
        StagePlan(
            "evidence",
            f"{n_features} features a dictionary{f' and {n_picked} hand-picked' if n_picked else ''}, up to {n_items} "
            "excerpts a split",
        ),
    ]
    for name, role in config.explainers.items():
        n = sum(
            n_first(config, dictionary, config.explained(name, dictionary), covered(role, dictionary) > 0)
            for dictionary in config.dictionaries
        )
        if isinstance(role, LLMExplainer):
            shared = words(rubric.asked(role.rubric, "explain", sees, config.rubrics).text)
            each = shared + per_excerpt * (min(role.examples, n_firing) + min(role.n_silent, n_silent))
            drafts = n * role.candidates
            stages.append(asked(config, "explain", name, role, drafts, drafts * each, drafts * EXPLANATION_TOKENS))
            if role.chosen_by is not None:
                held = choose.n_held(n_firing) + choose.n_held(n_silent)
                stages.append(choosing(config, name, role.chosen_by, drafts, held, per_excerpt, sees))
            notes += missing(name, role)
        else:
            price = "unknown" if isinstance(role, LLMRole) else "0"
            stages.append(StagePlan("explain", f"{name}: {role.kind}, {n:,} features", price=price))
            notes += missing(name, role) if isinstance(role, LLMRole) else []
    if (writes := config.paraphraser) is not None:
        pairs = product(config.explainers, config.dictionaries)
        n = sum(min(config.paraphrased(name, dictionary), n_features) for name, dictionary in pairs)
        each = words(paraphrase.rubric_of(writes, config.rubrics).text) + EXPLANATION_TOKENS
        stages.append(asked(config, "score", "paraphraser", writes, n, n * each, n * EXPLANATION_TOKENS))
        notes += missing("paraphraser", writes)
    for name, judge in config.judges.items():
        if not isinstance(judge, LLMScorer | Generator):
            # What a plugin asks of a model, and how often, only the plugin knows.
            price = "unknown" if isinstance(judge, LLMRole) else "0"
            stages.append(StagePlan("score", f"{name}: {getattr(judge, 'model', judge.kind)}", price=price))
            notes += missing(name, judge) if isinstance(judge, LLMRole) else []
            continue
        notes += missing(name, judge)
        cases = n_cases(config, name)
        if isinstance(judge, Generator):
            # Controls are explanations of other features, for which texts are written anyway.
            each = words(rubric.load(judge.rubric, config.rubrics, "generate").text) + EXPLANATION_TOKENS
            written = TEXT_TOKENS * (judge.texts + judge.near_misses)
            stages.append(asked(config, "score", name, judge, cases, cases * each, cases * written))
            continue
        for question in judge.scores:
            judged = min(judge.items or n_items, n_shown(question, config.evidence))
            put = (1 + len(judge.controls)) * cases
            put += n_cases(config, name, PARAPHRASED) if question == "detection" else 0
            n, items = put * ceil(judged / judge.items_per_request), put * judged
            shared = words(rubric_of(judge, question, config, sees).text) + EXPLANATION_TOKENS
            answer = ANSWER_TOKENS + 2 * config.evidence.window * (question == "simulation")
            stages.append(
                asked(config, "score", name, judge, n, n * shared + items * per_excerpt, items * answer, question)
            )
    if config.compare is not None:
        stages.append(StagePlan("compare", comparing(config, config.compare)))
    if config.causal is not None:
        learned = [name for name, entry in config.dictionaries.items() if entry.control is None]
        n = len(config.causal.dictionaries or learned)
        said = f"{config.causal.n_prompts} prompts, {config.causal.features} features steered, {n} dictionaries"
        stages.append(StagePlan("causal", said))
    if config.watch is not None:
        n = len(config.watch.dictionaries or config.dictionaries)
        stages.append(StagePlan("watch", f"the lists of {config.watch.lists}, {n} dictionaries"))
    stages.append(StagePlan("report", "one HTML page and its CSV files"))
    arms: list[tuple[str, str, str]] = [
        (explainer, scorer, f"{grade}  {MEANING[grade]}") for explainer, scorer, grade in Roles(config).arms()
    ]
    priced = [float(stage.price.replace(",", "")) for stage in stages if stage.price != "unknown"]
    if any(priced):
        unpriced = ", without the unknown ones" if len(priced) < len(stages) else ""
        notes.append(f"about {sum(priced):,.2f} USD in all{unpriced}, and nothing for answers that are in the ledger")
    caps = [worded(cap, name) for name, cap in config.budget.model_dump(exclude_none=True).items()]
    if caps:
        notes.append(f"the run stops before it has spent more than {' or '.join(caps)}, all its starts together")
    if config.circularity.allow:
        notes.append(f"grades worse than {config.circularity.worst} are allowed: {config.circularity.allow}")
    return Plan(stages, arms, notes)


def comparing(config: RunConfig, asked: CompareConfig) -> str:
    """What the comparison of dictionaries reads."""
    what = [f"{len(config.dictionaries)} dictionaries on {asked.contexts:,} contexts"]
    if asked.neurons:
        what.append(f"the neurons of {', '.join(asked.neurons)}")
    if asked.concepts is not None:
        lists = categories.read(asked.concepts)
        n, texts = sum(len(one.words) for one in lists), sum(len(one.words) * len(one.templates) for one in lists)
        what.append(f"{n:,} words in {texts:,} sentences")
    return ", ".join(what)


def choosing(
    config: RunConfig, explainer: str, scorer: str, drafts: int, held: int, per_excerpt: int, sees: bool
) -> StagePlan:
    """What a scorer is asked for as the chooser among the candidates of an explainer."""
    judge = config.scorers[scorer]
    what = f"{explainer} chosen by {scorer}"
    if not isinstance(judge, LLMScorer):
        return StagePlan("explain", f"{what}: {getattr(judge, 'model', judge.kind)}")
    shared = words(rubric_of(judge, "detection", config, sees).text) + EXPLANATION_TOKENS
    n = drafts * ceil(held / judge.items_per_request)
    return asked(
        config, "explain", what, judge, n, n * shared + drafts * held * per_excerpt, drafts * held * ANSWER_TOKENS
    )


def asked(
    config: RunConfig, stage: str, name: str, role: LLMRole, requests: int, sent: int, answered: int, what: str = ""
) -> StagePlan:
    """What a model is asked for. The price leaves out what a prompt cache would save and a model's thinking."""
    price = price_of(role, config)
    each = price.usd(ceil(sent / requests), ceil(answered / requests)) if price and requests else None
    cost = "unknown" if each is None else f"{each * requests:,.2f}"
    described = f"{name}: {what}{' by ' * bool(what)}{role.model}{', in batches' * role.batch}"
    return StagePlan(stage, described, requests, sent, answered, cost)


def n_cases(config: RunConfig, judge: str, control: str = "none") -> int:
    """How many explanations a judge takes in, or paraphrases of them; other controls are left out."""
    pairs = product(config.explainers, config.dictionaries)
    return sum(
        n_first(
            config,
            name,
            config.judged(explainer, judge, name, control),
            control != PARAPHRASED and config.taken_in(explainer, judge, name) > 0,
        )
        for explainer, name in pairs
    )


def n_shown(question: str, evidence: EvidenceConfig) -> int:
    """At most so many excerpts of a feature are shown for a question."""
    firing = evidence.bins * evidence.per_bin
    silent = {"fuzzing": 0, "specificity": ceil(firing / SILENT_SHARE)}
    return firing + silent.get(question, evidence.negatives)


def n_first(config: RunConfig, dictionary: str, n: int, by_name: bool) -> int:
    """How many features of a dictionary are the first n of its draw or, where asked for `by_name`, picked."""
    return min(n, config.evidence.features) + by_name * len(set(config.evidence.picked.get(dictionary, ())))


def words(text: str) -> int:
    """A rough count of tokens."""
    return round(len(text.split()) * TOKENS_PER_WORD)


def missing(name: str, role: LLMRole) -> list[str]:
    """What a provider would refuse with, as a note: a plan is worth reading before the key is there."""
    try:
        provider = open_provider(role)
        if role.batch:
            batching(provider)
    except UserError as error:
        return [f"{name}: {error}"]
    return []

"""Explain every scorable feature with every explainer of the run. Only the `explain` split is ever read here."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from autointerp import assets, rubric
from autointerp.config import (
    MANNER,
    Explainer,
    GivenExplainer,
    LexicalExplainer,
    LLMExplainer,
    RuleExplainer,
    covered,
)
from autointerp.errors import WorkPending
from autointerp.evidence.reader import DictionaryEvidence, PoolReader, read_pictures
from autointerp.explain import choose, choosers, given, lexical, llm, rules
from autointerp.job import Job
from autointerp.progress import log, progress
from autointerp.records import Author, Excerpt, Explanation, Item
from autointerp.store import digest, digest_of, write_table

AUTHOR = pa.struct([(name, pa.string()) for name in ("role", "provider", "requested", "resolved")])
TABLE = pa.schema(
    [
        ("dictionary", pa.string()),
        ("feature", pa.int64()),
        ("explainer", pa.string()),
        ("text", pa.string()),
        ("reason", pa.string()),
        ("author", AUTHOR),
        ("rubric", pa.string()),
        ("split_hash", pa.string()),
        ("chooser", AUTHOR),
    ]
)
LEXICAL_EXCERPTS = 200  # firing excerpts that the lexical explainer counts words in, at most
WORDLESS = "no word is associated with the firings"
DRAWS = 1000  # draws of an explainer's excerpts are `sample` for its first candidate and this many more for each other

Key = tuple[str, int]  # (dictionary, feature)
Evidences = dict[str, DictionaryEvidence]


@dataclass(frozen=True, slots=True)
class Written:
    """What came of one feature: a text, or the reason why there is none."""

    text: str
    reason: str = ""
    author: Author | None = None
    chooser: Author | None = None


def inputs(job: Job) -> dict[str, str]:
    found = {"evidence": digest_of(job.directory.records()["evidence"].outputs)}
    for name, role in job.config.explainers.items():
        made_of: list[Any] = [role.model_dump(exclude=set(MANNER))]
        made_of += [job.config.explained(name, dictionary) for dictionary in job.config.dictionaries]
        if isinstance(role, LLMExplainer):
            made_of.append(question(job, role).hash)
            if role.chosen_by is not None:
                made_of += choosers.made_of(job, role.chosen_by)
        elif isinstance(role, GivenExplainer):
            location = assets.locate(role.path)
            made_of.append(digest(location) if location else "")
        found[f"explainer {name}"] = digest_of(made_of)
    return found


def question(job: Job, role: LLMExplainer) -> rubric.Rubric:
    return rubric.asked(role.rubric, "explain", job.sees, job.config.rubrics)


def run(job: Job) -> tuple[list[Path], dict[str, Any]]:
    """Write explanations.parquet; return (outputs, facts)."""
    folder = job.directory / "evidence"
    split_hash = job.directory.facts("collect")["split_hash"]
    evidence = {name: DictionaryEvidence(folder, name, split_hash) for name in job.config.dictionaries}
    pool = PoolReader(folder)
    found: list[Explanation] = []
    pending: list[WorkPending] = []
    for name, role in job.config.explainers.items():
        keys = [
            (dictionary, feature)
            for dictionary, side in evidence.items()
            for feature in side.first(job.config.explained(name, dictionary), covered(role, dictionary) > 0)
        ]
        drafts = role.candidates if isinstance(role, LLMExplainer) else 1
        with progress(f"explaining with {name}", drafts * len(keys)) as advance:
            try:
                found += explain(job, name, role, evidence, keys, pool, advance)
            except WorkPending as error:  # batches of the other roles need not wait for those of this one
                pending.append(error)
    if pending:
        raise pending[0]
    path = job.directory / "explanations.parquet"
    write_table(path, [asdict(explanation) for explanation in found], TABLE)
    missing = sum(not explanation.text for explanation in found)
    log.info("  %d explanations, %d features left without one", len(found) - missing, missing)
    usage = job.usage("explainer", "chooser")
    facts: dict[str, Any] = {"written": len(found) - missing, "missing": missing, "usage": usage}
    chosen_from = {
        name for name, role in job.config.explainers.items() if isinstance(role, LLMExplainer) and role.chosen_by
    }
    if chosen_from:
        own = [e for e in found if e.explainer in chosen_from and e.text]
        facts["unchosen"] = sum(e.chooser is None for e in own)
        log.info("  %d of %d chosen from several candidates", len(own) - facts["unchosen"], len(own))
    return [path], facts


def explain(
    job: Job,
    name: str,
    role: Explainer,
    evidence: Evidences,
    keys: list[Key],
    pool: PoolReader,
    advance: Callable[[int], None],
) -> list[Explanation]:
    """The explanations of one explainer, one per key and in their order. What cannot be explained says why."""
    split_hash = next(iter(evidence.values())).split_hash
    unable = {(d, f): Written("", evidence[d].reasons[f]) for d, f in keys if evidence[d].reasons[f]}
    able = [key for key in keys if key not in unable]
    advance(len(unable) * (role.candidates if isinstance(role, LLMExplainer) else 1))
    asked = ""
    if isinstance(role, LexicalExplainer):
        found = by_words(role, evidence, able, pool, advance)
    elif isinstance(role, GivenExplainer):
        found = brought(role, list(role.dictionaries or evidence), able)
        advance(len(able))
    elif isinstance(role, RuleExplainer):
        said = rules.stated(job, role.states)
        unknown = Written("", rules.UNKNOWN)
        found = {key: Written(said[key].says) if key in said else unknown for key in able}
        advance(len(able))
    else:
        asked = question(job, role).name
        found = by_model(job, name, role, evidence, able, advance)
    written = [unable.get(key) or found[key] for key in keys]
    return [
        Explanation(d, f, name, one.text, one.reason, one.author, asked, split_hash, one.chooser)
        for (d, f), one in zip(keys, written, strict=True)
    ]


def by_words(
    role: LexicalExplainer, evidence: Evidences, keys: list[Key], pool: PoolReader, advance: Callable[[int], None]
) -> dict[Key, Written]:
    background = lexical.Background.of([pool.excerpts[row] for row in pool.rows("explain")])
    found = {}
    for dictionary, feature in keys:
        text = lexical.sentence(associations(evidence[dictionary], feature, pool, background), role.words)
        found[dictionary, feature] = Written(text, "" if text else WORDLESS)
        advance(1)
    return found


def associations(
    side: DictionaryEvidence, feature: int, pool: PoolReader, background: lexical.Background
) -> lexical.Associations:
    """The words that go with the firings of a feature in the explain split."""
    firing = firing_excerpts(side, feature, pool)
    # The largest of what explainers may see, not of the feature: that would be known from the other split too.
    return lexical.associate(firing, background, max(max(excerpt.activations) for excerpt in firing))


def brought(role: GivenExplainer, dictionaries: list[str], keys: list[Key]) -> dict[Key, Written]:
    in_file = given.read(role, dictionaries)
    found = {}
    for key in keys:
        one = in_file.get(key)
        if one is None:
            found[key] = Written("", "the file has no explanation for it")
        else:
            model = one.author or "unknown"
            found[key] = Written(
                one.text, author=None if model == "human" else Author("explainer", "given", model, model)
            )
    return found


def by_model(
    job: Job, name: str, role: LLMExplainer, evidence: Evidences, keys: list[Key], advance: Callable[[int], None]
) -> dict[Key, Written]:
    """What a model wrote; of several candidates, the one that the chooser took."""
    asked = question(job, role)
    client = job.client(f"explainer {name}", role)
    divisions = {key: division(job, role, evidence[key[0]].by_feature[key[1]].items["explain"], key) for key in keys}
    # Where nothing is held back there is nothing to choose on, and so nothing to choose from.
    drafts = [(key, n) for key in keys for n in range(role.candidates if divisions[key].held else 1)]
    advance(role.candidates * len(keys) - len(drafts))
    contexts = {i.excerpt.context for one in divisions.values() for i in one.shown if i.excerpt.grid}
    pictures = read_pictures(job.directory.path, contexts) if contexts else {}
    requests = [llm.request(divisions[key].shown, role, asked, role.sample + DRAWS * n, pictures) for key, n in drafts]
    written: dict[Key, list[Written]] = {key: [] for key in keys}
    for (key, _), reply in zip(drafts, llm.ask_twice(client, requests, lambda: advance(1)), strict=True):
        author = Author("explainer", role.provider, role.model, reply.resolved)
        written[key].append(Written(*llm.read(reply), author))
    choices = chosen(job, name, role, written, divisions)
    return {key: choices.get(key) or next((d for d in drafts if d.text), drafts[0]) for key, drafts in written.items()}


def division(job: Job, role: LLMExplainer, items: tuple[Item, ...], key: Key) -> choose.Division:
    """All is shown to an explainer without candidates; with them, all such explainers are shown the same part."""
    return choose.divide(items, job.rng("held back", *key)) if role.candidates > 1 else choose.Division(items, ())


def chosen(
    job: Job,
    name: str,
    role: LLMExplainer,
    written: dict[Key, list[Written]],
    divisions: dict[Key, choose.Division],
) -> dict[Key, Written]:
    """The chosen candidate of each feature that has two different ones, where the chooser had an answer."""
    scorer = role.chosen_by
    if scorer is None:
        return {}
    ballots = {}
    for key, drafts in written.items():
        texts = tuple(dict.fromkeys(draft.text for draft in drafts if draft.text))
        if len(texts) > 1:
            ballots[key] = choose.Ballot(texts, divisions[key].held)
    if not ballots:
        return {}
    choices = choose.choose(
        list(ballots.values()),
        lambda cases: choosers.judge(job, name, scorer, cases),
        job.config.score.prevalence,
    )
    found = {}
    for (key, ballot), choice in zip(ballots.items(), choices, strict=True):
        if choice.resolved is not None:
            taken = next(draft for draft in written[key] if draft.text == ballot.candidates[choice.candidate])
            found[key] = replace(taken, chooser=choosers.author(job.config, scorer, choice.resolved))
    return found


def firing_excerpts(side: DictionaryEvidence, feature: int, pool: PoolReader) -> list[Excerpt]:
    """Firing excerpts of the explain split: the chosen items, then the pool's, each window once."""
    found = {i.excerpt.id: i.excerpt for i in side.by_feature[feature].items["explain"] if i.fires}
    explain_rows = set(pool.rows("explain"))
    firings = side.firings_of(feature)
    for window, rows in firings.groupby("window", sort=True):
        if len(found) >= LEXICAL_EXCERPTS:
            break
        if window in explain_rows:
            excerpt = pool.excerpts[int(str(window))]
            dense = [0.0] * len(excerpt.pieces)
            for position, activation in zip(rows["position"], rows["activation"], strict=True):
                dense[position] = float(activation)
            found.setdefault(excerpt.id, replace(excerpt, activations=tuple(dense)))
    return list(found.values())


def read(path: Path) -> list[Explanation]:
    """Explanations as `run` wrote them."""
    rows: Sequence[dict[str, Any]] = pq.read_table(path).to_pylist()
    people = [{name: Author(**row[name]) for name in ("author", "chooser") if row.get(name)} for row in rows]
    blank = {"author": None, "chooser": None}
    return [Explanation(**{**row, **blank, **known}) for row, known in zip(rows, people, strict=True)]

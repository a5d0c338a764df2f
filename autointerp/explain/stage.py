"""Explain every scorable feature with every explainer of the run. Only the `explain` split is ever read here."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from autointerp import plugins
from autointerp.config import MANNER, ExplainerRole, LLMExplainer, covered
from autointerp.errors import UserError, WorkPending
from autointerp.evidence.reader import DictionaryEvidence, PoolReader
from autointerp.explain.explainer import Work, Written, explainer_of
from autointerp.job import Job
from autointerp.llm.providers import added
from autointerp.progress import log
from autointerp.records import Author, Explanation, as_row
from autointerp.store import digest_of, write_table

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


def inputs(job: Job) -> dict[str, str]:
    found = {"evidence": digest_of(job.directory.records()["evidence"].outputs)}
    for name, role in job.config.explainers.items():
        made_of: list[Any] = [role.model_dump(exclude=set(MANNER))]
        made_of += [job.config.explained(name, dictionary) for dictionary in job.config.dictionaries]
        own = getattr(explainer_of(role.kind), "made_of", None)
        found[f"explainer {name}"] = digest_of(made_of + (own(role, job) if own else []))
    found |= plugins.added(plugins.EXPLAINER, (role.kind for role in job.config.explainers.values()))
    found |= added(job.config.explainers.values())
    return found


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
        try:
            found += explain(Work(job, name, evidence, keys, pool), role, split_hash)
        except WorkPending as error:  # batches of the other roles need not wait for those of this one
            pending.append(error)
    if pending:
        raise pending[0]
    path = job.directory / "explanations.parquet"
    write_table(path, [as_row(explanation) for explanation in found], TABLE)
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


def explain(work: Work, role: ExplainerRole, split_hash: str) -> list[Explanation]:
    """The explanations of one explainer, one per key and in their order. What cannot be explained says why."""
    reasons = {(d, f): work.evidence[d].reasons[f] for d, f in work.keys}
    able = [key for key in work.keys if not reasons[key]]
    found = explainer_of(role.kind).explain(role, replace(work, keys=able))
    if stray := set(able) - set(found):
        raise UserError(
            f"you asked for explanations by {work.name!r}",
            f"it said nothing of {len(stray)} of {len(able)} features",
            f"mend the explainer {role.kind!r}: where it has no text, Written has a reason",
        )
    written = [found[key] if key in found else Written("", reasons[key]) for key in work.keys]
    return [
        Explanation(d, f, work.name, one.text, one.reason, one.author, one.rubric, split_hash, one.chooser)
        for (d, f), one in zip(work.keys, written, strict=True)
    ]


def read(path: Path) -> list[Explanation]:
    """Explanations as `run` wrote them."""
    rows: Sequence[dict[str, Any]] = pq.read_table(path).to_pylist()
    people = [{name: Author(**row[name]) for name in ("author", "chooser") if row.get(name)} for row in rows]
    blank = {"author": None, "chooser": None}
    return [Explanation(**{**row, **blank, **known}) for row, known in zip(rows, people, strict=True)]

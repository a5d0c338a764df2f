"""All dictionaries of a run side by side. Only where [compare] asks for it does the subject read anything."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autointerp.compare import concepts, effects, firings, kinship, laws
from autointerp.compare.sides import Side, chains_of, sides_of
from autointerp.compare.tables import SCHEMAS, Comparison, Rows, comparison, write
from autointerp.config import CompareConfig, CorpusConfig
from autointerp.corpus import sources
from autointerp.evidence.replay import Contexts
from autointerp.job import Job
from autointerp.progress import log
from autointerp.store import digest_of


def inputs(job: Job) -> dict[str, str]:
    config, records = job.config.compare, job.directory.records()
    assert config is not None  # the stage runs only where it is asked for
    found = {stage: digest_of(records[stage].outputs) for stage in ("collect", "evidence")}
    found["scores"] = records["score"].outputs["scores.parquet"]
    found["compare"] = digest_of([config.model_dump(), job.config.seed, job.config.score.resamples])
    if config.concepts is not None:
        lists = sources.fingerprints(config.concepts, (".csv",))
        found |= {f"concepts {origin}": value for origin, value in lists.items()}
        path = counted_in(config, job.config.corpus)
        found |= {f"file {origin} of {path} (counted_in)": v for origin, v in sources.fingerprints(path).items()}
    return found


def counted_in(config: CompareConfig, corpus: CorpusConfig) -> str:
    """The corpus in which the frequency of concepts is counted: the closest to what trained the dictionaries."""
    return config.counted_in or next(iter(corpus.trained_on), corpus.path)


def run(job: Job) -> tuple[list[Path], dict[str, Any]]:
    """Write compare/*.parquet; return (outputs, facts)."""
    assert job.config.compare is not None
    scores = pd.read_parquet(job.directory / "scores.parquet")
    found = compare(job, sides_of(job), scores, job.config.compare)
    return write(job.directory / "compare", found), {"rows": {"numbers": len(found.numbers), "laws": len(found.laws)}}


def compare(job: Job, sides: Sequence[Side], scores: pd.DataFrame, config: CompareConfig | None) -> Comparison:
    """Everything that is measured of several dictionaries at once; without a config, what the weights alone tell.

    The sides may be those of several runs; the job is the one whose subject and contexts are read.
    """
    seed, resamples = job.config.seed, job.config.score.resamples
    rows: dict[str, Rows] = {name: [] for name in SCHEMAS}
    contexts = Contexts(job.directory / "collect" / "contexts.parquet", job.config.evidence.window)
    chains = chains_of(sides)
    links: list[kinship.Link] = []
    if len(chains) > 1:
        told = "; ".join(f"{', '.join(side.name for side in chain)} read {chain[0].site}" for chain in chains)
        rows["notes"].append({"about": "sites", "note": f"Only dictionaries that read one site are compared: {told}."})
    for chain in chains:
        where = "" if len(chains) == 1 else f" at {chain[0].site}"
        log.info("  comparing %s%s", ", ".join(side.name for side in chain), where)
        by_chance = kinship.chance(chain, seed)
        of_chain = kinship.links(chain, by_chance)
        links += of_chain
        for link in of_chain:
            numbers, steps, children = kinship.step_rows(link, seed, resamples)
            rows["numbers"] += numbers
            rows["steps"] += steps
            rows["children"] += children
        rows["neighbours"] += kinship.neighbours(chain, by_chance)
        rows["laws"] += laws.power_laws(chain, where)
        drawn = config or CompareConfig()
        rows["chains"] += kinship.chains(of_chain, drawn.chains, job.rng("compare", "chains", chain[0].site))
        points, note = kinship.on_map(chain, drawn.points, seed)
        rows["map"] += points
        rows["notes"].append({"about": "map", "note": note})
        if config is not None and config.contexts and not chain[0].site.endswith("shuffled weights"):
            together(job, config, chain, of_chain, contexts, rows)
    if config is not None and config.concepts is not None:
        lists = concepts.prepare(job, config.concepts, counted_in(config, job.config.corpus))
        completeness(job, chains, sides, lists, contexts, rows)
    rows["numbers"] += effects.effect_rows(sides, links, scores, seed, resamples)
    return comparison(rows)


def together(
    job: Job,
    config: CompareConfig,
    chain: Sequence[Side],
    links: Sequence[kinship.Link],
    contexts: Contexts,
    rows: dict[str, Rows],
) -> None:
    """What takes activations of all dictionaries of a chain on the same positions."""
    if not links and not config.neurons:
        return
    seed, resamples = job.config.seed, job.config.score.resamples
    reading = firings.read(job, chain, contexts, config.contexts)
    for link in links:
        rows["numbers"] += firings.overlap_rows(link, reading.activations, seed)
        rng = job.rng("absorption", link.smaller.name, link.larger.name)
        numbers, each = firings.absorption_rows(link, reading, config.absorption, rng, seed, resamples)
        rows["numbers"] += numbers
        rows["absorption"] += each
    numbers, each, note = firings.neuron_rows(job, chain, contexts, reading, config.neurons, resamples)
    rows["numbers"] += numbers
    rows["neurons"] += each
    if note:
        rows["notes"].append({"about": "neurons", "note": note})
    said = f"Activations are compared on {reading.document.size:,} positions of {len(reading.rows):,} contexts."
    rows["notes"].append({"about": "activations", "note": said})


def completeness(
    job: Job,
    chains: Sequence[Sequence[Side]],
    sides: Sequence[Side],
    lists: concepts.Lists,
    contexts: Contexts,
    rows: dict[str, Rows],
) -> None:
    """Concepts in every dictionary, controls at the same sites among them, and the law over each chain."""
    sites = {chain[0].site for chain in chains if not chain[0].site.endswith("shuffled weights")}
    learned = [side for chain in chains for side in chain if side.site in sites]
    read = learned + [side for side in sides if side.like and side.site in sites]
    found = concepts.decide(job, read, lists, contexts)
    numbers, each = concepts.concept_rows(lists, found)
    rows["numbers"] += numbers
    rows["concepts"] += each
    real = ~lists.at.pseudo
    for chain in chains:
        where = "" if len(chains) == 1 else f" at {chain[0].site}"
        for way in concepts.WAYS:
            decided = [one.decision.found for side in chain for one in found if one.side is side and one.way == way]
            if decided:
                rows["laws"] += laws.frequency_laws(
                    f"concepts found by {way} against frequency{where}",
                    chain,
                    np.stack(decided, axis=1)[real],
                    lists.frequencies[real],
                    job.config.seed,
                    job.config.score.resamples,
                )

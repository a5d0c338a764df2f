"""Does a feature that fires on a concept in one form fire on it in the others? The subject alone says so.

A concept list gives names in several languages and pictures in several styles. All members are read by the subject,
each as a context of its own; `measure.generalisation` does the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp import pictures
from autointerp.config import GeneralisationConfig
from autointerp.corpus import concepts, sources
from autointerp.corpus.concepts import Member
from autointerp.corpus.text import split_of
from autointerp.errors import UserError
from autointerp.evidence.loudest import Parts, largest, stacked
from autointerp.evidence.reader import DictionaryEvidence
from autointerp.job import Job
from autointerp.measure import generalisation as measure
from autointerp.measure.arrays import Activations
from autointerp.progress import log, progress
from autointerp.records import UNSCORED, Score
from autointerp.subjects.positions import PositionRule

CARRIES = 0.05  # p at or below which a feature counts as carrying over
NO_CONCEPT = "it fires on no member of the explain half"
FLAT = "its activation does not vary over its concept's names"
NO_OTHER_FORM = "its concept has no members, or no distractors, in another form"


@dataclass(frozen=True, slots=True)
class Found:
    """One feature: the concept that was found for it, the form in which, and its scores by metric and control.

    `n` are the members that it is measured on. A score without a value has a reason.
    """

    dictionary: str
    feature: int
    concept: str
    home: str
    values: Mapping[tuple[str, str], float]
    n: int
    reason: str

    def scores(self) -> list[Score]:
        found = []
        for (metric, control), value in self.values.items():
            flat = metric == "invariance" or metric.startswith("variance")
            reason = "" if not isnan(value) else self.reason or (FLAT if flat else NO_OTHER_FORM)
            found.append(
                Score(
                    self.dictionary, self.feature, f"generalisation.{metric}", control, "", "", "",
                    value, UNSCORED, UNSCORED, self.n, 0, reason, "A",
                )
            )  # fmt: skip
        return found


@dataclass(frozen=True, slots=True)
class List:
    """The members that the subject reads, and what it had to leave out."""

    members: list[Member]
    left_out: dict[str, int]


def run(job: Job, evidence: Mapping[str, DictionaryEvidence]) -> tuple[list[Found], dict[str, Any]]:
    """What is found of every alive feature that was drawn or picked, and the facts of the list, if there is one."""
    config = job.config.generalisation
    if config is None:
        return [], {}
    read = readable(job, config)
    forms = sorted({member.form for member in read.members})
    activations = by_member(job, read.members, sorted(evidence))
    members = numbered(read.members, forms, job.config.corpus.explain_share)
    with progress("generalisation", len(evidence)) as advance:
        found: list[Found] = []
        for name, side in evidence.items():
            found += one_dictionary(job, config, name, side, read.members, forms, members, activations[name])
            advance(1)
    counts = {form: sum(member.form == form for member in read.members) for form in forms}
    facts = {"members": counts, "left_out": read.left_out}
    log.info("  concept list: %d members in %d forms, left out %s", len(read.members), len(forms), read.left_out)
    return found, facts


def readable(job: Job, config: GeneralisationConfig) -> List:
    """The members that the subject reads at the run's hooks and that trained no dictionary, not even in part."""
    members = concepts.read(config)
    corpus = job.config.corpus
    trained = {document.key for path in corpus.trained_on for document in sources.documents(path, corpus)}
    learned = {member.document for member in members if member.key in trained}
    left_out = {"trained": 0, "not read": 0, "refused": 0}
    kept = []
    for member in members:
        if member.document in learned:
            left_out["trained"] += 1
        elif ("image" if member.image else "text") not in job.reads:
            left_out["not read"] += 1
        elif member.image and not decodes(member):
            left_out["refused"] += 1
        else:
            kept.append(member)
    halves = {split_of(member.document, corpus.explain_share) for member in kept}
    if len(halves) < 2 or len({member.form for member in kept}) < 2:
        raise UserError(
            f"you asked for the concept list {config.path!r}",
            f"of its {len(members)} members {len(kept)} are left, not two halves in two forms: {left_out}",
            "give a longer list, or one in forms that it reads",
        )
    return List(kept, {why: n for why, n in left_out.items() if n})


def decodes(member: Member) -> bool:
    try:
        pictures.read(member.image)
    except pictures.RefusedPictureError as error:
        log.warning("  left out %s in %s: %s", member.document, member.form, error)
        return False
    return True


def by_member(job: Job, members: Sequence[Member], names: Sequence[str]) -> dict[str, Activations]:
    """The largest activation of every feature at the counted positions of each member: [members, width] each."""
    rule = PositionRule(job.config.positions, job.subject, job.directory.facts("collect")["norm_limits"])
    sites, size = {job.sites[name] for name in names}, job.config.collect.batch_size
    parts: dict[str, Parts] = {name: [] for name in names}
    with progress("reading the concept list", len(members)) as advance:
        for start in range(0, len(members), size):
            batch = members[start : start + size]
            contexts, images = zip(*(as_context(job, member) for member in batch), strict=True)
            hidden = job.hidden(contexts, sites, images)
            for site in sites:
                mask = rule.mask(contexts, hidden[site], str(site))
                for name in (name for name in names if job.sites[name] == site):
                    owner = mask.nonzero()[:, 0].cpu().numpy() + start
                    parts[name].append(largest(job.dictionaries[name], hidden[site][mask], owner))
            advance(len(batch))
    return {name: stacked(parts.pop(name), len(members), job.dictionaries[name].width) for name in names}


def as_context(job: Job, member: Member) -> tuple[list[int], bytes]:
    """Tokens and picture of a member that stands alone."""
    if not member.image:
        return job.subject.alone(member.text, job.config.corpus.context_length), b""
    picture, _ = pictures.read(member.image)
    seen = job.subject.look(picture, member.text, job.hooks)
    return list(seen.tokens[: job.length]), seen.image


def numbered(members: Sequence[Member], forms: Sequence[str], explain_share: float) -> measure.Members:
    def numbers(names: Sequence[str]) -> NDArray[np.int64]:
        return np.unique(names, return_inverse=True)[1].astype(np.int64)

    return measure.Members(
        concept=numbers([member.concept for member in members]),
        document=numbers([member.document for member in members]),
        form=np.array([forms.index(member.form) for member in members], dtype=np.int64),
        group=numbers([member.group for member in members]),
        score=np.array([split_of(member.document, explain_share) == "score" for member in members]),
    )


def one_dictionary(
    job: Job,
    config: GeneralisationConfig,
    name: str,
    side: DictionaryEvidence,
    members: Sequence[Member],
    forms: Sequence[str],
    places: measure.Members,
    activations: Activations,
) -> list[Found]:
    """What is found of the alive features of a dictionary that were drawn or picked, in the order of their evidence."""
    features = np.array(side.alive, dtype=np.int64)
    concept, home = measure.choose(places, activations, features)
    seen = measure.by_form(places, activations, features, concept)
    rng = job.rng("generalisation", name)
    carried = measure.carried(places, activations, features, concept, home, rng, config.permutations)
    maximum = side.features.set_index("feature")["max_activation"].loc[side.alive].to_numpy()
    pictured = np.array([any(m.form == form and m.image for m in members) for form in forms])
    languages = np.flatnonzero(~pictured) if (~pictured).sum() > 1 else np.arange(len(forms))
    spread = measure.spread(places, activations, features, concept, languages, maximum)
    rank = measure.rank(places, activations, features, concept, home)
    concepts = sorted({member.concept for member in members})
    others = np.arange(len(forms)) != home[:, None]
    found = []
    for at, feature in enumerate(features.tolist()):
        away = others[at]
        values: dict[tuple[str, str], float] = {
            ("auroc", "none"): carried.statistic[at],
            ("auroc", "permuted"): carried.chance[at],
            ("auroc_home", "none"): seen.auroc[at, home[at]] if home[at] >= 0 else UNSCORED,
            ("fire_rate", "none"): mean(seen.fire_rate[at, away]),
            ("fire_rate", "distractors"): mean(seen.distractor_rate[at, away]),
            ("p", "none"): carried.p[at],
            ("carries_over", "none"): UNSCORED if isnan(carried.p[at]) else float(carried.p[at] <= CARRIES),
            ("rank", "none"): rank[at],
            ("variance_between", "none"): spread.between[at],
            ("variance_within", "none"): spread.within[at],
            ("invariance", "none"): spread.invariance[at],
        }
        for modality, flags in (("text", ~pictured), ("image", pictured)):
            if flags.any():
                values[f"auroc_{modality}", "none"] = mean(seen.auroc[at, away & flags])
        for number, form in enumerate(forms):
            values[f"auroc.{form}", "none"] = seen.auroc[at, number]
            values[f"fire_rate.{form}", "none"] = seen.fire_rate[at, number]
            values[f"fire_rate.{form}", "distractors"] = seen.distractor_rate[at, number]
        known = concept[at] >= 0
        found.append(
            Found(
                name,
                feature,
                concepts[concept[at]] if known else "",
                forms[home[at]] if known else "",
                {key: float(value) for key, value in values.items()},
                int((places.score & (places.concept == concept[at])).sum()),
                "" if known else NO_CONCEPT,
            )
        )
    return found


def mean(values: NDArray[np.float64]) -> float:
    """Over the forms that have a value; nan where none has."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else UNSCORED

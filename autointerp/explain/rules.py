"""Explanations of planted features: the rule that each is known to follow, or one that it does not follow."""

from collections.abc import Mapping

from autointerp import assets
from autointerp.config import Statement
from autointerp.job import Job
from autointerp.measure.statistics import derangement
from autointerp.subjects.planted import PlantedSubject
from autointerp.subjects.rules import Rule, features_of

UNKNOWN = "its rule is not known"
Key = tuple[str, int]  # (dictionary, feature)


def known(job: Job) -> dict[Key, Rule]:
    """The rule of every feature whose rule is known, in the order of the features."""
    subject = job.subject
    assert isinstance(subject, PlantedSubject), "the config is refused otherwise"
    found: dict[Key, Rule] = {}
    for name, entry in job.config.dictionaries.items():
        location = assets.locate(entry.path) if entry.path is not None else None
        rules = features_of(location) if location is not None else {}
        found |= {(name, feature): subject.rules[rule] for feature, rule in sorted(rules.items())}
    return found


def stated(job: Job, states: Statement) -> Mapping[Key, Rule]:
    """What explanations of one kind say of each feature. `wrong` deals the rules of a dictionary out anew."""
    rules = known(job)
    if states == "rule":
        return rules
    if states != "wrong":
        neighbours = {key: rule.broader if states == "broader" else rule.narrower for key, rule in rules.items()}
        return {key: rule for key, rule in neighbours.items() if rule is not None}
    found: dict[Key, Rule] = {}
    for dictionary in job.config.dictionaries:
        keys = [key for key in rules if key[0] == dictionary]
        if len(keys) > 1:
            others = derangement(len(keys), job.rng("wrong rule", dictionary))
            found |= {key: rules[keys[other]] for key, other in zip(keys, others, strict=True)}
    return found

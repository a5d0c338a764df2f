"""Explanations of planted features: the rule that each is known to follow, or one that it does not follow."""

from collections.abc import Mapping

from autointerp import assets
from autointerp.config import RuleExplainer, RunConfig, Statement
from autointerp.explain.explainer import Key, Work, Written
from autointerp.job import Job
from autointerp.measure.statistics import derangement
from autointerp.records import Model
from autointerp.subjects.planted import PlantedSubject
from autointerp.subjects.rules import Rule, features_of

Settings = RuleExplainer
UNKNOWN = "its rule is not known"


def models(role: RuleExplainer, config: RunConfig) -> list[Model]:
    return []


def explain(role: RuleExplainer, work: Work) -> dict[Key, Written]:
    said = stated(work.job, role.states)
    return {key: Written(said[key].says) if key in said else Written("", UNKNOWN) for key in work.keys}


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

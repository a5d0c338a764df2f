"""A run on planted features, whose rules are known, with the judges of another run: how far are they from the truth?"""

from typing import Any, get_args

import numpy as np

from autointerp import assets, toml
from autointerp.config import GivenExplainer, Judge, Role, RunConfig, Statement
from autointerp.errors import UserError
from autointerp.store import stable_hash
from autointerp.subjects.rules import features_of

SUBJECT = "planted:planted/rules.toml"
EXACT, TRAINED = "exact", "trained"  # one feature a rule; learned from the rules in superposition
PATHS = {EXACT: "planted/exact", TRAINED: "planted/trained"}
CORPUS = {"path": "english/heldout.parquet", "trained_on": ["english/train.parquet"]}
WINDOW = 32  # where the other run shows pictures, or texts whole


def planted(config: RunConfig, features: int) -> RunConfig:
    """The config that calibrates another one: its judges and its explainers, on `features` planted ones a dictionary.

    What judges are asked, how many excerpts they see and how verdicts become scores is as in that other run, and so
    are grades. Explanations from files are about other features and stay out. Of a trained dictionary the features
    whose rule is known take part; explainers write for the exact one, whose features are drawn by seed.
    """
    writers = {name: role for name, role in config.explainers.items() if not isinstance(role, GivenExplainer)}
    stated: dict[str, Any] = {states: {"kind": "rule", "states": states} for states in get_args(Statement)}
    clash = sorted(set(stated) & {*writers, *config.judges})
    if clash:
        raise UserError(
            f"you asked to calibrate {config.name!r}",
            f"a role of it is called {clash[0]!r}, as explanations of known truth are here",
            "rename the role",
        )
    written = {name: anywhere(role) | {"dictionaries": [EXACT]} for name, role in writers.items()}
    audit = config.audit if config.audit and set(config.audit.explainers) <= set(writers) else None
    tree = {
        "name": f"{config.name}-calibration",
        "seed": config.seed,
        "subject": {"model": SUBJECT, "device": config.subject.device},
        "corpus": CORPUS,
        "dictionaries": {name: {"path": path} for name, path in PATHS.items()},
        "explainers": stated | written,
        "scorers": {name: plainly(role) for name, role in config.scorers.items()},
        "generators": {name: plainly(role) for name, role in config.generators.items()},
        "evidence": config.evidence.model_dump()
        | {
            "features": features,
            "picked": {TRAINED: of_known_rule(PATHS[TRAINED], features, config.seed)},
            "window": config.evidence.window or WINDOW,
        },
        "score": config.score.model_dump() | {"max_unscored": 1.0},
        "audit": audit and audit.model_dump(),
        "calibration": {"subject": config.subject.model},
        "circularity": {"worst": "E"},  # nothing is said of a model's features here
        "budget": config.budget.model_dump(),
        "rubrics": config.rubrics,
        "prices": {name: price.model_dump() for name, price in config.prices.items()},
    }
    return toml.build(toml.without_none(tree), f"the calibration of {config.name!r}")


def anywhere(role: Role) -> dict[str, Any]:
    """A role without its limits, which speak of the other run's dictionaries and features."""
    return role.model_dump() | {"dictionaries": None, "features": None}


def plainly(role: Judge) -> dict[str, Any]:
    """A judge of all explanations; the false ones among them are controls enough."""
    return anywhere(role) | {"explainers": None, "controls": []}


def of_known_rule(path: str, n: int, seed: int) -> list[int]:
    """n features of a dictionary whose rules are known, drawn by seed."""
    location = assets.locate(path)
    assert location is not None, "planted dictionaries are shipped"
    known = np.array(sorted(features_of(location)))
    drawn = np.random.default_rng(stable_hash(seed, "calibration", path)).permutation(known)[:n]
    return [int(feature) for feature in sorted(drawn)]

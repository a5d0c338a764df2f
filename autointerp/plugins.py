"""What other packages add by entry points: providers, dictionary formats, explainers, scorers.

A package names what it brings in its pyproject.toml, say

    [project.entry-points."autointerp.scorers"]
    keyword = "keyword_scorer"

and a config asks for it by that name: `kind = "keyword"`. What comes with autointerp is registered in the same way, and
nothing here knows of it. An entry point is looked up when a config names it and loaded then, so what is installed and
not asked for costs nothing and breaks nothing. The four contracts, each on one screen, are where `Group.contract` says.
"""

import difflib
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from autointerp import assets
from autointerp.errors import UserError

OWN = "autointerp"


@dataclass(frozen=True, slots=True)
class Group:
    """One sort of plugin: the group of its entry points, what each of them has to have, and where that is explained."""

    name: str
    noun: str
    needs: tuple[str, ...]
    contract: str


PROVIDER = Group("autointerp.providers", "provider", ("__call__",), "autointerp/llm/protocol.py")
FORMAT = Group("autointerp.formats", "dictionary format", ("matches", "load"), "autointerp/dictionaries/format.py")
EXPLAINER = Group(
    "autointerp.explainers", "explainer", ("Settings", "models", "explain"), "autointerp/explain/explainer.py"
)
SCORER = Group("autointerp.scorers", "scorer", ("Settings", "models", "verdicts"), "autointerp/score/scorer.py")
GROUPS = (PROVIDER, FORMAT, EXPLAINER, SCORER)


@dataclass(frozen=True, slots=True)
class Plugin:
    """What an entry point names, `made`, and the package that brings it, with its version."""

    name: str
    package: str
    made: Any


def names(group: Group) -> list[str]:
    """The names of all that is installed; nothing is loaded."""
    return sorted(registered(group))


def find(group: Group, name: str) -> Plugin:
    """Load one. UserError where there is none of that name, or two, or where it cannot be used."""
    asked = f"you asked for the {group.noun} {name!r}"
    found = registered(group).get(name, ())
    if not found:
        refuse_stale(asked)
        known = names(group)
        nearest = difflib.get_close_matches(name, known, 1, 0.0)
        raise UserError(
            asked,
            f"there is none; known are {', '.join(known)}",
            f"write {nearest[0]!r} or install the package that brings it" if nearest else "install autointerp",
        )
    if len(found) > 1:
        packages = " and ".join(sorted(package_of(point) for point in found))
        raise UserError(asked, f"{packages} each bring one of that name", "uninstall all but one of them")
    return load(group, found[0], asked)


def load(group: Group, point: EntryPoint, asked: str) -> Plugin:
    package = package_of(point)
    try:
        made = point.load()
    except Exception as error:  # whatever a package of somebody else raises when it is imported
        refuse_stale(asked)
        found = f"that of {package} cannot be loaded ({type(error).__name__}: {error})"
        raise UserError(asked, found, "install what it needs, or mend it") from error
    lacking = [need for need in group.needs if not hasattr(made, need)]
    if lacking:
        found = f"that of {package} ({point.value}) has no {' and no '.join(lacking)}"
        raise UserError(asked, found, f"mend it: {group.contract} says what they are")
    return Plugin(point.name, package, made)


def added(group: Group, asked: Iterable[str]) -> dict[str, str]:
    """The packages that bring these, autointerp itself left out, as inputs of a stage: another version runs it again.

    Stages keep their inputs in the manifest, so that is where one reads who took part.
    """
    found = {name: find(group, name).package for name in set(asked)}
    return {f"{group.noun} {name}": package for name, package in found.items() if package.split()[0] != OWN}


def registered(group: Group) -> Mapping[str, tuple[EntryPoint, ...]]:
    """Entry points by name."""
    return scanned(group, tuple(sys.path))


@cache
def scanned(group: Group, path: tuple[str, ...]) -> Mapping[str, tuple[EntryPoint, ...]]:
    """What is installed on a path. It takes milliseconds, and a config asks for several kinds, so it is done once."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=group.name):
        found[point.name] = (*found.get(point.name, ()), point)
    return found


def package_of(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unknown package"


def refuse_stale(asked: str) -> None:
    """UserError where a checkout declares entry points that its installation, which is older, does not know."""
    project = assets.PACKAGE.parent / "pyproject.toml"
    if not project.exists():
        return
    declared = tomllib.loads(project.read_text("utf-8"))["project"].get("entry-points", {})
    for group in GROUPS:
        for name, value in declared.get(group.name, {}).items():
            if all(point.value != value for point in registered(group).get(name, ())):
                raise UserError(
                    asked,
                    f"this checkout has the {group.noun} {name!r} and what is installed of autointerp does not know it",
                    "install it again: `make setup`, or `pip install -e .`",
                )

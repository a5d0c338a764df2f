"""Judges of planted rules in the place of a model: one that reads what a rule says and knows it, and worse ones."""

import hashlib
import json
import re
from functools import cache
from typing import Any

from autointerp.llm.protocol import Request
from autointerp.subjects import rules
from autointerp.subjects.planted import PIECE
from autointerp.subjects.rules import Rule

ERRS = 5  # one in so many answers of those who err


@cache
def known() -> dict[str, Rule]:
    """Every rule of the shipped file and its neighbours, by what they say."""
    found = rules.load("planted/rules.toml").values()
    return {one.says: one for rule in found for one in (rule, rule.broader, rule.narrower) if one is not None}


NOTHING = Rule("nothing", "lexicon", "What it does not know.", words=frozenset({"\n"}))


def shown(request: Request) -> tuple[Rule, list[dict[str, Any]]]:
    """The rule that the description states, and the items; of what is no rule it knows nothing."""
    first, *rest = (json.loads(line) for line in request.content.split("\n"))
    return known().get(first["description"], NOTHING), rest


def asked_for(request: Request) -> str:
    assert request.schema is not None
    (field,) = set(request.schema["properties"]["answers"]["items"]["properties"]) - {"id"}
    return str(field)


def answer(field: str, rule: Rule, item: dict[str, Any]) -> Any:
    """What the rule itself says of an item, from the text that a judge is shown."""
    if field == "activations":
        return [10 * mark for mark in rule.marks(item["tokens"])]
    runs = re.split(r"\[\[|\]\]", item["text"])  # marked and unmarked by turns
    meant = rule.marks([character for run in runs for character in run])
    if field == "fits":
        return any(meant)
    end, inside = 0, []
    for at, run in enumerate(runs):
        for piece in PIECE.findall(run):  # neighbours are marked in one go, and each has to be meant
            inside += [any(meant[end : end + len(piece)])] * (at % 2)
            end += len(piece)
    if field == "right":
        return all(inside)
    return 3 if all(inside) else 2 if any(inside) else 1 if any(meant) else 0


def answered(request: Request, erring: str = "") -> dict[str, Any]:
    (rule, items), field = shown(request), asked_for(request)
    found = []
    for item in items:
        said = answer(field, rule, item)
        mark = hashlib.sha256(f"{erring}{rule.id}{item.get('text')}".encode()).digest()[0]
        if erring and field == "fits" and mark % ERRS == 0:
            said = not said
        found.append({"id": item["id"], field: said})
    return {"answers": found}


def reads(request: Request) -> dict[str, Any]:
    """Knows the rule that a description states, and says nothing else."""
    return answered(request)


def errs(request: Request) -> dict[str, Any]:
    """Wrong about one excerpt in five."""
    return answered(request, "a")


def errs_alike(request: Request) -> dict[str, Any]:
    """Wrong about the same ones."""
    return answered(request, "a")


def errs_apart(request: Request) -> dict[str, Any]:
    """Wrong about others."""
    return answered(request, "b")


def agrees(request: Request) -> dict[str, Any]:
    """Everything fits, whatever it is."""
    return {"answers": [{"id": item["id"], "fits": True} for item in shown(request)[1]]}

"""A larger dictionary of the planted subject whose parents are known: a child for every word of a rule, and strangers.

A child points at one word of its rule and a little at the others, so its cosine with the parent is far above chance.
It fires on its own word alone, since its bias silences it on the others.
"""

from pathlib import Path
from typing import Any

import torch

from tests import planted as plant
from tests.planted import B_DEC, DEAD, RULES, THRESHOLD, VOCABULARY, Planted

NOVEL = ("of", "and", "with", "on")
CHILDREN = tuple(
    (rule, word) for rule, words in enumerate(RULES) if rule not in DEAD for word in words
)  # of the features of the larger dictionary in their order, followed by NOVEL
CONCEPTS = {"sea": ("boat", "wave", "sail", "tide"), "sky": ("rain", "snow", "storm", "hay")}
MISSING = "hay"  # no feature of any dictionary fires on it
PSEUDO = {"sea": ("by", "some", "many"), "sky": ("this", "one", "old")}


def larger() -> dict[str, torch.Tensor]:
    """A feature for each of CHILDREN and of NOVEL."""
    place = {word: at for at, word in enumerate(VOCABULARY)}
    d, width = len(VOCABULARY), len(CHILDREN) + len(NOVEL)
    reads, vectors = torch.zeros(d, width), torch.zeros(width, d)
    for at, (rule, word) in enumerate(CHILDREN):
        vectors[at, [place[other] for other in RULES[rule]]] = 0.4
        vectors[at, place[word]] = 1.0
        reads[place[word], at] = 1.0
    for at, word in enumerate(NOVEL, len(CHILDREN)):
        reads[place[word], at] = vectors[at, place[word]] = 1.0
    return {
        "W_enc": reads.contiguous(),
        "W_dec": vectors / vectors.norm(dim=1, keepdim=True),
        "b_enc": torch.zeros(width),
        "b_dec": torch.full((d,), B_DEC),
        "threshold": torch.full((width,), THRESHOLD),
    }


def plant_sizes(folder: Path) -> Planted:
    """The planted subject with a second dictionary, larger/, and concept lists, concepts/."""
    planted = plant.plant(folder)
    plant.write_dictionary(folder / "larger", larger())
    write_concepts(folder / "concepts")
    return planted


def write_concepts(folder: Path) -> None:
    folder.mkdir()
    for name, words in CONCEPTS.items():
        rows = [f"{word}," for word in words] + [f"{word},x" for word in PSEUDO[name]]
        (folder / f"{name}.csv").write_text("\n".join(["concept,pseudo", *rows]) + "\n", "utf-8")
    templates = [f"{name},chapter {opener} {{concept}}" for name in CONCEPTS for opener in ("to", "at", "in", "a")]
    (folder / "templates.csv").write_text("\n".join(["category,template", *templates]) + "\n", "utf-8")


def settings(planted: Planted, name: str = "sizes") -> dict[str, Any]:
    """A run of both dictionaries and a control, explained and judged by functions that know the rules."""
    tree = plant.settings(planted, name)
    tree["dictionaries"] |= {
        "children": {"path": str(planted.folder / "larger")},
        "axes": {"control": "random", "like": "rules"},
    }
    tree["evidence"]["features"] = len(CHILDREN) + len(NOVEL)  # all of both
    tree["collect"]["gate"] = False  # on an embedding that is a diagonal, few words make most of the variance
    tree["explainers"] = {"lexical": {"kind": "lexical"}}
    tree["scorers"] = {"judge": plant.scripted("judge_ignoring", controls=["shuffled"])}
    tree["compare"] = {
        "contexts": 40,
        "concepts": str(planted.folder / "concepts"),
        "neurons": [plant.HOOK],
        "chains": 3,
        "points": 60,
    }
    return tree

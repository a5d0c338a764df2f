"""Build what a planted subject reads with: its vocabulary, and the word lists of the classes in rules.toml.

    python datasets/planted/build.py [--wordnet FOLDER]

Without the folder of an unpacked WordNet, the Debian package is downloaded (not installed) with `apt-get download`. The
same version gives the same bytes.

A word belongs to a class where its first noun sense does, and where nothing speaks against that sense: of the uses
that WordNet's authors counted at least half have it, or, where they counted none, all senses of the word are of the
class. Its plural belongs, too. Kept are words that `english` holds or that were counted at all.
"""

import argparse
import json
import random
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import pandas as pd
import regex

from autointerp import assets
from autointerp.subjects.planted import PIECE

HERE = Path(__file__).parent
PACKAGE, VERSION = "wordnet-base", "1:3.0-37"
HEAD = "\n[classes]\n"  # of the part of rules.toml that is written here
LEAST = 5  # times that a piece of text stands in english/train.parquet to be a token
# What a class holds: all below the first sense of nouns, or a lexicographer's file by its number.
CLASSES: dict[str, tuple[int | str, ...]] = {
    "animal": (5,),
    "artifact": (6,),
    "beverage": ("beverage",),
    "body": (8,),
    "building": ("building",),
    "clothing": ("clothing",),
    "craft": ("ship", "boat", "aircraft"),
    "feeling": (12,),
    "food": (13,),
    "garment": ("garment",),
    "mammal": ("mammal",),
    "material": (27,),
    "metal": ("metallic element", "alloy"),
    "organ": ("organ",),
    "person": (18,),
    "plant": (20,),
    "state": (26,),
    "structure": ("structure",),
    "vehicle": ("vehicle",),
    "woody": ("woody plant",),
    "worker": ("worker", "skilled worker", "professional"),
}
# Classes that lie inside another; the few words that WordNet files elsewhere are left out.
WITHIN = {
    "vehicle": "artifact",
    "structure": "artifact",
    "clothing": "artifact",
    "beverage": "food",
    "building": "structure",
    "craft": "vehicle",
    "garment": "clothing",
    "mammal": "animal",
    "metal": "material",
    "organ": "body",
    "woody": "plant",
    "worker": "person",
}


class WordNet:
    """The nouns of WordNet: what a lemma means first, and how often each of its senses was met."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _lines(self, name: str) -> Iterator[str]:
        lines = (self.folder / name).read_text("utf-8").splitlines()
        return (line for line in lines if line and not line.startswith("  "))

    @cached_property
    def senses(self) -> dict[str, list[str]]:
        """Noun synsets of a lemma, the commonest first."""
        found = {}
        for line in self._lines("index.noun"):
            fields = line.split()
            found[fields[0]] = fields[-int(fields[2]) :]
        return found

    @cached_property
    def others(self) -> set[str]:
        """Lemmas that are verbs, adjectives or adverbs as well."""
        return {line.split()[0] for part in ("verb", "adj", "adv") for line in self._lines(f"index.{part}")}

    @cached_property
    def file_of(self) -> dict[str, int]:
        return {line[:8]: int(line.split()[1]) for line in self._lines("data.noun")}

    @cached_property
    def spelled(self) -> dict[str, set[str]]:
        """The words of a synset, names with their capitals."""
        return {line[:8]: set(line.split(" | ")[0].split()[4::2]) for line in self._lines("data.noun")}

    @cached_property
    def below(self) -> dict[str, list[str]]:
        """Hyponyms and instances of a synset."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for line in self._lines("data.noun"):
            for synset in regex.findall(r" ~i? (\d{8}) n 0000", line.split(" | ")[0]):
                found[line[:8]].append(synset)
        return found

    @cached_property
    def uses(self) -> dict[str, Counter[tuple[str, int]]]:
        """Counted uses of a lemma by (part of speech, number of the sense)."""
        found: defaultdict[str, Counter[tuple[str, int]]] = defaultdict(Counter)
        for line in self._lines("cntlist.rev"):
            key, sense, count = line.split()
            lemma, _, rest = key.partition("%")
            found[lemma][rest[0], int(sense)] += int(count)
        return found

    @cached_property
    def irregular(self) -> dict[str, list[str]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        for line in self._lines("noun.exc"):
            form, *lemmas = line.split()
            for lemma in lemmas:
                found[lemma].append(form)
        return found

    def subtree(self, lemma: str) -> set[str]:
        """The first synset of a lemma and all below it."""
        found: set[str] = set()
        rest = [self.senses[lemma.replace(" ", "_")][0]]
        while rest:
            synset = rest.pop()
            if synset not in found:
                found.add(synset)
                rest += self.below[synset]
        return found

    def members(self, roots: tuple[int | str, ...]) -> Iterator[str]:
        """Single words of a class, by the rule above."""
        files = {root for root in roots if isinstance(root, int)}
        synsets = {synset for root in roots if isinstance(root, str) for synset in self.subtree(root)}
        for lemma, senses in self.senses.items():
            if not regex.fullmatch(r"[a-z]{3,}", lemma) or lemma not in self.spelled[senses[0]]:
                continue
            inside = [synset in synsets or self.file_of[synset] in files for synset in senses]
            if not inside[0]:
                continue
            uses = self.uses.get(lemma)
            if uses:
                ours = sum(
                    n for (part, sense), n in uses.items() if part == "1" and inside[min(sense, len(inside)) - 1]
                )
                fits = 2 * ours >= uses.total()
            else:
                fits = all(inside) and lemma not in self.others
            if fits:
                yield lemma

    def forms(self, lemma: str) -> list[str]:
        """The lemma and its plurals."""
        if lemma in self.irregular:
            return [lemma, *self.irregular[lemma]]
        if regex.search(r"(s|x|z|ch|sh)$", lemma):
            return [lemma, f"{lemma}es"]
        return [lemma, f"{lemma[:-1]}ies" if regex.search(r"[^aeiou]y$", lemma) else f"{lemma}s"]


def fetch(folder: Path) -> Path:
    """Download and unpack WordNet below `folder`; return where its files are."""
    subprocess.run(["apt-get", "download", f"{PACKAGE}={VERSION}"], cwd=folder, check=True)
    for archive in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", archive, folder / "root"], check=True)
    return folder / "root/usr/share/wordnet"


def classes(wordnet: WordNet, held: set[str]) -> dict[str, str]:
    """The words of each class, sorted, in one string. `held` are the words of the corpus."""
    found = {
        name: {
            form
            for lemma in wordnet.members(roots)
            for form in wordnet.forms(lemma)
            if form in held or wordnet.uses.get(lemma)
        }
        for name, roots in CLASSES.items()
    }
    for inner, outer in WITHIN.items():
        found[inner] &= found[outer]
    return {name: " ".join(sorted(forms)) for name, forms in found.items()}


def wrapped(words: str) -> str:
    """A TOML string of lines of at most 120 characters."""
    lines = [""]
    for word in words.split():
        if len(lines[-1]) + len(word) >= 120:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return '"""\n' + "\n".join(lines) + '\n"""'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wordnet", type=Path)
    args = parser.parse_args()
    texts = {
        split: pd.read_parquet(assets.datasets() / f"english/{split}.parquet")["text"] for split in ("train", "heldout")
    }
    pieces = Counter(piece for text in texts["train"] for piece in PIECE.findall(text))
    vocabulary = sorted(
        (piece for piece, n in pieces.items() if n >= LEAST and len(piece) > 1), key=lambda p: (-pieces[p], p)
    )
    lines = (json.dumps(piece, ensure_ascii=False) for piece in vocabulary)
    (HERE / "vocabulary.json").write_text("[\n" + ",\n".join(lines) + "\n]\n", "utf-8")
    held = {word for split in texts.values() for text in split for word in regex.findall(r"\w+", text.lower())}
    with tempfile.TemporaryDirectory() as temporary:
        found = classes(WordNet(args.wordnet or fetch(Path(temporary))), held)
    rules, _, _ = (HERE / "rules.toml").read_text("utf-8").partition(HEAD)
    lists = "".join(f"\n{name} = {wrapped(words)}\n" for name, words in found.items())
    (HERE / "rules.toml").write_text(f"{rules}{HEAD}{lists}", "utf-8")
    for name, words in found.items():
        print(name, len(words.split()), *random.Random(0).sample(words.split(), 16))


if __name__ == "__main__":
    main()

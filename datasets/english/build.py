"""Build the English corpus: four domains of openly licensed text, each document in exactly one split.

    python datasets/english/build.py --tokenizer DIR [--out datasets/english]

Run on Debian with CPython 3.11: the two Debian packages are downloaded (not installed) with
`apt-get download`, code comes from the running interpreter's own standard library. The same package
versions give the same bytes. `--tokenizer` is only used to count tokens for dataset.toml.

A *document* is the unit of every split, so it is a page that a reader would recognise: a run of
dictionary entries of one semantic class, a run of usage sentences of one class, a handbook section,
a source module. `train.parquet` trains the demo dictionaries; `heldout.parquet` is what gets evaluated.
"""

import argparse
import ast
import hashlib
import html
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import tomlkit
from transformers import AutoTokenizer

PACKAGES = {"wordnet-base": "1:3.0-37", "debian-handbook": "11.20220922"}
ENTRIES_PER_PAGE = 18  # about 300 tokens: two or three contexts of 128
SENTENCES_PER_PAGE = 24
HELDOUT_SHARE = 0.17
# Characters kept per domain and split. The caps keep one domain from drowning the others.
CHARACTERS = {
    "glosses": (1_900_000, 330_000),
    "examples": (1_700_000, 300_000),
    "handbook": (900_000, 200_000),
    "code": (1_300_000, 260_000),
}
LEXNAMES = [
    "adj.all",
    "adj.pert",
    "adv.all",
    "noun.Tops",
    "noun.act",
    "noun.animal",
    "noun.artifact",
    "noun.attribute",
    "noun.body",
    "noun.cognition",
    "noun.communication",
    "noun.event",
    "noun.feeling",
    "noun.food",
    "noun.group",
    "noun.location",
    "noun.motive",
    "noun.object",
    "noun.person",
    "noun.phenomenon",
    "noun.plant",
    "noun.possession",
    "noun.process",
    "noun.quantity",
    "noun.relation",
    "noun.shape",
    "noun.state",
    "noun.substance",
    "noun.time",
    "verb.body",
    "verb.change",
    "verb.cognition",
    "verb.communication",
    "verb.competition",
    "verb.consumption",
    "verb.contact",
    "verb.creation",
    "verb.emotion",
    "verb.motion",
    "verb.perception",
    "verb.possession",
    "verb.social",
    "verb.stative",
    "verb.weather",
    "adj.ppl",
]


def fetch(folder: Path) -> Path:
    """Download and unpack the Debian packages below `folder`; return the root of their files."""
    for name, version in PACKAGES.items():
        subprocess.run(["apt-get", "download", f"{name}={version}"], cwd=folder, check=True)
    for archive in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", archive, folder / "root"], check=True)
    return folder / "root"


def wordnet(root: Path) -> Iterator[tuple[str, str, str, str]]:
    """Pages of glosses and pages of example sentences, both in WordNet's own order (related entries adjoin)."""
    entries: dict[str, list[str]] = defaultdict(list)
    sentences: dict[str, list[str]] = defaultdict(list)
    for part in ("noun", "verb", "adj", "adv"):
        for line in (root / f"usr/share/wordnet/data.{part}").read_text("utf-8").splitlines():
            if line.startswith("  "):
                continue  # the licence header
            head, gloss = line.split(" | ", 1)
            fields = head.split()
            lexname = LEXNAMES[int(fields[1])]
            words = [re.sub(r"\(.*?\)", "", fields[4 + 2 * i]).replace("_", " ") for i in range(int(fields[3], 16))]
            examples = re.findall(r'"([^"]+)"', gloss)
            definition = re.split(r';\s*"', gloss, maxsplit=1)[0].strip(" ;")
            entries[lexname].append(f"{', '.join(words[:3])}: {definition}.")
            sentences[lexname] += [f"{e[0].upper()}{e[1:].rstrip('.')}." for e in examples if len(e.split()) >= 4]
    for domain, groups, size in (
        ("glosses", entries, ENTRIES_PER_PAGE),
        ("examples", sentences, SENTENCES_PER_PAGE),
    ):
        for lexname, lines in groups.items():
            for page, start in enumerate(range(0, len(lines), size)):
                chunk = lines[start : start + size]
                if len(chunk) >= size // 2:
                    yield domain, lexname, f"wordnet/{domain}/{lexname}/{page:04d}", "\n".join(chunk)


def handbook(root: Path) -> Iterator[tuple[str, str, str, str]]:
    """One document per section file of the English handbook; its paragraphs in order."""
    folder = root / "usr/share/doc/debian-handbook/html/en-US"
    for path in sorted(folder.glob("*.html")):
        paragraphs = re.findall(r'<div class="para">(.*?)</div>', path.read_text("utf-8"), flags=re.S)
        clean = [re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", p))).strip() for p in paragraphs]
        text = "\n".join(p for p in clean if len(p) > 60)
        if len(text) > 400:
            yield "handbook", path.name.split(".")[0], f"handbook/{path.stem}", text


def code() -> Iterator[tuple[str, str, str, str]]:
    """Top-level functions and classes of the standard library; the document is the module."""
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.rglob("*.py")):
        name = path.relative_to(library).as_posix()
        if re.search(r"site-packages|(^|/)tests?/|idlelib|lib2to3|encodings/|turtledemo|_pydecimal|pydoc_data", name):
            continue
        source = path.read_text("utf-8", errors="strict")
        if "\t" in source[:2000] or len(source) < 600:
            continue
        lines = source.splitlines()
        kept, size = [], 0
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.end_lineno:
                text = "\n".join(lines[node.lineno - 1 : node.end_lineno])[:1800]
                if len(text) > 250 and size + len(text) < 7000:
                    kept.append(text)
                    size += len(text)
        if kept:
            yield "code", name.split("/")[0].removesuffix(".py"), f"cpython/{name}", "\n\n\n".join(kept)


def rank(document: str) -> float:
    """A fixed pseudo-random number in [0, 1) for a document: decides its split and its place in the queue."""
    return int.from_bytes(hashlib.sha256(document.encode()).digest()[:8], "big") / 2**64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = fetch(Path(temporary))
        rows = [*wordnet(root), *handbook(root), *code()]
    frame = pd.DataFrame(rows, columns=["domain", "label", "document", "text"])
    frame = frame.drop_duplicates("text")
    frame["rank"] = frame["document"].map(rank)
    frame = frame.sort_values("rank")
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)

    record = tomlkit.parse((args.out / "dataset.toml").read_text("utf-8"))
    record["python"] = sys.version.split()[0]
    record["files"] = tomlkit.table()
    for position, split in enumerate(("train", "heldout")):
        side = frame[frame["rank"] < HELDOUT_SHARE] if split == "heldout" else frame[frame["rank"] >= HELDOUT_SHARE]
        parts = []
        for domain, caps in CHARACTERS.items():
            part = side[side["domain"] == domain]
            parts.append(part[part["text"].str.len().cumsum() <= caps[position]])
        part = pd.concat(parts).sort_values("rank").drop(columns="rank").reset_index(drop=True)
        path = args.out / f"{split}.parquet"
        part.to_parquet(path, compression="zstd", index=False)
        part["tokens"] = [len(ids) for ids in tokenizer(part["text"].tolist())["input_ids"]]
        counts = tomlkit.table()
        counts["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        counts["documents"] = len(part)
        counts["tokens"] = int(part["tokens"].sum())
        counts["tokens_by_domain"] = tomlkit.inline_table()
        counts["tokens_by_domain"].update({k: int(v) for k, v in part.groupby("domain")["tokens"].sum().items()})
        record["files"][f"{split}.parquet"] = counts
        print(split, counts)
    (args.out / "dataset.toml").write_text(tomlkit.dumps(record), "utf-8")


if __name__ == "__main__":
    main()

"""Build the emoji corpus: concepts with pictures in two styles and names in 16 languages.

    python datasets/emoji/build.py [--out datasets/emoji]

Three npm packages are downloaded (not installed) with `npm pack`. The same versions of Pillow and pyarrow give the
same bytes; dataset.toml names them.

A *document* is one concept with all its pictures and names, so a split never shows a concept in one style or language
and tests it in another. `train.parquet` trains the demo model; `heldout.parquet` is what gets evaluated.
"""

import argparse
import hashlib
import io
import json
import subprocess
import tarfile
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import PIL
import pyarrow
import tomlkit
from PIL import Image

PICTURES, FLUENT, NAMES = (
    "emoji-datasource-google@16.0.0",
    "@lobehub/fluent-emoji-3d@1.1.0",
    "cldr-annotations-full@48.2.0",
)
LANGUAGES = ["en", "de", "fr", "es", "pt", "it", "nl", "pl", "ru", "uk", "tr", "ar", "hi", "zh", "ja", "ko"]
STYLES = ["google", "fluent"]
SIZE = 64
FLUENT_BITS = 6  # per channel: the soft shading of the 3D style costs a third more bytes at 8 and looks the same
HELDOUT_SHARE = 0.4


def fetch(package: str, folder: Path) -> tarfile.TarFile:
    """Download an npm package into `folder` and open it."""
    done = subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True, text=True)
    return tarfile.open(folder / done.stdout.strip())


def contents(archive: tarfile.TarFile, prefix: str, suffix: str) -> dict[str, bytes]:
    """The files of one folder of the archive, by the part of their name that is neither prefix nor suffix."""
    found = {}
    for member in archive:
        name = member.name
        file = archive.extractfile(member) if name.startswith(prefix) and name.endswith(suffix) else None
        if file:
            found[name.removeprefix(prefix).removesuffix(suffix)] = file.read()
    return found


def gendered(points: list[str]) -> bool:
    """Whether a sequence says no more than the gender of a concept that has a neutral sign of its own."""
    points = [point for point in points if point != "fe0f"]
    return "200d" in points and (points[0] in ("1f468", "1f469") or points[2] in ("2640", "2642"))


def compress(picture: Image.Image) -> bytes:
    """The smaller of lossless WebP and optimised PNG."""
    webp, png = io.BytesIO(), io.BytesIO()
    picture.save(webp, "WEBP", lossless=True, method=4, quality=80)
    picture.save(png, "PNG", optimize=True)
    return min(webp.getvalue(), png.getvalue(), key=len)


def google(data: bytes) -> bytes:
    return compress(Image.open(io.BytesIO(data)).convert("RGBA"))


def fluent(data: bytes) -> bytes:
    picture = Image.open(io.BytesIO(data)).convert("RGBA").resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    top = 2**FLUENT_BITS - 1
    levels = np.round(np.asarray(picture) / 255 * top)
    return compress(Image.fromarray(np.round(levels / top * 255).astype(np.uint8)))


def spoken(language: str, entry: dict[str, list[str]]) -> str:
    """The short name. Hindi often lists several, where a comma in any other language belongs to the name."""
    name = entry["tts"][0]
    return name.split(",")[0].strip() if language == "hi" else name


def rank(document: str) -> str:
    """A fixed pseudo-random key of a document: decides its split and its place in the file."""
    return hashlib.sha256(document.encode()).hexdigest()


def build(folder: Path) -> pd.DataFrame:
    """One row a picture or name, of every concept that has both pictures and an English name."""
    google_archive = fetch(PICTURES, folder)
    signs = json.loads(contents(google_archive, "package/emoji", ".json")[""])
    pictures = {"google": contents(google_archive, "package/img/google/64/", ".png")}
    pictures["fluent"] = contents(fetch(FLUENT, folder), "package/assets/", ".webp")
    files = contents(fetch(NAMES, folder), "package/annotations/", "/annotations.json")
    names = {language: json.loads(files[language])["annotations"]["annotations"] for language in LANGUAGES}
    rows = []
    for sign in signs:
        document = sign["unified"].lower()
        points = document.split("-")
        key = "".join(chr(int(point, 16)) for point in points if point != "fe0f")
        if gendered(points) or key not in names["en"] or any(document not in pictures[style] for style in STYLES):
            continue
        name = spoken("en", names["en"][key])
        about = (name, sign["category"], sign["subcategory"])
        rows.append((document, "google", None, google(pictures["google"][document]), *about))
        rows.append((document, "fluent", None, fluent(pictures["fluent"][document]), *about))
        rows += [
            (document, language, spoken(language, names[language][key]), None, *about)
            for language in LANGUAGES
            if key in names[language]
        ]
    return pd.DataFrame(rows, columns=["document", "form", "text", "image", "name", "category", "subcategory"])


def heldout(frame: pd.DataFrame) -> set[str]:
    """The documents of lowest rank in each subcategory, the same share of each."""
    groups: dict[str, list[str]] = defaultdict(list)
    for document, subcategory in frame[["document", "subcategory"]].drop_duplicates().itertuples(index=False):
        groups[subcategory].append(document)
    return {d for group in groups.values() for d in sorted(group, key=rank)[: round(HELDOUT_SHARE * len(group))]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        frame = build(Path(temporary))
    frame = frame.sort_values("document", key=lambda column: column.map(rank), kind="stable")
    chosen = frame["document"].isin(heldout(frame))

    record = tomlkit.parse((args.out / "dataset.toml").read_text("utf-8"))
    record["languages"] = LANGUAGES
    record["written_with"] = {"pillow": PIL.__version__, "pyarrow": pyarrow.__version__}
    record["files"] = tomlkit.table()
    for split, part in (("train", frame[~chosen]), ("heldout", frame[chosen])):
        path = args.out / f"{split}.parquet"
        part.reset_index(drop=True).to_parquet(path, compression="zstd", index=False)
        record["files"][f"{split}.parquet"] = {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "documents": part["document"].nunique(),
            "pictures": int(part["image"].notna().sum()),
            "names": int(part["text"].notna().sum()),
        }
        print(split, path.stat().st_size, record["files"][f"{split}.parquet"])
    (args.out / "dataset.toml").write_text(tomlkit.dumps(record), "utf-8")


if __name__ == "__main__":
    main()

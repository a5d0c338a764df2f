"""Files behind a corpus path, on this machine or in any store that fsspec knows, and the documents in them.

A document is a text, or a picture as the bytes of its file: nothing is decoded here.

Documents are a stream: of a file no more is in memory than a few rows, or the one document that is being read.
"""

import hashlib
import importlib.metadata
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.registry import known_implementations

from autointerp import assets, pictures
from autointerp.config import CorpusConfig
from autointerp.errors import UserError
from autointerp.store import digest, stable_hash

KINDS = (".txt", ".jsonl", ".parquet", ".txt.gz", ".jsonl.gz", *pictures.ENDINGS)
FOLDER = "folder"  # the label column that a folder of pictures has
NO_FILE = b"\0"  # stands for a picture of which only a path is known: it is refused and counted as no picture
ROWS = 64  # of a parquet file in memory at a time; a row may be a whole book
BUFFER = 2**20  # bytes of a parquet column read at a time; without it arrow reads all of a row group at once


@dataclass(frozen=True, slots=True)
class Document:
    """A document or a part of one: a text, or a picture (the bytes of its file), perhaps with text and a label."""

    name: str
    text: str
    image: bytes = b""
    label: str = ""

    @property
    def key(self) -> int:
        """What it is known by where documents are compared: the same for the same text and the same file."""
        return stable_hash(self.text, hashlib.sha256(self.image).hexdigest()) if self.image else stable_hash(self.text)


@dataclass(frozen=True, slots=True)
class Source:
    """One file. `origin` is its posix path inside the corpus folder, or its name where `alone`, as the whole corpus."""

    filesystem: AbstractFileSystem
    path: str
    origin: str
    alone: bool

    @property
    def local(self) -> bool:
        return isinstance(self.filesystem, LocalFileSystem)

    @property
    def address(self) -> str:
        """What a user would call it: a path on this machine, a URL elsewhere."""
        return self.path if self.local else str(self.filesystem.unstrip_protocol(self.path))


def is_hub(path: str) -> bool:
    """`hf:ID` is a dataset of the hub's library; `hf://…` are plain files of the hub, for fsspec."""
    return path.startswith("hf:") and not path.startswith("hf://")


def files(path: str, kinds: tuple[str, ...] = KINDS) -> list[Source]:
    """The files of these kinds behind a corpus path, in the order of their names; empty for a hub dataset.

    A UserError says what is wrong with a path: nothing there, no texts in the folder, no library for the protocol,
    no answer from the store.
    """
    if is_hub(path):
        return []
    # A URL is never looked up here: one that carries a signature is too long to be a file name.
    location = None if "://" in path else assets.locate(path)
    try:
        if location is not None:
            filesystem, root = LocalFileSystem(), LocalFileSystem._strip_protocol(str(location))
        elif "://" in path:
            filesystem, root = url_to_fs(path)
            filesystem.invalidate_cache()  # a listing from earlier in this process may be out of date
        else:
            raise FileNotFoundError(path)
        if filesystem.info(root)["type"] != "directory":
            return [Source(filesystem, root, utf8(root.rstrip("/").rpartition("/")[2]), alone=True)]
        names = [name for name in filesystem.find(root) if name.lower().endswith(kinds)]
    except Exception as error:
        raise refusal(path, error) from None
    found = [Source(filesystem, name, utf8(name.removeprefix(root).lstrip("/")), alone=False) for name in names]
    # On this machine a link is listed as neither file nor folder, and a folder may be called shards.parquet.
    found = [source for source in found if not source.local or filesystem.isfile(source.path)]
    if not found:
        raise UserError(f"you asked for the corpus {path!r}", f"the folder holds no {worded(kinds)}", "add some")
    return sorted(found, key=lambda source: source.origin.split("/"))


def worded(kinds: tuple[str, ...]) -> str:
    """The kinds of files in a sentence: compressed ones go without saying."""
    plain = [kind for kind in kinds if kind not in pictures.ENDINGS and not kind.endswith(".gz")]
    if set(pictures.ENDINGS) & set(kinds):
        plain.append("pictures")
    return " or ".join(filter(None, (", ".join(plain[:-1]), plain[-1])))


def has_pictures(config: CorpusConfig) -> bool:
    """Whether there are pictures in a corpus, as far as names of files and columns tell."""
    if is_hub(config.path):
        return False
    found = files(config.path)
    if any(source.origin.lower().endswith(pictures.ENDINGS) for source in found):
        return True
    tables = (source for source in found if source.origin.lower().endswith(".parquet"))
    return any(config.image_column in columns_of(source) for source in tables)


def columns_of(source: Source) -> list[str]:
    """The columns of a parquet file, none where it cannot be read."""
    try:
        with source.filesystem.open(source.path, "rb") as handle:
            return list(pq.read_schema(handle).names)
    except (pa.ArrowException, OSError):
        return []


def first_rows(source: Source, n: int) -> list[dict[str, Any]]:
    """The first rows of a table, with all its columns; none of a file that is no table."""
    asked, kind = f"you asked for {source.address}", source.origin.lower()
    if kind.endswith(".parquet"):
        try:
            with (
                source.filesystem.open(source.path, "rb") as handle,
                pq.ParquetFile(handle, buffer_size=BUFFER) as file,
            ):
                return next((batch.to_pylist() for batch in file.iter_batches(n)), [])
        except (pa.ArrowException, OSError) as error:
            raise UserError(asked, f"it is not readable parquet ({error})", "write it again") from None
    if kind.endswith((".jsonl", ".jsonl.gz")):
        try:
            with source.filesystem.open(source.path, "r", encoding="utf-8", compression="infer") as lines:
                return list(islice(objects(asked, lines), n))
        except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
            raise UserError(asked, f"it cannot be read ({error})", "check the file, or write it again") from None
    return []


def refusal(path: str, error: Exception) -> UserError:
    """Why there are no files behind a path. Stores raise errors of their own libraries, which share no base class."""
    asked, said = f"you asked for the corpus {path!r}", " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return UserError(asked, "there is no such file or folder", "check corpus.path")
    if isinstance(error, ImportError):
        # fsspec's table knows the package of a protocol; where that is fsspec itself, only its sentence names the rest.
        protocol = path.partition("://")[0].rpartition("::")[2]
        package = known_implementations.get(protocol, {}).get("class", "").partition(".")[0]
        named = f"pip install {package}" if package not in ("", "fsspec") else "install it with pip"
        return UserError(asked, f"a library for {protocol}:// is missing ({said})", named)
    return UserError(asked, f"it cannot be opened ({said})", "check corpus.path, the network and your credentials")


def fingerprints(path: str, kinds: tuple[str, ...] = KINDS) -> dict[str, str]:
    """What the content of every file is known by, under its origin: a corpus with the same ones has the same documents.

    A local file is read and hashed. Of a remote one the store is asked (its ETag where it has one, else all that it
    tells of the file), since reading would cost as much as the run. A hub dataset is known by its name alone.
    """
    if is_hub(path):
        return {path: path}
    found = {}
    for source in files(path, kinds):
        try:
            known = digest(Path(source.path)) if source.local else str(source.filesystem.checksum(source.path))
        except Exception as error:
            raise refusal(path, error) from None
        found[source.origin] = known
    return found


def documents(path: str, config: CorpusConfig) -> Iterator[Document]:
    """All documents of a corpus that hold a picture or more than white space, file by file, row by row.

    Rows that share a document name are joined by the splits, not by their text. What cannot be read is a UserError
    when the stream reaches it; one without any text or picture is, at its end.
    """
    empty = True
    rows = hub(path.removeprefix("hf:"), config) if is_hub(path) else (d for s in files(path) for d in read(s, config))
    for document in rows:
        if document.image or document.text.strip():
            empty = False
            yield document
    if empty:
        raise UserError(
            f"you asked for the corpus {path!r}", "it holds no text and no picture", "give files with something in them"
        )


def read(source: Source, config: CorpusConfig) -> Iterator[Document]:
    """One file. A .txt in a folder is one document; a .txt on its own is split at blank lines."""
    asked, origin = f"you asked for {source.address}", source.origin
    kind = origin.lower()
    if kind.endswith(".parquet"):
        try:
            yield from parquet(source, config)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # OSError: a damaged page, an intact footer
            raise UserError(asked, f"it is not readable parquet ({error})", "write it again") from None
        return
    if kind.endswith(pictures.ENDINGS):
        try:
            data = source.filesystem.cat_file(source.path)
        except OSError as error:
            raise UserError(asked, f"it cannot be read ({error})", "check the file, or write it again") from None
        folder = source.path.rpartition("/")[0].rpartition("/")[2]
        yield Document(origin, "", data, label_of(origin, {FOLDER: folder}, config))
        return
    try:
        with source.filesystem.open(source.path, "r", encoding="utf-8", compression="infer") as lines:
            try:
                if kind.endswith((".jsonl", ".jsonl.gz")):
                    yield from named(origin, objects(asked, lines), config)
                elif source.alone:
                    kept = (block for block in blocks(lines) if block.strip())
                    yield from (Document(f"{origin}#{number}", block) for number, block in enumerate(kept))
                else:
                    yield Document(origin, lines.read())
            except UnicodeDecodeError as error:
                # What failed to decode ends where the file has been read to.
                at = lines.buffer.tell() - len(error.object) + error.start
                raise UserError(
                    asked, f"{origin} is not UTF-8 (byte {at})", "convert it, for example with iconv -t utf-8"
                ) from None
    except (OSError, EOFError, zlib.error) as error:  # the last two: damaged gzip
        raise UserError(asked, f"it cannot be read ({error})", "check the file, or write it again") from None


def parquet(source: Source, config: CorpusConfig) -> Iterator[Document]:
    with source.filesystem.open(source.path, "rb") as handle, pq.ParquetFile(handle, buffer_size=BUFFER) as file:
        columns = file.schema_arrow.names
        holding = (config.text_column, config.image_column)
        if file.metadata.num_rows and not set(holding) & set(columns):
            raise no_column(source.origin, columns, config)
        refuse_unlabelled(source.origin, columns, config)
        wanted = {*holding, config.document_column, *config.label_columns}
        needed = [name for name in columns if name in wanted]
        rows = (row for batch in file.iter_batches(ROWS, columns=needed) for row in batch.to_pylist())
        yield from named(source.origin, spelled(rows, stored_classes(file.schema_arrow.metadata)), config)


def stored_classes(metadata: Mapping[bytes, bytes] | None) -> dict[str, list[str]]:
    """The names of the classes in a column of numbers, by column, where the datasets library has noted them."""
    try:
        features = json.loads((metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {name: list(f["names"]) for name, f in features.items() if f.get("_type") == "ClassLabel"}
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}


def spelled(rows: Iterable[dict[str, Any]], classes: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Any]]:
    """Rows with names in place of numbers of classes; below 0 there is none."""
    for row in rows:
        numbers = {column: row[column] for column in classes if isinstance(row.get(column), int)}
        yield row | {
            column: classes[column][number] if 0 <= number < len(classes[column]) else None
            for column, number in numbers.items()
        }


def objects(asked: str, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The objects of a jsonl file, empty ones left out.

    Lines are those of the file, not of splitlines, which also cuts at U+2028 and its like: they may stand inside a
    JSON string.
    """
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line) if line.strip() else {}
        except json.JSONDecodeError as error:
            found = f"line {number} is not JSON ({error.msg})"
            raise UserError(asked, found, "mend or remove that line") from None
        if not isinstance(row, dict):
            raise UserError(asked, f"line {number} is not a JSON object", "mend or remove that line")
        if row:
            yield row


def blocks(lines: Iterable[str]) -> Iterator[str]:
    """What `text.split("\\n\\n")` would give, for a text that comes line by line."""
    block: list[str] = []
    for line in lines:
        if block and line == "\n":
            yield "".join(block)[:-1]
            block = []
        else:
            block.append(line)
    yield "".join(block)


def named(origin: str, rows: Iterable[dict[str, Any]], config: CorpusConfig) -> Iterator[Document]:
    """Rows as documents. A row may lack a column, which makes it empty; if all lack both, they are the wrong ones."""
    holding = {config.text_column, config.image_column}
    keys: set[str] = set()
    for number, row in enumerate(rows):
        if not holding & keys:
            keys |= row.keys()
        name = row.get(config.document_column)
        image = file_of(row.get(config.image_column))
        yield Document(
            f"{origin}#{number}" if name is None else utf8(name),
            utf8(row.get(config.text_column) or ""),
            image,
            label_of(origin, row, config),
        )
    if keys and not holding & keys:
        raise no_column(origin, sorted(map(str, keys)), config)


def file_of(value: Any) -> bytes:
    """A picture as the bytes of its file: as they are, or in the Hugging Face form, with `bytes` beside a path."""
    if isinstance(value, Mapping):
        value = value.get("bytes") or NO_FILE
    return value if isinstance(value, bytes) else NO_FILE if value is not None else b""


def is_file(value: Any) -> bool:
    """Whether a cell holds a picture as the bytes of its file, in either form."""
    return isinstance(value.get("bytes") if isinstance(value, Mapping) else value, bytes)


def label_of(origin: str, row: Mapping[str, Any], config: CorpusConfig) -> str:
    """What the label columns say, in their order."""
    refuse_unlabelled(origin, list(row), config)
    return ", ".join(utf8(row[name]) for name in config.label_columns if row[name] is not None)


def refuse_unlabelled(origin: str, columns: Sequence[str], config: CorpusConfig) -> None:
    for name in config.label_columns:
        if name not in columns:
            raise UserError(
                f"you asked for the label column {name!r}",
                f"{origin} has {', '.join(map(str, columns))}",
                "set corpus.label_columns",
            )


def no_column(origin: str, columns: list[str], config: CorpusConfig) -> UserError:
    return UserError(
        f"you asked for the column {config.text_column!r}",
        f"{origin} has the columns {', '.join(columns)}",
        "set corpus.text_column, or corpus.image_column for pictures",
    )


def utf8(value: object) -> str:
    """A value as text; half of a surrogate pair, which a JSON escape can leave behind, becomes '?'."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


def hub(name: str, config: CorpusConfig) -> Iterator[Document]:
    """A Hugging Face dataset `id` or `id:split`, when that library is installed."""
    asked = f"you asked for hf:{name}"
    try:
        # The version is asked for first: a folder called `datasets` would import, but has no version.
        importlib.metadata.version("datasets")
        import datasets
    except (ImportError, importlib.metadata.PackageNotFoundError):
        raise UserError(asked, "the datasets library is not installed", "pip install datasets") from None
    identifier, _, split = name.partition(":")
    try:
        rows = datasets.load_dataset(identifier, split=split or "train", streaming=True)
        if config.image_column in (getattr(rows, "column_names", None) or ()):
            # The files as they are: pictures are decoded with care elsewhere.
            rows = rows.cast_column(config.image_column, datasets.Image(decode=False))
        features = getattr(rows, "features", None) or {}
        classes = {column: kind.names for column, kind in features.items() if hasattr(kind, "names")}
        yield from named(identifier, spelled(fetched(rows, identifier, config.image_column), classes), config)
    except (OSError, ValueError) as error:  # no such dataset or split; offline; a damaged shard
        raise UserError(
            asked, f"the datasets library cannot read it ({error})", "check its id, its split and the network"
        ) from None


def fetched(rows: Iterable[dict[str, Any]], dataset: str, column: str) -> Iterator[dict[str, Any]]:
    """Rows with the bytes of pictures that lie beside the tables of a dataset; a path to elsewhere is not followed."""
    for row in rows:
        image = row.get(column)
        path = image.get("path") if isinstance(image, Mapping) and not image.get("bytes") else None
        if path and dataset in path and ".." not in path:
            with fsspec.open(path) as file:
                row = {**row, column: {"bytes": file.read()}}
        yield row

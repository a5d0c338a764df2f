"""Documents from files, here and in stores elsewhere, and what is said about those that cannot be read."""

import gzip
import hashlib
import importlib.metadata
import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import known_implementations
from hypothesis import given
from hypothesis import strategies as st

from autointerp.config import CorpusConfig
from autointerp.corpus.sources import Document, blocks, documents, files, fingerprints, first_rows
from autointerp.errors import UserError
from autointerp.subjects.text import TextSubject
from tests.corpus.writers import MULTIBYTE, jsonl, write_jsonl, write_parquet, written

ROOT = Path(__file__).parents[2]


def found_in(path: Path | str, **settings: Any) -> list[Document]:
    return list(documents(str(path), CorpusConfig(path=str(path), **settings)))


def texts(path: Path | str, **settings: Any) -> list[str]:
    return [document.text for document in found_in(path, **settings)]


@pytest.fixture
def bucket() -> Iterator[str]:
    """A folder of its own in the file system that fsspec keeps in this process."""
    name = f"memory://corpus-{uuid4().hex}"
    yield name
    store = fsspec.filesystem("memory")
    if store.exists(name):
        store.rm(name, recursive=True)


def upload(folder: Path, url: str) -> str:
    fsspec.filesystem("memory").put(f"{folder}/", f"{url}/", recursive=True)
    return url


# ---- readers


def test_all_formats_give_the_same_documents(tmp_path: Path) -> None:
    rows = [{"document": f"d{i}", "text": t} for i, t in enumerate([MULTIBYTE.strip(), "two\nlines", "a\u2028b\x85c"])]
    (tmp_path / "all.txt").write_text("\n\n".join(r["text"] for r in rows), "utf-8", newline="")
    folder = tmp_path / "folder"
    folder.mkdir()
    for row in rows:
        (folder / f"{row['document']}.txt").write_text(row["text"], "utf-8", newline="")
    expected = [row["text"].replace("\r\n", "\n") for row in rows]
    assert texts(tmp_path / "all.txt") == expected
    assert texts(folder) == expected
    for path in (write_jsonl(tmp_path / "all.jsonl", rows), write_parquet(tmp_path / "all.parquet", rows)):
        found = found_in(path)
        assert [(d.name, d.text) for d in found] == [(row["document"], row["text"]) for row in rows]


def test_the_first_rows_of_a_table_have_all_their_columns(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "topic": n} for n in range(5)]
    (tmp_path / "words.txt").write_text("one\n\ntwo")
    written(tmp_path / "zipped.jsonl.gz", gzip.compress(jsonl(rows).encode()))
    for path in (write_jsonl(tmp_path / "a.jsonl", rows), write_parquet(tmp_path / "b.parquet", rows)):
        written(path.with_stem("broken"), b"{")
    found = {source.origin: source for source in files(str(tmp_path))}
    for name in ("a.jsonl", "b.parquet", "zipped.jsonl.gz"):
        assert first_rows(found[name], 3) == rows[:3] and first_rows(found[name], 9) == rows
    assert first_rows(found["words.txt"], 3) == []
    for name in ("broken.jsonl", "broken.parquet"):
        with pytest.raises(UserError, match=name):
            first_rows(found[name], 3)


def test_a_folder_is_read_with_its_subfolders_and_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "shards.parquet").mkdir()  # as written by systems that shard their output
    (tmp_path / "b" / "2.txt").write_text("second")
    (tmp_path / "1.txt").write_text("first\n\nstill first")
    (tmp_path / "README.md").write_text("not this")
    write_parquet(tmp_path / "shards.parquet" / "0.parquet", [{"text": "third"}])
    assert texts(tmp_path) == ["first\n\nstill first", "second", "third"]


def test_files_of_one_name_in_two_subfolders_are_two_documents(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.txt").write_text(f"from {folder}")
        write_jsonl(tmp_path / folder / "2.jsonl", [{"text": f"row of {folder}"}])
    found = found_in(tmp_path)
    assert len({d.name for d in found}) == len(found) == 4


def test_rows_without_a_name_are_documents_of_their_own(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "one"}, {"text": "two", "document": None}, {"text": "", "x": 1}])
    found = found_in(path)
    assert [d.text for d in found] == ["one", "two"]
    assert len({d.name for d in found}) == 2


def test_other_columns_can_hold_text_and_document(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [{"body": "one", "page": 7}, {"body": "two", "page": 7}])
    found = found_in(path, text_column="body", document_column="page")
    assert [(d.name, d.text) for d in found] == [("7", "one"), ("7", "two")]


def test_half_a_surrogate_pair_in_json_is_replaced(tmp_path: Path, tiny_subject: TextSubject) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "cut \\ud83d off"}\n')
    (text,) = texts(tmp_path / "a.jsonl")
    assert text == "cut ? off"


def test_gzip_is_read_as_what_it_holds(tmp_path: Path) -> None:
    written(tmp_path / "a.txt.gz", gzip.compress(b"one\n\nstill one", mtime=0))
    written(tmp_path / "b.jsonl.gz", gzip.compress(jsonl([{"text": "two"}, {"text": "three"}]).encode()))
    assert texts(tmp_path) == ["one\n\nstill one", "two", "three"]
    assert [d.name for d in found_in(tmp_path)] == ["a.txt.gz", "b.jsonl.gz#0", "b.jsonl.gz#1"]
    assert texts(tmp_path / "a.txt.gz") == ["one", "still one"]


@given(st.text("ab\n"))
def test_blocks_are_those_between_blank_lines(text: str) -> None:
    assert list(blocks(io.StringIO(text))) == text.split("\n\n")


def test_documents_come_before_what_follows_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", b'{"text": "one"}\n' * 10000 + b"{")
    stream = documents(str(path), CorpusConfig(path=str(path)))
    assert [next(stream).text for _ in range(10000)] == ["one"] * 10000
    with pytest.raises(UserError, match="line 10001 is not JSON"):
        next(stream)


def test_a_column_that_only_the_last_row_has_is_there(tmp_path: Path) -> None:
    assert texts(write_jsonl(tmp_path / "a.jsonl", [{"id": 1}, {"id": 2, "text": "two"}])) == ["two"]


def test_of_a_parquet_file_only_the_columns_that_are_used_are_read(tmp_path: Path) -> None:
    rows = [{"text": f"text {i}", "other": f"{i}" * 1000, "document": f"d{i}"} for i in range(200)]
    path = write_parquet(tmp_path / "a.parquet", rows)
    content = bytearray(path.read_bytes())
    middle = content.index(b"text 199") + 1000  # well inside `other`, which is written after it
    assert b"other" not in content[:middle]
    content[middle : middle + 20000] = b"\xff" * 20000
    path.write_bytes(content)
    assert texts(path) == [row["text"] for row in rows]
    with pytest.raises(UserError, match="it is not readable parquet"):
        texts(path, text_column="other")


# ---- other file systems


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One file of every kind, two of them in folders."""
    folder = tmp_path / "texts"
    (folder / "b" / "c").mkdir(parents=True)
    (folder / "b.txt").write_text("first\r\nline")
    (folder / "b" / "c" / "2.jsonl").write_text(jsonl([{"text": MULTIBYTE, "document": "x"}, {"text": "a\u2028b"}]))
    (folder / "b" / "3.txt.gz").write_bytes(gzip.compress(b"packed", mtime=0))
    write_parquet(folder / "z.parquet", [{"text": f"row {i}", "document": "x", "more": 1} for i in range(200)])
    (folder / "README.md").write_text("not this")
    return folder


def test_every_file_system_gives_the_same_documents_in_the_same_order(folder: Path, bucket: str) -> None:
    remote = upload(folder, bucket)
    expected = found_in(folder)
    assert [document.name for document in expected[:5]] == ["b/3.txt.gz", "x", "b/c/2.jsonl#1", "b.txt", "x"]
    assert len(expected) == 204
    assert found_in(f"file://{folder}") == found_in(f"file://{folder}/") == expected
    assert found_in(remote) == found_in(f"{remote}/") == expected


def test_one_file_of_another_file_system_is_a_corpus(tmp_path: Path, bucket: str) -> None:
    path = written(tmp_path / "a.txt", b"one\n\ntwo")
    remote = upload(tmp_path, bucket)
    expected = [Document("a.txt#0", "one"), Document("a.txt#1", "two")]
    assert found_in(path) == found_in(f"file://{path}") == found_in(f"{remote}/a.txt") == expected


def test_links_are_files_and_linked_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    written(tmp_path / "elsewhere.txt", b"linked")
    (tmp_path / "texts" / "a.txt").symlink_to(tmp_path / "elsewhere.txt")
    (tmp_path / "texts" / "gone.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "texts" / "loop.parquet").symlink_to(tmp_path / "texts")
    assert [source.origin for source in files(str(tmp_path / "texts"))] == ["a.txt"]


def test_a_shipped_dataset_is_known_by_its_name() -> None:
    (source,) = files("english/heldout.parquet")
    assert (source.origin, source.alone, source.local) == ("heldout.parquet", True, True)
    assert [source.origin for source in files("english")] == ["heldout.parquet", "train.parquet"]


def test_a_local_file_is_known_by_its_content(folder: Path) -> None:
    known = fingerprints(str(folder))
    assert list(known) == ["b/3.txt.gz", "b/c/2.jsonl", "b.txt", "z.parquet"]
    assert known["b.txt"] == hashlib.sha256(b"first\r\nline").hexdigest()
    assert fingerprints(f"file://{folder}") == known
    (folder / "b.txt").write_bytes(b"first\r\nLine")
    changed = fingerprints(str(folder))
    assert {origin for origin in known if known[origin] != changed[origin]} == {"b.txt"}


def test_a_remote_file_is_known_by_what_its_store_says_of_it(
    folder: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = upload(folder, bucket)

    def read(*_: object, **__: object) -> None:
        raise AssertionError("a fingerprint is not worth reading a file")

    with monkeypatch.context() as patched:
        patched.setattr(MemoryFileSystem, "_open", read)
        known = fingerprints(remote)
        assert fingerprints(remote) == known
    fsspec.filesystem("memory").pipe(f"{remote}/b.txt", b"other")
    changed = fingerprints(remote)
    assert list(changed) == ["b/3.txt.gz", "b/c/2.jsonl", "b.txt", "z.parquet"]
    assert {origin for origin in known if known[origin] != changed[origin]} == {"b.txt"}


# ---- refusals: each sentence names what was found


def broken_parquet(path: Path) -> Path:
    """An intact footer over a damaged page."""
    content = bytearray(write_parquet(path, [{"text": f"some text {i}"} for i in range(3000)]).read_bytes())
    content[2000:2200] = b"\xff" * 200
    path.write_bytes(content)
    return path


def made(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda t: t / "nowhere.txt", "there is no such file or folder"),
        (lambda t: made(t / "empty"), r"the folder holds no \.txt, \.jsonl, \.parquet or pictures"),
        (lambda t: write_jsonl(t / "a.jsonl", [{"body": "x", "id": 1}]), r"a\.jsonl has the columns body, id"),
        (lambda t: write_parquet(t / "a.parquet", [{"body": "x"}]), r"a\.parquet has the columns body"),
        (lambda t: written(t / "a.txt", "Zoë".encode("latin-1")), r"a\.txt is not UTF-8 \(byte 2\)"),
        (lambda t: written(t / "a.jsonl", b'{"text": "Zo\xeb"}'), r"a\.jsonl is not UTF-8 \(byte 12\)"),
        (lambda t: written(t / "a.jsonl", b'{"text": "x"}\n\n{"text": \n'), "line 3 is not JSON"),
        (lambda t: written(t / "a.jsonl", b'{"text": "x"}\n["x"]\n'), "line 2 is not a JSON object"),
        (lambda t: written(t / "a.parquet", b"PAR1 and then something else"), "it is not readable parquet"),
        (lambda t: broken_parquet(t / "a.parquet"), "it is not readable parquet"),
        (lambda t: written(t / "a.txt", b" \n\n \n"), "it holds no text"),
        (lambda t: written(t / "a.jsonl", b"\n"), "it holds no text"),
        (lambda t: write_parquet(t / "a.parquet", [{"text": ""}, {"text": None}]), "it holds no text"),
    ],
    ids=[
        "missing file",
        "folder without texts",
        "missing column in jsonl",
        "missing column in parquet",
        "txt in latin-1",
        "jsonl in latin-1",
        "broken line",
        "line that is no object",
        "no parquet at all",
        "damaged parquet",
        "blank txt",
        "empty jsonl",
        "blank parquet",
    ],
)
def test_a_bad_corpus_is_refused_in_a_sentence(make: Callable[[Path], Path], sentence: str, tmp_path: Path) -> None:
    path = make(tmp_path)
    with pytest.raises(UserError, match=sentence) as caught:
        texts(path)
    assert path.name in str(caught.value) or "column" in str(caught.value)


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.txt.gz", "folder/a.txt"])
def test_the_byte_that_is_not_utf8_is_counted_from_the_start_of_the_file(name: str, tmp_path: Path) -> None:
    content = "é".encode() * 9999 + b"\xff" + b"x" * 50000  # characters that the reader's chunks cut in two
    content = content if name != "a.jsonl" else b'{"text": "x"}\n' + content[14:]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
    with pytest.raises(UserError, match=r"is not UTF-8 \(byte 19998\): convert it"):
        texts(path.parent if name.startswith("folder") else path)


@pytest.mark.parametrize(
    "content", [gzip.compress(b"x" * 9999, mtime=0)[:-12], b"plain", gzip.compress(b"x", mtime=0)[:12] + b"\xff" * 9]
)
def test_damaged_gzip_is_refused_in_a_sentence(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.txt\.gz, but it cannot be read"):
        texts(written(tmp_path / "a.txt.gz", content))


def test_a_bad_file_elsewhere_is_named_by_its_url(tmp_path: Path, bucket: str) -> None:
    broken_parquet(tmp_path / "a.parquet")
    written(tmp_path / "b.jsonl", b'{"text": "x"}\n{')
    remote = upload(tmp_path, bucket)
    with pytest.raises(
        UserError, match=rf"^You asked for {remote.replace('//', '///')}/a\.parquet, but it is not read"
    ):
        texts(f"{remote}/a.parquet")
    with pytest.raises(
        UserError, match=rf"^You asked for {remote.replace('//', '///')}/b\.jsonl, but line 2 is not JSON"
    ):
        texts(f"{remote}/b.jsonl")


def test_a_url_with_nothing_behind_it_is_refused_in_a_sentence(bucket: str) -> None:
    with pytest.raises(UserError, match=f"the corpus '{bucket}', but there is no such file or folder: check"):
        files(bucket)
    fsspec.filesystem("memory").mkdir(bucket)
    with pytest.raises(UserError, match=r"the folder holds no \.txt, \.jsonl, \.parquet or pictures"):
        files(bucket)


def test_a_protocol_that_nobody_knows_is_refused_in_a_sentence() -> None:
    with pytest.raises(UserError, match=r"'s4://bucket/x', but it cannot be opened \(Protocol not known: s4\): check"):
        files("s4://bucket/x")


@pytest.mark.parametrize(
    ("module", "said", "sentence"),
    [
        (
            "planet_fs.FileSystem",
            "Install planet-fs to get there",
            r"\(Install planet-fs to get there\): pip install planet_fs",
        ),
        ("fsspec.implementations.moon.FileSystem", "It needs cheese", r"\(It needs cheese\): install it with pip"),
    ],
)
def test_a_library_that_is_missing_is_named(
    module: str, said: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(known_implementations, "planet", {"class": module, "err": said})
    for url in ("planet://bucket/x", "simplecache::planet://bucket/x"):
        with pytest.raises(UserError, match=rf"but a library for planet:// is missing {sentence}\."):
            files(url)


@pytest.mark.parametrize("work", [files, fingerprints, texts])
@pytest.mark.parametrize("method", ["info", "find"])
def test_a_store_that_does_not_answer_is_reported_in_a_sentence(
    work: Callable[[str], object], method: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.filesystem("memory").pipe(f"{bucket}/a.txt", b"x")

    class NoAnswer(Exception):  # as the libraries behind fsspec have them
        pass

    def fail(*_: object, **__: object) -> None:
        raise NoAnswer("timed out\nafter 3 tries")

    monkeypatch.setattr(MemoryFileSystem, method, fail)
    with pytest.raises(
        UserError, match=r"it cannot be opened \(timed out after 3 tries\): check corpus\.path, the net"
    ):
        work(bucket)


# ---- the datasets library, and a folder of that name


@pytest.fixture
def no_datasets_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the library were not installed."""
    version = importlib.metadata.version

    def without(name: str) -> str:
        if name == "datasets":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without)


@pytest.mark.usefixtures("no_datasets_library")
@pytest.mark.parametrize("shadowed", [False, True], ids=["nothing there", "a folder called datasets"])
def test_a_hub_dataset_needs_the_library(shadowed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shadowed:
        (tmp_path / "datasets").mkdir()
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="the datasets library is not installed: pip install datasets"):
        texts("hf:someone/texts")


def test_a_hub_dataset_is_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(identifier: str, **options: object) -> Iterator[dict[str, object]]:
        asked.append((identifier, options))
        yield {"text": "one", "document": 7}
        yield {"text": "two"}
        raise ConnectionError("no route to host")

    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "4.0" if name == "datasets" else version(name))
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    stream = documents("hf:someone/texts:test", CorpusConfig(path="hf:someone/texts:test"))
    assert [next(stream), next(stream)] == [Document("7", "one"), Document("someone/texts#1", "two")]
    assert asked == [("someone/texts", {"split": "test", "streaming": True})]
    with pytest.raises(UserError, match=r"hf:someone/texts:test, but the datasets library cannot read it \(no route"):
        next(stream)
    assert files("hf:someone/texts:test") == []
    assert fingerprints("hf:someone/texts:test") == {"hf:someone/texts:test": "hf:someone/texts:test"}


def test_libraries_that_probe_for_datasets_work_beside_the_folder_of_that_name() -> None:
    try:
        importlib.metadata.version("datasets")
        installed = True
    except importlib.metadata.PackageNotFoundError:
        installed = False
    assert (ROOT / "datasets").is_dir()
    code = (
        "import autointerp;"
        "from accelerate.utils import is_datasets_available as one;"
        "from transformers.utils import is_datasets_available as other;"
        "from transformers import AutoModel, RagRetriever, Trainer;"
        "print(bool(one()), bool(other()))"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == [str(installed)] * 2

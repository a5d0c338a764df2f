"""Documents from files, contexts from documents, and what is said about files that cannot be read."""

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from autointerp.config import CorpusConfig
from autointerp.corpus.text import Corpus, build, documents, split_of
from autointerp.errors import UserError
from autointerp.subjects.text import TextSubject

ROOT = Path(__file__).parents[2]
MULTIBYTE = "Zoë paid 3 € for a 🦜 (👩🏽‍🚀 laughed), naïve – 東京\r\n\tdone \n"
Row = dict[str, Any]


def prose(seed: int, words: int = 40) -> str:
    """Words that differ between seeds from the first on."""
    rng = Random(seed)
    return " ".join("".join(rng.choices("abcdefghij", k=rng.randint(2, 6))) for _ in range(words))


def rows_of(n: int, words: int = 40) -> list[Row]:
    return [{"document": f"doc{i}", "text": prose(i, words)} for i in range(n)]


def write_jsonl(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def write_parquet(path: Path, rows: list[Row]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture
def drawn(tmp_path: Path, tiny_subject: TextSubject) -> Callable[..., Corpus]:
    """Contexts of sixteen tokens drawn from rows, with any settings."""

    def draw(rows: list[Row], seed: int = 0, **settings: Any) -> Corpus:
        path = write_jsonl(tmp_path / "rows.jsonl", rows)
        chosen = {"contexts": 1000, "context_length": 16, "min_tokens": 4, "contexts_per_document": 3, **settings}
        return build(CorpusConfig(path=str(path), **chosen), tiny_subject, seed)

    return draw


def texts(path: Path, **settings: Any) -> list[str]:
    return [d.text for d in documents(str(path), CorpusConfig(path=str(path), **settings))]


# ---- contexts


def test_a_context_is_a_run_of_one_document_after_the_tokens_the_model_expects(
    drawn: Callable[..., Corpus], tiny_subject: TextSubject
) -> None:
    rows = rows_of(12)
    text_of = {row["document"]: row["text"] for row in rows}
    corpus = drawn(rows, contexts_per_document=100)
    body = 16 - len(tiny_subject.prefix)
    for context, pieces, name in zip(corpus.contexts, corpus.pieces, corpus.names, strict=True):
        ids, _ = tiny_subject.encode(text_of[name])
        runs = [tuple(tiny_subject.prefix + ids[at : at + body]) for at in range(0, len(ids), body)]
        assert context.tokens in runs
        assert "".join(pieces) in text_of[name]
        assert len(pieces) == len(context.tokens) <= 16
    assert len({context.id for context in corpus.contexts}) == len(corpus.contexts) > 24


def test_all_contexts_of_a_document_join_to_its_text(drawn: Callable[..., Corpus], tiny_subject: TextSubject) -> None:
    rows = [{"document": f"doc{i}", "text": MULTIBYTE * (i + 1)} for i in range(12)]
    corpus = drawn(rows, contexts_per_document=100, min_tokens=2, explain_share=0.5)
    for row in rows:
        ids, pieces = tiny_subject.encode(row["text"])
        assert "".join(pieces) == row["text"]
        assert len(ids) == len(pieces)
    joined = {"".join(pieces) for pieces in corpus.pieces}
    assert all(any(piece in row["text"] for row in rows) for piece in joined)


def test_a_document_has_one_split_and_both_splits_have_documents(drawn: Callable[..., Corpus]) -> None:
    corpus = drawn(rows_of(40), contexts_per_document=3)
    splits: dict[int, set[str]] = {}
    for context in corpus.contexts:
        splits.setdefault(context.document, set()).add(context.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {split for found in splits.values() for split in found} == {"explain", "score"}
    assert corpus.counts["documents_explain"] + corpus.counts["documents_score"] == corpus.counts["documents"] == 40


def test_rows_of_one_document_share_its_split(drawn: Callable[..., Corpus]) -> None:
    rows = [{"document": f"doc{i % 10}", "text": prose(i)} for i in range(40)]
    corpus = drawn(rows, contexts_per_document=100)
    assert corpus.counts["documents_found"] == 10
    assert len({(name, context.split) for name, context in zip(corpus.names, corpus.contexts, strict=True)}) == 10


def test_no_setting_of_a_run_moves_a_document_to_the_other_split(drawn: Callable[..., Corpus]) -> None:
    rows = rows_of(40)

    def splits(corpus: Corpus) -> set[tuple[str, str]]:
        return {(name, context.split) for name, context in zip(corpus.names, corpus.contexts, strict=True)}

    everything = splits(drawn(rows))
    assert splits(drawn(rows, seed=7)) == everything
    assert splits(drawn(rows, contexts=20)) < everything
    assert splits(drawn(rows, context_length=32, contexts_per_document=1)) == everything
    assert splits(drawn(rows[::-1])) == everything


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_rows(drawn: Callable[..., Corpus]) -> None:
    rows = rows_of(40)
    corpus = drawn(rows, contexts=20)
    assert drawn(Random(0).sample(rows, 40), contexts=20) == corpus
    assert {c.id for c in drawn(rows, contexts=20, seed=1).contexts} != {c.id for c in corpus.contexts}
    assert len(corpus.contexts) == corpus.counts["contexts"] == 20


@given(st.text(min_size=1), st.floats(0.05, 0.45), st.floats(0.5, 0.95))
@settings(deadline=None)
def test_a_larger_share_only_moves_documents_towards_explain(name: str, small: float, large: float) -> None:
    assert (split_of(name, small), split_of(name, large)) != ("explain", "score")


def test_about_the_asked_share_of_documents_goes_to_explain() -> None:
    n = sum(split_of(f"doc{i}", 0.3) == "explain" for i in range(2000))
    assert abs(n - 600) < 4 * (2000 * 0.3 * 0.7) ** 0.5


# ---- what is left out is counted


def test_duplicate_contexts_are_dropped_and_counted(drawn: Callable[..., Corpus]) -> None:
    rows = [*rows_of(20), *({"document": f"copy{i}", "text": prose(i)} for i in range(5))]
    twice, once = (drawn(r, contexts_per_document=100) for r in (rows, rows[:20]))
    assert {c.tokens for c in twice.contexts} == {c.tokens for c in once.contexts}
    assert len(twice.contexts) == len(once.contexts) == len({c.tokens for c in once.contexts})
    copied = sum(name in {f"doc{i}" for i in range(5)} for name in once.names)
    assert twice.counts["duplicate_contexts_dropped"] == copied > 5
    assert once.counts["duplicate_contexts_dropped"] == 0


def test_documents_that_trained_a_dictionary_are_left_out_and_counted(
    drawn: Callable[..., Corpus], tmp_path: Path
) -> None:
    # Under other names and in another format: it is the text that was trained on.
    trained = [{"text": row["text"]} for row in rows_of(30)[:10]]
    path = write_parquet(tmp_path / "train.parquet", [*trained, {"text": "something else"}])
    corpus = drawn(rows_of(30), trained_on=(str(path),))
    assert set(corpus.names) == {f"doc{i}" for i in range(10, 30)}
    assert corpus.counts["documents_excluded_as_training"] == 10
    assert corpus.counts["documents_found"] == 30
    with pytest.raises(UserError, match="every document in it trained a dictionary"):
        drawn(rows_of(10), trained_on=(str(path),))


def test_short_tails_are_dropped_and_counted(drawn: Callable[..., Corpus], tiny_subject: TextSubject) -> None:
    rows = [{"document": f"doc{i}", "text": prose(i, words=10 + i)} for i in range(24)]
    body = 16 - len(tiny_subject.prefix)
    tails = [len(tiny_subject.encode(row["text"])[0]) % body for row in rows]
    corpus = drawn(rows, contexts_per_document=100, min_tokens=9)
    assert corpus.counts["tails_dropped"] == sum(0 < tail < 9 for tail in tails) > 0
    assert min(len(c.tokens) for c in corpus.contexts) >= 9 + len(tiny_subject.prefix)
    assert corpus.counts["tokens"] == sum(len(c.tokens) for c in corpus.contexts)


def test_no_document_gives_more_contexts_than_it_may(drawn: Callable[..., Corpus]) -> None:
    names = drawn(rows_of(20), contexts_per_document=2).names
    assert {names.count(name) for name in names} == {2}


# ---- pieces


@settings(deadline=None, max_examples=200)
@given(text=st.text(min_size=1))
def test_pieces_join_to_any_text(text: str, tiny_subject: TextSubject) -> None:
    ids, pieces = tiny_subject.encode(text)
    assert "".join(pieces) == text
    assert len(ids) == len(pieces)


@settings(deadline=None, max_examples=100)
@given(text=st.text(alphabet="ab é🦜\n\t").filter(str.strip))
def test_pieces_join_to_the_text_where_the_tokenizer_drops_spaces(text: str, lowercase_subject: TextSubject) -> None:
    assert "".join(lowercase_subject.encode(text)[1]) == text


@pytest.fixture(scope="module")
def lowercase_subject(tiny_subject: TextSubject) -> TextSubject:
    """A word-level tokenizer that lowercases and throws white space away, as those of many encoders do."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2}, "[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[UNK]")
    return TextSubject(tiny_subject.model, fast, "words")


def test_a_character_of_several_tokens_is_shown_once(tiny_subject: TextSubject) -> None:
    ids, pieces = tiny_subject.encode("🦜")
    assert len(ids) == 4
    assert pieces == ["🦜", "", "", ""]


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
        found = documents(str(path), CorpusConfig(path=str(path)))
        assert [(d.name, d.text) for d in found] == [(row["document"], row["text"]) for row in rows]


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
    found = documents(str(tmp_path), CorpusConfig(path=str(tmp_path)))
    assert len({d.name for d in found}) == len(found) == 4


def test_rows_without_a_name_are_documents_of_their_own(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "one"}, {"text": "two", "document": None}, {"text": "", "x": 1}])
    found = documents(str(path), CorpusConfig(path=str(path)))
    assert [d.text for d in found] == ["one", "two"]
    assert len({d.name for d in found}) == 2


def test_other_columns_can_hold_text_and_document(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [{"body": "one", "page": 7}, {"body": "two", "page": 7}])
    found = documents(str(path), CorpusConfig(path=str(path), text_column="body", document_column="page"))
    assert [(d.name, d.text) for d in found] == [("7", "one"), ("7", "two")]


def test_half_a_surrogate_pair_in_json_is_replaced(tmp_path: Path, tiny_subject: TextSubject) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "cut \\ud83d off"}\n')
    (text,) = texts(tmp_path / "a.jsonl")
    assert text == "cut ? off"


# ---- refusals: each sentence names what was found


def broken_parquet(path: Path) -> Path:
    """An intact footer over a damaged page."""
    content = bytearray(write_parquet(path, [{"text": f"some text {i}"} for i in range(3000)]).read_bytes())
    content[2000:2200] = b"\xff" * 200
    path.write_bytes(content)
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def made(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda t: t / "nowhere.txt", "there is no such file or folder"),
        (lambda t: made(t / "empty"), r"the folder holds no \.txt, \.jsonl or \.parquet"),
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


def test_too_few_documents_for_two_splits_are_refused_with_their_number(drawn: Callable[..., Corpus]) -> None:
    with pytest.raises(UserError, match=r"its 2 documents leave [012] for the (explain|score) split"):
        drawn(rows_of(2))


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
        documents("hf:someone/texts", CorpusConfig(path="hf:someone/texts"))


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

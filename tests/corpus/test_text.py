"""Contexts from documents: what they are, what is left out of them, and how little memory they take."""

import tempfile
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from autointerp.config import CorpusConfig
from autointerp.corpus import order
from autointerp.corpus.sources import documents
from autointerp.corpus.text import Drawn, draw, split_of
from autointerp.errors import UserError
from autointerp.records import Context
from autointerp.store import stable_hash
from autointerp.subjects.text import TextSubject
from tests.corpus.writers import MULTIBYTE, Row, prose, rows_of, write_jsonl, write_parquet


@dataclass(frozen=True)
class Corpus:
    """All that a draw yields, column by column."""

    contexts: tuple[Context, ...]
    pieces: tuple[tuple[str, ...], ...]
    names: tuple[str, ...]
    counts: dict[str, int]


@pytest.fixture
def drawn(tmp_path: Path, tiny_subject: TextSubject) -> Callable[..., Corpus]:
    """Contexts of sixteen tokens drawn from rows, with any settings."""

    def make(rows: list[Row], seed: int = 0, **settings: Any) -> Corpus:
        path = write_jsonl(tmp_path / "rows.jsonl", rows)
        chosen = {"contexts": 1000, "context_length": 16, "min_tokens": 4, "contexts_per_document": 3, **settings}
        counts: dict[str, int] = {}
        found = list(
            draw(CorpusConfig(path=str(path), **chosen), tiny_subject, (), seed, counts, {}, tmp_path / "scratch")
        )
        return Corpus(
            tuple(d.context for d in found), tuple(d.pieces for d in found), tuple(d.name for d in found), counts
        )

    return make


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


def test_too_few_documents_for_two_splits_are_refused_with_their_number(drawn: Callable[..., Corpus]) -> None:
    with pytest.raises(UserError, match=r"its 2 documents leave [012] for the (explain|score) split"):
        drawn(rows_of(2))


def test_special_tokens_that_fill_a_context_are_refused() -> None:
    words = Words()
    words.suffix = [8] * 15
    config = CorpusConfig(path="nowhere.txt", context_length=16)  # before anything is read
    with pytest.raises(UserError, match="the tokenizer's own special tokens fill 16 of them"):
        next(draw(config, words, (), 0, {}, {}, Path("unused")))


# ---- in bounded memory


class Words:
    """A subject whose tokens are words, between two special ones."""

    prefix, suffix = [7], [8]

    def reads(self, hooks: object) -> frozenset[str]:
        return frozenset({"text"})

    def encode(self, text: str) -> tuple[list[int], list[str]]:
        words = text.split()
        return [zlib.crc32(word.encode()) for word in words], words


def everything_at_once(config: CorpusConfig, subject: Words, seed: int) -> tuple[list[Drawn], dict[str, int]]:
    """What a draw is, said in the shortest way: all documents, all contexts and all tokens in memory."""
    trained = {d.text for path in config.trained_on for d in documents(path, config)}
    by_name: dict[str, list[str]] = {}
    for document in documents(config.path, config):
        by_name.setdefault(document.name, []).append(document.text)
    usable = {name: texts for name, texts in by_name.items() if not trained & set(texts)}
    if not usable:
        raise UserError(
            f"you asked for the corpus {config.path!r}",
            "every document in it trained a dictionary (corpus.trained_on)",
            "give held-out documents",
        )
    body = config.context_length - len(subject.prefix) - len(subject.suffix)
    found: list[Drawn] = []
    tails = duplicates = 0
    for name in sorted(usable, key=lambda name: stable_hash(seed, "document", name)):
        places = []
        for part, text in enumerate(usable[name]):
            places += [(part, at) for at in range(0, len(subject.encode(text)[0]), body)]
        places.sort(key=lambda place: stable_hash(seed, "context", name, *place))
        mine: list[Drawn] = []
        for part, at in places:
            if len(found) + len(mine) == config.contexts or len(mine) == config.contexts_per_document:
                break
            ids, pieces = (values[at : at + body] for values in subject.encode(usable[name][part]))
            tokens = (*subject.prefix, *ids, *subject.suffix)
            if len(ids) < config.min_tokens:
                tails += 1
            elif any(tokens == other.context.tokens for other in found + mine):
                duplicates += 1
            else:
                split = split_of(name, config.explain_share)
                context = Context(stable_hash(name, part, at), stable_hash("document", name), split, tokens)
                mine.append(Drawn(context, ("", *pieces, ""), name))
        found += mine
    counts = {
        "documents_found": len(by_name),
        "documents_excluded_as_training": len(by_name) - len(usable),
        "tails_dropped": tails,
        "duplicate_contexts_dropped": duplicates,
        "documents_explain": len({d.name for d in found if d.context.split == "explain"}),
        "documents_score": len({d.name for d in found if d.context.split == "score"}),
        "documents": len({d.name for d in found}),
        "contexts": len(found),
        "tokens": sum(len(d.context.tokens) for d in found),
    }
    for split in ("explain", "score"):
        if counts[f"documents_{split}"] < 2:
            raise UserError(
                f"you asked for the corpus {config.path!r}",
                f"its {len(usable)} documents leave {counts[f'documents_{split}']} for the {split} split, "
                "which needs at least 2",
                "give more documents or change corpus.explain_share",
            )
    return found, counts


def outcome(work: Callable[[], object]) -> object:
    try:
        return work()
    except UserError as error:
        return str(error)


# Few words make contexts that are the same; few names, documents of several rows.
passages = st.lists(st.sampled_from("vwxyz"), max_size=14).map(" ".join)
corpora = st.lists(st.tuples(st.sampled_from([*"abcdefghijklmnop", None]), passages), min_size=10, max_size=60)


@given(
    corpora,
    st.sets(st.integers(0, 60), max_size=3),
    st.fixed_dictionaries(
        {
            "contexts": st.integers(2, 40),
            "context_length": st.integers(4, 9),
            "contexts_per_document": st.integers(1, 4),
            "min_tokens": st.integers(2, 4),
            "explain_share": st.floats(0.4, 0.6),
        }
    ),
    st.integers(0, 3),
)
@settings(deadline=None, max_examples=100)
def test_buckets_on_disk_draw_what_everything_in_memory_draws(
    corpus: list[tuple[str | None, str]], trained: set[int], chosen: dict[str, Any], seed: int
) -> None:
    rows = [{"document": name, "text": text} for name, text in corpus]
    with tempfile.TemporaryDirectory() as folder:
        path = write_jsonl(Path(folder) / "rows.jsonl", rows)
        train = write_jsonl(Path(folder) / "train.jsonl", [*(rows[i] for i in trained if i < len(rows)), {"text": "w"}])
        config = CorpusConfig(path=str(path), trained_on=(str(train),), **chosen)
        expected = outcome(lambda: everything_at_once(config, Words(), seed))

        def drawn() -> object:
            counts: dict[str, int] = {}
            found = list(draw(config, Words(), (), seed, counts, {}, Path(folder)))
            return found, counts

        # All in memory; one level of buckets; a row at a time, divided until that is given up.
        for size, bits in ((2**30, 8), (2000, 4), (1, 1)):
            with patch.multiple(order, BUCKET_BYTES=size, BITS=bits):
                assert outcome(drawn) == expected


def test_counts_are_in_the_order_in_which_they_are_shown(drawn: Callable[..., Corpus]) -> None:
    assert list(drawn(rows_of(12)).counts) == [
        "documents_found",
        "documents_excluded_as_training",
        "tails_dropped",
        "duplicate_contexts_dropped",
        "documents_explain",
        "documents_score",
        "documents",
        "contexts",
        "tokens",
    ]


def test_only_documents_that_are_visited_are_tokenised(tmp_path: Path) -> None:
    class Counting(Words):
        n = 0

        def encode(self, text: str) -> tuple[list[int], list[str]]:
            self.n += 1
            return super().encode(text)

    subject, path = Counting(), write_jsonl(tmp_path / "rows.jsonl", rows_of(200))
    counts: dict[str, int] = {}
    assert len(list(draw(CorpusConfig(path=str(path), contexts=20), subject, (), 0, counts, {}, tmp_path))) == 20
    assert (subject.n, counts["documents_found"]) == (20, 200)


def spilling(tmp_path: Path, subject: Words) -> tuple[Any, dict[str, int], Path]:
    """A draw of which most is on disk, with its counts and its scratch folder."""
    path = write_jsonl(tmp_path / "rows.jsonl", rows_of(100))
    counts: dict[str, int] = {}
    scratch = tmp_path / "scratch"
    (scratch / "documents").mkdir(parents=True)
    (scratch / "documents" / "00001.rows").write_text("of a draw that was killed")
    (scratch / "of others").write_text("stays")
    config = CorpusConfig(path=str(path), context_length=16, min_tokens=4)
    return draw(config, subject, (), 0, counts, {}, scratch), counts, scratch


def test_scratch_files_go_when_the_draw_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "BUCKET_BYTES", 2000)
    stream, counts, scratch = spilling(tmp_path, Words())
    next(stream)
    n_files = len(list(scratch.glob("documents/*.rows")))
    assert n_files > 50
    assert len(list(islice(stream, 80))) == 80
    assert len(list(scratch.glob("documents/*.rows"))) < n_files / 2  # each goes when it has been read
    assert (len(list(stream)), counts["contexts"]) == (19, 100)
    assert [path.name for path in scratch.rglob("*")] == ["of others"]


def test_scratch_files_go_when_nobody_wants_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "BUCKET_BYTES", 2000)
    stream, counts, scratch = spilling(tmp_path, Words())
    with closing(stream):
        assert len(list(islice(stream, 5))) == counts["contexts"] == 5
        assert (scratch / "documents").exists()
    assert [path.name for path in scratch.rglob("*")] == ["of others"]


def test_scratch_files_go_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "BUCKET_BYTES", 2000)

    class Broken(Words):
        def encode(self, text: str) -> tuple[list[int], list[str]]:
            assert (scratch / "documents").exists()
            raise ZeroDivisionError

    stream, _, scratch = spilling(tmp_path, Broken())
    with pytest.raises(ZeroDivisionError):
        next(stream)
    assert [path.name for path in scratch.rglob("*")] == ["of others"]


def test_scratch_files_go_after_an_error_in_the_last_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "BUCKET_BYTES", 2000)
    stream, _, scratch = spilling(tmp_path, Words())
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write("{")
    with pytest.raises(UserError, match="line 101 is not JSON"):
        next(stream)
    assert [path.name for path in scratch.rglob("*")] == ["of others"]


def test_a_small_corpus_never_touches_the_disk(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", rows_of(100))
    assert next(draw(CorpusConfig(path=str(path)), Words(), (), 0, {}, {}, tmp_path / "scratch"))
    assert not (tmp_path / "scratch").exists()


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "BUCKET_BYTES", 2**18)
    monkeypatch.setattr(order, "BITS", 6)

    def peak(n_documents: int) -> int:
        """Bytes, at most, while all of a corpus is visited. Its texts repeat, so few contexts are remembered."""
        texts = [" ".join(f"{i}-{j}" * 25 for j in range(20)) for i in range(20)]  # of 20 long words
        rows = [{"document": f"doc{i}", "text": texts[i % 20]} for i in range(n_documents)]
        config = CorpusConfig(path=str(write_jsonl(tmp_path / "rows.jsonl", rows)), contexts=10**6)
        counts: dict[str, int] = {}
        del rows
        tracemalloc.start()
        try:
            for _ in draw(config, Words(), (), 0, counts, {}, tmp_path / "scratch"):
                pass
            assert counts["documents_found"] == n_documents
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(50)  # what is imported and cached once is nobody's
    small, large = peak(500), peak(4000)  # 1 and 8 MB of text; buckets of 0.25 MB
    assert large < 1.3 * small

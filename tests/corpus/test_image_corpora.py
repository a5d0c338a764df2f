"""Corpora of pictures: where they are found, what goes with them, and what is left out, counted and named."""

import importlib.metadata
import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from autointerp import pictures
from autointerp.config import CorpusConfig, SubjectConfig
from autointerp.corpus import order, text
from autointerp.corpus.sources import NO_FILE, Document, documents, files, has_pictures
from autointerp.corpus.text import Drawn, draw, split_of
from autointerp.errors import UserError
from autointerp.subjects.load import load
from autointerp.subjects.subject import Subject
from autointerp.subjects.text import TextSubject
from tests.corpus.writers import Row, prose, write_jsonl, write_parquet
from tests.subjects.pictures import noise

EYE, EAR = "vision_model.encoder.layers.1", "text_model.encoder.layers.1"
LANGUAGE = "model.language_model.layers.1"


def picture(seed: int, kind: str = "PNG", side: int = 32) -> bytes:
    target = io.BytesIO()
    noise(seed, side, side).save(target, kind)
    return target.getvalue()


def rows_of(n: int, **more: Any) -> list[Row]:
    return [{"document": f"d{i}", "image": picture(i), "text": None, **more} for i in range(n)]


def found_in(path: Path | str, **settings: Any) -> list[Document]:
    return list(documents(str(path), CorpusConfig(path=str(path), **settings)))


@pytest.fixture(scope="module")
def clip(tiny_clip_path: Path) -> Subject:
    return load(SubjectConfig(model=str(tiny_clip_path), device="cpu"))


@pytest.fixture(scope="module")
def vlm(tiny_vlm_path: Path) -> Subject:
    return load(SubjectConfig(model=str(tiny_vlm_path), device="cpu"))


@dataclass(frozen=True)
class Corpus:
    """What a draw yields, and what it says of the rest."""

    drawn: tuple[Drawn, ...]
    counts: dict[str, int]
    refused: dict[str, list[str]]

    @property
    def names(self) -> list[str]:
        return [one.name for one in self.drawn]

    def split(self, name: str) -> set[str]:
        return {one.context.split for one in self.drawn if one.name == name}


Draws = Callable[..., Corpus]


@pytest.fixture
def drawn(tmp_path: Path) -> Draws:
    """Contexts of rows, or of a path, for a subject at some hooks."""

    def make(
        rows: list[Row] | Path, subject: Subject, hooks: tuple[str, ...], seed: int = 0, **settings: Any
    ) -> Corpus:
        path = rows if isinstance(rows, Path) else write_parquet(tmp_path / "rows.parquet", rows)
        chosen = {"contexts": 1000, "context_length": 20, "min_tokens": 2, "contexts_per_document": 9, **settings}
        counts: dict[str, int] = {}
        refused: dict[str, list[str]] = {}
        config = CorpusConfig(path=str(path), **chosen)
        found = tuple(draw(config, subject, hooks, seed, counts, refused, tmp_path / "scratch"))
        return Corpus(found, counts, refused)

    return make


# ---- folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of every ending in folders of their own, one at the top, one two folders deep, and other files."""
    root = tmp_path / "pictures"
    (root / "cats" / "small").mkdir(parents=True)
    (root / "dogs").mkdir()
    for name, seed, kind in (
        ("cats/1.png", 1, "PNG"),
        ("cats/2.JPG", 2, "JPEG"),
        ("cats/small/3.WebP", 3, "WEBP"),
        ("dogs/4.jpeg", 4, "JPEG"),
        ("dogs/5.gif", 5, "GIF"),
        ("dogs/6.BMP", 6, "BMP"),
        ("dogs/7.tiff", 7, "TIFF"),
        ("8.tif", 8, "TIFF"),
    ):
        (root / name).write_bytes(picture(seed, kind))
    (root / "README.md").write_text("not this")
    (root / "dogs" / "thumbs.db").write_bytes(b"nor this")
    return root


ORIGINS = ["8.tif", "cats/1.png", "cats/2.JPG", "cats/small/3.WebP", "dogs/4.jpeg", "dogs/5.gif", "dogs/6.BMP",
           "dogs/7.tiff"]  # fmt: skip


def test_a_folder_of_pictures_is_read_with_its_subfolders(folder: Path) -> None:
    found = found_in(folder)
    assert [document.name for document in found] == ORIGINS
    assert all(document.image == (folder / document.name).read_bytes() for document in found)
    assert {(document.text, document.label) for document in found} == {("", "")}
    assert has_pictures(CorpusConfig(path=str(folder)))


def test_the_folder_that_a_picture_lies_in_is_its_label_where_asked_for(folder: Path) -> None:
    found = found_in(folder, label_columns=("folder",))
    assert [document.label for document in found] == ["pictures", "cats", "cats", "small", *["dogs"] * 4]


def test_another_label_column_of_a_folder_is_refused_in_a_sentence(folder: Path) -> None:
    with pytest.raises(
        UserError, match=r"^You asked for the label column 'name', but 8\.tif has folder: set corpus\.l"
    ):
        found_in(folder, label_columns=("folder", "name"))


def test_one_picture_is_a_corpus(folder: Path) -> None:
    (one,) = found_in(folder / "cats" / "2.JPG", label_columns=("folder",))
    assert (one.name, one.label, one.image) == ("2.JPG", "cats", (folder / "cats" / "2.JPG").read_bytes())


def test_pictures_and_texts_in_one_folder_are_both_documents(folder: Path) -> None:
    (folder / "cats" / "about.txt").write_text("cats are small")
    write_parquet(folder / "rows.parquet", [{"image": picture(9), "text": "a row"}])
    write_parquet(folder / "more.PARQUET", [{"image": picture(10)}])
    write_jsonl(folder / "more.JSONL", [{"text": "a line"}])
    found = {document.name: document for document in found_in(folder)}
    assert found["cats/about.txt"].text == "cats are small"
    assert found["rows.parquet#0"].text == "a row"
    assert found["rows.parquet#0"].image == picture(9)
    assert found["more.PARQUET#0"].image == picture(10)
    assert found["more.JSONL#0"].text == "a line"
    assert len(found) == len(ORIGINS) + 4


def test_a_folder_elsewhere_gives_the_same_pictures(folder: Path) -> None:
    url = "memory://pictures-elsewhere"
    store = fsspec.filesystem("memory")
    store.put(f"{folder}/", f"{url}/", recursive=True)
    try:
        here, there = (found_in(path, label_columns=("folder",)) for path in (folder, url))
        assert [(d.name, d.image) for d in here] == [(d.name, d.image) for d in there]
        assert [d.label for d in there] == ["pictures-elsewhere", *[d.label for d in here[1:]]]
    finally:
        store.rm(url, recursive=True)


def test_a_picture_that_cannot_be_read_from_its_store_is_refused_in_a_sentence(folder: Path) -> None:
    stream = documents(str(folder), CorpusConfig(path=str(folder)))
    next(stream)
    (folder / "cats" / "1.png").unlink()
    with pytest.raises(UserError, match=r"cats/1\.png, but it cannot be read"):
        next(stream)


def test_whether_a_corpus_holds_pictures_is_told_by_names_alone(tmp_path: Path, folder: Path) -> None:
    def told(path: Path, **settings: Any) -> bool:
        return has_pictures(CorpusConfig(path=str(path), **settings))

    assert told(folder)
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("x")
    write_parquet(texts / "b.parquet", [{"text": "x", "photo": b"x"}])
    assert not told(texts)
    assert told(texts, image_column="photo")
    assert told(folder / "cats" / "2.JPG")
    (texts / "c.parquet").write_bytes(b"damaged")
    assert not told(texts)


# ---- tables


def test_bytes_and_the_hugging_face_form_give_the_same_pictures(tmp_path: Path) -> None:
    plain = [{"image": picture(i), "text": f"number {i}"} for i in range(3)]
    struct = [{**row, "image": {"bytes": row["image"], "path": f"{at}.png"}} for at, row in enumerate(plain)]
    one = found_in(write_parquet(tmp_path / "a.parquet", plain))
    assert one == found_in(write_parquet(tmp_path / "a.parquet", struct))
    assert [(d.image, d.text) for d in one] == [(row["image"], row["text"]) for row in plain]


def test_a_row_may_hold_a_picture_a_text_or_both(tmp_path: Path) -> None:
    rows = [
        {"image": picture(0), "text": None},
        {"image": None, "text": "words"},
        {"image": picture(1), "text": "both"},
        {"image": None, "text": None},
        {"image": b"", "text": ""},
    ]
    found = found_in(write_parquet(tmp_path / "a.parquet", rows))
    assert [(d.image, d.text) for d in found] == [(picture(0), ""), (b"", "words"), (picture(1), "both")]


@pytest.mark.parametrize("value", [{"bytes": None, "path": "a.png"}, {"bytes": b"", "path": "a.png"}, "a.png", 7])
def test_a_picture_of_which_only_a_path_is_known_is_refused_and_counted(
    value: Any, drawn: Draws, clip: Subject, tmp_path: Path
) -> None:
    rows = rows_of(12)
    kinds = {dict: lambda b: {"bytes": b, "path": None}}
    wrap = kinds.get(type(value), lambda b: b)
    if isinstance(value, str | int):  # a column of paths holds no bytes anywhere: two files, then
        folder = tmp_path / "both"
        folder.mkdir()
        write_parquet(folder / "a.parquet", rows)
        write_parquet(folder / "b.parquet", [{"image": value, "document": "lost"}])
        corpus = drawn(folder, clip, (EYE,))
    else:
        corpus = drawn(
            [{**row, "image": wrap(row["image"])} for row in rows] + [{"document": "lost", "image": value}],
            clip,
            (EYE,),
        )
    assert corpus.counts["pictures"] == 12
    assert corpus.counts["pictures_refused"] == 1
    assert corpus.refused == {"no picture in a known format": ["lost"]}
    with pytest.raises(pictures.RefusedPictureError, match="no picture in a known format"):
        pictures.read(NO_FILE)


def test_label_columns_are_joined_in_their_order(tmp_path: Path) -> None:
    rows = [
        {"image": picture(0), "kind": "cat", "size": 3, "text": None},
        {"image": picture(1), "kind": None, "size": 4, "text": "t"},
        {"image": picture(2), "kind": None, "size": None, "text": None},
        {"image": None, "kind": "dog", "size": 5, "text": "t"},
    ]
    path = write_parquet(tmp_path / "a.parquet", rows)
    assert [d.label for d in found_in(path, label_columns=("size", "kind"))] == ["3, cat", "4", "", "5, dog"]
    assert [d.label for d in found_in(path)] == [""] * 4


def test_a_label_column_that_is_missing_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [{"image": picture(0), "kind": "cat"}])
    with pytest.raises(UserError) as caught:
        found_in(path, label_columns=("kind", "name"))
    assert str(caught.value) == (
        "You asked for the label column 'name', but a.parquet has image, kind: set corpus.label_columns."
    )


def test_every_table_needs_the_label_columns(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [{"text": "words", "kind": "dog"}])
    write_parquet(tmp_path / "b.parquet", [{"image": picture(0), "kind": "cat"}])
    assert [d.label for d in found_in(tmp_path, label_columns=("kind",))] == ["dog", "cat"]
    write_parquet(tmp_path / "a.parquet", [{"text": "words"}])
    with pytest.raises(UserError, match=r"'kind', but a\.parquet has text"):
        found_in(tmp_path, label_columns=("kind",))


def test_without_a_column_for_text_or_pictures_there_is_one_sentence_for_both(tmp_path: Path) -> None:
    for path in (
        write_parquet(tmp_path / "a.parquet", [{"photo": picture(0), "body": "x"}]),
        write_jsonl(tmp_path / "b.jsonl", [{"photo": "x", "body": "x"}]),
    ):
        with pytest.raises(UserError) as caught:
            found_in(path)
        said = str(caught.value)
        assert "columns" in said and "body" in said and "photo" in said
        assert "set corpus.text_column, or corpus.image_column for pictures" in said
        assert said.count(".  ") == 0 and "\n" not in said
    assert len(found_in(tmp_path / "a.parquet", image_column="photo")) == 1


def test_numbers_of_classes_become_their_names_where_the_table_says_them(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([{"image": picture(i), "label": label} for i, label in enumerate([1, 0, -1, 7, None])])
    noted = {
        "info": {"features": {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}
    }
    expected = {
        json.dumps(noted): ["dog", "cat", "", "", ""],
        json.dumps({"info": None}): ["1", "0", "-1", "7", ""],
        "[]": ["1", "0", "-1", "7", ""],
        "{": ["1", "0", "-1", "7", ""],
    }
    for metadata, labels in expected.items():
        pq.write_table(table.replace_schema_metadata({"huggingface": metadata}), tmp_path / "a.parquet")
        assert [d.label for d in found_in(tmp_path / "a.parquet", label_columns=("label",))] == labels


# ---- contexts


def test_a_picture_is_one_context_as_the_subject_sees_it(drawn: Draws, clip: Subject) -> None:
    corpus = drawn(rows_of(12, kind="cat"), clip, (EYE,), label_columns=("kind",))
    assert sorted(corpus.names) == sorted(f"d{i}" for i in range(12))
    for one in corpus.drawn:
        seen = clip.look(noise(int(one.name[1:])), "", [EYE])
        assert one.context.tokens == tuple(seen.tokens)
        assert one.context.image == seen.image
        assert one.context.grid == seen.grid
        assert one.label == "cat"
        assert one.context.split == split_of(one.name, 0.5)
    assert corpus.counts["pictures"] == corpus.counts["contexts"] == corpus.counts["documents"] == 12
    assert corpus.counts["tokens"] == 12 * 17
    assert corpus.refused == {}


def test_rows_of_one_document_share_its_split_whether_pictures_or_texts(drawn: Draws, clip: Subject) -> None:
    rows = []
    for i in range(24):
        rows.append({"document": f"d{i % 8}", "image": picture(i), "text": None})
        rows.append({"document": f"d{i % 8}", "image": None, "text": prose(i, 12)})
    corpus = drawn(rows, clip, (f"{EYE}+{EAR}",))
    assert corpus.counts["documents_found"] == corpus.counts["documents"] == 8
    for i in range(8):
        own = [one for one in corpus.drawn if one.name == f"d{i}"]
        assert {bool(one.context.image) for one in own} == {True, False}
        assert len(corpus.split(f"d{i}")) == 1
    assert {one.context.split for one in corpus.drawn} == {"explain", "score"}
    assert len({one.context.id for one in corpus.drawn}) == len(corpus.drawn)


def test_a_picture_with_text_is_one_context_for_a_model_of_both_and_two_sorts_stay_apart(
    drawn: Draws, vlm: Subject
) -> None:
    rows = [{"document": f"d{i}", "image": picture(i), "text": f"the cat number {i}"} for i in range(8)]
    rows += [{"document": f"t{i}", "image": None, "text": prose(i, 12)} for i in range(8)]
    corpus = drawn(rows, vlm, (LANGUAGE,), context_length=40)
    both = {one.name: one for one in corpus.drawn if one.context.image}
    assert len(both) == 8 and corpus.counts["pictures"] == 8
    assert {one.name[0] for one in corpus.drawn if not one.context.image} == {"t"}
    for name, one in both.items():
        assert "".join(one.pieces) == f"the cat number {name[1:]}"
        assert one.context.tokens[1:17] == (3,) * 16


def test_a_long_text_beside_a_picture_is_cut_and_never_the_picture(drawn: Draws, vlm: Subject) -> None:
    rows = [{"document": f"d{i}", "image": picture(i), "text": prose(i, 60)} for i in range(8)]
    corpus = drawn(rows, vlm, (LANGUAGE,), context_length=24)
    assert {len(one.context.tokens) for one in corpus.drawn} == {24}
    assert {len(one.pieces) for one in corpus.drawn} == {24}
    assert all(rows[int(one.name[1:])]["text"].startswith("".join(one.pieces)) for one in corpus.drawn)


def test_contexts_too_short_for_a_picture_are_refused_in_a_sentence(drawn: Draws, vlm: Subject) -> None:
    with pytest.raises(
        UserError, match=r"contexts of 16 tokens, but a picture alone takes 17 positions: raise corpus\."
    ):
        drawn(rows_of(8), vlm, (LANGUAGE,), context_length=16)
    assert drawn(rows_of(8), vlm, (LANGUAGE,), context_length=17).counts["pictures"] == 8


def test_a_vision_subject_takes_pictures_whatever_the_context_length(drawn: Draws, clip: Subject) -> None:
    assert drawn(rows_of(8), clip, (EYE,), context_length=2).counts["tokens"] == 8 * 17


# ---- what is left out


def test_texts_that_nobody_reads_are_counted(drawn: Draws, clip: Subject) -> None:
    rows: list[Row] = [*rows_of(8), *({"document": f"t{i}", "text": "words"} for i in range(5))]
    corpus = drawn(rows, clip, (EYE,))
    assert corpus.counts["texts_not_read"] == 5
    assert corpus.counts["contexts"] == 8
    assert corpus.counts["documents_found"] == 13


def test_pictures_that_nobody_sees_are_counted(drawn: Draws, clip: Subject, tiny_subject: TextSubject) -> None:
    rows: list[Row] = [*rows_of(5), *({"document": f"t{i}", "text": prose(i)} for i in range(8))]
    for subject, hooks in ((clip, (EAR,)), (tiny_subject, ("model.layers.1",))):
        corpus = drawn(rows, subject, hooks)
        assert corpus.counts["pictures_not_read"] == 5
        assert "pictures" not in corpus.counts
        assert all(not one.context.image for one in corpus.drawn)
        assert {one.name[0] for one in corpus.drawn} == {"t"}


def test_of_a_row_with_both_a_text_subject_reads_the_text(drawn: Draws, tiny_subject: TextSubject) -> None:
    corpus = drawn([{**row, "text": prose(i)} for i, row in enumerate(rows_of(8))], tiny_subject, ())
    assert corpus.counts["documents"] == 8
    assert all(not one.context.image and not one.label for one in corpus.drawn)


@pytest.mark.parametrize(
    ("rows", "hooks", "sentence"),
    [
        (rows_of(8), (EAR,), "it holds pictures alone, and the dictionaries read text: give it texts that can be read"),
        (
            [{"text": f"words {i}"} for i in range(8)],
            (EYE,),
            "it holds texts alone, and the dictionaries read pictures",
        ),
        ([{"image": b"no"}] * 8, (EYE,), "none of its 8 pictures can be read: give it images that can be read"),
    ],
)
def test_where_nothing_is_left_a_sentence_says_why(
    rows: list[Row], hooks: tuple[str, ...], sentence: str, drawn: Draws, clip: Subject
) -> None:
    with pytest.raises(UserError, match=sentence):
        drawn(rows, clip, hooks)


def test_hooks_that_no_document_could_serve_together_are_refused_in_a_sentence(drawn: Draws, clip: Subject) -> None:
    rows: list[Row] = [*rows_of(8), *({"document": f"t{i}", "text": prose(i)} for i in range(8))]
    with pytest.raises(UserError, match=rf"the hooks {EYE} and {EAR} in one run, but no document is read at all of"):
        drawn(rows, clip, (EYE, EAR))


def test_refused_pictures_are_counted_and_named_by_reason(
    drawn: Draws, clip: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "autointerp")
    whole = picture(50)
    bad = {"empty file": b"\0", "text": b"hello", "cut": whole[:-60]}
    rows = rows_of(12) + [{"document": name, "image": data} for name, data in bad.items()]
    corpus = drawn(rows, clip, (EYE,))
    assert corpus.counts["pictures_refused"] == 3
    assert corpus.counts["pictures"] == 12
    assert {reason: sorted(names) for reason, names in corpus.refused.items()} == {
        "no picture in a known format": ["empty file", "text"],
        "truncated or damaged": ["cut"],
    }
    assert sorted(caplog.messages) == [
        "  left out cut: truncated or damaged",
        "  left out empty file: no picture in a known format",
        "  left out text: no picture in a known format",
    ]


def test_of_many_refused_pictures_the_first_are_named_and_all_are_counted(
    drawn: Draws, clip: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "NAMED", 3)
    corpus = drawn(rows_of(12) + [{"document": f"bad{i}", "image": b"x"} for i in range(9)], clip, (EYE,))
    assert corpus.counts["pictures_refused"] == 9
    assert len(corpus.refused["no picture in a known format"]) == 3


def test_what_was_done_to_pictures_is_counted(drawn: Draws, clip: Subject) -> None:
    frames = [noise(60), noise(61)]
    target = io.BytesIO()
    frames[0].save(target, "GIF", save_all=True, append_images=frames[1:])
    clear = io.BytesIO()
    Image.new("RGBA", (32, 32), (9, 9, 9, 0)).save(clear, "PNG")
    more = [{"document": "moving", "image": target.getvalue()}, {"document": "clear", "image": clear.getvalue()}]
    counts = drawn(rows_of(10) + more, clip, (EYE,)).counts
    assert counts["pictures, animated, first frame"] == 1
    assert counts["pictures, put on white"] == 1
    assert counts["pictures"] == 12


def test_pictures_that_look_the_same_are_drawn_once(drawn: Draws, clip: Subject) -> None:
    rows = rows_of(10)
    again = [
        {"document": "copy", "image": picture(0)},
        {"document": "other format", "image": picture(1, "BMP")},
        {"document": "same document", "image": picture(40)},
        {"document": "same document", "image": picture(40)},
    ]
    corpus = drawn(rows + again, clip, (EYE,))
    assert corpus.counts["duplicate_contexts_dropped"] == 3
    assert len({one.context.image for one in corpus.drawn}) == len(corpus.drawn) == 11


def test_one_picture_with_two_texts_is_two_contexts(drawn: Draws, vlm: Subject) -> None:
    rows = [{"document": f"d{i}", "image": picture(0), "text": f"text {i // 2}"} for i in range(16)]
    corpus = drawn(rows, vlm, (LANGUAGE,), context_length=40)
    assert corpus.counts["contexts"] == 8
    assert corpus.counts["duplicate_contexts_dropped"] == 8


def test_one_picture_that_trained_excludes_its_whole_document(drawn: Draws, clip: Subject, tmp_path: Path) -> None:
    rows = [{"document": f"d{i // 2}", "image": picture(i)} for i in range(24)]
    trained = tmp_path / "trained"
    trained.mkdir()
    (trained / "seen.png").write_bytes(picture(6))
    write_parquet(trained / "more.parquet", [{"image": {"bytes": picture(9), "path": "x"}}, {"image": picture(99)}][:1])
    rows = [row | {"kind": "cat"} for row in rows]
    corpus = drawn(rows, clip, (EYE,), trained_on=(str(trained),), label_columns=("kind",))  # which it does not have
    assert corpus.counts["documents_excluded_as_training"] == 2
    assert set(corpus.names) == {f"d{i}" for i in range(12)} - {"d3", "d4"}
    with pytest.raises(UserError, match="every document in it trained a dictionary"):
        drawn(rows, clip, (EYE,), trained_on=(str(tmp_path / "rows.parquet"),))


def test_a_draw_that_spills_to_disk_is_the_same(drawn: Draws, vlm: Subject, tmp_path: Path) -> None:
    rows: list[Row] = []
    for i in range(30):
        shown = None if i % 3 == 2 else picture(i)
        rows.append(
            {"document": f"d{i % 20}", "image": shown, "text": None if i % 3 == 1 else prose(i, 8), "kind": f"k{i}"}
        )
    rows.append({"document": "bad", "image": b"x", "text": None, "kind": "none"})
    settings: dict[str, Any] = {"context_length": 40, "label_columns": ("kind",), "contexts": 25}
    whole = drawn(rows, vlm, (LANGUAGE,), **settings)
    spilled: list[Path] = []
    original = order.spill

    def watched(*given: Any) -> None:
        spilled.append(given[1])
        original(*given)

    with patch.object(order, "BUCKET_BYTES", 5_000), patch.object(order, "spill", watched):
        again = drawn(rows, vlm, (LANGUAGE,), **settings)
    assert len(spilled) > 2
    assert again == whole
    assert len(whole.drawn) == 25
    assert {bool(one.context.image) for one in whole.drawn} == {True, False}
    assert any(one.label for one in whole.drawn)
    assert not (tmp_path / "scratch" / "documents").exists()


def test_the_draw_follows_the_seed_and_not_the_order_of_rows(drawn: Draws, clip: Subject) -> None:
    rows = rows_of(20)
    corpus = drawn(rows, clip, (EYE,), contexts=10)
    assert drawn(rows[::-1], clip, (EYE,), contexts=10) == corpus
    assert {one.name for one in drawn(rows, clip, (EYE,), contexts=10, seed=1).drawn} != set(corpus.names)


# ---- the datasets library


class Features:
    """A streamed dataset as the library has it: pictures come decoded until the column is cast."""

    def __init__(self, rows: list[Row], cast: tuple[str, object] | None = None, **features: object) -> None:
        self.rows, self.column_names, self.cast = rows, list(rows[0]), cast
        self.features = dict.fromkeys(rows[0]) | features

    def cast_column(self, name: str, feature: object) -> "Features":
        return Features(self.rows, (name, feature), **self.features)

    def __iter__(self) -> Iterator[Row]:
        for row in self.rows:
            if self.cast and self.cast[1] == "as files":
                yield row
            else:
                decoded = Image.open(io.BytesIO(row[self.cast[0] if self.cast else "image"]["bytes"]))
                yield {**row, "image": decoded}


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Callable[[Features], None]:
    """The datasets library, with one dataset in it."""

    def install(dataset: Features) -> None:
        def image(decode: bool) -> str:
            return "decoded" if decode else "as files"

        version = importlib.metadata.version
        monkeypatch.setattr(importlib.metadata, "version", lambda name: "4.0" if name == "datasets" else version(name))
        made = SimpleNamespace(load_dataset=lambda *_, **__: dataset, Image=image)
        monkeypatch.setitem(sys.modules, "datasets", made)

    return install


Install = Callable[[Features], None]


@pytest.mark.parametrize("column", ["image", "photo"])
def test_pictures_of_a_hub_dataset_come_as_files(column: str, library: Install) -> None:
    rows = [{column: {"bytes": picture(i), "path": None}, "name": f"cat {i}"} for i in range(12)]
    library(Features(rows))
    found = found_in("hf:someone/pictures:test", image_column=column, label_columns=("name",))
    assert [(d.image, d.label) for d in found] == [(picture(i), f"cat {i}") for i in range(12)]
    assert found[3].name == "someone/pictures#3"
    assert files("hf:someone/pictures:test") == []


def test_classes_of_a_hub_dataset_have_their_names(library: Install) -> None:
    rows = [{"image": {"bytes": picture(i), "path": None}, "label": label} for i, label in enumerate([1, 0, -1])]
    library(Features(rows, label=SimpleNamespace(names=["cat", "dog"])))
    assert [d.label for d in found_in("hf:someone/pictures", label_columns=("label",))] == ["dog", "cat", ""]


def test_pictures_that_lie_beside_the_tables_of_a_dataset_are_read_and_others_are_not(
    library: Install, tmp_path: Path
) -> None:
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    for at, path in enumerate((dataset / "0.png", tmp_path / "private.png")):
        path.write_bytes(picture(at))
    paths = [dataset / "0.png", tmp_path / "private.png", f"{dataset}/../private.png", "0.png", None]
    library(Features([{"image": {"bytes": None, "path": path and str(path)}} for path in paths]))
    assert [d.image for d in found_in(f"hf:{dataset}")] == [picture(0), NO_FILE, NO_FILE, NO_FILE, NO_FILE]
    library(Features([{"image": {"bytes": None, "path": f"{dataset}/gone.png"}}]))
    with pytest.raises(UserError, match="the datasets library cannot read it"):
        found_in(f"hf:{dataset}")

"""Runs on pictures, from files to tables: two towers that share a dictionary, and a model of pictures with text."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageColor
from transformers import AutoImageProcessor, CLIPModel

import autointerp
from autointerp import toml
from autointerp.collect.loss import draw, losses
from autointerp.collect.prepare import prepare
from autointerp.errors import UserError
from autointerp.llm.protocol import Request
from autointerp.pipeline import open_job
from autointerp.store import stable_hash
from tests import planted as plant
from tests.corpus.writers import Row, prose, write_parquet

WIDTH, D = 160, 16
BOTH = "vision_model.encoder.layers.1+text_model.encoder.layers.1"
LANGUAGE = "model.language_model.layers.1"
COLOURS = ("red", "lime", "blue", "yellow", "cyan", "magenta", "white", "black")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_cache")]


def drawn_picture(seed: int) -> tuple[str, bytes]:
    """The colour of a picture, and its file, never twice the same."""
    colour = COLOURS[seed % len(COLOURS)]
    levels = np.array(ImageColor.getrgb(colour)) // 255 * 200 + np.random.default_rng(seed).integers(0, 50, (8, 8, 3))
    picture = Image.fromarray(levels.astype(np.uint8)).resize((32, 32), Image.Resampling.BICUBIC)
    target = io.BytesIO()
    picture.save(target, "PNG")
    return colour, target.getvalue()


def row(document: str, seed: int | None = None, text: str | None = None) -> Row:
    label, image = drawn_picture(seed) if seed is not None else (None, None)
    about = None if seed is None else prose(1000 + seed, 12)  # words beside which a colour is rare
    return {"document": document, "image": image, "label": label, "about": about, "text": text}


def write_dictionary(path: Path, hook: str) -> Path:
    W_dec = torch.nn.functional.normalize(torch.randn(WIDTH, D, generator=torch.Generator().manual_seed(0)), dim=1)
    tensors = {"W_enc": W_dec.T.contiguous(), "W_dec": W_dec, "b_enc": torch.zeros(WIDTH), "b_dec": torch.zeros(D)}
    return plant.write_dictionary(path, tensors, architecture="topk", k=5, metadata={"hook_name": hook})


# The functions in the place of a model.

asked: list[Request] = []


def lines(request: Request) -> list[dict[str, Any]]:
    return [json.loads(line) for line in request.content.split("\n") if line.startswith("{")]


def explain(request: Request) -> dict[str, str]:
    asked.append(request)
    return {"explanation": f"things of sort {stable_hash(request.content) % 7}"}


def judge(request: Request) -> dict[str, Any]:
    """Answers by the brightness of what it is shown, or by the length of the text."""
    asked.append(request)
    assert request.schema is not None
    (field,) = set(request.schema["properties"]["answers"]["items"]["properties"]) - {"id"}
    answers = []
    for line in lines(request)[1:]:
        if "image" in line:
            picture = Image.open(io.BytesIO(request.images[line["image"]].data)).convert("L")
            fits = float(np.asarray(picture).mean()) > 50
        else:
            fits = len(line["text"]) % 2 == 0
        answers.append({"id": line["id"], field: 3 * fits if field == "rating" else fits})
    return {"answers": answers}


def scripted(function: str, **more: Any) -> dict[str, Any]:
    return {"kind": "llm", "provider": "scripted", "model": f"{__name__}:{function}", **more}


def common(name: str, subject: Path, folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "seed": 1,
        "subject": {"model": str(subject), "device": "cpu"},
        "corpus": {
            "path": str(folder / "corpus.parquet"),
            "label_columns": ["label", "about"],
            "contexts": 1000,
            "contexts_per_document": 9,
            "min_tokens": 2,
        },
        "dictionaries": {"d": {"path": str(folder / "dictionary")}},
        "collect": {"gate": False},
        "evidence": {"features": 10, "window": 0, "bins": 2, "per_bin": 3, "negatives": 6, "min_firing": 3},
        "score": {"resamples": 100, "max_unscored": 1.0},
        "circularity": {"allow": "nothing here is a model that learned something"},
    } | more


@pytest.fixture(scope="module")
def towers(tiny_clip_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings of a run on both towers: pictures and their names, as documents of a concept."""
    folder = tmp_path_factory.mktemp("towers")
    rows = [row(f"concept {i // 3}", seed=i) for i in range(240)]
    rows += [row(f"concept {i}", text=prose(i, 2)) for i in range(80)]
    rows += [row("broken", text=None) | {"image": b"no picture at all"}]
    write_parquet(folder / "corpus.parquet", rows)
    write_dictionary(folder / "dictionary", BOTH)
    tree = common("pictures", tiny_clip_path, folder)
    tree["corpus"]["context_length"] = 20
    tree["evidence"] |= {"features": 20, "per_bin": 12}
    tree["explainers"] = {"words": {"kind": "lexical"}}
    tree["scorers"] = {"space": {"kind": "embedding", "model": str(tiny_clip_path)}}
    return tree


@pytest.fixture(scope="module")
def language(tiny_vlm_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings of a run on a vision-language model: pictures with text, pictures alone and texts alone."""
    folder = tmp_path_factory.mktemp("language")
    rows = [row(f"both {i}", seed=i, text=f"a thing, {prose(i, 2)}") for i in range(40)]
    rows += [row(f"picture {i}", seed=100 + i) for i in range(40)]
    rows += [row(f"text {i}", text=prose(i, 6)) for i in range(40)]
    write_parquet(folder / "corpus.parquet", rows)
    write_dictionary(folder / "dictionary", LANGUAGE)
    tree = common("pictures", tiny_vlm_path, folder)
    tree["corpus"]["context_length"] = 40
    tree["collect"]["loss_contexts"] = 24
    tree["explainers"] = {"model": scripted("explain", examples=4)}
    tree["scorers"] = {"model": scripted("judge", scores=["detection", "fuzzing", "specificity"])}
    return tree


Finished = dict[str, Path]


@pytest.fixture(scope="module")
def finished(
    towers: dict[str, Any], language: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The folder of each run."""
    found = {}
    for name, tree in (("towers", towers), ("language", language)):
        found[name] = tmp_path_factory.mktemp(name)
        autointerp.run(plant.write_config(found[name] / "run.toml", tree), out=found[name])
    return found


@pytest.fixture(params=["towers", "language"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def reports(out: Path) -> dict[str, bytes]:
    files = (out / "pictures" / "report").glob("*.csv")
    return {path.name: path.read_bytes() for path in files if path.name != "costs.csv"}


def losses_of(found: dict[str, bytes]) -> Any:
    """Taken out of the tables of a run: what is said of losses."""
    rows = pd.read_csv(io.BytesIO(found["dictionaries.csv"]), dtype=str)
    loss = rows["metric"].str.startswith("loss")
    found["dictionaries.csv"] = rows[~loss].to_csv().encode()
    return rows[loss][["value", "low", "high", "n", "unscored"]].astype(float).to_numpy()


def table(out: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(out / "pictures" / f"{name}.parquet")


def counts(out: Path) -> dict[str, Any]:
    manifest = json.loads((out / "pictures" / "manifest.json").read_text())
    facts: dict[str, Any] = manifest["stages"]["collect"]["facts"]
    return facts


def ran(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [match[1] for message in caplog.messages if (match := re.match(r"(\w+) +running, because", message))]


# ---- resuming


def test_a_run_on_pictures_ends_with_its_tables(kind: str, finished: Finished) -> None:
    assert reports(finished[kind]).keys() == {"dictionaries.csv", "features.csv", "scores.csv", "roles.csv"}
    assert (finished[kind] / "pictures" / "report" / "index.html").stat().st_size > 10_000


def test_a_second_run_does_nothing(kind: str, finished: Finished, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "autointerp")
    before = reports(finished[kind])
    asked.clear()
    autointerp.run(finished[kind] / "run.toml", out=finished[kind])
    assert ran(caplog) == []
    assert not asked
    assert reports(finished[kind]) == before


@pytest.mark.parametrize(
    "change",
    [{"cache_gb": 0}, {"batch_size": 7}, {"batch_size": 5, "cache_gb": 0}],
    ids=["no cache", "other batches", "other batches and no cache"],
)
def test_cache_and_batches_change_no_table(
    change: dict[str, Any],
    kind: str,
    finished: Finished,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    tree = request.getfixturevalue(kind)
    tree = tree | {"collect": tree["collect"] | change}
    autointerp.run(plant.write_config(tmp_path / "run.toml", tree), out=tmp_path)
    hidden = list((tmp_path / "pictures" / "collect").glob("hidden/*.npy"))
    assert bool(hidden) == ("cache_gb" not in change)
    before, now = reports(finished[kind]), reports(tmp_path)
    if "batch_size" in change:  # which moves the last of a float32's digits in a loss
        lost, losses = (losses_of(found) for found in (before, now))
        np.testing.assert_allclose(lost, losses, rtol=1e-4)
    assert now == before


# ---- what is in them


def test_pictures_and_texts_of_both_towers_are_collected_and_the_rest_is_counted(finished: Finished) -> None:
    facts = counts(finished["towers"])
    assert facts["counts"]["pictures"] == 240
    assert facts["counts"]["contexts"] == 320
    assert facts["counts"]["pictures_refused"] == 1
    assert facts["refused"] == {"no picture in a known format": ["broken"]}
    contexts = table(finished["towers"], "collect/contexts")
    assert contexts["grid"].notna().sum() == contexts["image"].notna().sum() == 240
    assert set(contexts["label"].str.split(",").str[0]) == {*COLOURS, ""}
    assert ((contexts["label"] == "") == contexts["image"].isna()).all()
    assert facts["masked"]["special"] == 320  # the class token of a picture, <eos> of a text
    assert facts["masked"]["first"] == 80


def test_evidence_of_a_joined_hook_holds_pictures_and_texts_whole(finished: Finished) -> None:
    items = table(finished["towers"], "evidence/d")
    contexts = table(finished["towers"], "collect/contexts").set_index("id")
    pictures = items[items["grid"].notna()]
    texts = items[items["grid"].isna()]
    assert len(pictures) and len(texts)
    assert set(pictures["pieces"].map(len)) == {17}
    assert (items["start"] == 0).all()
    assert all(items["pieces"].map(len) == contexts["length"][items["context"]].to_numpy())
    assert all(activations[0] == 0 for activations in pictures["activations"])  # the class token never counts
    assert pictures["fires"].any() and texts["fires"].any()
    features = table(finished["towers"], "evidence/d.features")
    assert (features["reason"] == "").sum() >= 5


def test_replayed_activations_are_those_of_the_library(finished: Finished, tiny_clip_path: Path) -> None:
    """One firing picture, worked out by hand: processor, vision tower, dictionary."""
    items = table(finished["towers"], "evidence/d")
    item = items[items["grid"].notna() & items["fires"]].iloc[0]
    contexts = table(finished["towers"], "collect/contexts").set_index("id")
    image = Image.open(io.BytesIO(contexts["image"][item["context"]]))
    pixels = AutoImageProcessor.from_pretrained(tiny_clip_path)(image, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        vision = CLIPModel.from_pretrained(tiny_clip_path).vision_model
        hidden = vision(pixels, output_hidden_states=True).hidden_states[2][0]
    W_dec = torch.nn.functional.normalize(torch.randn(WIDTH, D, generator=torch.Generator().manual_seed(0)), dim=1)
    values = (hidden @ W_dec.T).relu()
    kept = torch.zeros_like(values).scatter(1, values.topk(5).indices, values.topk(5).values)
    expected = kept[:, item["feature"]].numpy()
    expected[0] = 0
    np.testing.assert_allclose(item["activations"], expected, atol=1e-4)


def test_words_of_labels_explain_and_the_encoder_compares_pictures_with_them(finished: Finished) -> None:
    out = finished["towers"]
    explanations = table(out, "explanations")
    assert any(f"“{colour}”" in text for colour in COLOURS for text in explanations["text"])
    verdicts = table(out, "verdicts")
    detection = verdicts[(verdicts["question"] == "detection") & (verdicts["scorer"] == "space")]
    assert len(detection) and detection["value"].notna().all()
    assert (detection["reason"] == "").all()
    retrieval = verdicts[verdicts["question"] == "retrieval"]
    assert len(retrieval)
    scores = table(out, "scores")
    assert scores[(scores["scorer"] == "space") & (scores["reason"] == "")]["value"].notna().any()


def test_all_three_sorts_of_documents_are_read_by_a_vision_language_model(finished: Finished) -> None:
    contexts = table(finished["language"], "collect/contexts")
    sort = contexts["name"].str.split().str[0]
    assert sort.value_counts().to_dict() == {"both": 40, "picture": 40, "text": 40}
    assert set(sort[contexts["image"].notna()]) == {"both", "picture"}
    told = contexts["pieces"].map("".join)
    assert (told[sort == "picture"] == "").all()
    assert told[sort == "both"].str.startswith("a ").all()


def test_a_loss_is_measured_on_pictures_with_text(finished: Finished) -> None:
    rows = pd.read_csv(finished["language"] / "pictures" / "report" / "dictionaries.csv")
    loss = rows[rows["metric"] == "loss_rise"].iloc[0]
    assert np.isfinite(loss["value"])
    towers = pd.read_csv(finished["towers"] / "pictures" / "report" / "dictionaries.csv")
    unscored = towers[towers["metric"] == "loss_rise"]
    assert unscored["value"].isna().all()


def test_losses_are_measured_on_texts_first_and_pictures_last(finished: Finished) -> None:
    """Two sorts of contexts take passes of their own, so no batch of losses holds both."""
    out = finished["language"]
    config = toml.load(out / "run.toml")
    job = open_job(config, out)
    prepared = prepare(job)
    drawn = draw(job, prepared)
    assert len(drawn) == 24
    seen = [image is not None for _, image in drawn]
    assert seen == sorted(seen) and set(seen) == {True, False}
    found = losses(job, prepared)["d"]
    job.close()
    contexts = table(out, "collect/contexts")
    lengths = {tuple(tokens): n for tokens, n in zip(contexts["tokens"], contexts["length"], strict=True)}
    for (tokens, image), positions in zip(drawn, found["positions"], strict=True):
        # A position counts where it is not the first and a word follows: the last patch is the first of a picture's.
        words = lengths[tuple(tokens)] - (17 if image else 1)
        assert positions == (words if image else words - 1)
    assert np.isfinite(found["clean"]).all()


def test_models_are_shown_pictures_by_number_and_nothing_that_names_them(
    language: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    asked.clear()
    autointerp.run(plant.write_config(tmp_path / "run.toml", language), out=tmp_path)
    assert len(asked) > 30
    alone = 0
    for request in asked:
        named = [line["image"] for line in lines(request) if "image" in line]
        assert named == list(range(len(request.images)))
        for image in request.images:
            assert Image.open(io.BytesIO(image.data)).size == (256, 256)
        for line in lines(request):
            assert line.keys() & {"image", "text", "description"}
            alone += "image" in line and "text" not in line
        assert not any(f'"{colour}"' in request.content for colour in COLOURS)
        assert "<image>" not in request.content
    assert alone


Change = Callable[[dict[str, Any]], None]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda tree: tree["dictionaries"]["d"].update(hook="vision_model"),
            "this subject has the towers text_model and vis",
        ),
        (lambda tree: tree["dictionaries"]["d"].update(hook="vision_model.post_layernorm"), r"\[batch, channels"),
        (
            lambda tree: tree["dictionaries"]["d"].update(hook="vision_model.encoder.layers.0.mlp.fc1"),
            "it reads 16 dim",
        ),
        (lambda tree: tree["corpus"].update(context_length=25), "the text tower of .* takes 24"),
        (lambda tree: tree["corpus"].update(label_columns=["name"]), "the label column 'name'"),
        (lambda tree: tree["corpus"].update(image_column="photo", text_column="body"), "has the columns"),
    ],
    ids=["a tower", "pooled", "width", "too long", "label column", "no column"],
)
def test_mistakes_end_in_one_sentence(change: Change, sentence: str, towers: dict[str, Any], tmp_path: Path) -> None:
    tree = json.loads(json.dumps(towers))
    change(tree)
    with pytest.raises(UserError, match=sentence) as caught:
        autointerp.run(plant.write_config(tmp_path / "run.toml", tree), out=tmp_path)
    assert "\n" not in str(caught.value)

"""Controls: as sparse as what they are held against, nothing of it inside, and scored by the same run."""

import copy
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, set_seed

import autointerp
from autointerp import toml
from autointerp.collect.sketch import Sketch
from autointerp.dictionaries import Dictionary, controls, load_dictionary
from autointerp.errors import UserError
from autointerp.job import Job, Site
from autointerp.llm.protocol import Request
from autointerp.pipeline import Run
from autointerp.store import RunDirectory
from autointerp.subjects.text import TextSubject
from tests import planted as plant
from tests.planted import Planted

pytestmark = pytest.mark.usefixtures("own_cache")

D, WIDTH, N = 12, 40, 400
patient = settings(deadline=None, max_examples=15)

Fit = Callable[[Dictionary, Tensor], Dictionary]
FITS: dict[str, Fit] = {
    "neurons": controls.neurons,
    "pca": controls.pca,
    "random": lambda like, x: controls.random(like, x, 0),
    "density_matched": lambda like, x: controls.density_matched(like, x, 0),
}
MADE: dict[str, Fit] = FITS | {
    "permuted": lambda like, _: controls.permuted(like, 0),
    "shuffled_subject": lambda like, _: controls.on_shuffled_subject(like),
}


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def outputs(seed: int = 0, n: int = N, d: int = D) -> Tensor:
    """Hook outputs [n, d] with a mean, and axes that are correlated and differ in scale."""
    scales = torch.linspace(3, 0.2, d)
    return noise(seed, n, d) * scales @ noise(seed + 1, d, d) + 5 * noise(seed + 2, d)


def original(activation: str = "topk", d: int = D, width: int = WIDTH, seed: int = 7, **changes: Any) -> Dictionary:
    """A dictionary with weights drawn at random that fires at about a tenth of its features."""
    parts: dict[str, Any] = {
        "W_enc": noise(seed, d, width),
        "b_enc": noise(seed + 1, width),
        "W_dec": noise(seed + 2, width, d),
        "b_dec": noise(seed + 3, d),
        "activation": activation,
        "convention": {"format": "made up"},
        "hook": "layers.3",
        "expected_l0": 4.0,
    }
    parts |= {
        "topk": {"k": 4},
        "signed topk": {"activation": "topk", "k": 4, "signed": True},
        "groupmax": {"k": 4},
        "jumprelu": {"threshold": 6 + noise(seed + 4, width).abs()},
        "gated": {"W_mag": noise(seed + 5, d, width), "b_mag": noise(seed + 6, width), "b_enc": parts["b_enc"] - 8},
        "relu": {"b_enc": parts["b_enc"] - 8},
    }[activation]
    return Dictionary(**parts | changes)


ACTIVATIONS = ["relu", "jumprelu", "topk", "signed topk", "groupmax", "gated"]


def rebuilt(dictionary: Dictionary, x: Tensor) -> Tensor:
    return dictionary.decode(dictionary.encode(x), x)


def residual(dictionary: Dictionary, x: Tensor) -> float:
    return float((x - rebuilt(dictionary, x)).double().square().sum())


def explained(dictionary: Dictionary, x: Tensor) -> float:
    return 1 - residual(dictionary, x) / float((x - x.mean(0)).double().square().sum())


# ---- as sparse as the original


@patient
@given(
    name=st.sampled_from(["neurons", "pca"]),
    activation=st.sampled_from(ACTIVATIONS),
    d=st.integers(2, 12),
    seed=st.integers(0, 99),
)
def test_axes_keep_exactly_as_many_coordinates_as_the_original_has_features(
    name: str, activation: str, d: int, seed: int
) -> None:
    like, x = original(activation, d, seed=seed), outputs(seed, 100, d)
    made = FITS[name](like, x)
    mean_l0 = float((like.encode(x) != 0).sum()) / len(x)
    # Of the 2d signed coordinates only d can be positive.
    expected = min(max(1, round(mean_l0)), d)
    assert (made.encode(x) > 0).sum(1).tolist() == [expected] * len(x)
    assert made.width == 2 * d


@patient
@given(activation=st.sampled_from(ACTIVATIONS), seed=st.integers(0, 99), n=st.integers(30, 300))
def test_random_directions_fire_as_often_as_the_original(activation: str, seed: int, n: int) -> None:
    like, x = original(activation, seed=seed), outputs(seed, n)
    wanted = int((like.encode(x) != 0).sum())
    assume(wanted < 0.3 * n * WIDTH)  # a threshold is never below 0
    fired = (controls.random(like, x, seed).encode(x) > 0).sum(0)
    # A hair below the last value that has to fire there is now and then another one.
    assert wanted <= int(fired.sum()) <= wanted + 2 + 0.01 * wanted
    assert int(fired.min()) >= wanted // WIDTH


@patient
@given(activation=st.sampled_from(ACTIVATIONS), seed=st.integers(0, 99), n=st.integers(30, 300))
def test_each_density_matched_direction_fires_as_often_as_the_feature_of_its_number(
    activation: str, seed: int, n: int
) -> None:
    like, x = original(activation, seed=seed), outputs(seed, n)
    wanted = (like.encode(x) != 0).sum(0)
    fired = (controls.density_matched(like, x, seed).encode(x) > 0).sum(0)
    reachable = wanted < 0.3 * n  # a threshold is never below 0
    # A hair below the last value that has to fire there is now and then another one.
    assert ((wanted <= fired) & (fired <= wanted + 1))[reachable].all()
    assert (fired[wanted == 0] == 0).all()


def test_random_directions_of_a_dictionary_much_wider_than_its_firings_fire_no_more_than_it() -> None:
    # 200 positions at which 2 of 2,000 features fire: 400 firings for 2,000 features, so four in five have none.
    like, x = original(width=2000, k=2), outputs(n=200)
    fired = (controls.random(like, x, 0).encode(x) > 0).sum(0)
    assert sorted(fired.tolist()) == [0] * 1600 + [1] * 400


def test_thresholds_do_not_depend_on_how_many_directions_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    like, x = original(width=37), outputs(n=90)
    whole = controls.random(like, x, 0)
    monkeypatch.setattr(controls, "CHUNK_BYTES", 4 * 90 * 5)
    parts = controls.random(like, x, 0)
    assert whole.threshold is not None and parts.threshold is not None
    torch.testing.assert_close(parts.threshold, whole.threshold)
    assert torch.equal(parts.encode(x) > 0, whole.encode(x) > 0)


def test_a_value_on_the_threshold_fires_whatever_else_is_in_the_batch() -> None:
    # Tokens repeat, and so do outputs of an embedding: the last value that fires is one of several equal ones.
    like, distinct = original(), outputs(n=25)
    made = controls.random(like, distinct.repeat_interleave(16, 0), 0)
    alone = torch.cat([made.encode(row[None]) for row in distinct]) > 0
    assert torch.equal(made.encode(distinct) > 0, alone)
    made = replace(made, b_enc=made.b_enc * (1 + 1e-7))  # another order of summation, say
    assert torch.equal(made.encode(distinct) > 0, alone)


# ---- neurons and principal axes


def test_neurons_give_back_every_position_whose_coordinates_they_can_hold() -> None:
    # Row r has r + 1 coordinates, 1 to r + 1; its mirror image stands beside it, so the mean is exactly 0.
    like = original(k=4)
    rows = torch.zeros(10, D)
    for row in range(10):
        places = torch.randperm(D, generator=torch.Generator().manual_seed(row))[: row + 1]
        rows[row, places] = torch.arange(1.0, row + 2)
    x = torch.cat([rows, -rows])
    found = rebuilt(controls.neurons(like, x), x)
    exact = (found == x).all(1)
    assert exact.tolist() == [row < 4 for row in range(10)] * 2
    assert torch.equal(
        found, torch.where(x.abs() > torch.tensor([max(0, row - 3) for row in range(10)] * 2)[:, None], x, 0.0)
    )


@pytest.mark.parametrize("name", ["neurons", "pca"])
def test_all_axes_give_back_everything(name: str) -> None:
    x = outputs()
    made = FITS[name](original("signed topk", width=2 * D, k=2 * D), x)
    assert made.k == 2 * D
    torch.testing.assert_close(rebuilt(made, x), x, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["neurons", "pca"])
def test_axes_are_orthonormal_and_their_second_half_is_the_first_one_mirrored(name: str) -> None:
    made = FITS[name](original(), outputs())
    torch.testing.assert_close(made.W_dec[:D] @ made.W_dec[:D].T, torch.eye(D), rtol=0, atol=1e-5)
    assert torch.equal(made.W_dec[D:], -made.W_dec[:D])
    assert torch.equal(made.W_enc, made.W_dec.T)


@patient
@given(d=st.integers(2, 12), seed=st.integers(0, 99))
def test_the_first_principal_axes_hold_at_least_the_variance_of_as_many_neurons(d: int, seed: int) -> None:
    x = outputs(seed, 100, d)
    along = ((x - x.mean(0)) @ controls.pca(original(d=d), x).W_enc[:, :d]).double()
    cross = along.T @ along / len(x)
    variance = cross.diagonal()
    torch.testing.assert_close(cross, torch.diag(variance), rtol=0, atol=1e-4 * float(variance[0]))
    assert variance.tolist() == sorted(variance.tolist(), reverse=True)
    of_neurons = sorted(x.double().var(0, correction=0).tolist(), reverse=True)
    for mine, theirs in zip(accumulate(variance.tolist()), accumulate(of_neurons), strict=True):
        assert mine >= theirs * (1 - 1e-5)


@pytest.mark.parametrize("k", [1, 2, 4, 8])
def test_principal_axes_explain_more_than_neurons_where_these_are_correlated(k: int) -> None:
    # Not where the neurons themselves are sparse: on one-hot vectors one neuron explains all, and one component little.
    like, x = original(k=k), outputs()
    assert explained(controls.pca(like, x), x) > explained(controls.neurons(like, x), x) > 0


# ---- random directions


@pytest.mark.parametrize("seed", [0, 1])
def test_random_directions_are_unit_vectors_with_one_scale_and_no_other_is_better(seed: int) -> None:
    like, x = original(), outputs()
    made = controls.random(like, x, seed)
    torch.testing.assert_close(made.W_enc.norm(dim=0), torch.ones(WIDTH))
    scale = made.W_dec.norm(dim=1)
    torch.testing.assert_close(scale, scale[:1].expand(WIDTH))
    torch.testing.assert_close(made.W_dec, made.W_enc.T * scale[0])
    best = residual(made, x)
    less, more = (residual(replace(made, W_dec=made.W_dec * factor), x) - best for factor in (0.95, 1.05))
    assert less > 0
    assert more == pytest.approx(less, rel=1e-2)  # the vertex of a parabola
    assert 0 < explained(made, x) < explained(controls.pca(like, x), x)


def test_random_directions_are_those_of_their_seed() -> None:
    like, x = original(), outputs()
    first, again, other = (controls.random(like, x, seed) for seed in (3, 3, 4))
    assert torch.equal(first.W_enc, again.W_enc) and torch.equal(first.W_dec, again.W_dec)
    nearest = (first.W_enc.T @ other.W_enc).abs().max()
    assert float(nearest) < 0.999


def test_a_dictionary_that_is_silent_makes_a_silent_control() -> None:
    x = outputs()
    made = controls.random(original("relu", b_enc=torch.full((WIDTH,), -1e6)), x, 0)
    assert int((made.encode(x) != 0).sum()) == 0
    assert bool(made.W_dec.isfinite().all())
    torch.testing.assert_close(rebuilt(made, x), x.mean(0).expand(N, D))


# ---- permuted


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_permuted_dictionary_fires_where_the_original_does_and_writes_elsewhere(activation: str) -> None:
    like, x = original(activation), outputs()
    made = controls.permuted(like, 0)
    assert torch.equal(made.encode(x), like.encode(x))
    assert sorted(map(tuple, made.W_dec.tolist())) == sorted(map(tuple, like.W_dec.tolist()))
    assert not torch.equal(rebuilt(made, x), rebuilt(like, x))
    assert torch.equal(made.W_dec, controls.permuted(like, 0).W_dec)
    assert not torch.equal(made.W_dec, controls.permuted(like, 1).W_dec)


@patient
@given(width=st.integers(2, 30), seed=st.integers(0, 2**63 - 1))
def test_no_feature_keeps_its_own_decoder_row(width: int, seed: int) -> None:
    # A plain permutation leaves one on average.
    like = original(width=width, k=1)
    assert not (controls.permuted(like, seed).W_dec == like.W_dec).all(1).any()


# ---- all


@pytest.mark.parametrize("name", MADE)
def test_save_and_load_give_the_same_dictionary(name: str, tmp_path: Path) -> None:
    x = outputs()
    made = MADE[name](original("gated" if name == "permuted" else "jumprelu"), x)
    controls.save(made, tmp_path / "control.safetensors")
    read = controls.load(tmp_path / "control.safetensors")
    assert vars(read).keys() == vars(made).keys()
    for field, value in vars(made).items():
        found = getattr(read, field)
        assert torch.equal(found, value) if isinstance(value, Tensor) else found == value, field
    assert torch.equal(read.encode(x), made.encode(x))
    assert torch.equal(rebuilt(read, x), rebuilt(made, x))


@pytest.mark.parametrize("name", FITS)
def test_nothing_that_was_learned_is_in_a_fitted_control(name: str) -> None:
    like, x = original("jumprelu"), outputs()
    made = FITS[name](like, x)
    other = FITS[name](original("jumprelu", seed=70, threshold=like.threshold), x)
    assert float((made.feature_vectors @ like.feature_vectors.T).abs().max()) < 0.99
    assert made.convention["control"] and "format" not in made.convention
    assert made.convention["fitted on"].startswith("400 positions")
    assert (made.hook, made.expected_l0, made.transcoder) == ("", None, False)
    # Of the original it knows the width and L0: one with other weights gives the same axes and directions.
    assert torch.equal(made.W_enc, other.W_enc)


@pytest.mark.parametrize("name", ["permuted", "shuffled_subject"])
def test_a_control_of_the_original_itself_says_so_and_expects_no_l0(name: str) -> None:
    like = original()
    made = MADE[name](like, outputs())
    assert made.convention == {"format": "made up", "control": made.convention["control"]}
    assert made.expected_l0 is None
    changed = {field for field, value in vars(made).items() if value is not getattr(like, field)}
    assert changed == {"convention", "expected_l0"} | ({"W_dec"} if name == "permuted" else set())


# ---- the subject with shuffled weights


def test_shuffling_moves_the_entries_of_every_matrix_and_nothing_else(tiny_subject: TextSubject) -> None:
    subject = TextSubject(copy.deepcopy(tiny_subject.model), tiny_subject.tokenizer, "tiny")
    for vector in (parameter for parameter in subject.model.parameters() if parameter.ndim == 1):
        vector.copy_(torch.arange(len(vector)))  # all ones as the library makes them, which would hide a shuffle
    before = {name: value.clone() for name, value in subject.model.state_dict().items()}
    after = subject.shuffled(5).model.state_dict()
    assert {value.ndim for value in before.values()} == {1, 2}
    for name, value in before.items():
        assert torch.equal(subject.model.state_dict()[name], value), f"{name} of the subject itself moved"
        assert torch.equal(after[name], value) is (value.ndim == 1), name
        assert torch.equal(after[name].flatten().sort().values, value.flatten().sort().values), name


def test_shuffled_weights_follow_from_the_seed(tiny_subject: TextSubject) -> None:
    first, again, other = (tiny_subject.shuffled(seed).model.state_dict() for seed in (5, 5, 2**63 - 1))
    for name, value in first.items():
        assert torch.equal(value, again[name])
        assert value.ndim == 1 or not torch.equal(value, other[name])


def test_a_shuffled_subject_reads_the_same_tokens_and_says_something_else(tiny_subject: TextSubject) -> None:
    shuffled, contexts = tiny_subject.shuffled(0), [[5, 6, 7, 8]]
    assert shuffled.encode("the cat") == tiny_subject.encode("the cat")
    assert (shuffled.prefix, shuffled.pad_id, shuffled.has_loss) == (tiny_subject.prefix, tiny_subject.pad_id, True)
    for hook in ("model.embed_tokens", "model.layers.2"):
        here, there = (subject.hidden(contexts, 4, [hook])[hook] for subject in (tiny_subject, shuffled))
        assert here.shape == there.shape
        assert not torch.isclose(here, there).all()


@pytest.mark.parametrize("tied", [True, False])
def test_tied_weights_stay_tied_when_shuffled(tiny_subject: TextSubject, tied: bool) -> None:
    set_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=320,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            tie_word_embeddings=tied,
        )
    )
    shuffled = TextSubject(model, tiny_subject.tokenizer, "tied").shuffled(0).model

    def weights(model: nn.Module) -> tuple[Tensor, Tensor]:
        return model.get_input_embeddings().weight, model.get_output_embeddings().weight

    assert (weights(shuffled)[0] is weights(shuffled)[1]) is tied
    assert not torch.equal(weights(shuffled)[0], weights(model)[0])
    assert (weights(model)[0] is weights(model)[1]) is tied


# ---- a run with all of them


@plant.recorded
def judge_reading(request: Request) -> dict[str, Any]:
    """Fits where a word that the explanation quotes stands in the text."""
    words = set(re.findall("“(.*?)”", plant.description(request)))
    return plant.verdicts([bool(words & set(text.split())) for text in plant.excerpts(request)])


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return plant.plant(tmp_path_factory.mktemp("planted"), n_documents=36)


def with_controls(planted: Planted) -> dict[str, Any]:
    tree = plant.settings(planted)
    tree["dictionaries"] |= {name: {"control": name, "like": "rules"} for name in MADE}
    tree["evidence"]["features"] = 5
    tree["explainers"] = {"lexical": {"kind": "lexical"}}
    tree["scorers"] = {"reader": {"kind": "llm", "provider": "scripted", "model": f"{__name__}:judge_reading"}}
    return tree


@pytest.fixture(scope="module")
def run(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    return autointerp.run(plant.write_config(folder / "planted.toml", with_controls(planted)), out=folder / "runs")


@pytest.fixture(scope="module")
def job(run: Run) -> Job:
    """The job of the finished run."""
    return Job(toml.load(run.path / "run.toml"), RunDirectory(run.path))


def sketch_of(run: Run, name: str) -> Sketch:
    return Sketch.from_state(load_file(run.path / "collect" / f"{name}.safetensors"))


def figures_of(run: Run, name: str) -> dict[str, Any]:
    with safe_open(run.path / "collect" / f"{name}.safetensors", framework="pt") as handle:
        return dict(json.loads(handle.metadata()["figures"]))


def told(run: Run, metric: str) -> dict[str, float]:
    rows = run.dictionaries().query("metric == @metric and control == 'none'")
    return dict(zip(rows["dictionary"], rows["value"], strict=True))


def test_only_the_shuffled_subject_is_another_site(run: Run, job: Job) -> None:
    assert job.sites == {name: Site(plant.HOOK, name == "shuffled_subject") for name in ("rules", *MADE)}
    hooks = {name: figures_of(run, name)["convention"]["hook"] for name in ("rules", *MADE)}
    assert hooks == dict.fromkeys(hooks, plant.HOOK) | {"shuffled_subject": f"{plant.HOOK} of shuffled weights"}


def test_the_shuffled_subject_is_read_from_the_shuffled_weights(planted: Planted, run: Run, job: Job) -> None:
    counts = Counter(word for _, line in planted.lines() for word in plant.counted(line))
    rules = load_dictionary(planted.folder / "dictionary")
    fired = {}
    for name, subject in (("rules", job.subject), ("shuffled_subject", job.shuffled_subject)):
        table = subject.model.get_input_embeddings().weight
        fires = rules.encode(table) > 0  # [words, features]
        expected = sum(fires[plant.VOCABULARY.index(word)].long() * n for word, n in counts.items())
        fired[name] = sketch_of(run, name).fired
        assert torch.equal(fired[name], expected)
    assert not torch.equal(fired["rules"], fired["shuffled_subject"])
    # Its loss is that of a subject that knows nothing, not the subject's own.
    assert figures_of(run, "shuffled_subject")["losses"]["clean"] != figures_of(run, "rules")["losses"]["clean"]


def test_the_permuted_dictionary_fires_as_the_original_in_the_run(run: Run) -> None:
    rules, permuted = sketch_of(run, "rules"), sketch_of(run, "permuted")
    assert torch.equal(rules.fired, permuted.fired)
    assert not torch.equal(rules.max, permuted.max)  # in the units of other decoder rows
    assert told(run, "l0")["permuted"] == told(run, "l0")["rules"]


def test_fitted_controls_are_fitted_on_the_first_documents_and_kept(run: Run, job: Job) -> None:
    outputs = json.loads((run.path / "manifest.json").read_text())["stages"]["collect"]["outputs"]
    drawn = pd.read_parquet(run.path / "collect" / "contexts.parquet")
    # one context of each document first: a document may have a hundred of them
    later = drawn["document"].duplicated()
    contexts = pd.concat([drawn[~later], drawn[later]])["tokens"][:64]
    words = [plant.VOCABULARY[token] for tokens in contexts for token in tokens[1:] if token != 2]
    mean = np.zeros(len(plant.VOCABULARY))
    for word in words:
        mean[plant.VOCABULARY.index(word)] += plant.loudness(word) / len(words)
    for name in FITS:
        assert f"collect/controls/{name}.safetensors" in outputs
        assert job.dictionaries[name].convention["fitted on"] == f"{len(words):,} positions of the first contexts"
        np.testing.assert_allclose(job.dictionaries[name].b_dec.numpy(), mean, atol=1e-5)
    assert told(run, "l0")["neurons"] == told(run, "l0")["pca"] == job.dictionaries["neurons"].k == 1


def test_every_control_has_evidence_and_scores_or_reasons(run: Run) -> None:
    scores = run.scores()
    metrics = set(scores.query("dictionary == 'rules'")["metric"])
    for name in MADE:
        features = pd.read_parquet(run.path / "evidence" / f"{name}.features.parquet").query("not dead")
        assert 0 < len(features) <= 5
        mine = scores.query("dictionary == @name")
        assert set(mine["feature"]) == set(features["feature"])
        assert set(mine["metric"]) == metrics
        assert (mine["value"].notna() | mine["unscored_reason"].notna()).all()
        able = set(features.query("reason == ''")["feature"])
        assert able and set(mine[mine["value"].notna()]["feature"]) == able
        items = pd.read_parquet(run.path / "evidence" / f"{name}.parquet")
        firing = items[items["fires"]]
        assert set(firing["feature"]) == set(features["feature"])
        assert (firing["activations"].map(max) > 0).all()
        assert (items[~items["fires"]]["activations"].map(max) == 0).all()


def test_a_control_whose_numbers_are_those_of_the_original_is_drawn_as_it_is(run: Run) -> None:
    drawn = {
        name: pd.read_parquet(run.path / "evidence" / f"{name}.features.parquet")["feature"].tolist()
        for name in ("rules", "permuted", "random")
    }
    assert drawn["permuted"] == drawn["rules"] != drawn["random"]


def test_dictionaries_csv_holds_all_controls_beside_the_original(run: Run) -> None:
    table = run.dictionaries()
    assert set(table["dictionary"]) == {"rules", *MADE}
    whole = table[~table["metric"].str.endswith(("_token", "_tokens")) | table["metric"].str.startswith("dead")]
    by_name = {name: set(group["metric"]) for name, group in whole.groupby("dictionary")}
    assert {"l0", "explained_variance", "loss_recovered", "detection.ap"} < by_name["rules"]
    assert all(metrics == by_name["rules"] for metrics in by_name.values())
    widths = table.groupby("dictionary")["width"].agg(set)
    both = 2 * len(plant.VOCABULARY)
    expected = {"neurons": {both}, "pca": {both}} | {name: {16} for name in ("rules", *list(MADE)[2:])}
    assert widths.to_dict() == expected
    variance = told(run, "explained_variance")
    # Each word has an axis of its own, so a single neuron explains nearly everything, and a permuted decoder is worse
    # than the mean; controls are not refused for it.
    assert variance["neurons"] > 0.9 > variance["pca"] > variance["random"]
    assert variance["permuted"] < 0 < variance["rules"]


# ---- mistakes


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"c": {"control": "pca"}}, "a control needs `like`, the dictionary it is held against"),
        ({"c": {"path": "x", "like": "rules"}}, "a control needs `like`"),
        ({"c": {"path": "x", "control": "pca", "like": "rules"}}, "a path or a control, one of them"),
        ({"c": {}}, "a path or a control, one of them"),
        ({"c": {"control": "pca", "like": "rules", "hook": "h"}}, "leave hook out"),
        ({"c": {"control": "pca", "like": "none"}}, "dictionaries.c.like = 'none' is not a dictionary with a path"),
        ({"c": {"control": "pca", "like": "c"}}, "dictionaries.c.like = 'c' is not a dictionary with a path"),
        (
            {"b": {"control": "pca", "like": "rules"}, "c": {"control": "permuted", "like": "b"}},
            "dictionaries.c.like = 'b' is not a dictionary with a path",
        ),
        ({"c": {"control": "neuron", "like": "rules"}}, "dictionaries.c.control = 'neuron'"),
    ],
)
def test_a_mistaken_control_is_refused_in_one_sentence(entries: dict[str, Any], said: str, planted: Planted) -> None:
    tree = plant.settings(planted)
    tree["dictionaries"] |= entries
    with pytest.raises(UserError) as caught:
        toml.build(tree, "it.toml")
    sentence = str(caught.value)
    assert said in sentence
    assert sentence.startswith("You asked to run it.toml, but ") and sentence.endswith("mend the config and run again.")
    assert "\n" not in sentence and sentence.count("; ") == 0  # one problem, said once


def test_a_control_of_a_dictionary_that_does_not_fit_is_refused_with_both_widths(
    planted: Planted, tmp_path: Path
) -> None:
    tree = with_controls(planted)
    tree["dictionaries"]["rules"]["hook"] = "model.layers.0.mlp.gate_proj"
    with pytest.raises(UserError, match=rf"it reads {len(plant.VOCABULARY)} dimensions and the hook gives 16:"):
        autointerp.run(toml.build(tree, "it"), out=tmp_path)


@pytest.mark.parametrize("name", FITS)
def test_a_control_that_nothing_counts_for_is_refused(name: str, planted: Planted, tmp_path: Path) -> None:
    tree = plant.settings(planted)
    tree["dictionaries"][name] = {"control": name, "like": "rules"}
    tree["positions"]["norm_limit"] = 1e-9  # everything is too loud
    with pytest.raises(UserError, match=rf"the control '{name}', but no position of the first 64 contexts counts"):
        autointerp.run(toml.build(tree, "it"), out=tmp_path, only="collect")

"""The one pass against a slow dense one, what it refuses, and the cache that saves a second pass."""

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import AutoTokenizer, LlamaForCausalLM

from autointerp import toml
from autointerp.collect import collector, stage
from autointerp.collect.collector import cached
from autointerp.collect.parts import Part
from autointerp.collect.prepare import prepare
from autointerp.dictionaries import Dictionary
from autointerp.errors import UserError
from autointerp.evidence import replay
from autointerp.job import Job, Site
from autointerp.pipeline import run
from autointerp.store import RunDirectory
from tests import planted as plant
from tests.planted import Planted

pytestmark = pytest.mark.usefixtures("own_cache")

D = len(plant.VOCABULARY)
GATE, D_GATE = "model.layers.0.mlp.gate_proj", 16
TOKEN = {word: number for number, word in enumerate(plant.VOCABULARY)}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return plant.plant(tmp_path_factory.mktemp("planted"), n_documents=24)


@pytest.fixture(scope="module")
def counts(planted: Planted) -> Counter[str]:
    """How often each word stands at a position that counts."""
    return Counter(word for _, line in planted.lines() for word in plant.counted(line))


def words(d: int = D, **changes: Any) -> Dictionary:
    """A feature for each axis: on the planted embeddings, which are never negative, it gives back its input."""
    made = Dictionary(torch.eye(d), torch.zeros(d), torch.eye(d), torch.zeros(d), "relu", {}, hook=plant.HOOK)
    return replace(made, **changes)


def drawn(seed: int, d: int, width: int, hook: str, scale: float = 1.0) -> Dictionary:
    """A jumprelu dictionary with weights drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    return Dictionary(
        W_enc=torch.randn(d, width, generator=generator),
        b_enc=torch.randn(width, generator=generator) * scale / 4,
        W_dec=torch.randn(width, d, generator=generator) / 4,
        b_dec=torch.randn(d, generator=generator) * scale / 4,
        activation="jumprelu",
        convention={},
        hook=hook,
        threshold=torch.rand(width, generator=generator) * scale,
        subtract_b_dec=True,
    )


Open = Callable[..., Job]


@pytest.fixture
def opened(planted: Planted, tmp_path: Path) -> Open:
    """A job with dictionaries that are not on disk."""

    def go(
        dictionaries: dict[str, Dictionary],
        name: str = "planted",
        subject: Path | None = None,
        controls: tuple[str, ...] = (),
        positions: dict[str, Any] | None = None,
        **collect: Any,
    ) -> Job:
        tree = plant.settings(planted, name)
        path = {"path": str(planted.folder / "dictionary")}
        tree["dictionaries"] = dict.fromkeys(dictionaries, path)
        tree["dictionaries"] |= {
            control: {"control": control, "like": next(iter(dictionaries))} for control in controls
        }
        tree["subject"]["model"] = str(subject or planted.folder / "subject")
        tree["positions"] |= positions or {}
        tree["collect"] |= {"loss_contexts": 0, **collect}
        job = Job(toml.build(tree, name), RunDirectory.open(tmp_path, name))
        job.originals = dictionaries
        return job

    return go


def part_of(job: Job) -> Part:
    """All shards of a job in one part."""
    prepared = prepare(job)
    empty = collector.empty_part(job, prepared)
    return collector.collect(job, prepared, prepared.shards, empty, lambda _: None, lambda _: None)


def refusal(job: Job) -> str:
    """The one sentence with which a job is refused."""
    with pytest.raises(UserError) as caught:
        stage.run(job)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.startswith("You asked ") and sentence.endswith(".")
    assert not list((job.directory / "collect").glob("parts/*")), "nothing of a refused shard is kept"
    return sentence


def convention(job: Job, name: str) -> dict[str, str]:
    with safe_open(job.directory / "collect" / f"{name}.safetensors", framework="pt") as handle:
        return dict(json.loads(handle.metadata()["figures"])["convention"])


# ---- one pass


@contextmanager
def forwards(*models: nn.Module) -> Iterator[list[int]]:
    """How often each model is called."""
    calls = [0] * len(models)

    def count(at: int) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            calls[at] += 1

        return hook

    handles = [model.register_forward_pre_hook(count(at)) for at, model in enumerate(models)]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def test_several_dictionaries_on_two_hooks_cost_one_forward_pass_a_batch(opened: Open) -> None:
    dictionaries = {
        "a": words(),
        "b": drawn(1, D, 20, plant.HOOK),
        "c": drawn(2, D_GATE, 9, GATE, 0.05),
        "d": drawn(3, D_GATE, 30, GATE, 0.05),
    }
    job = opened(dictionaries, controls=("neurons", "shuffled_subject"), shard_contexts=10, batch_size=4, gate=False)
    prepared = prepare(job)
    sizes = np.diff(prepared.offsets)
    assert sizes.tolist() == [10, 10, 10, 10, 8]
    empty = collector.empty_part(job, prepared)
    with forwards(job.subject.model, job.shuffled_subject.model) as calls:
        part = collector.collect(job, prepared, prepared.shards, empty, lambda _: None, lambda _: None)
    batches = 3 * 4 + 2  # ten contexts are 4 + 4 + 2, eight are 4 + 4
    assert calls == [batches, batches]
    assert {name: sketch.n_contexts for name, sketch in part.sketches.items()} == dict.fromkeys(job.dictionaries, 48)


def test_what_is_collected_is_what_a_dense_pass_in_double_precision_finds(opened: Open) -> None:
    dictionaries = {
        "words": words(),
        "random": drawn(1, D, 20, plant.HOOK),
        "deep": drawn(2, D_GATE, 9, GATE, 0.05),
        "deeper": drawn(4, D_GATE, 30, GATE, 0.05),
    }
    job = opened(dictionaries, shard_contexts=10, batch_size=4, gate=False, positions={"norm_limit": 1.2})
    part, limits = part_of(job), prepare(job).limits
    tokens = pd.read_parquet(job.directory / "collect" / "contexts.parquet")["tokens"]
    for name, dictionary in dictionaries.items():
        hook = dictionary.hook
        outputs = [slow_outputs(job, row.tolist(), hook) for row in tokens]
        counted = [slow_mask(row, out, limits[hook]) for row, out in zip(tokens, outputs, strict=True)]
        x = np.concatenate([out[keep] for out, keep in zip(outputs, counted, strict=True)])
        moments, sketch, totals = part.moments[hook], part.sketches[name], part.totals[name]
        assert moments.masked["norm"] > 0 and moments.masked["special"] > 0
        assert moments.n == sketch.n_positions == len(x) == sum(map(len, outputs)) - sum(moments.masked.values())
        w = {key: value.double().numpy() for key, value in vars(dictionary).items() if isinstance(value, Tensor)}
        centred = x - w["b_dec"] if dictionary.subtract_b_dec else x
        hidden = centred @ w["W_enc"] + w["b_enc"]
        threshold = w.get("threshold", np.zeros(dictionary.width))
        if name != "words":  # where 0 is exactly 0
            assert np.abs(hidden - threshold).min() > 1e-6, "too close to call in single precision"
        f = np.where(hidden > threshold, np.maximum(hidden, 0), 0)
        a = f * np.linalg.norm(w["W_dec"], axis=1)
        assert sketch.fired.tolist() == (a > 0).sum(0).tolist()
        assert 0 < (a > 0).sum() < a.size
        np.testing.assert_allclose(sketch.max.numpy(), a.max(0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(sketch.sum.numpy(), a.sum(0), rtol=1e-4, atol=1e-6)
        assert totals.l0(moments) == pytest.approx((f > 0).sum() / len(x))
        error = x - (f @ w["W_dec"] + w["b_dec"])
        variance = ((x - x.mean(0)) ** 2).sum()
        assert totals.explained_variance(moments) == pytest.approx(1 - (error**2).sum() / variance, rel=1e-5)
        owner = np.repeat(np.arange(len(tokens)), [sum(keep) for keep in counted])
        in_contexts = [len(np.unique(owner[a[:, feature] > 0])) for feature in range(dictionary.width)]
        assert sketch.fired_contexts.tolist() == in_contexts


def slow_mask(tokens: list[int], x: np.ndarray[Any, Any], limit: float) -> list[bool]:
    """What counts of one context: not the first position, not the special token, nothing too loud."""
    return [
        at > 0 and token != TOKEN[plant.END] and sum(value * value for value in x[at]) ** 0.5 <= limit
        for at, token in enumerate(tokens)
    ]


def slow_outputs(job: Job, tokens: list[int], hook: str) -> np.ndarray[Any, Any]:
    """The outputs [n, d] of a module for one context alone, by the whole model."""
    kept: list[Tensor] = []
    handle = job.subject.model.get_submodule(hook).register_forward_hook(lambda _m, _i, out: kept.append(out))
    with torch.no_grad():
        job.subject.model(input_ids=torch.tensor([tokens]))
    handle.remove()
    return kept[0][0].double().numpy()


# ---- explained variance and the gate


def test_predicting_the_mean_explains_nothing_and_the_input_itself_everything(
    opened: Open, counts: Counter[str]
) -> None:
    mean = torch.zeros(D)
    for word, n in counts.items():
        mean[TOKEN[word]] = n * plant.loudness(word) / sum(counts.values())
    never = torch.full((D,), -1e6)
    part = part_of(opened({"mean": words(b_enc=never, b_dec=mean), "exact": words()}, gate=False))
    variance = {name: totals.explained_variance(part.moments[plant.HOOK]) for name, totals in part.totals.items()}
    assert variance["mean"] == pytest.approx(0, abs=1e-6)
    assert variance["exact"] == 1
    assert part.totals["mean"].nonzeros == 0
    assert part.totals["exact"].l0(part.moments[plant.HOOK]) == 1


@pytest.mark.parametrize(
    "misread",
    [{"W_dec": -torch.eye(D)}, {"b_dec": torch.full((D,), 9.0)}, {"W_enc": torch.zeros(D, D)}],
    ids=["sign", "b_dec", "silent"],
)
def test_a_dictionary_that_explains_less_than_nothing_is_refused(misread: dict[str, Tensor], opened: Open) -> None:
    said = refusal(opened({"ours": words(**misread)}))
    assert "dictionary 'ours'" in said and "of the variance of the hook's output, less than nothing" in said
    part_of(opened({"ours": words(**misread)}, name="open", gate=False))


@pytest.mark.parametrize(("expected", "fits"), [(0.49, False), (0.5, True), (1.0, True), (2.0, True), (2.01, False)])
def test_an_l0_that_is_off_by_more_than_two_is_refused(expected: float, fits: bool, opened: Open) -> None:
    job = opened({"ours": words(expected_l0=expected)})  # one feature a word: its L0 is 1
    if fits:
        assert part_of(job).totals["ours"].nonzeros > 0
    else:
        said = refusal(job)
        assert "dictionary 'ours'" in said
        assert f"1.0 features fire at a position where its config says {expected:g}" in said
    assert part_of(opened({"ours": words(expected_l0=expected)}, name="open", gate=False)).totals["ours"].nonzeros > 0


def test_controls_are_not_held_to_the_gate(opened: Open) -> None:
    job = opened({"ours": words(expected_l0=1.0)}, controls=("permuted", "shuffled_subject", "random"))
    part = part_of(job)
    assert part.totals["permuted"].explained_variance(part.moments[plant.HOOK]) < 0


def test_a_transcoder_has_no_explained_variance_and_is_not_refused_for_it(opened: Open) -> None:
    part = part_of(opened({"elsewhere": words(W_dec=-torch.eye(D), transcoder=True)}))
    assert np.isnan(part.totals["elsewhere"].explained_variance(part.moments[plant.HOOK]))


@pytest.mark.parametrize("controls", [(), ("random",)])
def test_a_wrong_width_is_refused_with_both_numbers(controls: tuple[str, ...], opened: Open) -> None:
    said = refusal(opened({"fits": words(), "ours": words(5)}, controls=controls))
    assert "dictionary 'ours' at model.embed_tokens" in said
    assert f"it reads 5 dimensions and the hook gives {D}" in said


@pytest.mark.parametrize(("enough", "parts"), [(30, 0), (61, 2), (10_000, 23)])
def test_a_shard_alone_is_not_judged_where_it_is_small(
    enough: int, parts: int, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 24 documents of 30 positions (four of them 29), a shard each: judged once there are enough, and at the end.
    monkeypatch.setattr(collector, "ENOUGH", enough)
    job = opened({"ours": words(W_dec=-torch.eye(D))}, shard_contexts=1)
    with pytest.raises(UserError, match="less than nothing"):
        stage.run(job)
    found = list((job.directory / "collect").glob("parts/*"))
    assert len(found) == (parts > 0)
    if parts:
        assert Part.load(found[0])[0].shards == list(range(parts))


@pytest.mark.parametrize("share", [2.0, 1.9])
def test_the_verdict_is_the_same_however_the_work_is_divided(
    share: float, nan_subject: Path, opened: Open, counts: Counter[str]
) -> None:
    # Two positions of all are NaN; in the shard of the document that holds one of them they are one in thirty.
    collect = {"max_nonfinite": share / sum(counts.values()), "shard_contexts": 1}
    jobs = [opened({"ours": words()}, name, nan_subject, **collect) for name in ("alone", "divided")]
    for worker in range(1, 25):
        stage.collect_part(jobs[1], worker, 24)
    for job in jobs:
        if share < 2:
            with pytest.raises(UserError, match=r"2 of [0-9]* positions hold NaN or infinity"):
                stage.run(job)
        else:
            assert stage.run(job)[1]["masked"]["not finite"] == 2


# ---- NaN, infinity, and signs


@pytest.fixture(scope="module")
def nan_subject(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted subject with NaN in the embedding of the rare word."""
    path = tmp_path_factory.mktemp("nan")
    model = LlamaForCausalLM.from_pretrained(planted.folder / "subject")
    with torch.no_grad():
        model.get_input_embeddings().weight[TOKEN[plant.RARE], 3] = torch.nan
    model.save_pretrained(path)
    AutoTokenizer.from_pretrained(planted.folder / "subject").save_pretrained(path)
    return path


def test_outputs_that_are_not_finite_are_masked_and_counted(
    nan_subject: Path, opened: Open, counts: Counter[str]
) -> None:
    job = opened({"ours": words()}, subject=nan_subject, max_nonfinite=0.01)
    part = part_of(job)
    moments, sketch = part.moments[plant.HOOK], part.sketches["ours"]
    n = sum(counts.values())
    assert moments.masked["not finite"] == counts[plant.RARE] == 2
    assert moments.n == n - 2
    expected = [counts[word] if word != plant.RARE else 0 for word in plant.VOCABULARY]
    assert sketch.fired.tolist() == expected
    assert bool(moments.sum_x.isfinite().all()) and np.isfinite(moments.sum_sq)
    assert part.totals["ours"].explained_variance(moments) == 1
    _, facts = stage.run(job)
    assert facts["masked"]["not finite"] == 2


def test_too_many_outputs_that_are_not_finite_are_refused(
    nan_subject: Path, opened: Open, counts: Counter[str]
) -> None:
    n = sum(counts.values())
    part_of(opened({"ours": words()}, name="just", subject=nan_subject, max_nonfinite=2 / n))
    said = refusal(opened({"ours": words()}, subject=nan_subject, max_nonfinite=1.9 / n))
    assert f"to collect at {plant.HOOK}, but 2 of {n:,} positions hold NaN or infinity" in said
    assert "collect.max_nonfinite" in said


@pytest.mark.parametrize("value", [3.3e38, -3.3e38])
def test_activations_that_are_not_finite_are_left_out_counted_and_refused_where_they_are_many(
    value: float, opened: Open, counts: Counter[str]
) -> None:
    # 3.3e38 times a loudness above 1.04 is no float32; behind a relu only the positive one is left.
    weights = torch.eye(D)
    weights[TOKEN["storm"], TOKEN["storm"]] = value
    assert plant.loudness("storm") > 1.04 and counts["storm"] > 0
    n, infinite = sum(counts.values()), counts["storm"] if value > 0 else 0
    job = opened({"ours": words(W_enc=weights)}, name="open", max_nonfinite=infinite / n)
    part = part_of(job)
    assert (part.totals["ours"].not_finite, part.totals["ours"].nonzeros) == (infinite, n - counts["storm"])
    fired = [counts[word] if word != "storm" else 0 for word in plant.VOCABULARY]
    assert part.sketches["ours"].fired.tolist() == fired
    assert 0 < part.totals["ours"].explained_variance(part.moments[plant.HOOK]) < 1
    if infinite:
        said = refusal(opened({"ours": words(W_enc=weights)}, max_nonfinite=infinite / n - 1e-6))
        assert f"dictionary 'ours', but {infinite} of {n:,} activations are NaN or infinity" in said
        stage.run(job)
        assert convention(job, "ours")["not finite"] == f"{infinite} activations, left out"


def signed(*negative: str) -> Dictionary:
    """As `words`, but the features of some words have the other sign, in encoder and decoder."""
    sign = torch.tensor([-1.0 if word in negative else 1.0 for word in plant.VOCABULARY])
    return words(W_enc=torch.diag(sign), W_dec=torch.diag(sign), activation="topk", k=D, signed=True)


def test_a_few_negative_values_are_no_firings_and_are_reported(opened: Open, counts: Counter[str]) -> None:
    job = opened({"ours": signed(plant.RARE, "tide")})
    part = part_of(job)
    n, negative = sum(counts.values()), counts[plant.RARE] + counts["tide"]
    assert 0 < negative <= 0.05 * n
    totals, moments = part.totals["ours"], part.moments[plant.HOOK]
    assert (totals.negative, totals.nonzeros) == (negative, n)
    assert (totals.l0(moments), totals.explained_variance(moments)) == (1, 1)  # they count in both
    fired = [0 if word in (plant.RARE, "tide") else counts[word] for word in plant.VOCABULARY]
    assert part.sketches["ours"].fired.tolist() == fired
    stage.run(job)
    told = convention(job, "ours")["negative values"]
    assert told == f"{negative / n:.2%} of nonzeros: in L0 and reconstruction, not firings"


def test_many_negative_values_are_refused(opened: Open, counts: Counter[str]) -> None:
    many = [word for word, _ in counts.most_common(4)]
    share = sum(counts[word] for word in many) / sum(counts.values())
    assert share > 0.05
    said = refusal(opened({"ours": signed(*many)}, gate=False))
    assert f"dictionary 'ours', but {share:.0%} of its values are negative" in said


def test_a_dictionary_without_negative_values_says_nothing_about_them(opened: Open) -> None:
    job = opened({"ours": signed()})
    stage.run(job)
    assert not {"negative values", "not finite"} & set(convention(job, "ours"))


# ---- the cache of hook outputs


def config_of(planted: Planted, folder: Path, cache_gb: float, **collect: Any) -> Path:
    tree = plant.settings(planted)
    tree["dictionaries"]["shuffled"] = {"control": "shuffled_subject", "like": "rules"}
    tree["collect"] |= {"cache_gb": cache_gb, "loss_contexts": 0, "shard_contexts": 10, "batch_size": 4, **collect}
    return plant.write_config(folder / "planted.toml", tree)


def evidence_in(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / "planted" / "evidence").glob("*"))}


def to_evidence(config: Path, out: Path) -> dict[str, bytes]:
    for only in ("collect", "evidence"):
        run(config, out=out, only=only)
    return evidence_in(out)


@pytest.fixture(scope="module")
def uncached(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The evidence of a run that keeps no hook outputs."""
    out = tmp_path_factory.mktemp("uncached")
    found = to_evidence(config_of(planted, out, 0), out)
    assert not (out / "planted" / "collect" / "hidden").exists()
    return found


SITES = (Site(plant.HOOK), Site(plant.HOOK, shuffled=True))


def test_evidence_is_the_same_with_a_cache_and_is_then_read_from_it(
    planted: Planted, uncached: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again(*_: Any) -> Tensor:
        raise AssertionError("the subject was run again")

    config = config_of(planted, tmp_path, 1)
    run(config, out=tmp_path, only="collect")
    hidden = tmp_path / "planted" / "collect" / "hidden"
    assert sorted(hidden.iterdir()) == sorted(cached(hidden, shard, site) for shard in range(5) for site in SITES)
    monkeypatch.setattr(replay.Replay, "_run", again)
    run(config, out=tmp_path, only="evidence")
    assert evidence_in(tmp_path).keys() == uncached.keys()
    for name, content in evidence_in(tmp_path).items():
        assert content == uncached[name], name
    assert len(pd.read_parquet(io.BytesIO(uncached["shuffled.parquet"]))) > 0


def test_what_lies_in_the_cache_is_what_the_hooks_put_out(opened: Open) -> None:
    job = opened({"ours": words()}, controls=("shuffled_subject",), shard_contexts=10, batch_size=4)
    part_of(job)
    tokens = pd.read_parquet(job.directory / "collect" / "contexts.parquet")["tokens"]
    assert {len(row) for row in tokens} == {plant.LENGTH}
    for shard in range(5):
        rows = [row.tolist() for row in tokens[shard * 10 : shard * 10 + 10]]
        for site, output in job.hidden(rows, SITES).items():
            kept = np.load(cached(job.directory / "collect" / "hidden", shard, site))
            assert kept.dtype == np.float32
            assert np.array_equal(kept, output.numpy())


@pytest.mark.parametrize(("share", "kept"), [(0.999, False), (1.001, True)])
def test_the_cache_is_kept_where_all_of_it_fits(share: float, kept: bool, opened: Open) -> None:
    size = 48 * plant.LENGTH * (D + D_GATE) * 4  # bytes of both sites
    dictionaries = {"a": words(), "b": words(), "c": drawn(2, D_GATE, 9, GATE, 0.05)}
    job = opened(dictionaries, gate=False, shard_contexts=10, cache_gb=share * size / 2**30)
    part_of(job)
    files = list((job.directory / "collect").glob("hidden/*.npy"))
    assert len(files) == (10 if kept else 0)
    if kept:
        assert 1 < sum(path.stat().st_size for path in files) / size < 1.01


def test_a_partial_file_is_never_read(planted: Planted, uncached: dict[str, bytes], tmp_path: Path) -> None:
    config = config_of(planted, tmp_path, 0)
    run(config, out=tmp_path, only="collect")
    hidden = tmp_path / "planted" / "collect" / "hidden"
    hidden.mkdir()
    for shard in range(5):
        for site in SITES:
            np.save(hidden / "zeros.npy", np.zeros((10, plant.LENGTH, D), np.float32))
            (hidden / "zeros.npy").rename(cached(hidden, shard, site).with_suffix(".partial"))
    run(config, out=tmp_path, only="evidence")
    assert evidence_in(tmp_path) == uncached


def test_a_pass_that_is_interrupted_leaves_no_file_of_its_shard_and_goes_on(
    planted: Planted, uncached: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(planted, tmp_path, 1)
    whole, calls = Job.hidden, [0]

    def dies(self: Job, *args: Any) -> Any:
        calls[0] += 1
        if calls[0] > 8 + 3 + 2:  # 8 batches calibrate, 3 are shard 0, 2 are most of shard 1
            raise KeyboardInterrupt
        return whole(self, *args)

    monkeypatch.setattr(Job, "hidden", dies)
    with pytest.raises(KeyboardInterrupt):
        run(config, out=tmp_path, only="collect")
    hidden = tmp_path / "planted" / "collect" / "hidden"
    names = sorted(path.name for path in hidden.iterdir())
    assert names == sorted(
        [cached(hidden, 0, site).name for site in SITES]
        + [cached(hidden, 1, site).with_suffix(".partial").name for site in SITES]
    )
    monkeypatch.setattr(Job, "hidden", whole)
    assert to_evidence(config, tmp_path) == uncached
    assert sorted(hidden.iterdir()) == sorted(cached(hidden, shard, site) for shard in range(5) for site in SITES)


def test_a_gate_that_closes_leaves_no_cache_of_its_shard(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "ENOUGH", 100)
    job = opened({"ours": words(W_dec=-torch.eye(D))}, shard_contexts=10)
    refusal(job)
    assert not list((job.directory / "collect").glob("hidden/*.npy"))

"""Loss recovered against a slow road: one context at a time, with the embeddings replaced by hand."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from transformers import AutoTokenizer, BertConfig, BertModel, LlamaForCausalLM, set_seed

from autointerp import toml
from autointerp.collect import loss, stage
from autointerp.collect.prepare import prepare
from autointerp.dictionaries import Dictionary
from autointerp.job import Job
from autointerp.measure.dictionaries import collected, loss_rows
from autointerp.measure.intervals import Interval
from autointerp.store import RunDirectory
from tests import planted as plant
from tests.planted import Planted

pytestmark = pytest.mark.usefixtures("own_cache")

D = len(plant.VOCABULARY)
TOKEN = {word: number for number, word in enumerate(plant.VOCABULARY)}
Losses = dict[str, dict[str, list[float]]]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return plant.plant(tmp_path_factory.mktemp("planted"), n_documents=20)


def exact(d: int = D) -> Dictionary:
    """Gives back its input to the last bit: a feature for either sign of each coordinate."""
    both = torch.cat([torch.eye(d), -torch.eye(d)])
    return Dictionary(both.T.contiguous(), torch.zeros(2 * d), both, torch.zeros(d), "relu", {}, hook=plant.HOOK)


def silent(**changes: Any) -> Dictionary:
    """Gives 0 for everything."""
    return replace(exact(), b_enc=torch.full((2 * D,), -1e6), **changes)


def half() -> Dictionary:
    """Gives back half of its input and something beside it."""
    return replace(exact(), W_dec=exact().W_dec / 2, b_dec=torch.linspace(-1, 1, D))


Open = Callable[..., Job]


@pytest.fixture
def opened(planted: Planted, tmp_path: Path) -> Open:
    """A job with dictionaries that are not on disk."""

    def go(
        dictionaries: dict[str, Dictionary],
        name: str = "planted",
        seed: int = 3,
        subject: str | None = None,
        controls: tuple[str, ...] = (),
        **collect: Any,
    ) -> Job:
        tree = plant.settings(planted, name) | {"seed": seed}
        path = {"path": str(planted.folder / "dictionary")}
        tree["dictionaries"] = dict.fromkeys(dictionaries, path)
        tree["dictionaries"] |= {
            control: {"control": control, "like": next(iter(dictionaries))} for control in controls
        }
        tree["subject"]["model"] = subject or tree["subject"]["model"]
        tree["collect"] |= {"gate": False, "max_nonfinite": 1.0, **collect}
        job = Job(toml.build(tree, name), RunDirectory.open(tmp_path, name))
        job.originals = dictionaries
        return job

    return go


def measured(job: Job) -> Losses:
    return loss.losses(job, prepare(job))


def arrays(found: dict[str, list[float]]) -> dict[str, np.ndarray[Any, Any]]:
    return {kind: np.array(values) for kind, values in found.items()}


def drawn(job: Job) -> list[list[int]]:
    """The tokens of the contexts that the losses are measured on."""
    return [tokens for tokens, _ in loss.draw(job, prepare(job))]


def slow(job: Job, change: Callable[[Tensor], Tensor]) -> tuple[list[float], list[int]]:
    """(summed loss, number of positions) by context, each run alone with the embeddings of counted words changed."""
    model = (job.shuffled_subject if "shuffled_subject" in job.config.dictionaries else job.subject).model
    sums, counts = [], []
    for tokens in drawn(job):
        with torch.no_grad():
            embedded = model.get_input_embeddings()(torch.tensor([tokens])).clone()
            counted = [at > 0 and token != TOKEN[plant.END] for at, token in enumerate(tokens)]
            for at, counts_here in enumerate(counted):
                if counts_here:
                    embedded[0, at] = change(embedded[0, at][None])[0]
            logits = model(inputs_embeds=embedded).logits[0].double()
        chance = logits.softmax(1)
        nats = [-math.log(chance[at, after]) for at, after in enumerate(tokens[1:])]
        sums.append(sum(value for value, here in zip(nats, counted, strict=False) if here))
        counts.append(sum(counted[:-1]))
    return sums, counts


# ---- the ends of the scale


def test_a_dictionary_that_gives_back_its_input_recovers_all_and_one_that_gives_zero_nothing(opened: Open) -> None:
    found = measured(opened({"exact": exact(), "silent": silent()}))
    assert found["exact"]["substituted"] == found["exact"]["clean"]
    assert found["silent"]["substituted"] == found["silent"]["ablated"]
    assert found["exact"]["clean"] != found["exact"]["ablated"]
    rows = {name: loss_rows(arrays(values), 0, 200) for name, values in found.items()}
    assert rows["exact"] == {"loss_recovered": Interval(1, 1, 1, 32, 0), "loss_rise": Interval(0, 0, 0, 32, 0)}
    assert rows["silent"]["loss_recovered"] == Interval(0, 0, 0, 32, 0)
    harm = sum(found["silent"]["ablated"]) - sum(found["silent"]["clean"])
    assert rows["silent"]["loss_rise"].value == pytest.approx(harm / sum(found["silent"]["positions"]))


def test_the_rows_by_hand() -> None:
    # Two contexts: ablating costs 4 + 6 = 10, the reconstruction 1 + 4 = 5: half recovered; 5 nats over 20 + 30 tokens.
    losses = {"clean": [10.0, 20], "substituted": [11.0, 24], "ablated": [14.0, 26], "positions": [20.0, 30]}
    rows = loss_rows(arrays(losses), 0, 200)
    assert (rows["loss_recovered"].value, rows["loss_rise"].value) == (0.5, 0.1)
    assert (rows["loss_recovered"].n, rows["loss_recovered"].unscored) == (2, 0)


# ---- against the slow road


def test_losses_are_those_of_contexts_whose_counted_positions_are_replaced_by_hand(opened: Open) -> None:
    job = opened({"half": half()}, loss_contexts=100, batch_size=7)
    assert any(TOKEN[plant.END] in tokens for tokens in drawn(job))  # a position that does not count
    found = measured(job)["half"]
    changes: dict[str, Callable[[Tensor], Tensor]] = {
        "clean": lambda x: x,
        "ablated": torch.zeros_like,
        "substituted": lambda x: half().decode(half().encode(x)),
    }
    for kind, change in changes.items():
        sums, counts = slow(job, change)
        assert found[kind] == pytest.approx(sums, rel=1e-5), kind
        assert found["positions"] == counts
    assert len({tuple(np.round(found[kind], 3)) for kind in changes}) == 3


def test_the_loss_of_a_control_on_the_shuffled_subject_is_that_of_the_shuffled_subject(opened: Open) -> None:
    job = opened({"half": half()}, controls=("shuffled_subject",), loss_contexts=9)
    found = measured(job)
    sums, _ = slow(job, lambda x: half().decode(half().encode(x)))
    assert found["shuffled_subject"]["substituted"] == pytest.approx(sums, rel=1e-5)
    assert found["half"]["substituted"] != pytest.approx(sums, rel=1e-3)


# ---- which contexts


def test_the_choice_of_contexts_follows_the_seed_and_not_the_shards(opened: Open) -> None:
    chosen = {}
    for name, more in {
        "one": {},
        "tens": {"shard_contexts": 10},
        "pairs": {"shard_contexts": 1},
        "batches": {"batch_size": 3},
        "fewer": {"loss_contexts": 5},
        "all": {"loss_contexts": 99},
        "seeded": {"seed": 4},
    }.items():
        job = opened({"half": half()}, name=name, **{"loss_contexts": 12} | more)
        prepared = prepare(job)
        chosen[name] = [tuple(tokens) for tokens in drawn(job)]
        if name in ("tens", "pairs"):
            assert len(prepared.shards) == {"tens": 4, "pairs": 20}[name]
    assert chosen["one"] == chosen["tens"] == chosen["pairs"] == chosen["batches"]
    assert [len(chosen[name]) for name in ("one", "fewer", "all")] == [12, 5, 40]
    assert set(chosen["fewer"]) < set(chosen["one"]) < set(chosen["all"])
    assert chosen["one"] != chosen["all"][:12]  # a choice, not the first
    assert set(chosen["seeded"]) != set(chosen["one"])


def test_shards_and_batches_do_not_change_a_loss(opened: Open) -> None:
    plain = measured(opened({"half": half()}, name="plain"))["half"]
    cut = measured(opened({"half": half()}, name="cut", shard_contexts=3, batch_size=5))["half"]
    for kind, values in plain.items():
        assert cut[kind] == pytest.approx(values, rel=1e-6)


# ---- where there is none


def test_a_transcoder_has_no_loss_and_its_neighbour_has(opened: Open) -> None:
    job = opened({"elsewhere": replace(half(), transcoder=True), "here": half()})
    stage.run(job)
    assert loss.losses(job, prepare(job)).keys() == {"here"}
    rows = {name: rows_of(job, name) for name in ("elsewhere", "here")}
    for metric in ("loss_recovered", "loss_rise"):
        unscored, scored = rows["elsewhere"][metric], rows["here"][metric]
        assert np.isnan([unscored["value"], unscored["low"], unscored["high"]]).all()
        assert (unscored["n"], unscored["unscored"], unscored["circularity"]) == (0, 1, "A")
        assert np.isfinite(scored["value"]) and (scored["n"], scored["unscored"]) == (32, 0)
    assert np.isnan(rows["elsewhere"]["explained_variance"]["value"])


def rows_of(job: Job, name: str) -> dict[str, dict[str, Any]]:
    """What dictionaries.csv will say of a collected dictionary, by metric."""
    figures, _ = stage.load_figures(job, name)
    return {str(row["metric"]): row for row in collected(name, figures, 0, 200)}


def test_an_encoder_has_no_loss(opened: Open, planted: Planted, tmp_path: Path) -> None:
    AutoTokenizer.from_pretrained(planted.folder / "subject").save_pretrained(tmp_path / "encoder")
    set_seed(0)
    config = BertConfig(
        vocab_size=D, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, pad_token_id=0
    )
    BertModel(config).save_pretrained(tmp_path / "encoder")
    job = opened({"exact": replace(exact(8), hook="embeddings")}, subject=str(tmp_path / "encoder"))
    stage.run(job)
    rows = rows_of(job, "exact")
    assert np.isnan(rows["loss_recovered"]["value"]) and np.isnan(rows["loss_rise"]["value"])
    assert rows["explained_variance"]["value"] == pytest.approx(1)


def test_no_contexts_asked_for_are_no_loss(opened: Open) -> None:
    assert measured(opened({"half": half()}, loss_contexts=0)) == {}


# ---- NaN


def test_what_the_subject_itself_cannot_say_is_left_out_of_all_three(
    opened: Open, planted: Planted, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    model = LlamaForCausalLM.from_pretrained(planted.folder / "subject")
    with torch.no_grad():
        model.get_input_embeddings().weight[TOKEN[plant.RARE]] = torch.nan
    model.save_pretrained(broken)
    AutoTokenizer.from_pretrained(planted.folder / "subject").save_pretrained(broken)
    found = measured(opened({"exact": exact(), "half": half()}, name="broken", subject=str(broken), loss_contexts=99))
    job = opened({"half": half()}, name="whole", loss_contexts=99)
    whole, read = measured(job)["half"], drawn(job)
    at = [tokens.index(TOKEN[plant.RARE]) if TOKEN[plant.RARE] in tokens else None for tokens in read]
    assert sum(place is not None for place in at) == 2
    for row, place in enumerate(at):
        if place is None:
            assert found["half"]["positions"][row] == whole["positions"][row]
        else:  # attention carries it to everything behind, and 0 times NaN to what stands before
            assert found["half"]["positions"][row] < place
    assert np.isfinite(list(found["half"].values())).all()
    assert found["exact"]["substituted"] == found["exact"]["clean"]


def test_a_reconstruction_that_breaks_the_subject_is_no_gain(opened: Open) -> None:
    # One word's feature overflows: where it stands, the loss is NaN and not 0.
    weights = exact().W_enc.clone()
    weights[TOKEN["salt"], TOKEN["salt"]] = 3e38
    assert plant.loudness("salt") > 1.2
    job = opened({"loud": replace(exact(), W_enc=weights), "exact": exact()}, loss_contexts=99)
    found, read = measured(job)["loud"], drawn(job)
    hit = [TOKEN["salt"] in tokens[1:-1] for tokens in read]
    assert any(hit) and not all(hit)
    assert np.isnan(found["substituted"]).tolist() == hit
    assert np.isfinite(found["clean"]).all()
    stage.run(job)
    rows = rows_of(job, "loud")
    for metric in ("loss_recovered", "loss_rise"):
        assert np.isnan([rows[metric]["value"], rows[metric]["low"], rows[metric]["high"]]).all()
        assert rows[metric]["unscored"] == 1


def test_losses_stand_beside_the_sketch(opened: Open) -> None:
    job = opened({"half": half()})
    stage.run(job)
    with safe_open(job.directory / "collect" / "half.safetensors", framework="pt") as handle:
        kept = json.loads(handle.metadata()["figures"])["losses"]
    assert kept == measured(job)["half"]
    contexts = pd.read_parquet(job.directory / "collect" / "contexts.parquet")
    assert len(kept["clean"]) == job.config.collect.loss_contexts == 32 < len(contexts)

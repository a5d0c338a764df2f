"""The planted subject keeps the contract of a subject, and what a run finds of its dictionaries is what is true."""

import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

import autointerp
from autointerp import assets
from autointerp.collect import prepare
from autointerp.collect.sketch import Sketch
from autointerp.config import CorpusConfig, SubjectConfig
from autointerp.corpus import text as corpus
from autointerp.corpus.text import Drawn
from autointerp.dictionaries import load_dictionary
from autointerp.errors import UserError
from autointerp.records import SPLITS
from autointerp.subjects.load import load
from autointerp.subjects.planted import WORDS, PlantedSubject, id_of, piece, vocabulary
from autointerp.subjects.rules import features_of
from tests import planted as plant

MODEL = "planted:planted/rules.toml"
HOOKS = ["rules", "superposed"]
FOLDER = assets.datasets() / "planted"
TEXTS = pd.read_parquet(assets.datasets() / "english/heldout.parquet")["text"].str[:500].tolist()[:8]
LENGTH, CONTEXTS = 64, 160


@cache
def shipped() -> PlantedSubject:
    found = load(SubjectConfig(model=MODEL, device="cpu"))
    assert isinstance(found, PlantedSubject)
    return found


@pytest.fixture
def subject() -> PlantedSubject:
    return shipped()


# Tokens


@given(st.text(st.characters(), max_size=60) | st.sampled_from(TEXTS))
@settings(max_examples=200, deadline=None)
def test_a_text_is_cut_into_tokens_that_decode_to_it(text: str) -> None:
    ids, pieces = shipped().encode(text)
    assert "".join(pieces) == text
    assert [piece(token) for token in ids] == pieces
    assert all(0 <= token < 2**31 for token in ids)  # as contexts are stored


def test_every_token_has_one_id() -> None:
    pieces = [*vocabulary()[0], "ŋ", " ŋ", "é", " é", "\U0010ffff"]
    ids = [id_of(text) for text in pieces]
    assert len(set(ids)) == len(ids)
    assert [piece(token) for token in ids] == pieces


def test_rare_words_are_cut_into_the_longest_known_beginnings(subject: PlantedSubject) -> None:
    known = vocabulary()[1]
    assert subject.encode(" dog")[1] == [" dog"]
    _, pieces = subject.encode(" dogxqwerty")
    assert len(pieces) > 1
    for at, first in enumerate(pieces):
        rest = "".join(pieces[at:])
        assert not any(rest[:size] in known for size in range(len(first) + 1, len(rest) + 1))


def test_another_process_makes_the_same_of_a_text(subject: PlantedSubject) -> None:
    text = TEXTS[0][:200]
    code = (
        "import sys; from autointerp.subjects.planted import PlantedSubject\n"
        "subject = PlantedSubject('planted/rules.toml'); ids = subject.encode(sys.argv[1])[0]\n"
        "print(ids, [v.double().sum().item() for v in subject.hidden([ids], len(ids), ['rules']).values()])"
    )
    told = subprocess.run([sys.executable, "-c", code, text], capture_output=True, text=True, check=True).stdout
    ids = subject.encode(text)[0]
    hidden = subject.hidden([ids], len(ids), ["rules"])["rules"]
    assert told.strip() == f"{ids} {[hidden.double().sum().item()]}"


# Rules on the tokens of the subject


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Drawn, dict[str, tuple[bool, ...]]]]:
    """What each rule says of the contexts of a run at its defaults."""
    config = CorpusConfig(path="english/heldout.parquet", trained_on=("english/train.parquet",))
    drawn = corpus.draw(config, shipped(), ["rules"], 0, {}, {}, tmp_path_factory.mktemp("scratch"))
    return [(one, {rule.id: rule.marks(one.pieces) for rule in shipped().rules.values()}) for one in drawn]


def test_every_rule_fires_in_twelve_documents_of_each_half_and_not_in_all(marked: Any) -> None:
    halves = Counter(drawn.context.split for drawn, _ in marked)
    for name in shipped().rules:
        firing = Counter(drawn.context.split for drawn, marks in marked if any(marks[name][1:]))
        for split in SPLITS:
            assert 12 <= firing[split] < 0.9 * halves[split], name


def test_an_excerpt_seldom_depends_on_what_lies_outside_of_it(marked: Any) -> None:
    """As judges see excerpts: windows of 32 tokens."""
    differing = fired = 0
    for drawn, marks in marked[:150]:
        for start in range(0, len(drawn.pieces) - 31, 32):
            window = slice(start, start + 32)
            for name, rule in shipped().rules.items():
                inside = marks[name][window]
                fired += sum(inside)
                differing += sum(a != b for a, b in zip(inside, rule.marks(drawn.pieces[window]), strict=True))
    assert fired > 5000
    assert differing < 0.08 * fired


# Hidden states


def test_a_hidden_state_does_not_depend_on_its_batch(subject: PlantedSubject) -> None:
    contexts = [subject.alone(text, 20 + 5 * number) for number, text in enumerate(TEXTS)]
    together = subject.hidden(contexts, LENGTH, HOOKS)
    for hook in HOOKS:
        assert together[hook].shape[:2] == (len(contexts), LENGTH)
        for row, tokens in enumerate(contexts):
            alone = subject.hidden([tokens], LENGTH, [hook])[hook][0]
            assert torch.equal(alone, together[hook][row])
            assert not alone[len(tokens) :].any()
            assert alone[: len(tokens)].any(dim=1).all()


def test_loudness_is_that_of_the_rules_where_they_fire_and_of_one_word(subject: PlantedSubject) -> None:
    ids, pieces = subject.encode(TEXTS[1])
    loudness = subject.loudness(ids)
    for number, rule in enumerate(subject.rules.values()):
        assert (loudness[:, number] > 0).tolist() == list(rule.marks(pieces))
    heard = loudness[loudness > 0]
    assert 0.375 <= float(heard.min()) < 0.75 and 2 < float(heard.max()) <= 3
    words = loudness[:, len(subject.rules) :]
    assert words.shape[1] == WORDS and ((words > 0).sum(dim=1) == 1).all()
    same = [at for at, text in enumerate(pieces) if text.strip().lower() == "the"]
    assert len({int(words[at].argmax()) for at in same}) == 1 < len(same)


def test_the_hook_rules_holds_each_rule_at_right_angles_to_all_else(subject: PlantedSubject) -> None:
    n, module = len(subject.rules), subject.model.get_submodule("rules")
    assert isinstance(module, torch.nn.Linear)
    products = module.weight.T @ module.weight
    torch.testing.assert_close(products[:n, :n], torch.eye(n), atol=1e-5, rtol=0)
    assert float(products[:n, n:].abs().max()) < 1e-5
    ids = subject.encode(TEXTS[2])[0]
    hidden = subject.hidden([ids], len(ids), ["rules"])["rules"][0] - module.bias
    torch.testing.assert_close(hidden @ module.weight[:, :n], subject.loudness(ids)[:, :n], atol=1e-5, rtol=0)


def test_the_hook_superposed_has_more_directions_than_dimensions(subject: PlantedSubject) -> None:
    module = subject.model.get_submodule("superposed")
    assert isinstance(module, torch.nn.Linear)
    d, n = module.weight.shape
    assert n > 4 * d
    cosines = (module.weight.T @ module.weight - torch.eye(n)).abs()
    assert float(module.weight.norm(dim=0).sub(1).abs().max()) < 1e-5
    assert 0.2 < float(cosines.max()) < 0.9


def test_shuffling_moves_directions_and_keeps_tokens(subject: PlantedSubject) -> None:
    ids = subject.encode(TEXTS[0])[0]
    one, same, other = (subject.shuffled(seed).hidden([ids], len(ids), HOOKS) for seed in (1, 1, 2))
    plain = subject.hidden([ids], len(ids), HOOKS)
    for hook in HOOKS:
        assert torch.equal(one[hook], same[hook])
        assert not torch.allclose(one[hook], other[hook]) and not torch.allclose(one[hook], plain[hook])


def test_rules_that_are_not_there_and_hooks_that_are_not_are_refused(subject: PlantedSubject) -> None:
    with pytest.raises(UserError, match=r"rules in nowhere\.toml, but there is no such file"):
        load(SubjectConfig(model="planted:nowhere.toml"))
    with pytest.raises(UserError, match="no such module"):
        subject.resolve("layers.3")


def test_a_run_notices_that_rules_changed(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_bytes((FOLDER / "rules.toml").read_bytes())
    before = prepare.fingerprint(f"planted:{path}")
    path.write_bytes(path.read_bytes().replace(b"red orange", b"red blue"))
    assert prepare.fingerprint(f"planted:{path}") != before


# Dictionaries, through a whole run


def tree() -> dict[str, Any]:
    return {
        "name": "planted",
        "subject": {"model": MODEL, "device": "cpu"},
        "corpus": {
            "path": "english/heldout.parquet",
            "trained_on": ["english/train.parquet"],
            "contexts": CONTEXTS,
            "context_length": LENGTH,
        },
        "dictionaries": {"exact": {"path": "planted/exact"}, "trained": {"path": "planted/trained"}},
        "collect": {"keep": 8},
        "evidence": {"features": 12, "pool": 32, "min_firing": 2, "bins": 2, "per_bin": 2, "negatives": 6},
        "explainers": {"lexical": {"kind": "lexical"}},
        "scorers": {"judge": plant.scripted("judge_ignoring", features=2)},
        "score": {"resamples": 100, "max_unscored": 1.0},
        "circularity": {"allow": "the judge is a function that looks at the text alone"},
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with both dictionaries and the lexical explainer; no model takes part."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOINTERP_CACHE", str(folder / "cache"))
        return autointerp.run(plant.write_config(folder / "planted.toml", tree()), out=folder / "runs").path


@pytest.fixture(scope="module")
def truth(run: Path) -> tuple[Tensor, Tensor]:
    """(loudness of rules, hidden states at `superposed`) at the counted positions of the run: all but each first."""
    subject = shipped()
    table = pq.read_table(run / "collect" / "contexts.parquet", columns=["tokens"]).to_pydict()["tokens"]
    assert len(table) == CONTEXTS
    loudness = torch.cat([subject.loudness(tokens)[1:, : len(subject.rules)] for tokens in table])
    hidden = [subject.hidden([tokens], len(tokens), ["superposed"])["superposed"][0, 1:] for tokens in table]
    return loudness, torch.cat(hidden)


def test_features_of_the_exact_dictionary_fire_as_their_rules_do(run: Path, truth: tuple[Tensor, Tensor]) -> None:
    sketch, loudness = Sketch.from_state(load_file(run / "collect" / "exact.safetensors")), truth[0]
    features = features_of(FOLDER / "exact")
    names = list(shipped().rules)
    assert sorted(features.values()) == sorted(names)
    assert sketch.n_positions == len(loudness)
    order = [names.index(rule) for rule in features.values()]
    rows = list(features)
    expected = loudness[:, order]
    assert sketch.fired[rows].tolist() == (expected > 0).sum(0).tolist()
    np.testing.assert_allclose(sketch.max[rows], expected.max(0).values, rtol=1e-4)
    np.testing.assert_allclose(sketch.sum[rows], expected.double().sum(0), rtol=1e-4)
    dead = sorted(set(range(sketch.width)) - set(rows))
    assert dead and not sketch.fired[dead].any()
    norms = load_dictionary("planted/exact").feature_norms
    assert float(norms.max() / norms.min()) > 2


def test_the_trained_dictionary_passes_its_gate_and_reads_the_rules_it_names(
    run: Path, truth: tuple[Tensor, Tensor]
) -> None:
    told = pd.read_csv(run / "report" / "dictionaries.csv").set_index(["dictionary", "metric"])["value"]
    dictionary = load_dictionary("planted/trained")
    assert dictionary.expected_l0
    assert told["trained", "explained_variance"] > 0.7
    assert dictionary.expected_l0 / 2 < told["trained", "l0"] < dictionary.expected_l0 * 2
    loudness, hidden = truth
    activations = dictionary.encode(hidden) * dictionary.feature_norms
    names, features = list(shipped().rules), features_of(FOLDER / "trained")
    assert len(set(features.values())) == len(features) > len(names) / 2
    said = pd.read_csv(FOLDER / "trained" / "features.csv")["correlation"]
    found = [
        np.corrcoef(activations[:, feature], loudness[:, names.index(rule)])[0, 1] for feature, rule in features.items()
    ]
    assert float(np.nanmedian(found)) == pytest.approx(said.median(), abs=0.1)


def test_a_run_ends_with_anchored_scores_and_a_report(run: Path) -> None:
    scores = pd.read_csv(run / "report" / "scores.csv")
    anchored = scores[(scores["metric"] == "lexical_floor.ap") & scores["value"].notna()]
    assert set(anchored["circularity"]) == {"A"}
    assert set(anchored["dictionary"]) == {"exact", "trained"}
    roles = pd.read_csv(run / "report" / "roles.csv", keep_default_na=False).set_index("role")
    assert roles.loc["subject", ["provider", "developer", "family"]].tolist() == ["autointerp", "autointerp", "planted"]
    assert (run / "report" / "index.html").stat().st_size > 0

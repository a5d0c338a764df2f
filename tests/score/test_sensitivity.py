"""Sensitivity on the planted subject: the rules are known, so what fires on a written text is, too."""

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from autointerp import toml
from autointerp.config import Generator
from autointerp.evidence import loudest
from autointerp.evidence.reader import DictionaryEvidence
from autointerp.job import Job
from autointerp.llm.protocol import Reply, Request
from autointerp.measure.scores import Base, score_features
from autointerp.pipeline import STAGES, do, open_job
from autointerp.records import Score, Verdict
from autointerp.score import sensitivity
from autointerp.score.cases import Case
from tests import planted
from tests.planted import RULES

TEXTS, NEAR = 4, 2
FEATURES = sorted(planted.SCORABLE)

# generators


def ruled(request: Request) -> list[str]:
    said = planted.description(request)
    return said.removeprefix("any of: ").split(", ")


def writes_what_is_described(request: Request) -> dict[str, list[str]]:
    """Texts that hold a word of the rule, not at their first place, and near misses that hold none."""
    words = ruled(request)
    texts = [f"the {words[at % len(words)]} and {planted.FILLERS[at]}" for at in range(TEXTS)]
    return {"texts": texts, "near_misses": ["one old comet", "many of one"]}


def writes_it_at_the_start(request: Request) -> dict[str, list[str]]:
    words = ruled(request)
    return {"texts": [f"{words[0]} with {filler}" for filler in ("old", "many")], "near_misses": []}


def repeats_itself(request: Request) -> dict[str, list[str]]:
    words = ruled(request)
    texts = [f"a {words[0]}", f"a {words[0]}", " ", "", f"one {words[0]}"]
    return {"texts": texts, "near_misses": ["one old", "one old", "  "]}


def writes_too_much(request: Request) -> dict[str, list[str]]:
    return {"texts": [f"a {ruled(request)[0]} {word}" for word in planted.FILLERS], "near_misses": ["one", "old", "a"]}


def writes_blanks(request: Request) -> dict[str, list[str]]:
    return {"texts": ["", "  \n"], "near_misses": ["one old"]}


def refuses(request: Request) -> Reply:
    return Reply("", "m", None, "the model refused")


def refuses_once(request: Request) -> Any:
    return writes_what_is_described(request) if request.sample else refuses(request)


def writes_strangely(request: Request) -> dict[str, list[str]]:
    word = ruled(request)[0]
    texts = [f"the {word} \ud800", f"the \u2028 {word}", f"the \x00 {word} <eos>", f"<pad> {word}", "\udfff"]
    return {"texts": texts, "near_misses": []}


# the subject and its evidence


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    folder = tmp_path_factory.mktemp("planted")
    tree = planted.settings(planted.plant(folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOINTERP_CACHE", str(folder / "cache"))
        found = open_job(toml.build(tree, "test"), folder / "runs")
        for name in ("collect", "evidence"):
            do(found, name, STAGES[name])
        yield found
        found.close()


@pytest.fixture(scope="module")
def evidence(job: Job) -> dict[str, DictionaryEvidence]:
    return {
        "rules": DictionaryEvidence(job.directory / "evidence", "rules", job.directory.facts("collect")["split_hash"])
    }


def role(script: str, **given: Any) -> Generator:
    given = {"texts": TEXTS, "near_misses": NEAR} | given
    return Generator(provider="scripted", model=f"{__name__}:{script}", **given)


def case(feature: int, other: int | None = None) -> Case:
    """A feature with its own rule, or with that of another one as its shuffled explanation."""
    words = ", ".join(RULES[feature if other is None else other])
    return Case("rules", feature, "ann", "none" if other is None else "shuffled", f"any of: {words}")


def written(
    job: Job, evidence: dict[str, DictionaryEvidence], script: str, cases: list[Case], **given: Any
) -> list[Verdict]:
    asks = role(script, **given)
    job.clients.pop("generator writer", None)
    return sensitivity.verdicts(job, "writer", asks, cases, evidence)


def scored(verdicts: list[Verdict]) -> list[Score]:
    bases = {(v.dictionary, v.feature): Base(0.1) for v in verdicts}
    return score_features(verdicts, bases, 0.2, seed=0)


def values(scores: list[Score], metric: str, control: str = "none") -> dict[int, float]:
    return {s.feature: s.value for s in scores if (s.metric, s.control) == (f"sensitivity.{metric}", control)}


def test_what_is_described_fires_and_what_comes_near_it_does_not(
    job: Job, evidence: dict[str, DictionaryEvidence]
) -> None:
    others = FEATURES[1:] + FEATURES[:1]  # no rule of one shares a word with that of the next
    cases = [case(f) for f in FEATURES] + [case(f, other) for f, other in zip(FEATURES, others, strict=True)]
    scores = scored(written(job, evidence, "writes_what_is_described", cases))
    assert values(scores, "generated") == values(scores, "generated_strong") == dict.fromkeys(FEATURES, 1.0)
    assert values(scores, "near_miss") == dict.fromkeys(FEATURES, 0.0)
    # Under another rule only "the" fires: in one of four texts, which all begin with one that does not count.
    shuffled = {f: 0.25 * (RULES[f] == ("the",)) for f in FEATURES}
    assert values(scores, "generated", "shuffled") == shuffled
    assert values(scores, "generated.minus_shuffled") == {f: 1 - shuffled[f] for f in FEATURES}


def test_a_value_is_the_share_of_the_maximum(job: Job, evidence: dict[str, DictionaryEvidence]) -> None:
    feature = RULES.index(("drum", "flute", "choir", "song", "violin"))
    found = [v for v in written(job, evidence, "writes_what_is_described", [case(feature)]) if v.stratum == "text"]
    maximum = evidence["rules"].by_feature[feature].max_activation
    loudness = [planted.activation(feature, word) for word in ("drum", "flute", "choir", "song")]
    assert [v.activation for v in found] == pytest.approx(loudness, rel=1e-5)
    assert [v.value for v in found] == pytest.approx([one / maximum for one in loudness], rel=1e-5)
    assert [v.item for v in found] == ["text 0", "text 1", "text 2", "text 3"]


def test_a_word_at_the_first_place_of_a_text_does_not_count(job: Job, evidence: dict[str, DictionaryEvidence]) -> None:
    scores = scored(written(job, evidence, "writes_it_at_the_start", [case(f) for f in FEATURES]))
    assert set(values(scores, "generated").values()) == {0.0}


def test_originals_are_excerpts_encoded_as_texts_of_their_own(
    job: Job, evidence: dict[str, DictionaryEvidence]
) -> None:
    found = list(sensitivity.originals(job, evidence, [case(f) for f in FEATURES]))
    for feature in FEATURES:
        items = [i for i in evidence["rules"].by_feature[feature].items["score"] if i.fires]
        mine = [v for v in found if v.feature == feature]
        assert [(v.item, v.weight) for v in mine] == [(item.excerpt.id, item.weight) for item in items]
        for verdict, item in zip(mine, items, strict=True):
            # What stood in the middle of a context now stands first, and does not count.
            words = item.excerpt.text.split()[1:]
            loudest = max(planted.activation(feature, word) for word in words)
            assert verdict.activation == pytest.approx(loudest, rel=1e-5)
            assert verdict.fires == (loudest > 0)
        assert all(v.stratum == "original" and v.scorer == v.explainer == "" for v in mine)
    lost = [v for v in found if not v.fires]
    assert lost, "no excerpt lost its only firing to the first place: the test shows nothing"


def test_originals_are_measured_once_for_a_feature(job: Job, evidence: dict[str, DictionaryEvidence]) -> None:
    once = list(sensitivity.originals(job, evidence, [case(1)]))
    assert list(sensitivity.originals(job, evidence, [case(1), case(1, 3), case(1)])) == once


def test_the_normalised_rate_is_a_multiple_of_that_on_originals(
    job: Job, evidence: dict[str, DictionaryEvidence]
) -> None:
    cases = [case(f) for f in FEATURES]
    verdicts = written(job, evidence, "writes_what_is_described", cases)
    scores = scored([*verdicts, *sensitivity.originals(job, evidence, cases)])
    original = values(scores, "original")
    assert min(original.values()) < 1
    assert values(scores, "normalised") == {f: pytest.approx(1 / original[f]) for f in FEATURES}


# what generators write


def test_duplicates_and_blanks_are_dropped(job: Job, evidence: dict[str, DictionaryEvidence]) -> None:
    found = written(job, evidence, "repeats_itself", [case(1)], texts=5, near_misses=3)
    assert [(v.stratum, v.item) for v in found] == [
        ("text", "text 0"),
        ("text", "text 1"),
        ("near_miss", "near_miss 0"),
    ]


def test_more_texts_than_were_asked_for_are_cut(job: Job, evidence: dict[str, DictionaryEvidence]) -> None:
    found = written(job, evidence, "writes_too_much", [case(1)])
    assert [v.stratum for v in found] == ["text"] * TEXTS + ["near_miss"] * NEAR
    found = written(job, evidence, "writes_too_much", [case(1)], near_misses=0)
    assert [v.stratum for v in found] == ["text"] * TEXTS


@pytest.mark.parametrize(
    ("script", "reason"), [("refuses", "the model refused"), ("writes_blanks", "the generator wrote no text")]
)
def test_without_a_text_the_score_is_unscored_for_its_reason(
    job: Job, evidence: dict[str, DictionaryEvidence], script: str, reason: str
) -> None:
    scores = scored(written(job, evidence, script, [case(1), case(3)]))
    for feature in (1, 3):
        (score,) = [s for s in scores if (s.feature, s.metric) == (feature, "sensitivity.generated")]
        assert math.isnan(score.value)
        assert (score.n, score.unscored, score.reason) == (0, 1, reason)


def test_a_generator_is_asked_once_more(job: Job, evidence: dict[str, DictionaryEvidence]) -> None:
    found = written(job, evidence, "refuses_once", [case(1)])
    assert not [v for v in found if v.reason]
    assert len(found) == TEXTS + NEAR


def test_whatever_is_written_is_measured(job: Job, evidence: dict[str, DictionaryEvidence]) -> None:
    found = written(job, evidence, "writes_strangely", [case(1)], texts=5)
    assert [v.fires for v in found] == [True, True, True, True, False]


def test_features_with_one_explanation_share_their_texts(
    job: Job, evidence: dict[str, DictionaryEvidence], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Request] = []

    def counting(request: Request) -> Any:
        asked.append(request)
        return writes_what_is_described(request)

    monkeypatch.setitem(globals(), "counting", counting)
    found = written(job, evidence, "counting", [case(7), case(8, 7), case(10, 7)], max_tokens=777)
    assert len(asked) == 1
    assert {(v.feature, v.fires) for v in found if v.stratum == "text"} == {(7, True), (8, False), (10, False)}


def test_the_request_says_what_is_wanted_as_one_line_of_json() -> None:
    asks = role("refuses", texts=7, near_misses=0)
    content = sensitivity.request('a "quoted"\nline [[x]]', asks, sensitivity.rubric.load(asks.rubric)).content
    assert "\n" not in content
    assert json.loads(content) == {"description": 'a "quoted"\nline [ [x] ]', "texts": 7, "near_misses": 0}


def test_a_text_longer_than_a_context_is_cut(job: Job, evidence: dict[str, DictionaryEvidence]) -> None:
    late = "the " * planted.LENGTH + "horse"
    soon = "the horse " + "the " * planted.LENGTH
    found = sensitivity.measured(job, [("rules", 1, late), ("rules", 1, soon)])
    assert found == [0.0, pytest.approx(planted.activation(1, "horse"), rel=1e-5)]


def test_texts_are_measured_alike_alone_and_among_others(job: Job) -> None:
    texts = [
        ("rules", f, f"the {word} and {filler}") for f in FEATURES for word in RULES[f] for filler in planted.FILLERS
    ]
    together = sensitivity.measured(job, texts)
    assert len({text for _, _, text in texts}) > loudest.TEXTS_AT_ONCE
    some = np.random.default_rng(0).permutation(len(texts))[:20]
    assert [together[at] for at in some] == [sensitivity.measured(job, [texts[at]])[0] for at in some]

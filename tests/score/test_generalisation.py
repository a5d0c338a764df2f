"""Generalisation of a planted subject whose words are in two languages: what carries over is known."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import autointerp
from autointerp import config as configuration
from autointerp import toml
from autointerp.corpus.concepts import read
from autointerp.errors import UserError
from autointerp.evidence.reader import DictionaryEvidence
from autointerp.job import Job
from autointerp.measure.intervals import wilson
from autointerp.pipeline import STAGES, do, open_job
from autointerp.score import generalisation
from tests import planted

# "English" is a word alone, "loud" the same word twice: features fire on both, or on neither.
FORMS = {"plain": "the {}", "loud": "the {} and {}"}


def members(folder: Path) -> Path:
    """Every word of every topic is a document, in two forms; a topic is a concept."""
    rows = [
        {"document": word, "concept": topic, "form": form, "text": text.format(word, word)}
        for topic, words in planted.TOPICS.items()
        for word in words
        for form, text in FORMS.items()
    ]
    path = folder / "words.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    folder = tmp_path_factory.mktemp("generalisation")
    tree = planted.settings(planted.plant(folder)) | {"generalisation": {"path": str(members(folder))}}
    opened = open_job(toml.build(tree, "test"), folder / "runs")
    for name in ("collect", "evidence"):
        do(opened, name, STAGES[name])
    yield opened
    opened.close()


def name_of(job: Job) -> str:
    return next(iter(job.config.dictionaries))


def test_the_activation_of_a_member_is_the_largest_of_its_words(job: Job) -> None:
    """Against the planted rules, worked out by hand: the first position does not count, so "the" never fires."""
    assert job.config.generalisation is not None
    found = read(job.config.generalisation)
    name = name_of(job)
    dense = generalisation.by_member(job, found, [name])[name].toarray()
    for row, member in zip(dense, found, strict=True):
        words = member.text.split()[1:]
        expected = [max(planted.activation(f, word) for word in words) for f in range(len(planted.RULES))]
        np.testing.assert_allclose(row, expected, atol=1e-5)


def test_a_feature_of_one_topic_finds_it_and_carries_over(job: Job) -> None:
    evidence = DictionaryEvidence(
        job.directory / "evidence", name_of(job), job.directory.facts("collect")["split_hash"]
    )
    found, facts = generalisation.run(job, {name_of(job): evidence})
    assert facts == {"members": {"loud": 25, "plain": 25}, "left_out": {}}
    by_feature = {one.feature: one for one in found}
    assert sorted(by_feature) == sorted(evidence.alive)
    music = planted.RULES.index(planted.TOPICS["music"])
    values = by_feature[music].values
    assert by_feature[music].concept == "music"
    assert values["auroc", "none"] == values["auroc_home", "none"] == 1.0
    assert values["fire_rate", "none"] == 1.0 and values["fire_rate", "distractors"] == 0.0
    assert values["auroc", "permuted"] > 0.5
    assert all(
        score.circularity == "A" and score.explainer == score.scorer == "" for score in by_feature[music].scores()
    )
    # "the" stands at the first position of every member and nowhere else: the feature finds nothing here.
    the = by_feature[planted.RULES.index(("the",))]
    assert the.concept == "" and {score.reason for score in the.scores()} == {generalisation.NO_CONCEPT}
    assert all(np.isnan(score.value) for score in the.scores())


def test_the_same_numbers_come_out_whatever_the_batch(job: Job) -> None:
    assert job.config.generalisation is not None
    found = read(job.config.generalisation)
    name = name_of(job)
    whole = generalisation.by_member(job, found, [name])[name]
    alone = np.stack([generalisation.by_member(job, [member], [name])[name].toarray()[0] for member in found])
    # A matrix of one row may be multiplied by other code than one of many, which on some processors rounds otherwise.
    np.testing.assert_allclose(whole.toarray(), alone, rtol=1e-6)
    assert ((whole.toarray() > 0) == (alone > 0)).all()


def test_a_run_writes_what_it_found_and_the_report_shows_it(tmp_path: Path) -> None:
    tree = planted.settings(planted.plant(tmp_path)) | {"generalisation": {"path": str(members(tmp_path))}}
    config = toml.build(tree, "test")
    run = autointerp.run(config, out=tmp_path / "runs")
    scores, dictionaries = run.scores(), run.dictionaries()
    carried = scores[scores["metric"] == "generalisation.carries_over"]
    known = carried.dropna(subset=["value"])
    of_dictionary = dictionaries[dictionaries["metric"] == "generalisation.carries_over"]
    assert of_dictionary["value"].tolist() == pytest.approx([known["value"].mean()])
    low, high = wilson(int(known["value"].sum()), len(known))
    assert of_dictionary[["low", "high"]].to_numpy().tolist() == [pytest.approx([low, high])]
    assert of_dictionary["n"].tolist() == [len(known)]
    assert of_dictionary["unscored"].tolist() == [len(carried) - len(known)]
    assert set(of_dictionary["circularity"]) == {"A"}
    assert "generalisation.p" in set(scores["metric"]) and "generalisation.p" not in set(dictionaries["metric"])
    concepts = pd.read_parquet(run.path / "concepts.parquet")
    assert set(concepts["concept"]) <= {*planted.TOPICS, ""}
    assert 'id="generalisation"' in run.report.read_text("utf-8")
    # another list is another measurement: the score stage runs again, and only from there
    (tmp_path / "words.csv").write_text((tmp_path / "words.csv").read_text().replace("violin", "tide"), "utf-8")
    job = open_job(config, tmp_path / "runs")
    assert "concept list" in str(job.directory.stale("score", STAGES["score"].inputs(job)))
    job.close()


def test_what_trained_a_dictionary_or_is_not_read_is_left_out(job: Job, tmp_path: Path) -> None:
    rows = pd.read_csv(members(tmp_path))
    (tmp_path / "train.txt").write_text("the tide\n\nthe cow", "utf-8")
    rows["image"] = None
    rows.loc[len(rows)] = ["boat", "sea", "drawn", None, b"a picture"]
    rows.loc[len(rows)] = ["cow", "farm", "drawn", None, b"a picture"]
    rows.to_parquet(tmp_path / "list.parquet")
    of_list = configuration.GeneralisationConfig(path=str(tmp_path / "list.parquet"))
    corpus = job.config.corpus.model_copy(update={"trained_on": (str(tmp_path / "train.txt"),)})
    other = Job(job.config.model_copy(update={"corpus": corpus, "generalisation": of_list}), job.directory)
    found = generalisation.readable(other, of_list)
    assert found.left_out == {"trained": 5, "not read": 1}
    assert {"tide", "cow"}.isdisjoint(member.document for member in found.members)
    few = configuration.GeneralisationConfig(path=str(tmp_path / "list.parquet"), forms=("plain", "drawn"))
    with pytest.raises(UserError, match="of its 27 members 23 are left, not two halves in two forms"):
        generalisation.readable(other, few)
    other.close()

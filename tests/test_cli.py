"""Exit codes and sentences: what you asked, what I found, what to do next; one line, no traceback."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autointerp import assets, cli
from autointerp.errors import WorkPending
from tests import forks
from tests import planted as plant
from tests.planted import Planted

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return plant.plant(tmp_path_factory.mktemp("planted"))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """The command line, in this process and in a folder of its own."""
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    plant.asked.clear()

    def call(*words: object) -> Ended:
        monkeypatch.setattr("sys.argv", ["autointerp", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture
def tree(planted: Planted) -> dict[str, Any]:
    return plant.settings(planted)


@pytest.fixture
def config(tmp_path: Path, tree: dict[str, Any]) -> Path:
    return plant.write_config(tmp_path / "planted.toml", tree)


def sentence(ended: Ended) -> str:
    """What a user's mistake leaves on stderr: exit 2 and one sentence of three parts."""
    assert ended.code == 2, ended
    assert ended.err.endswith(".\n")
    assert ended.err.count("\n") == 1, ended.err
    assert "Traceback" not in ended.err
    assert re.fullmatch(r"You .+, but .+: .+\.", ended.err.strip())
    return ended.err


# the config


def test_a_missing_config(command: Command) -> None:
    assert "there is no such file" in sentence(command("run", "nowhere.toml"))


def test_a_config_that_is_a_folder(command: Command, tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    assert "it is a folder" in sentence(command("run", tmp_path / "folder.toml"))


@pytest.mark.parametrize("content", [b"name = \n", b"\xff\xfe", b"[a\n", b'{"name": "x"}'])
def test_a_config_that_is_not_toml(content: bytes, command: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_bytes(content)
    assert "not valid TOML" in sentence(command("run", tmp_path / "bad.toml"))


def test_an_unknown_preset_lists_the_presets(command: Command) -> None:
    said = sentence(command("run", "demo-txt"))
    for preset in assets.presets():
        assert preset in said
    assert "demo-text" in said


@pytest.mark.parametrize(
    ("key", "path", "nearest"),
    [
        ("evidence.windows=8", "evidence.windows", "window"),
        ("sede=1", "sede", "seed"),
        ("corpus.context_lenght=8", "corpus.context_lenght", "context_length"),
        ("dictionaries.rules.hok=x", "dictionaries.rules.hok", "hook"),
        ("explainers.lexical.wrods=3", "explainers.lexical.wrods", "words"),
        ("explainers.knows.modle=x", "explainers.knows.modle", "model"),
        ("scorers.judge.itmes=3", "scorers.judge.itmes", "items"),
    ],
)
def test_an_unknown_key_names_the_nearest(key: str, path: str, nearest: str, command: Command, config: Path) -> None:
    said = sentence(command("run", config, "--set", key))
    assert f"{path} is not a known key; the nearest is '{nearest}'" in said


@pytest.mark.parametrize("word", ["run", "check", "collect", "report"])
def test_an_unknown_key_in_the_file_is_refused_by_every_command(
    word: str, command: Command, tmp_path: Path, tree: dict[str, Any]
) -> None:
    tree["scorers"]["judge"]["iteems"] = 3
    said = sentence(command(word, plant.write_config(tmp_path / "bad.toml", tree)))
    assert "scorers.judge.iteems" in said
    assert "'items'" in said


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("corpus.contexts=many", "corpus.contexts = 'many'"),
        ("corpus.explain_share=1.5", "corpus.explain_share = 1.5"),
        ("seed=-1", "seed = -1"),
        ("name='a b'", "name = 'a b'"),
        ("circularity.worst='F'", "circularity.worst = 'F'"),
        ("circularity.allow='no'", "circularity.allow = 'no'"),
        (
            "explainers.knows.kind='magic'",
            "explainers.knows needs kind = one of 'given', 'lexical', 'llm', 'rule', and there is no 'magic'",
        ),
        ("evidence.picked.roles=[1]", "evidence.picked names 'roles', which is not one of ['rules']"),
        ("scorers.judge.explainers=['me']", "scorers.judge.explainers names 'me'"),
        ("seed", "that is not key=value"),
        ("=3", "that is not key=value"),
        ("seed.deep=3", "'seed' is a value, not a table"),
    ],
)
def test_a_wrong_override(setting: str, found: str, command: Command, config: Path) -> None:
    assert found in sentence(command("run", config, "--set", setting))


@pytest.mark.parametrize("role", ["explainers", "scorers"])
def test_explainer_and_scorer_have_no_default(
    role: str, command: Command, tmp_path: Path, tree: dict[str, Any]
) -> None:
    del tree[role]
    assert f"{role} is missing" in sentence(command("run", plant.write_config(tmp_path / "bad.toml", tree)))


def test_a_window_longer_than_the_context(command: Command, config: Path) -> None:
    said = sentence(command("run", config, "--set", "evidence.window=32"))
    assert "evidence.window = 32 is longer than corpus.context_length = 16" in said


def test_usage_errors_end_with_2(command: Command) -> None:
    for words in (("run",), ("fly", "demo-text"), ("run", "demo-text", "--sett", "a=1")):
        ended = command(*words)
        assert ended.code == 2
        assert "--help" in ended.err
        assert "Traceback" not in ended.err


def test_help_and_nothing_to_say(command: Command) -> None:
    assert command("--help").code == 0
    assert "run" in command("run", "--help").out


# what the config names


def test_a_missing_corpus(command: Command, config: Path) -> None:
    for word in ("run", "check"):
        said = sentence(command(word, config, "--set", "corpus.path=nowhere.jsonl"))
        assert "'nowhere.jsonl', but there is no such file" in said


def test_a_missing_dictionary(command: Command, config: Path) -> None:
    for word in ("run", "check"):
        assert "but there is no" in sentence(command(word, config, "--set", "dictionaries.rules.path=nowhere"))


def test_a_missing_subject(command: Command, config: Path, tmp_path: Path) -> None:
    (tmp_path / "hollow").mkdir()
    said = sentence(command("run", config, "--set", f"subject.model={tmp_path / 'hollow'}"))
    assert "transformers cannot load it" in said


def test_a_missing_rubric(command: Command, config: Path) -> None:
    assert "use one of detection, detection_images, explain" in sentence(
        command("check", config, "--set", "scorers.judge.rubrics.detection=intent")
    )


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "it holds no text"),
        (b'{"text": "  "}\n', "it holds no text"),
        (b'{"words": "a"}\n', "has the columns words"),
        (b'{"text": "a"}\n{"text": \n', "line 2 is not JSON"),
        (b'{"text": "caf\xe9"}\n', "is not UTF-8"),
        (b'{"text": "the old boat"}\n' * 3, "which needs at least 2"),
    ],
)
def test_a_corpus_that_is_no_use(content: bytes, found: str, command: Command, config: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    assert found in sentence(command("run", config, "--set", f"corpus.path={path}"))


def test_too_few_documents(command: Command, config: Path, tmp_path: Path, planted: Planted) -> None:
    lines = (planted.folder / "corpus.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "few.jsonl").write_text("".join(lines[:2]))
    said = sentence(command("run", config, "--set", f"corpus.path={tmp_path / 'few.jsonl'}"))
    assert "its 2 documents leave" in said


def test_a_wrong_hook_lists_the_nearest(command: Command, config: Path) -> None:
    said = sentence(command("run", config, "--set", "dictionaries.rules.hook=model.embed_token"))
    assert "the nearest are ['model.embed_tokens'" in said


def test_a_dictionary_for_another_width_of_the_subject(command: Command, config: Path, tmp_path: Path) -> None:
    tensors = plant.weights()
    smaller = {"W_enc": tensors["W_enc"][:8], "W_dec": tensors["W_dec"][:, :8], "b_dec": tensors["b_dec"][:8]}
    path = plant.write_dictionary(
        tmp_path / "small", {name: (tensors | smaller)[name].contiguous() for name in tensors}
    )
    said = sentence(command("run", config, "--set", f"dictionaries.rules.path={path}"))
    assert f"it reads 8 dimensions and the hook gives {len(plant.VOCABULARY)}" in said


def test_a_dictionary_whose_config_says_another_width(command: Command, config: Path, tmp_path: Path) -> None:
    path = plant.write_dictionary(tmp_path / "wide", d_sae=1024)
    said = sentence(command("run", config, "--set", f"dictionaries.rules.path={path}"))
    assert f"cfg.json says d_sae = 1024 and W_enc has {len(plant.RULES)}" in said


def test_a_corrupt_dictionary(command: Command, config: Path, tmp_path: Path) -> None:
    path = plant.write_dictionary(tmp_path / "torn")
    weights = path / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    said = sentence(command("run", config, "--set", f"dictionaries.rules.path={path}"))
    assert "sae_weights.safetensors is not readable" in said


def test_a_folder_that_is_no_dictionary(command: Command, config: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("hello")
    said = sentence(command("run", config, "--set", f"dictionaries.rules.path={tmp_path / 'other'}"))
    assert "its files fit no known format (notes.txt)" in said


def test_an_unknown_provider(command: Command, config: Path) -> None:
    said = sentence(command("run", config, "--set", "scorers.judge.provider=antropic"))
    assert "write 'anthropic'" in said


def test_a_script_that_is_not_there(command: Command, config: Path) -> None:
    said = sentence(command("run", config, "--set", "scorers.judge.model=tests.planted:judge_nobody"))
    assert "it cannot be imported" in said


# explanations from a file


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("dictionary,feature\nrules,0\n", "the column 'explanation' is not there"),
        ("dictionary,feature,explanation\nrules,0,a\nrules,0,b\n", "feature 0 of rules has more than one"),
        ("", "they cannot be read"),
        ("dictionary,feature,explanation\nrules,zero,a\n", "'zero' is not the number of a feature"),
    ],
)
def test_given_explanations_that_are_no_use(
    content: str, found: str, command: Command, tmp_path: Path, tree: dict[str, Any]
) -> None:
    (tmp_path / "given.csv").write_text(content)
    tree["explainers"] = {"knows": {"kind": "given", "path": str(tmp_path / "given.csv"), "author": "human"}}
    assert found in sentence(command("run", plant.write_config(tmp_path / "given.toml", tree)))


def test_given_explanations_are_scored_and_the_missing_ones_say_so(
    command: Command, tmp_path: Path, tree: dict[str, Any]
) -> None:
    rows = ["dictionary,feature,explanation", 'rules,0,"any of: boat, wave, sail"', 'rules,1,"any of: cow, horse"']
    (tmp_path / "given.csv").write_text("\n".join(rows) + "\n")
    tree["explainers"] = {"knows": {"kind": "given", "path": str(tmp_path / "given.csv"), "author": "human"}}
    ended = command("run", plant.write_config(tmp_path / "given.toml", tree))
    assert ended.code == 3  # all but two features have none
    scores = pd.read_csv("runs/planted/report/scores.csv", keep_default_na=False)
    own = scores.query("metric == 'detection.ap' and control == 'none'").set_index("feature")
    assert own.loc[[0, 1], "value"].tolist() == ["1", "1"]
    assert own.loc[3, "unscored_reason"] == "the file has no explanation for it"
    roles = pd.read_csv("runs/planted/report/roles.csv", keep_default_na=False).set_index("role")
    assert roles.loc["explainer knows", "resolved"] == "human"


# circularity


def test_circularity_is_refused_before_anything_is_loaded_or_asked(
    command: Command, tmp_path: Path, tree: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object) -> None:
        raise AssertionError("the subject was loaded")

    monkeypatch.setattr("autointerp.job.load", load)
    del tree["circularity"]
    config = plant.write_config(tmp_path / "circular.toml", tree)
    for word in ("run", "collect", "check"):
        ended = command(word, config)
        assert ended.code == 1
        assert ended.err.count("\n") == 1
        assert "no number be graded worse than B" in ended.err
        assert "'knows' judged by 'judge' would be graded C" in ended.err
        assert "circularity.allow" in ended.err
    assert not plant.asked
    assert not list(Path.cwd().iterdir())


def test_one_model_in_two_roles_is_graded_d_and_the_policy_may_say_so(
    command: Command, tmp_path: Path, tree: dict[str, Any]
) -> None:
    tree["scorers"] = {"judge": plant.scripted("explain_knowing")}
    tree["circularity"] = {"worst": "C"}
    ended = command("run", plant.write_config(tmp_path / "circular.toml", tree))
    assert ended.code == 1
    assert "would be graded D" in ended.err
    tree["circularity"] = {"worst": "D"}
    assert command("check", plant.write_config(tmp_path / "circular.toml", tree)).code == 0


def test_an_allowed_circularity_gives_its_reason_on_the_page(command: Command, config: Path) -> None:
    reason = "a judge of no lineage is all this rehearsal has"
    assert command("run", config, "--set", f"circularity.allow={reason}").code == 0
    page = Path("runs/planted/report/index.html").read_text("utf-8")
    assert reason in page
    roles = pd.read_csv("runs/planted/report/roles.csv", keep_default_na=False).set_index("role")
    assert not roles.loc["scorer judge", "known"]
    assert roles.loc["scorer judge", "developer"] == "unknown"


# features chosen by hand


def test_a_picked_feature_out_of_range(command: Command, config: Path) -> None:
    said = sentence(command("run", config, "--set", "evidence.picked={rules=[3, 16]}"))
    assert "You picked feature 16 of 'rules', but it has the features 0 to 15" in said


def test_a_picked_feature_that_never_fires_gives_a_report_that_says_so(command: Command, config: Path) -> None:
    dead = next(feature for feature, rule in enumerate(plant.RULES) if feature in plant.DEAD)
    picked = ("--set", "evidence.features=0", "--set", f"evidence.picked={{rules=[{dead}]}}")
    assert command("run", config, *picked).code == 0
    features = pd.read_csv("runs/planted/report/features.csv")
    assert features["dead"].tolist() == [True]


def test_picked_features_are_labelled_everywhere(command: Command, config: Path) -> None:
    picked = ("--set", "evidence.features=0", "--set", "evidence.picked={rules=[6, 0, 2]}")
    assert command("run", config, *picked).code == 0
    features = pd.read_csv("runs/planted/report/features.csv", keep_default_na=False)
    assert set(features["feature"]) == {6, 0, 2}
    assert set(features["selected_by"]) == {"hand-picked"}
    assert features.set_index("feature").loc[2, "dead"]
    assert "hand-picked" in Path("runs/planted/report/index.html").read_text("utf-8")


# check, and how a run ends


def test_check_shows_the_plan_and_creates_nothing(command: Command, config: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    ended = command("check", config)
    assert ended.code == 0
    for shown in ("collect", "evidence", "explain", "score", "report", "requests", "input tokens", "price", "unknown"):
        assert shown in ended.out
    assert re.search(r"knows\W+judge\W+C ", ended.out)
    # 16 features, once with their own and once with another's explanation: 32 cases of up to 18 items, 5 a request
    assert re.search(r"score\W+judge: detection by tests.planted:judge_knowing\W+256\W", ended.out)
    assert re.search(r"explain\W+knows: tests.planted:explain_knowing\W+16\W", ended.out)
    assert sorted(tmp_path.rglob("*")) == before
    assert not plant.asked


def test_check_bounds_what_a_run_asks(command: Command, config: Path) -> None:
    assert command("run", config).code == 0
    costs = pd.read_csv("runs/planted/report/costs.csv").set_index("role")["requests"]
    assert 0 < costs["scorer judge"] <= 256
    assert 0 < costs["explainer knows"] <= 16


def test_two_configs_in_one_command(command: Command, tmp_path: Path, tree: dict[str, Any]) -> None:
    one = plant.write_config(tmp_path / "one.toml", tree)
    two = plant.write_config(tmp_path / "two.toml", tree | {"name": "second", "seed": 5})
    ended = command("run", one, two, "--out", tmp_path / "elsewhere")
    assert ended.code == 0
    assert ended.out.count("report: ") == 2
    for name in ("planted", "second"):
        assert (tmp_path / "elsewhere" / name / "report" / "index.html").exists()
    assert not list(Path.cwd().iterdir())


def test_more_unscored_than_allowed_ends_with_3_every_time(
    command: Command, tmp_path: Path, tree: dict[str, Any]
) -> None:
    tree["score"]["max_unscored"] = 0.05
    config = plant.write_config(tmp_path / "strict.toml", tree)
    for _ in range(2):
        ended = command("run", config)
        assert ended.code == 3
        assert ended.err.startswith("Done, but 1 of 12 features have no detection.ap")
        assert ended.err.count("\n") == 1
    assert command("run", config, "--set", "score.max_unscored=0.1").code == 0


def test_a_judge_that_turns_out_to_be_the_subject_ends_with_1(
    command: Command, tmp_path: Path, tree: dict[str, Any]
) -> None:
    tree["explainers"] = {"lexical": {"kind": "lexical"}}
    tree["scorers"] = {"judge": plant.scripted("judge_disguised")}
    tree["circularity"] = {"worst": "C"}  # as requested, the lineages are unknown
    config = plant.write_config(tmp_path / "disguised.toml", tree)
    ended = command("run", config)
    assert ended.code == 1
    assert "no number be graded worse than C and some are graded E" in ended.err
    assert Path("runs/planted/report/index.html").exists()
    assert command("run", config, "--set", "circularity.allow='it is a test'").code == 0


def test_an_interrupt_ends_with_130(command: Command, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("autointerp.score.llm.judge", stop)
    ended = command("run", config)
    assert ended.code == 130
    assert ended.err == "Interrupted; nothing is lost: run the same command again.\n"
    done = json.loads(Path("runs/planted/manifest.json").read_text())["stages"]
    assert set(done) == {"collect", "evidence", "explain"}


def test_work_that_is_left_ends_with_75(command: Command, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise WorkPending("you asked a model", "it is down", "run the same command again")

    with monkeypatch.context() as down:
        down.setattr("autointerp.score.llm.judge", stop)
        ended = command("run", config)
    assert ended.code == 75
    assert ended.err == "You asked a model, but it is down: run the same command again.\n"
    assert command("run", config).code == 0


# the first config, and what is missing


def test_init_writes_a_config_and_says_what_to_do_next(command: Command, planted: Planted) -> None:
    own = ("--subject", "google/gemma-2-2b", "--dictionary", planted.folder / "dictionary")
    roles = ("--explainer", "lexical", "--scorer", "openai:gpt-6.1-sol")
    ended = command("init", "night.toml", *own, *roles)
    assert ended.code == 0
    assert "graded B" in ended.out
    for word in ("check", "run"):
        assert f"autointerp {word} night.toml" in ended.out
    assert command("check", "night.toml").code == 0
    assert "add --force" in sentence(command("init", "night.toml", *own, *roles))
    assert "without --scorer" in sentence(command("init", "other.toml", *own, *roles[:2]))
    assert [path.name for path in Path.cwd().iterdir()] == ["night.toml"]


def test_doctor_ends_with_2_and_a_sentence_where_a_run_could_not_start(
    command: Command, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = command("doctor", config)
    assert ended.code == 0
    assert ended.out.count("│ ok ") > 8
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    hosted = ("--set", "scorers.judge.provider=openai", "--set", "scorers.judge.model=gpt-6.1-sol")
    ended = command("doctor", config, *hosted)
    assert "scorer judge: the variable OPENAI_API_KEY holds no key" in sentence(ended)
    assert ended.out.count("│ missing ") == 1
    assert not list(Path.cwd().iterdir())


# money

PRICED = "prices={'tests.planted:*'={input=2.0, output=10.0}}"


def test_a_budget_ends_with_75_keeps_everything_and_goes_on(
    command: Command, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("run", config, "--out", tmp_path / "free").code == 0
    asked = len(plant.asked)
    plant.asked.clear()
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "another-cache"))
    starts = 0
    while (ended := command("run", config, "--set", f"budget.requests={40 * (starts + 1)}")).code == 75:
        starts += 1
        assert len(plant.asked) == 40 * starts
        assert f"You asked to spend at most {40 * starts} requests" in ended.err
        assert re.search(r"which leaves \d+ of \d+ requests unanswered: everything answered is kept", ended.err)
        assert "Traceback" not in ended.err
        # the cap is the run's: started again, it spends nothing
        assert command("run", config, "--set", f"budget.requests={40 * starts}").code == 75
        assert len(plant.asked) == 40 * starts
    assert ended.code == 0
    assert (starts, len(plant.asked)) == (asked // 40, asked)
    for name in ("dictionaries", "features", "scores", "roles"):
        free = tmp_path / "free" / "planted" / "report" / f"{name}.csv"
        assert Path(f"runs/planted/report/{name}.csv").read_bytes() == free.read_bytes()


def test_dollars_without_a_price_are_refused_before_anything_is_loaded(command: Command, config: Path) -> None:
    for word in ("run", "check"):
        ended = command(word, config, "--set", "budget.usd=1")
        assert ended.code == 2
        assert "the price of tests.planted:explain_knowing (explainer knows) at scripted is not known" in ended.err
        assert "[prices.'tests.planted:explain_knowing']" in ended.err
    assert not plant.asked
    assert not list(Path.cwd().iterdir())
    assert command("check", config, "--set", "budget.usd=1", "--set", "budget.requests=9").code == 0


def test_check_estimates_a_price_and_names_the_caps(command: Command, config: Path) -> None:
    ended = command("check", config, "--set", PRICED, "--set", "budget.usd=2.5", "--set", "budget.tokens=1000000")
    assert ended.code == 0
    rows = re.findall(
        r"(explain|score) \W+\S+: (?:detection by )?tests.planted:\w+"
        r"[ │]+([\d,]+)[ │]+([\d,]+)[ │]+([\d,]+)[ │]+(\d+\.\d\d)",
        ended.out,
    )
    assert len(rows) == 2, ended.out
    for _, _, sent, answered, price in rows:
        expected = (int(sent.replace(",", "")) * 2 + int(answered.replace(",", "")) * 10) / 1e6
        assert float(price) == pytest.approx(expected, abs=0.01)
    assert re.search(r"note: about \d+\.\d\d USD in all", ended.out)
    assert "before it has spent more than 2.5 USD or 1,000,000 tokens" in ended.out


def test_one_stage_commands_work_in_order_and_refuse_out_of_order(command: Command, config: Path) -> None:
    said = sentence(command("score", config))
    assert "the score stage alone, but it needs collect, and it has not run yet" in said
    for stage in ("collect", "evidence", "explain", "score", "report"):
        assert command(stage, config).code == 0
    assert Path("runs/planted/report/index.html").exists()


@pytest.mark.slow
def test_the_command_itself(config: Path, tmp_path: Path) -> None:
    """The same, as a process: exit codes and what stands on stderr beside the log."""
    cache = str(tmp_path / "cache")
    wrong = subprocess.run(
        [sys.executable, "-m", "autointerp", "run", "nowhere.toml"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "AUTOINTERP_CACHE": cache},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    strict = ("run", config, "--out", tmp_path, "--set", "score.max_unscored=0.05")
    with forks.command(*strict, AUTOINTERP_CACHE=cache) as (process, stderr):
        said = stderr.read().splitlines()
    assert process.exitcode == 3
    assert not any("Traceback" in line for line in said)
    assert said[0].startswith("collect   running, because it has not run yet")
    assert said[-1].startswith("Done, but 1 of 12")

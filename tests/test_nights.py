"""Nights that nobody watches: runs kept by date, each held against the last good one. The third has a worse judge."""

import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autointerp import cli, history, toml
from autointerp import config as configuration
from autointerp.errors import UserError
from autointerp.finished import Run
from autointerp.store import RunDirectory
from tests import planted as plant
from tests.planted import Planted

pytestmark = pytest.mark.usefixtures("own_cache")

DATES = ("2026-11-20", "2026-11-21", "2026-11-22")
WORSE = ("--set", "scorers.judge.model=tests.planted:judge_ignoring")
FELL = "Done, but detection.ap of rules (knows judged by judge) fell by more than 0.02 since night-2026-11-21: "


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str
    log: list[dict[str, Any]]


@dataclass(frozen=True)
class Nights:
    folder: Path
    config: Path
    ended: tuple[Ended, ...]

    @property
    def out(self) -> Path:
        return self.folder / "runs"


def called(*words: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["autointerp", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return int(ended.value.code or 0)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return plant.plant(tmp_path_factory.mktemp("planted"))


def settings(planted: Planted) -> dict[str, Any]:
    tree = plant.settings(planted, "night")
    tree["gates"] = {
        "detection.ap": {"fall": 0.02, "explainer": "knows"},
        "detection.ap.minus_shuffled": {"below": -0.5},
        "dead_share": {"above": 0.3},
    }
    return tree


@pytest.fixture(scope="module")
def nights(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Nights:
    folder = tmp_path_factory.mktemp("nights")
    logging.getLogger("autointerp").setLevel("INFO")  # as the command does, where nobody has set up logging before
    config = plant.write_config(folder / "night.toml", settings(planted))
    ended = []
    for date in DATES:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(history, "today", lambda date=date: date)
            said: dict[str, list[str]] = {"out": [], "err": []}
            patch.setattr("typer.echo", lambda text, err=False, said=said: said["err" if err else "out"].append(text))
            log = folder / f"{date}.jsonl"
            words = ("run", config, "--dated", "--baseline", "last", "--out", folder / "runs", "--log-json", log)
            code = called(*words, *(WORSE if date == DATES[2] else ()))
            ended.append(Ended(code, "\n".join(said["out"]), "\n".join(said["err"]), lines(log)))
    return Nights(folder, config, tuple(ended))


def gates(nights: Nights, night: int) -> dict[str, dict[str, Any]]:
    table = Run(nights.out / f"night-{DATES[night]}").gates()
    return {row["gate"]: row for row in table.to_dict("records")}


def loaded(nights: Nights, date: str, baseline: str = "last", *overrides: str) -> configuration.RunConfig:
    named = toml.load(nights.config, overrides)
    return named.model_copy(update={"name": f"night-{date}", "baseline": baseline})


# three nights


def test_the_first_night_has_nothing_to_compare_with_and_says_so(nights: Nights) -> None:
    assert nights.ended[0].code == 0
    fall = gates(nights, 0)["detection.ap fall"]
    assert fall["verdict"] == "undecided"
    assert fall["sentence"] == (
        "undecided: detection.ap of rules (knows judged by judge) may have fallen by more than 0.02: "
        "there is no baseline to compare with."
    )
    assert gates(nights, 0)["dead_share above"]["verdict"] == "passed"
    assert "which has no interval and decides alone" in gates(nights, 0)["dead_share above"]["sentence"]
    assert not (nights.out / f"night-{DATES[0]}" / "report" / "baseline.csv").exists()


def test_the_same_again_passes_and_no_number_has_changed(nights: Nights) -> None:
    assert nights.ended[1].code == 0
    fall = gates(nights, 1)["detection.ap fall"]
    assert (fall["verdict"], fall["value"], fall["low"], fall["high"]) == ("passed", 0, 0, 0)
    changes = pd.read_csv(nights.out / f"night-{DATES[1]}" / "report" / "baseline.csv")
    assert (changes["difference"].dropna() == 0).all()
    assert set(changes["by"]) == {"features", "runs", "point"}
    page = (nights.out / f"night-{DATES[1]}" / "report" / "index.html").read_text("utf-8")
    assert f"Since night-{DATES[0]}" in page
    assert "none changed measurably" in page


def test_a_worse_judge_ends_with_1_and_is_named(nights: Nights) -> None:
    ended = nights.ended[2]
    assert ended.code == 1
    assert ended.err.startswith(FELL)
    assert ended.err.count("\n") == 0
    folder = nights.out / f"night-{DATES[2]}" / "report"
    page = (folder / "index.html").read_text("utf-8")
    assert "judge_knowing" in page  # what was changed since
    assert page.index("fell by more than") < page.index("dictionaries")
    assert "failed" in ended.out
    now, before = (
        Run(nights.out / f"night-{date}").scores().query("metric == 'detection.ap' and control == 'none'")
        for date in (DATES[2], DATES[1])
    )
    apart = now.set_index("feature")["value"] - before.set_index("feature")["value"]
    fall = gates(nights, 2)["detection.ap fall"]
    assert fall["value"] == pytest.approx(apart.mean(), rel=1e-5)
    assert fall["high"] < -0.02
    assert fall["circularity"] == "C"


def test_the_next_night_is_held_against_the_last_good_one(nights: Nights) -> None:
    found = history.baseline_of(loaded(nights, "2026-11-23"), nights.out)
    assert found is not None
    assert found.name == f"night-{DATES[1]}"
    assert history.baseline_of(loaded(nights, DATES[0]), nights.out) is None


@pytest.mark.parametrize("against", ["it has not ended", "too much is unscored"])
def test_a_night_that_is_not_good_is_no_baseline(against: str, nights: Nights, tmp_path: Path) -> None:
    for date in DATES[:2]:
        shutil.copytree(nights.out / f"night-{date}", tmp_path / f"night-{date}")
    latest = tmp_path / f"night-{DATES[1]}"
    if against == "it has not ended":
        (latest / "report" / "index.html").unlink()
    else:
        settings = (latest / "run.toml").read_text("utf-8")
        (latest / "run.toml").write_text(settings.replace("max_unscored = 0.5", "max_unscored = 0.01"), "utf-8")
    found = history.baseline_of(loaded(nights, "2026-11-23"), tmp_path)
    assert found is not None
    assert found.name == f"night-{DATES[0]}"


def test_another_baseline_makes_another_report_and_nothing_else(
    nights: Nights, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(nights.out, tmp_path / "runs")
    caplog.set_level("INFO", "autointerp")
    named = nights.out / f"night-{DATES[0]}"
    config = tmp_path / "runs" / f"night-{DATES[1]}" / "run.toml"
    assert called("run", config, "--out", tmp_path / "runs", "--baseline", named) == 0
    again = [record.message for record in caplog.records if "running, because" in record.message]
    assert again == []  # it is the one that it was held against before
    assert called("run", config, "--out", tmp_path / "runs", *WORSE, "--baseline", named) == 1
    caplog.clear()
    worse = nights.out / f"night-{DATES[2]}"
    assert called("run", config, "--out", tmp_path / "runs", *WORSE, "--baseline", worse) == 0
    again = [record.message for record in caplog.records if "running, because" in record.message]
    assert again == ["report    running, because baseline changed"]


@pytest.mark.parametrize(("night", "code"), [(1, 0), (2, 1)])
def test_a_second_start_on_the_same_day_does_nothing_and_ends_alike(
    night: int, code: int, nights: Nights, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "autointerp")
    monkeypatch.setattr(history, "today", lambda: DATES[night])
    words = ("run", nights.config, "--dated", "--baseline", "last", "--out", nights.out)
    assert called(*words, *(WORSE if night == 2 else ())) == code
    said = [record.message for record in caplog.records if record.name == "autointerp"]
    assert all("nothing to do" in message for message in said)
    assert len(said) == 5
    assert len(list(nights.out.glob("night-*/run.toml"))) == 3


def test_one_line_says_how_it_went(nights: Nights) -> None:
    for night, ended in enumerate(nights.ended):
        folder = nights.out / f"night-{DATES[night]}" / "report"
        assert ended.out == (folder / "summary.txt").read_text("utf-8").strip()
        assert ended.out.count("\n") == 0
        for said in (f"night-{DATES[night]}: rules detection.ap ", "25% never fired", " unscored", ", grade C"):
            assert said in ended.out
        assert ended.out.endswith(f"report: {folder / 'index.html'}")
    assert "price unknown" in nights.ended[0].out
    assert "$0.00" in nights.ended[1].out  # all of it was in the ledger
    assert "3 gates: 1 undecided, 2 passed" in nights.ended[0].out
    assert "3 gates: 3 passed" in nights.ended[1].out
    assert "1 failed" in nights.ended[2].out


def test_lines_of_json_say_what_ran_and_how_it_ended(nights: Nights) -> None:
    for night, ended in enumerate(nights.ended):
        assert all(set(line) == {"time", "level", "run", "stage", "message", "fields"} for line in ended.log)
        done = [line for line in ended.log if "seconds" in line["fields"]]
        assert [line["stage"] for line in done] == ["collect", "evidence", "explain", "score", "report"]
        assert {line["run"] for line in done} == {f"night-{DATES[night]}"}
        assert ended.log[-1]["fields"] == {"exit": ended.code}
        assert any(line["message"] == ended.out for line in ended.log)
    assert any(line["level"] == "error" and line["message"].startswith(FELL) for line in nights.ended[2].log)


# the history


def test_the_history_shows_every_night(nights: Nights) -> None:
    assert called("history", nights.config, "--out", nights.out) == 0
    page = (nights.out / "night-history.html").read_text("utf-8")
    table = pd.read_csv(nights.out / "night-history.csv", keep_default_na=False)
    assert [table["run"].unique().tolist(), table["date"].unique().tolist()] == [
        [f"night-{date}" for date in DATES],
        list(DATES),
    ]
    for date in DATES:
        assert f'data-run="night-{date}"' in page
    assert page.index("fell by more than 0.02") < page.index('id="numbers"')
    assert "scorers.judge.model: &#39;tests.planted:judge_knowing&#39; → &#39;tests.planted:judge_ignoring&#39;" in page
    assert '<circle class="failed"' in page
    own = table.query("metric == 'detection.ap' and explainer == 'knows'")
    assert own["gate"].tolist() == ["undecided", "passed", "failed"]
    for run, group in table.groupby("run"):
        means = Run(nights.out / str(run)).dictionaries().query("control == 'none'")
        kept = pd.to_numeric(group["value"], errors="coerce").to_numpy()
        np.testing.assert_array_equal(kept, means["value"].to_numpy())
    assert called("history", "night", "--last", "2", "--out", nights.out) == 0
    page = (nights.out / "night-history.html").read_text("utf-8")
    assert f'data-run="night-{DATES[0]}"' not in page


def test_a_name_without_runs_is_refused(nights: Nights, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("history", "day", "--out", nights.out) == 2
    assert "holds no run that is named day-YYYY-MM-DD" in capsys.readouterr().err
    assert called("history", "night", "--out", "memory://runs") == 2
    assert "they can be looked for in a local folder alone" in capsys.readouterr().err


# what cannot be compared


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed=4", "seed is 3 there and 4 here"),
        ("subject.dtype='bfloat16'", "subject.dtype is 'float32' there and 'bfloat16' here"),
        ("corpus.contexts=40", "corpus.contexts is 1000 there and 40 here"),
        ("positions.skip_first=false", "positions.skip_first is True there and False here"),
        ("evidence.negatives=6", "evidence.negatives is 9 there and 6 here"),
        ("score.prevalence=0.3", "score.prevalence is 0.2 there and 0.3 here"),
        ("dictionaries.rules.hook='model.norm'", "dictionaries.rules.hook is nothing there and 'model.norm' here"),
        ("dictionaries={rule={path='x'}}", "no dictionary has the same name in both: rule here, rules there"),
    ],
)
def test_another_draw_or_other_items_are_refused(override: str, said: str, nights: Nights) -> None:
    baseline = str(nights.out / f"night-{DATES[0]}")
    with pytest.raises(UserError, match=f"You asked to compare with .*, but {said}"):
        history.baseline_of(loaded(nights, "2026-11-23", baseline, override), nights.out)


@pytest.mark.parametrize(
    "override", ["scorers.judge.items=4", "evidence.features=9", "subject.device='auto'", "score.resamples=200"]
)
def test_what_changes_neither_may_differ(override: str, nights: Nights) -> None:
    baseline = str(nights.out / f"night-{DATES[0]}")
    assert history.baseline_of(loaded(nights, "2026-11-23", baseline, override), nights.out) is not None


def test_a_corpus_that_changed_under_the_same_name_is_refused(
    nights: Nights, planted: Planted, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = planted.folder / "corpus.jsonl"
    before = corpus.read_bytes()
    try:
        corpus.write_bytes(before.replace(b"harbour", b"harbous", 1))
        words = ("--baseline", nights.out / f"night-{DATES[0]}", "--out", nights.folder / "other")
        assert called("run", nights.config, *words) == 2
    finally:
        corpus.write_bytes(before)
    assert "the corpus file corpus.jsonl has changed since" in capsys.readouterr().err
    assert not (nights.folder / "other" / "night" / "manifest.json").exists()


def test_the_files_of_a_dictionary_may_change(nights: Nights) -> None:
    run = Run(nights.out / f"night-{DATES[0]}")
    recorded = {"subject": "a", "corpus file x": "b", "dictionary rules": "c", "autointerp": "d"}
    history.refuse_other_content(recorded | {"dictionary rules": "e", "autointerp": "f"}, run, recorded)
    for other in ({"subject": "e"}, {"corpus file x": "e"}, {"corpus file y": "e"}):
        with pytest.raises(UserError, match=f"the {next(iter(other))} has changed since"):
            history.refuse_other_content(recorded | other, run, recorded)


def test_what_is_no_finished_run_or_this_very_one_is_no_baseline(nights: Nights, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it is no finished run: it has no report"):
        history.baseline_of(loaded(nights, DATES[2], str(tmp_path)), nights.out)
    with pytest.raises(UserError, match="it is this very run"):
        history.baseline_of(loaded(nights, DATES[1], str(nights.out / f"night-{DATES[1]}")), nights.out)


# gates that are mistakes


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("{fal=0.1}", "gates.l0.fal is not a known key; the nearest is 'fall'"),
        ("{fall=-0.1}", "gates.l0.fall = -0.1"),
        ("{}", "a gate needs a limit: fall, rise, above or below"),
        ("{above=1.0, dictionary='rule'}", "gates.l0.dictionary = 'rule' is not one of ['rules']"),
        ("{above=1.0, scorer='me'}", "gates.l0.scorer = 'me' is not one of ['judge']"),
    ],
)
def test_a_gate_that_is_none_is_refused(gate: str, said: str, nights: Nights) -> None:
    with pytest.raises(UserError) as told:
        toml.load(nights.config, (f"gates.l0={gate}",))
    assert said in str(told.value)


def test_a_gate_on_no_number_ends_with_2_when_all_is_done(
    nights: Nights, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(nights.out / f"night-{DATES[0]}", tmp_path / "night")
    ungated = ("--set", 'gates={"detection.pa"={above=1.0}}')
    assert called("run", nights.config, "--out", tmp_path, *ungated) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("You set a gate on detection.pa, but all is done and there is no such number in this run")
    assert "the nearest is detection.ap" in said
    assert called("run", nights.config, "--out", tmp_path, "--set", "gates={}") == 0
    assert not (tmp_path / "night" / "report" / "gates.csv").exists()


# one at a time, and logs of what goes wrong


@pytest.mark.parametrize("word", ["run", "collect", "report"])
def test_a_run_that_somebody_is_at_work_on_ends_with_75(
    word: str, nights: Nights, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunDirectory.at(tmp_path, "night").alone():
        assert called(word, nights.config, "--out", tmp_path) == 75
    said = capsys.readouterr().err
    assert said.startswith("You asked to work on the run 'night', but process ")
    assert said.count("\n") == 1


def test_what_ends_a_command_stands_in_the_lines_of_json(
    nights: Nights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "logs" / "night.jsonl"
    monkeypatch.setenv("AUTOINTERP_LOG_JSON", str(log))
    assert called("check", tmp_path / "nowhere.toml") == 2

    def broken(*_: object) -> None:
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr("autointerp.plan.plan", broken)
    monkeypatch.setattr("sys.argv", ["autointerp", "check", str(nights.config)])
    with pytest.raises(ZeroDivisionError):
        cli.main()
    mistake, bug = lines(log)
    assert mistake["message"].endswith("there is no such file: check the path.")
    assert (mistake["level"], mistake["fields"]) == ("error", {"exit": 2})
    assert "ZeroDivisionError: no such luck" in bug["fields"]["traceback"]


def test_a_log_that_cannot_be_written_is_refused(
    nights: Nights, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called("run", nights.config, "--log-json", tmp_path) == 2
    assert "it cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["night", "night-2026-11-20", "night-2026-11-20-2026-11-21"])
def test_a_date_is_added_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "today", lambda: "2026-11-23")
    wanted = "night-2026-11-23" if name.count("2026") < 2 else "night-2026-11-20-2026-11-23"
    assert history.dated(name) == wanted
    assert history.dated(history.dated(name)) == wanted

"""Runs resume: nothing is done twice, nothing stale is kept, and how often a run was interrupted leaves no trace."""

import csv
import io
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import autointerp
from autointerp import assets
from autointerp.errors import UserError
from tests import planted as plant
from tests.forks import command
from tests.planted import Planted

STAGES = ["collect", "evidence", "explain", "score", "report"]
COLUMNS = {
    "dictionaries": "dictionary width metric control explainer scorer rubric value low high n unscored circularity",
    "scores": "dictionary feature metric control explainer scorer rubric value low high n unscored unscored_reason "
    "circularity",
    "features": "dictionary feature dead n_fired density max_activation selected_by explainer explanation scorer "
    "circularity",
    "roles": "role requested resolved provider developer family generation known",
    "costs": "role provider model requests cached input_tokens output_tokens price_usd seconds",
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return plant.plant(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def tree(planted: Planted) -> dict[str, Any]:
    """The settings of the run that the others are compared with. Its rubric is a file that a test may change."""
    rubric = shutil.copy(assets.rubrics() / "detection.md", planted.folder / "asked.md")
    tree = plant.settings(planted)
    tree["scorers"]["judge"]["rubrics"] = {"detection": str(rubric)}
    return tree


@pytest.fixture(scope="module")
def finished(tree: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds the uninterrupted run."""
    out = tmp_path_factory.mktemp("finished")
    autointerp.run(plant.write_config(out / "planted.toml", tree), out=out)
    return out


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be disturbed."""
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"


Ran = Callable[[], list[str]]


@pytest.fixture
def ran(caplog: pytest.LogCaptureFixture) -> Ran:
    """The stages that ran since it was last asked; what was said about them stays in `caplog.messages`."""
    caplog.set_level("INFO", "autointerp")

    def since() -> list[str]:
        found = [match[1] for message in caplog.messages if (match := re.match(r"(\w+) +running, because", message))]
        caplog.clear()
        return found

    return since


def reports(out: Path) -> dict[str, bytes]:
    """The CSV files of a run, without what this machine spent on it."""
    files = (out / "planted" / "report").glob("*.csv")
    return {path.name: path.read_bytes() for path in files if path.name != "costs.csv"}


# resuming


def test_a_second_run_does_nothing_and_says_why(copied: Path, caplog: pytest.LogCaptureFixture, ran: Ran) -> None:

    def written() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in copied.rglob("*") if path.suffix != ".lock"}

    before = written()
    plant.asked.clear()
    autointerp.run(copied / "planted.toml", out=copied)
    assert caplog.messages == [f"{stage:<9} nothing to do: same inputs, outputs in place" for stage in STAGES]
    assert written() == before
    assert not plant.asked


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("seed", 4, STAGES),
        ("evidence.window", 4, STAGES[1:]),
        ("evidence.negatives", 6, STAGES[1:]),
        ("explainers.lexical.words", 1, STAGES[2:]),
        ("score.prevalence", 0.3, STAGES[3:]),
        ("scorers.judge.items", 8, STAGES[3:]),
        ("score.resamples", 200, ["report"]),
        ("circularity.allow", "another reason altogether", ["report"]),
        ("score.max_unscored", 0.9, []),
        ("collect.batch_size", 3, []),
        ("scorers.judge.concurrency", 2, []),
    ],
)
def test_a_changed_setting_reruns_the_stages_that_depend_on_it(
    setting: str, value: object, expected: list[str], copied: Path, ran: Ran
) -> None:
    text = f'"{value}"' if isinstance(value, str) else str(value)
    autointerp.run(copied / "planted.toml", (f"{setting}={text}",), out=copied)
    assert ran() == expected
    autointerp.run(copied / "planted.toml", (f"{setting}={text}",), out=copied)
    assert ran() == []


@pytest.mark.parametrize(
    ("file", "old", "new", "first", "said"),
    [
        ("corpus.jsonl", b"harbour", b"harbous", "collect", "because corpus file corpus.jsonl changed"),
        ("asked.md", b"several excerpts", b"several extracts", "score", "because scorer judge changed"),
        ("dictionary/cfg.json", b'"none"', b'"none" ', "collect", "because dictionary rules changed"),
    ],
)
def test_a_changed_file_is_noticed_by_its_content(
    file: str,
    old: bytes,
    new: bytes,
    first: str,
    said: str,
    planted: Planted,
    copied: Path,
    ran: Ran,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = planted.folder / file
    content, stat = path.read_bytes(), path.stat()
    try:
        path.write_bytes(content.replace(old, new, 1))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        autointerp.run(copied / "planted.toml", out=copied)
        assert said in next(message for message in caplog.messages if "running" in message)
        stages = ran()
        # A dictionary that reads the same after all stops the change where it starts.
        assert stages == ([first] if "dictionary" in file else STAGES[STAGES.index(first) :])
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("collect/contexts.parquet", "collect"),
        ("collect/rules.safetensors", "collect"),
        ("evidence/rules.parquet", "evidence"),
        ("explanations.parquet", "explain"),
        ("verdicts.parquet", "score"),
        ("scores.parquet", "score"),
        ("report/index.html", "report"),
        ("report/features.csv", "report"),
    ],
)
@pytest.mark.parametrize("damage", ["truncated", "gone"])
def test_a_damaged_output_is_made_again(
    name: str, first: str, damage: str, finished: Path, copied: Path, ran: Ran, caplog: pytest.LogCaptureFixture
) -> None:
    path = copied / "planted" / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2])
    autointerp.run(copied / "planted.toml", out=copied)
    said = f"because {name} is missing" if damage == "gone" else f"because {name} is not what the stage wrote"
    assert said in " ".join(caplog.messages)
    assert ran() == [first]  # made again with the same bytes, it changes nothing for the stages behind it
    assert reports(copied) == reports(finished)


@pytest.mark.parametrize("setting", ["collect.batch_size=1", "collect.batch_size=3", "collect.cache_gb=0"])
def test_how_it_was_computed_leaves_no_trace(
    setting: str, tree: dict[str, Any], finished: Path, tmp_path: Path
) -> None:
    autointerp.run(plant.write_config(tmp_path / "planted.toml", tree), (setting,), out=tmp_path)
    assert reports(tmp_path) == reports(finished)


def test_interrupted_at_every_write_and_resumed(
    tree: dict[str, Any], finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(BaseException):
        pass

    commit, written, allowed = Path.replace, 0, 0

    def replace(self: Path, target: Path) -> Path:
        nonlocal written
        if written == allowed:
            raise Interrupted
        written += 1
        return commit(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    config = plant.write_config(tmp_path / "planted.toml", tree)
    for _ in range(60):
        # One write more than the last attempt, counted from where the run resumes.
        written, allowed = 0, allowed + 1
        try:
            autointerp.run(config, out=tmp_path)
            break
        except Interrupted:
            continue
    else:
        pytest.fail("the run never ends")
    assert allowed > 5
    assert reports(tmp_path) == reports(finished)
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


@pytest.mark.slow
def test_killed_at_every_stage_and_resumed_nothing_is_lost_or_asked_twice(
    tree: dict[str, Any], finished: Path, tmp_path: Path
) -> None:
    config, calls = plant.write_config(tmp_path / "planted.toml", tree), tmp_path / "calls"
    environment = {"AUTOINTERP_CACHE": str(tmp_path / "cache"), "PLANTED_CALLS": str(calls)}

    def attempt(until: str, **more: str) -> int | None:
        """Run, and kill the process when it says `until`; the exit code."""
        with command("run", config, "--out", tmp_path, **environment, **more) as (process, stderr):
            for line in stderr:
                if until and re.match(until, line):
                    process.kill()
                    break
        return process.exitcode

    killed = -signal.SIGKILL
    assert attempt("collect +running") == killed
    assert attempt("evidence +running") == killed
    assert attempt("", PLANTED_DIE_AT="5") == killed
    assert len(calls.read_text().splitlines()) == 4
    assert attempt("", PLANTED_DIE_AT="30") == killed
    assert attempt("report +running") == killed
    assert attempt("") == 0
    asked = calls.read_text().splitlines()
    assert len(set(asked)) == len(asked) > 40
    assert reports(tmp_path) == reports(finished)


def test_no_question_is_asked_twice_in_another_folder(tree: dict[str, Any], finished: Path, tmp_path: Path) -> None:
    plant.asked.clear()
    autointerp.run(plant.write_config(tmp_path / "planted.toml", tree), out=tmp_path)
    assert not plant.asked  # the ledger is shared by all runs
    assert reports(tmp_path) == reports(finished)
    costs = pd.read_csv(tmp_path / "planted" / "report" / "costs.csv")
    assert (costs["requests"] == costs["cached"]).all()
    assert len(costs) == 2


# what is written


@pytest.mark.parametrize("name", COLUMNS)
def test_csv_columns_are_the_contract(name: str, finished: Path) -> None:
    raw = (finished / "planted" / "report" / f"{name}.csv").read_bytes()
    header, *rows = csv.reader(io.StringIO(raw.decode("utf-8"), newline=""), strict=True)
    fixed = COLUMNS[name].split()
    assert header[: len(fixed)] == fixed
    assert len(rows) > 0
    assert {len(row) for row in rows} == {len(header)}
    assert raw.endswith(b"\r\n")
    assert raw.count(b"\r\n") == raw.count(b"\n") == len(rows) + 1
    extra = header[len(fixed) :]
    assert bool(extra) == (name == "features")
    assert all(re.fullmatch(r"[a-z_]+(\.[a-z_0-9]+)+", metric) for metric in extra)


def test_rows_are_in_one_order(finished: Path) -> None:
    report = finished / "planted" / "report"
    scores = pd.read_csv(report / "scores.csv", keep_default_na=False)
    keys = ["dictionary", "feature", "metric", "control", "explainer", "scorer"]
    pd.testing.assert_frame_equal(scores, scores.sort_values(keys, kind="stable", ignore_index=True))
    assert not scores.duplicated(keys).any()
    means = pd.read_csv(report / "dictionaries.csv", keep_default_na=False)
    assert not means.duplicated([key for key in keys if key != "feature"]).any()


def test_every_empty_value_has_a_reason(finished: Path) -> None:
    report = finished / "planted" / "report"
    scores, means, features = (
        pd.read_csv(report / f"{name}.csv", keep_default_na=False) for name in ("scores", "dictionaries", "features")
    )
    assert ((scores["value"] == "") == (scores["unscored_reason"] != "")).all()
    assert (scores["value"] == "").any()
    assert ((means["value"] != "") | (means["unscored"] > 0)).all()
    assert scores["circularity"].isin(list("ABCDE")).all()
    assert means["circularity"].isin(list("ABCDE")).all()
    reasons = scores.groupby("feature")["unscored_reason"].agg(set)
    for row in features.itertuples():
        if row.explainer == "":  # nobody explained it: dead, or the scores say why
            assert row.dead or reasons[row.feature] == {"too few firing excerpts"}
            assert row.explanation == ""
        else:
            assert row.circularity != ""
    assert not features.duplicated(["dictionary", "feature", "explainer"]).any()


def test_every_difference_is_a_row_of_its_own_and_controls_are_labelled(finished: Path) -> None:
    scores = pd.read_csv(finished / "planted" / "report" / "scores.csv", keep_default_na=False)
    detection = scores[scores["metric"] == "detection.ap"]
    assert set(detection["control"]) == {"none", "permuted", "shuffled", "hard_shuffled", "generic"}
    assert set(scores[scores["metric"].str.contains("minus")]["control"]) == {"none"}
    assert set(scores[scores["scorer"] == "judge"]["rubric"].str.replace(r"@[0-9a-f]{8}$", "@", regex=True)) == {
        "detection.2@"
    }
    anchored = scores[scores["metric"].str.startswith(("probe", "lexical_floor"))]
    assert set(anchored["circularity"]) == {"A"}
    assert set(scores[scores["explainer"] == "knows"]["circularity"]) == {"C"}  # a scripted model has no known lineage


def test_the_run_can_be_read_from_python(finished: Path, copied: Path) -> None:
    run = autointerp.run(str(copied / "planted.toml"), out=str(copied))
    for frame, name in ((run.scores(), "scores"), (run.features(), "features"), (run.dictionaries(), "dictionaries")):
        assert isinstance(frame, pd.DataFrame)
        assert frame.columns.tolist()[:5] == COLUMNS[name].split()[:5]
        assert set(frame["dictionary"]) == {"rules"}
    assert run.report.exists()
    assert callable(autointerp.run)
    assert {"run", "load_dictionary", "Sketch"} <= set(autointerp.__all__)


# one stage at a time


def test_stages_one_by_one_give_the_same_run(tree: dict[str, Any], finished: Path, tmp_path: Path, ran: Ran) -> None:
    config = plant.write_config(tmp_path / "planted.toml", tree)
    for stage in STAGES:
        autointerp.run(config, out=tmp_path, only=stage)
        assert ran() == [stage]
    assert reports(tmp_path) == reports(finished)


@pytest.mark.parametrize("stage", STAGES[1:])
def test_a_stage_out_of_order_is_refused(stage: str, tree: dict[str, Any], tmp_path: Path) -> None:
    config = plant.write_config(tmp_path / "planted.toml", tree)
    with pytest.raises(UserError, match=f"You asked for the {stage} stage alone, but it needs collect, and it has not"):
        autointerp.run(config, out=tmp_path, only=stage)


def test_a_stage_behind_a_stale_one_is_refused(copied: Path) -> None:
    with pytest.raises(UserError, match="it needs evidence, and evidence changed: run `autointerp evidence`"):
        autointerp.run(copied / "planted.toml", ("evidence.window=4",), out=copied, only="score")

"""From a run directory to a report: what is missing has its reason, and a control is known as one."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import autointerp
from autointerp.measure.dictionaries import Figures
from autointerp.report.gather.tables import unscored_table
from tests import planted as plant

LOSSES = {kind: np.array([1.0, np.nan]) for kind in ("clean", "substituted", "ablated", "positions")}
WHOLE = ["dictionary", "metric", "value", "n", "unscored"]
TRANSCODER = "no reconstruction of what is read: a transcoder writes elsewhere"


def figures(variance: float, losses: dict[str, np.ndarray] | None = None) -> Figures:
    return Figures(16, 2, 3.0, variance, 1000, 40, losses)


def test_numbers_of_a_whole_dictionary_are_missing_for_a_reason() -> None:
    known = {"fine": figures(0.6, LOSSES), "no loss": figures(0.6), "transcoder": figures(np.nan)}
    values = {
        "fine": (0.6, 0.9, 0.1),
        "no loss": (0.6, np.nan, np.nan),
        "transcoder": (np.nan, np.nan, np.nan),
    }
    metrics = ("explained_variance", "loss_recovered", "loss_rise")
    rows = [(name, metric, value, 1, 0) for name in known for metric, value in zip(metrics, values[name], strict=True)]
    # A mean over features is missing where its features are, and those are counted with their own reasons.
    rows.append(("fine", "detection.ap", np.nan, 0, 2))
    rows.append(("fine", "fuzzing.ap", np.nan, 0, 0))  # a mean over nobody is missing for a reason of its own
    scores = pd.DataFrame(
        [("detection.ap", "too few"), ("detection.ap", "too few"), ("probe.ap", "")],
        columns=["metric", "unscored_reason"],
    )
    found = unscored_table(scores, pd.DataFrame(rows, columns=WHOLE), known)
    assert [tuple(row) for row in found.to_numpy()] == [
        ("no feature was drawn by seed", "fuzzing.ap", 1),
        (TRANSCODER, "explained_variance", 1),
        (TRANSCODER, "loss_recovered", 1),
        (TRANSCODER, "loss_rise", 1),
        ("the subject's loss was not measured", "loss_recovered", 1),
        ("the subject's loss was not measured", "loss_rise", 1),
        ("too few", "detection.ap", 2),
    ]
    assert list(found.columns) == ["reason", "metric", "count"]


def test_a_loss_that_is_not_finite_is_named() -> None:
    whole = pd.DataFrame([("a", "loss_rise", np.nan, 0, 1)], columns=WHOLE)
    scores = pd.DataFrame(columns=["metric", "unscored_reason"])
    found = unscored_table(scores, whole, {"a": figures(0.6, LOSSES)})
    assert found["reason"].tolist() == ["its losses give no finite number"]


def test_nothing_is_missing() -> None:
    whole = pd.DataFrame([("a", "loss_rise", 0.1, 32, 0)], columns=WHOLE)
    scores = pd.DataFrame(columns=["metric", "unscored_reason"])
    assert unscored_table(scores, whole, {"a": figures(0.6, LOSSES)}).empty


def test_a_run_with_controls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    tree = plant.settings(plant.plant(tmp_path / "planted"))
    # Narrower or wider, first or last in the config: what learned something comes first.
    tree["dictionaries"] = {
        "axes": {"control": "neurons", "like": "rules"},
        "moved": {"control": "permuted", "like": "rules"},
        "noise": {"control": "shuffled_subject", "like": "rules"},
        **tree["dictionaries"],
    }
    tree["explainers"]["knows"]["dictionaries"] = ["rules", "moved"]
    run = autointerp.run(plant.write_config(tmp_path / "run.toml", tree), out=tmp_path / "runs").path
    frame = pd.read_csv(run / "report" / "dictionaries.csv", keep_default_na=False)
    assert list(dict.fromkeys(frame["dictionary"])) == ["rules", "moved", "noise", "axes"]
    page = (run / "report" / "index.html").read_text("utf-8")
    for mark in ("decoder rows permuted", "the subject&#39;s weights are shuffled", "neurons"):
        assert f"control: {mark}, held against rules" in page
    assert "subject, model.embed_tokens, 1 dictionary and 3 controls" in page.replace("</span>", "")
    assert "not measurably better than those of its control moved (0.00 [" in page
    assert "where firing is the same by construction." in page
    facts = json.loads((run / "manifest.json").read_text())["stages"]["collect"]["facts"]
    assert facts["masked"]["not finite"] == 0
    assert "NaN or infinity" not in page

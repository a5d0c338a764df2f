"""The notebook that reads a finished run, executed on a small one, and what it calls."""

import json
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

import autointerp
from autointerp import toml
from autointerp.errors import UserError
from autointerp.finished import Run
from tests import planted as plant

TOUR = Path(__file__).parents[1] / "reports" / "example" / "tour.ipynb"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A run of two dictionaries, and the same with a judge that looks at the text alone."""
    folder = tmp_path_factory.mktemp("runs")
    planted = plant.plant(folder / "planted")
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOINTERP_CACHE", str(folder / "cache"))
        for name, judge in (("knows", "judge_knowing"), ("ignores", "judge_ignoring")):
            tree = plant.settings(planted, name)
            tree["dictionaries"]["random"] = {"control": "random", "like": "rules"}
            tree["collect"]["gate"] = False
            tree["scorers"] = {"judge": plant.scripted(judge)}
            tree["explainers"]["knows"]["dictionaries"] = ["rules"]
            found[name] = autointerp.run(toml.build(tree, name), out=folder)
    return found


@pytest.fixture(scope="module")
def executed(runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The outputs of the cells with code, in order, after the first one names the two runs."""
    folder = tmp_path_factory.mktemp("tour")
    notebook = nbformat.read(TOUR, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells[0].metadata.tags == ["parameters"]
    cells[0].source = f"RUN, BEFORE = {str(runs['knows'].path)!r}, {str(runs['ignores'].path)!r}"
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
            patch.setenv(variable, str(folder / variable))
        NotebookClient(notebook, timeout=300, kernel_name="python3").execute(cwd=str(folder))
    return [cell.outputs for cell in cells]


def shown(outputs: list[Any], kind: str = "text/plain") -> Any:
    return next(output.data[kind] for output in outputs if kind in output.get("data", {}))


def test_it_is_committed_without_what_a_machine_has_put_into_it() -> None:
    notebook = nbformat.read(TOUR, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


def test_the_chart_has_the_rows_of_the_file(executed: list[Any], runs: dict[str, Run]) -> None:
    page = shown(executed[2], "text/html")
    (rows,) = json.JSONDecoder().raw_decode(page, page.index('{"', page.index('"datasets":')))[0].values()
    table = runs["knows"].dictionaries().query("metric == 'detection.ap' and control in ('none', 'shuffled')")
    assert len(table) == 6  # two explainers on one dictionary and one on the other, each beside its control
    for column in ("width", "value", "low", "high"):
        assert [row[column] for row in rows] == pytest.approx(table[column].tolist(), nan_ok=True)


def test_the_feature_is_shown_with_explanation_scores_and_excerpts(executed: list[Any], runs: dict[str, Run]) -> None:
    scores = runs["knows"].scores().query("metric == 'detection.ap.minus_shuffled' and control == 'none'")
    best = scores.loc[scores["value"].idxmax()]
    assert (best["dictionary"], best["explainer"]) == ("rules", "knows")
    assert f"any of: {plant.RULES[best['feature']][0]}" in shown(executed[3])
    assert "probe.ap" in shown(executed[4])
    assert "[[" in shown(executed[5])


def test_what_changed_is_what_the_two_judges_differ_in(executed: list[Any], runs: dict[str, Run]) -> None:
    assert "detection.ap" in shown(executed[6])
    found = autointerp.changes(runs["knows"], runs["ignores"]).set_index(["explainer", "metric"])
    one, other = (
        run.scores().query("metric == 'detection.ap' and control == 'none' and explainer == 'knows'")
        for run in (runs["knows"], runs["ignores"])
    )
    apart = one.set_index("feature")["value"] - other.set_index("feature")["value"]
    row = found.loc[("knows", "detection.ap")]
    assert row["difference"] == pytest.approx(apart.mean(), abs=1e-5)
    assert (row["n"], row["by"]) == (apart.notna().sum(), "features")
    assert row["difference"] > 0.1 and row["low"] < row["difference"] < row["high"]
    assert (found.loc[("", "explained_variance"), "difference"] == 0).all()


def test_runs_of_other_features_are_not_compared(runs: dict[str, Run], tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "report").mkdir(parents=True)
    (other / "report" / "index.html").touch()
    text = (runs["knows"].path / "run.toml").read_text("utf-8")
    (other / "run.toml").write_text(text.replace("seed = 3", "seed = 4"), "utf-8")
    with pytest.raises(UserError, match="seed"):
        autointerp.changes(runs["knows"], autointerp.open_run(other))


def test_excerpts_are_those_of_the_evidence_with_marks_on_what_fires(runs: dict[str, Run]) -> None:
    run = runs["knows"]
    found = run.excerpts("rules", 1)
    assert set(found["split"]) == {"explain", "score"}
    assert found["activation"].is_monotonic_decreasing
    assert ((found["activation"] > 0) == found["fires"]).all()
    for text, fires in zip(found["text"], found["fires"], strict=True):
        marked = {word for run_ in text.split("[[")[1:] for word in run_.split("]]")[0].split()}
        assert marked <= set(plant.RULES[1]) and bool(marked) == fires
    weights = found[found["fires"]].groupby("split")["weight"].sum()
    np.testing.assert_allclose(weights, 1, atol=1e-6)
    assert run.excerpts("rules", 10**6).equals(pd.DataFrame(columns=found.columns))
    with pytest.raises(UserError, match="excerpts of 'rule', but the run has none, only rules, random"):
        run.excerpts("rule", 1)


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_a_folder_without_a_finished_run_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no report in it"):
        autointerp.open_run(tmp_path / name)

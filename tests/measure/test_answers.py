"""Numbers over prompts against scipy on each prompt, and against what random features do."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from autointerp.measure import answers


def made(n_prompts: int = 12, n: int = 60, noise: float = 0.5, seed: int = 0) -> pd.DataFrame:
    """Prompts whose attribution is the ablation effect with noise, and whose loudness has nothing to do with it."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n_prompts):
        ablation = rng.normal(size=n)
        rows.append(
            {
                "dictionary": "d",
                "activation": rng.exponential(size=n),
                "attribution": ablation + noise * rng.normal(size=n),
                "ablation": ablation,
                "weight": np.ones(n),
                "position": np.arange(n),
                "feature": np.arange(n) + 100,
                "features": 3.0,
                "error": -1.0,
            }
        )
    return pd.DataFrame(rows)


def number(rows: list[dict[str, Any]], metric: str, control: str = "none") -> dict[str, Any]:
    (found,) = [row for row in rows if row["metric"] == metric and row["control"] == control]
    return found


def test_prompts_are_the_unit() -> None:
    frame = made()
    rows = answers.summarise(answers.by_prompt(frame, 0), 0, 200)
    each = [spearmanr(row["attribution"], row["ablation"]).statistic for row in frame.to_dict("records")]
    found = number(rows, "attribution.spearman_ablation")
    assert found["value"] == pytest.approx(np.mean(each)) and found["n"] == 12
    assert found["circularity"] == "A"
    without = number(rows, "attribution.spearman_ablation.leave_one_out")
    assert without["low"] == pytest.approx((sum(each) - max(each)) / 11)
    assert without["high"] == pytest.approx((sum(each) - min(each)) / 11)
    sized = [
        spearmanr(np.abs(row["attribution"]), np.abs(row["ablation"])).statistic for row in frame.to_dict("records")
    ]
    assert number(rows, "attribution.spearman_ablation_size")["value"] == pytest.approx(np.mean(sized))
    assert number(rows, "ablation.error_share")["value"] == pytest.approx(0.25)


def test_each_number_has_the_bounds_of_its_kind() -> None:
    rows = answers.summarise(answers.by_prompt(made(3), 0), 0, 50)
    named = {end: {row["metric"].removesuffix(end) for row in rows if row["metric"].endswith(end)}
             for end in (answers.FISHER, answers.CHANCE)}  # fmt: skip
    correlations = {"attribution.spearman_ablation", "activation.spearman_ablation"}
    overlaps = {"attribution.overlap10", "activation.overlap10"}
    assert named[answers.FISHER] == correlations | {f"{name}_size" for name in correlations}
    assert named[answers.CHANCE] == overlaps | {f"{name}_size" for name in overlaps}


def test_a_row_of_a_prompt_keeps_its_place_in_the_table() -> None:
    assert answers.by_prompt(made(4).iloc[[3, 1]], 0).index.tolist() == [3, 1]


def test_what_has_nothing_to_do_with_effects_is_as_random_features_are() -> None:
    rows = answers.summarise(answers.by_prompt(made(n_prompts=60), 1), 1, 400)
    for metric in ("activation.spearman_ablation", "activation.overlap10", "ablation.loudness_rank"):
        found, chance = number(rows, metric), number(rows, metric, "random-feature")
        assert abs(found["value"] - chance["value"]) < found["high"] - found["low"]  # four standard errors
    assert number(rows, "activation.overlap10", "random-feature")["value"] == pytest.approx(1 / 6)
    assert number(rows, "ablation.loudness_rank", "random-feature")["value"] == pytest.approx(61 / 2)
    assert number(rows, "activation.overlap10.p")["value"] > 0.01
    assert number(rows, "attribution.overlap10.p")["value"] < 1e-6
    assert number(rows, "attribution.overlap10")["low"] > 0.5


def test_few_features_are_unscored_and_a_dictionary_without_answers_has_no_rows() -> None:
    frame = pd.concat([made(3), made(2, n=4)], ignore_index=True)
    rows = answers.all_dictionaries(frame, {"other": 4, "d": 8}, 0, 100)
    assert {row["dictionary"] for row in rows} == {"d"} and {row["width"] for row in rows} == {8}
    found = number(rows, "attribution.overlap10")
    assert (found["n"], found["unscored"]) == (3, 2)
    assert number(rows, "attribution.spearman_ablation")["n"] == 5


def test_what_mattered_most_comes_first_with_its_loudness() -> None:
    row = {
        "activation": [5.0, 1.0, 3.0, 9.0], "attribution": [1.0, 2.0, 3.0, 4.0], "ablation": [0.1, -2.0, 0.5, np.nan],
        "position": [1, 1, 2, 3], "feature": [7, 8, 9, 6],
    }  # fmt: skip
    found = answers.mattered(row, 2)
    assert [(one["feature"], one["loudness"], one["ablation"]) for one in found] == [(8, 4.0, -2.0), (9, 3.0, 0.5)]
    assert len(answers.mattered(row, 9)) == 3

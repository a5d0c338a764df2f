"""A run that has ended: its tables, and what there is to say against it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from autointerp import config as configuration
from autointerp import sheets
from autointerp.config import RunConfig
from autointerp.measure.scores import PRIMARY
from autointerp.records import PICKED

GATES = [
    "gate",
    "dictionary",
    "explainer",
    "scorer",
    "value",
    "low",
    "high",
    "limit",
    "verdict",
    "sentence",
    "circularity",
]


@dataclass(frozen=True)
class Run:
    """A finished run, to be read from Python: its folder, and the tables of its report.

    A table has the columns of the CSV file of its name, and nan where a number or a text is missing: why, says the
    column unscored_reason of `scores`. FileNotFoundError where the report was not written.
    """

    path: Path

    def scores(self) -> pd.DataFrame:
        """A row for each (dictionary, feature, metric, control, explainer, scorer), hand-picked features among them."""
        return self._csv("scores")

    def features(self) -> pd.DataFrame:
        """A row for each (dictionary, feature, explainer), with a column for each metric."""
        return self._csv("features")

    def dictionaries(self) -> pd.DataFrame:
        """Numbers of whole dictionaries, in long form: value, 95% interval, n and unscored by metric and control."""
        return self._csv("dictionaries")

    def gates(self) -> pd.DataFrame:
        """A row for each number that a gate looked at; empty without gates."""
        return self._csv("gates") if (self.path / "report" / "gates.csv").exists() else pd.DataFrame(columns=GATES)

    @property
    def summary(self) -> str:
        """The run in one line."""
        return (self.path / "report" / "summary.txt").read_text("utf-8").strip()

    @property
    def name(self) -> str:
        return self.path.absolute().name

    @property
    def report(self) -> Path:
        """The page, which may not be there yet."""
        return self.path / "report" / "index.html"

    @property
    def ended(self) -> bool:
        """Whether its report was written."""
        return self.report.exists()

    @cached_property
    def config(self) -> RunConfig:
        """The settings in its run.toml. Raises UserError where the folder has none."""
        return configuration.load(self.path / "run.toml")

    @property
    def good(self) -> bool:
        """Whether there is nothing to say against it."""
        return self.ended and not failed_gates(self) and not over_unscored(self)

    def sampled_scores(self) -> pd.DataFrame:
        """Scores of the features drawn by seed."""
        scores, features = self.scores(), self.features()
        by_hand = features[features["selected_by"] == PICKED]
        picked = set(zip(by_hand["dictionary"], by_hand["feature"], strict=True))
        keys = zip(scores["dictionary"], scores["feature"], strict=True)
        return scores[[key not in picked for key in keys]] if picked else scores

    def _csv(self, name: str) -> pd.DataFrame:
        return sheets.read(self.path / "report" / f"{name}.csv")


def failed_gates(run: Run) -> list[str]:
    """The sentences of the gates that say no."""
    gates = run.gates()
    return [str(sentence) for sentence in gates.loc[gates["verdict"] == "failed", "sentence"]]


def over_unscored(run: Run) -> list[str]:
    """A sentence for each primary metric with a larger share of unscored features than the config allows."""
    scores = run.scores()
    primary = scores[scores["metric"].isin(PRIMARY.values()) & (scores["control"] == "none")]
    allowed = run.config.score.max_unscored
    sentences = []
    for (metric, explainer, scorer), group in primary.groupby(["metric", "explainer", "scorer"]):
        missing = int(group["value"].isna().sum())
        if missing > allowed * len(group):
            sentences.append(
                f"Done, but {missing} of {len(group)} features have no {metric} for explanations by {explainer!r} "
                f"judged by {scorer!r}, more than score.max_unscored = {allowed} allows: see "
                f"unscored_reason in {run.path / 'report' / 'scores.csv'}."
            )
    return sentences

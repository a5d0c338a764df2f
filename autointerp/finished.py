"""A run that has ended: its tables, and what there is to say against it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from autointerp import sheets, toml
from autointerp.config import RunConfig
from autointerp.errors import UserError
from autointerp.measure.scores import are_primary
from autointerp.prompt import marked
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


EXCERPT = ["split", "stratum", "fires", "weight", "activation", "text", "label"]


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

    def excerpts(self, dictionary: str, feature: int) -> pd.DataFrame:
        """What was shown of a feature, loudest first: a row an excerpt, its text with [[ ]] around what fires.

        `activation` is its largest, `stratum` its activation interval or the kind of silence; `label` is what the
        corpus says of it, and all that there is of a picture. Empty for a feature that was not evaluated.
        """
        path = self.path / "evidence" / f"{dictionary}.parquet"
        if not path.exists():
            known = ", ".join(self.config.dictionaries)
            raise UserError(
                f"you asked for excerpts of {dictionary!r}", f"the run has none, only {known}", "name one of these"
            )
        rows = pd.read_parquet(path, filters=[("feature", "==", feature)]).to_dict("records")
        found = [
            {
                **{str(name): row[name] for name in ("split", "stratum", "fires", "weight")},
                "activation": max(row["activations"]),
                "text": marked(row["pieces"], [one > 0 for one in row["activations"]]),
                "label": row["label"],
            }
            for row in rows
        ]
        frame = pd.DataFrame(found, columns=EXCERPT)
        return frame.sort_values("activation", ascending=False, kind="stable", ignore_index=True)

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
        return toml.load(self.path / "run.toml")

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


def open_run(path: str | Path) -> Run:
    """A finished run, by its folder. UserError where there is none."""
    run = Run(Path(path))
    if not run.ended:
        raise UserError(
            f"you asked for the run {path}", "there is no report in it", "name the folder of a run that has ended"
        )
    return run


def failed_gates(run: Run) -> list[str]:
    """The sentences of the gates that say no."""
    gates = run.gates()
    return [str(sentence) for sentence in gates.loc[gates["verdict"] == "failed", "sentence"]]


def over_unscored(run: Run) -> list[str]:
    """A sentence for each primary metric with a larger share of unscored features than the config allows."""
    scores = run.scores()
    primary = scores[are_primary(scores["metric"]) & (scores["control"] == "none")]
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

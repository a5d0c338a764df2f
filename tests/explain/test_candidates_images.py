"""Candidates for what a subject sees: choosers look at pictures, or read labels where they cannot."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autointerp import toml
from autointerp.explain import choosers, stage
from autointerp.llm.protocol import Request
from autointerp.pipeline import STAGES, do, open_job
from autointerp.records import Explanation
from tests import planted, sighted
from tests.explain.test_candidates import DRAWS
from tests.sighted import RULES, Sighted


def drafts(request: Request) -> Any:
    """A sentence that fits no picture, the true rule, and one that fits every picture."""
    number = request.sample // 2 // DRAWS
    return [{"explanation": "any of: violet"}, sighted.explain_seeing(request), {"explanation": "any of: white"}][
        number
    ]


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Sighted:
    return sighted.plant(tmp_path_factory.mktemp("sighted"))


def explained(plant: Sighted, chooser: dict[str, Any], out: Path) -> list[Explanation]:
    tree = sighted.settings(plant)
    tree["explainers"] = {
        "several": planted.scripted_in(__name__, "drafts", candidates=3, chosen_by="picks", examples=6)
    }
    tree["scorers"] = {"picks": chooser | {"explainers": []}, "judge": sighted.scripted("judge_blind")}
    job = open_job(toml.build(tree, "the test"), out)
    for name in ("collect", "evidence", "explain"):
        do(job, name, STAGES[name])
    job.close()
    return [one for one in stage.read(out / "sighted" / "explanations.parquet") if one.text]


def test_a_model_that_sees_chooses_by_the_pictures_that_were_held_back(
    plant: Sighted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    planted.asked.clear()
    found = explained(plant, sighted.scripted("judge_seeing"), tmp_path)
    assert {one.feature for one in found} == sighted.SCORABLE
    for one in found:
        assert one.text == f"any of: {', '.join(sorted(RULES[one.feature]))}"
        assert one.chooser is not None
    items = pd.read_parquet(tmp_path / "sighted" / "evidence" / "rules.parquet").query("split == 'explain'")
    judged = [request for request in planted.asked if "description" in request.content]
    assert judged
    for request in judged:
        assert request.shared.startswith("You are given a description and several pictures")
        assert 0 < len(request.images) <= len(items)
        assert all(sighted.outlined(image) == [False] * 16 for image in request.images)  # the question is detection


class Words:
    """An encoder that cannot see: an axis for each colour."""

    sees = False

    def __init__(self, role: Any) -> None:
        assert role.model == "encoder"

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        words = [set(re.findall(r"\w+", text)) for text in texts]
        return np.array([[float(name in held) for name in sighted.NAMES] for held in words], dtype=np.float32)

    def images(self, images: Sequence[bytes]) -> np.ndarray:
        raise AssertionError("it cannot see")


class Looks(Words):
    """One that sees: the same axes for the colours in a picture."""

    sees = True

    def images(self, images: Sequence[bytes]) -> np.ndarray:
        return self.texts([sighted.label(sighted.cells_in(image)) for image in images])


@pytest.mark.parametrize("encoder", [Words, Looks])
def test_an_encoder_chooses_by_labels_or_by_sight(
    encoder: type[Words], plant: Sighted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(choosers, "open_encoder", encoder)
    found = explained(plant, {"kind": "embedding", "model": "encoder"}, tmp_path)
    assert {one.feature for one in found} == sighted.SCORABLE
    for one in found:
        assert one.text == f"any of: {', '.join(sorted(RULES[one.feature]))}"
        assert one.chooser is not None and one.chooser.provider == "transformers"

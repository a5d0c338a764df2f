"""A run on planted features of a subject that sees says what is true of them, as seen through the pictures alone."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Picture
from safetensors.torch import load_file

from autointerp import rubric
from autointerp.collect.sketch import Sketch
from autointerp.config import SubjectConfig
from autointerp.errors import UserError
from autointerp.evidence.reader import read_pictures
from autointerp.llm.protocol import Image, Request
from autointerp.subjects.load import load
from autointerp.testing.server import FaultServer, Received
from tests import planted as plant
from tests import sighted as sight
from tests.sighted import RULES, Cells, Sighted

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def sighted(tmp_path_factory: pytest.TempPathFactory) -> Sighted:
    return sight.plant(tmp_path_factory.mktemp("sighted"))


@pytest.fixture(scope="module")
def run(sighted: Sighted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose explainer and judge see."""
    plant.asked.clear()
    return sight.played(sight.settings(sighted), tmp_path_factory.mktemp("run"))


def facts(run: Path, stage: str) -> Any:
    return json.loads((run / "manifest.json").read_text())["stages"][stage]["facts"]


def scores(run: Path, explainer: str = "sees") -> pd.Series:
    """Values by (metric, feature, control)."""
    table = pd.read_parquet(run / "scores.parquet")
    return table[table["explainer"] == explainer].set_index(["metric", "feature", "control"])["value"].sort_index()


def cells_by_context(run: Path) -> dict[int, Cells]:
    """What each picture of the run shows, decoded from the bytes that it kept."""
    ids = pd.read_parquet(run / "collect" / "contexts.parquet", columns=["id"])["id"]
    return {context: sight.cells_in(image) for context, image in read_pictures(run, ids).items()}


# what the subject sees


def test_the_subject_puts_out_each_colour_in_its_own_channel_row_by_row() -> None:
    settings: Any = {"size": sight.SIZE, "mean": (0, 0, 0), "std": (1, 1, 1)}
    subject = load(SubjectConfig(model="python:tests.sighted:colours", picture=settings, device="cpu"))
    cells = (*sight.NAMES, *sight.NAMES[::-1])
    with Picture.open(io.BytesIO(sight.png(cells))) as picture:
        seen = subject.look(picture, "", [sight.HOOK])
    with Picture.open(io.BytesIO(seen.image)) as kept:
        assert (np.asarray(kept) == np.asarray(picture)).all()  # nothing is resized
    assert (seen.grid.start, seen.grid.rows, seen.grid.columns) == (0, sight.GRID, sight.GRID)
    output = subject.hidden([seen.tokens], len(seen.tokens), [sight.HOOK], [seen.image])[sight.HOOK]
    expected = [[sight.loudness(name) * (name == cell) for name in sight.NAMES] for cell in cells]
    assert output.tolist() == [expected]


# collect


def test_pictures_and_what_was_left_out_are_counted(sighted: Sighted, run: Path) -> None:
    counts = facts(run, "collect")["counts"]
    n = len(sighted.pictures)
    assert counts["pictures"] == counts["contexts"] == counts["documents"] == n
    assert counts["positions"] == n * sight.GRID**2
    assert counts["pictures_refused"] == counts["texts_not_read"] == counts["duplicate_contexts_dropped"] == 1


def test_firings_and_maxima_are_those_of_the_pictures(sighted: Sighted, run: Path) -> None:
    sketch = Sketch.from_state(load_file(run / "collect" / "rules.safetensors"))
    cells = [cell for picture in sighted.pictures.values() for cell in picture]
    for feature in range(len(RULES)):
        values = [sight.activation(feature, cell) for cell in cells]
        assert sketch.fired[feature] == sum(value > 0 for value in values)
        assert float(sketch.max[feature]) == pytest.approx(max(values), rel=1e-6)
    features = pd.read_parquet(run / "evidence" / "rules.features.parquet").set_index("feature")
    assert set(features.index[features["dead"]]) == {sight.SUPPRESSED}


def test_pictures_are_kept_as_they_were(sighted: Sighted, run: Path) -> None:
    assert sorted(cells_by_context(run).values()) == sorted(sighted.pictures.values())


# evidence


def test_every_activation_stands_on_its_patch(run: Path) -> None:
    cells = cells_by_context(run)
    items = pd.read_parquet(run / "evidence" / "rules.parquet")
    assert set(items["feature"]) >= sight.SCORABLE
    for item in items.itertuples():
        truth = [sight.activation(item.feature, cell) for cell in cells[item.context]]
        np.testing.assert_allclose(item.activations, truth, rtol=1e-6)
        assert item.fires == any(truth)
        assert item.grid == {"start": 0, "rows": sight.GRID, "columns": sight.GRID}
        assert item.label == sight.label(cells[item.context])
    assert facts(run, "evidence")["replay_disagreements"] == {"rules": 0}


def test_a_feature_that_is_never_silent_says_so(run: Path) -> None:
    features = pd.read_parquet(run / "evidence" / "rules.features.parquet").set_index("feature")
    assert features.loc[sight.EVERYWHERE, "reason"] == "too few silent excerpts"
    assert scores(run)["detection.ap", sight.EVERYWHERE].isna().all()


# explain


def test_an_explainer_that_sees_names_the_colours_of_the_rule(run: Path) -> None:
    explanations = pd.read_parquet(run / "explanations.parquet").set_index(["explainer", "feature"])
    for feature in sight.SCORABLE:
        assert explanations.loc[("sees", feature), "text"] == f"any of: {', '.join(sorted(RULES[feature]))}"
        assert explanations.loc[("sees", feature), "rubric"].startswith("explain_images.")


def test_the_lexical_explainer_names_words_of_the_labels(run: Path) -> None:
    explanations = pd.read_parquet(run / "explanations.parquet").set_index(["explainer", "feature"])
    for feature in sight.SCORABLE:
        named = set(explanations.loc[("lexical", feature), "text"].strip(".“”").lower().split("”, “"))
        assert named and named <= set(RULES[feature])


# score


def test_a_judge_that_sees_is_perfect_and_its_control_is_not(run: Path) -> None:
    found = scores(run)
    for feature in sight.SCORABLE:
        for metric, best in (("detection.ap", 1), ("fuzzing.ap", 1), ("specificity.mean", 3)):
            assert found[metric, feature, "none"] == pytest.approx(best)
            assert found[metric, feature, "shuffled"] < 0.8 * best
        assert found["specificity.silent", feature, "none"] == 0
    for metric, fails in (("detection.ap", 0.5), ("fuzzing.ap", 0.5), ("specificity.mean", 1)):
        assert found[metric][:, "shuffled"].mean() < fails


def test_labels_in_the_place_of_pictures_are_a_high_floor(run: Path) -> None:
    found = scores(run, explainer="")
    for feature in sight.SCORABLE:
        assert found["lexical_floor.ap", feature, "none"] == 1
        assert found["probe.ap", feature, "none"] == 1


def test_a_judge_that_does_not_look_is_at_its_constant(
    sighted: Sighted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = sight.settings(sighted)
    tree["explainers"] = {"sees": sight.scripted("explain_seeing")}
    tree["scorers"]["judge"] |= sight.scripted("judge_blind")
    found = scores(sight.played(tree, tmp_path))
    for feature in sight.SCORABLE:
        for control in ("none", "shuffled"):
            assert found["detection.ap", feature, control] == pytest.approx(0.2)
            assert found["fuzzing.ap", feature, control] == pytest.approx(0.2)
            assert found["detection.auroc", feature, control] == 0.5
            assert found["specificity.mean", feature, control] == pytest.approx(2)
            assert found["specificity.silent", feature, control] == pytest.approx(2)


# what is asked


def test_requests_hold_the_pictures_that_their_lines_name_and_no_word_beside_them(run: Path) -> None:
    """Nothing is written but ids, numbers of pictures and, in the first line of a judge's question, the description."""
    explaining = [request for request in plant.asked if request.content.startswith("ACTIVE")]
    judging = [request for request in plant.asked if not request.content.startswith("ACTIVE")]
    assert explaining and judging
    for request in plant.asked:
        lines = [json.loads(line) for line in request.content.split("\n")[1:] if line != "SILENT"]
        assert [line["image"] for line in lines] == list(range(len(request.images)))
        assert all(line.keys() <= {"id", "image"} for line in lines)
        assert {sight.decoded(image).shape for image in request.images} == {(sight.SIDE, sight.SIDE, 3)}


def test_an_explanation_and_its_controls_are_judged_on_the_same_pictures_in_the_same_order(run: Path) -> None:
    shown: dict[tuple[str, str], set[str]] = {}
    for request in plant.asked:
        if not request.content.startswith("ACTIVE"):
            pictures = tuple(image.sha256 for image in request.images)
            shown.setdefault((request.shared, str(pictures)), set()).add(plant.description(request))
    verdicts = pd.read_parquet(run / "verdicts.parquet")
    judged = verdicts[verdicts["scorer"] == "judge"]
    for _, case in judged.groupby(["question", "feature"]):
        orders = case.groupby("control")["item"].agg(list)
        assert len(orders) == 4 and all(order == orders["none"] for order in orders)
    # generic, own and others' sentences, each on the same pictures
    assert all(len(descriptions) >= 3 for descriptions in shown.values())


# over HTTP


def question(received: Received) -> Request:
    """A request with pictures as it came over HTTP, from either SDK."""
    parts = next(m["content"] for m in received.body["messages"] if m["role"] == "user")
    images = []
    for name, part in zip(parts[:-1:2], parts[1:-1:2], strict=True):
        assert name == {"type": "text", "text": f"image {len(images)}"}
        if part["type"] == "image":
            assert part["source"].keys() == {"type", "media_type", "data"} and part["source"]["type"] == "base64"
            kind, data = part["source"]["media_type"], part["source"]["data"]
        else:
            assert part.keys() == {"type", "image_url"}
            head, _, data = part["image_url"]["url"].partition(",")
            kind = head.removeprefix("data:").removesuffix(";base64")
        images.append(Image(kind, base64.b64decode(data, validate=True)))
    known = [rubric.load(f"{name}_images") for name in ("explain", "detection", "fuzzing", "specificity")]
    (asked,) = (one for one in known if one.text == received.shared)
    return Request(received.shared, parts[-1]["text"], asked.schema, images=tuple(images))


def answer(received: Received) -> str:
    """The explainer and the judge that see, behind HTTP."""
    request = question(received)
    explains = request.content.startswith("ACTIVE")
    return json.dumps((sight.explain_seeing if explains else sight.judge_seeing)(request))


def over_http(provider: str, server: FaultServer, **more: Any) -> dict[str, Any]:
    url = server.url + ("/v1" if provider == "openai" else "")
    return {"kind": "llm", "provider": provider, "model": "m", "base_url": url, "api_key_env": "SERVER_KEY", **more}


def test_both_sdks_bring_the_pictures_to_a_server_and_the_same_verdicts_back(
    sighted: Sighted, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER_KEY", "key")
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    with FaultServer() as server:
        server.answer = answer
        tree = sight.settings(sighted)
        judging = {"scores": ["detection", "fuzzing", "specificity"], "explainers": ["anthropic"], "features": 3}
        seeing = {"capabilities": {"vision": True}}
        tree["explainers"] = {
            "anthropic": over_http("anthropic", server, features=3),
            "openai": over_http("openai", server, features=3, **seeing),
        }
        tree["scorers"] = {
            "anthropic": over_http("anthropic", server, **judging),
            "openai": over_http("openai", server, **judging, **seeing),
        }
        there = sight.played(tree, tmp_path / "runs")
        assert {request.path for request in server.received} == {"/v1/messages", "/v1/chat/completions"}
    verdicts = pd.read_parquet(there / "verdicts.parquet")
    key = ["feature", "question", "control", "item"]
    sides = {name: side.set_index(key)["value"] for name, side in verdicts.groupby("scorer") if name}
    assert set(sides) == {"anthropic", "openai"}
    for side in sides.values():
        assert len(side) > 100 and side.notna().all()
    # Coins fall anew for each judge: of detection both are asked about most of the items.
    both = pd.concat(sides, axis=1).xs("detection", level="question").dropna()
    assert len(both) > 100 and (both["anthropic"] == both["openai"]).all()
    explanations = pd.read_parquet(there / "explanations.parquet").query("text != ''")
    said = {name: side.set_index("feature")["text"].to_dict() for name, side in explanations.groupby("explainer")}
    assert said["anthropic"] == said["openai"] == {f: f"any of: {', '.join(sorted(RULES[f]))}" for f in said["openai"]}
    found = scores(there, explainer="anthropic")
    for metric, best in (("detection.ap", 1), ("fuzzing.ap", 1), ("specificity.mean", 3)):
        assert found[metric][:, "none"].tolist() == pytest.approx([best] * 6)  # 3 features, 2 judges


@pytest.mark.parametrize("who", ["explainers", "scorers"])
def test_a_model_that_is_not_known_to_take_images_is_refused_before_anything_is_sent(
    who: str, sighted: Sighted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER_KEY", "key")
    tree = sight.settings(sighted)
    with FaultServer() as server:
        tree[who] = {"sees": over_http("openai", server)}
        tree["scorers"].get("judge", {}).pop("explainers", None)
        with pytest.raises(UserError, match="it is not known to take images") as refused:
            sight.played(tree, tmp_path)
        assert not server.received
    assert "\n" not in str(refused.value) and "name a model with vision" in str(refused.value)

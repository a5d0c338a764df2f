"""delphi's questions, in its own environment: `delphi_prompts.py FOLDER`.

Reads what tokens.py wrote (items.json) and writes what delphi sends and the answers that it asks for (delphi.json).
Its explainer and its scorers run whole and at the settings of its command line, with a client that keeps what it is
asked and answers in the form that delphi's own examples show: no prompt is written here.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import torch
import transformers  # noqa: F401 (it looks for some of these itself, before they are there)

# Imported by delphi's modules and called by nothing that is asked here: only their names are needed.
ABSENT = "aiofiles beartype beartype.typing faiss httpx sentence_transformers tiktoken vllm vllm.distributed"
for name in (*ABSENT.split(), "vllm.distributed.parallel_state", "vllm.inputs"):
    sys.modules[name] = MagicMock()
# Only now, with these names in place, can delphi be imported: hence E402.
from delphi.clients.client import Response  # noqa: E402
from delphi.config import RunConfig, SamplerConfig  # noqa: E402
from delphi.explainers import DefaultExplainer  # noqa: E402
from delphi.latents.latents import ActivatingExample, Latent, LatentRecord, NonActivatingExample  # noqa: E402
from delphi.latents.samplers import sampler  # noqa: E402
from delphi.scorers import DetectionScorer, FuzzingScorer  # noqa: E402

SCORERS = {"detection": DetectionScorer, "fuzzing": FuzzingScorer}
DEFAULT = {field.name: field.default for field in dataclasses.fields(RunConfig)}["num_examples_per_scorer_prompt"]

Item = dict[str, list[Any]]


class Recorder:
    """A client that keeps what it is asked, and always says the same."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.asked: list[dict[str, Any]] = []

    async def generate(self, prompt: list[dict[str, str]], **settings: Any) -> Response:
        self.asked.append({"messages": prompt, "answer": self.answer})
        return Response(self.answer)


class Pieces:
    """In a tokenizer's place: the tokens of an example are numbers of pieces of text."""

    def __init__(self) -> None:
        self.pieces: list[str] = []

    def add(self, pieces: Sequence[str]) -> torch.Tensor:
        self.pieces += pieces
        return torch.arange(len(self.pieces) - len(pieces), len(self.pieces))

    def batch_decode(self, tokens: torch.Tensor) -> list[str]:
        return [self.pieces[token] for token in tokens.tolist()]


def record(feature: dict[str, Any], number: int) -> LatentRecord:
    """Firing excerpts for the explainer, drawn by delphi's sampler."""
    pieces = Pieces()
    examples = [
        ActivatingExample(pieces.add(item["pieces"]), torch.tensor(item["activations"])) for item in feature["explain"]
    ]
    found = LatentRecord(Latent("hook", number), sorted(examples, key=lambda one: -one.max_activation))
    sampler(found, SamplerConfig(n_examples_test=0), pieces)
    assert len(found.train) == SamplerConfig().n_examples_train
    found.explanation = feature["explanation"]
    return found


def judged(found: LatentRecord, items: list[Item]) -> LatentRecord:
    """The record with these excerpts to be judged."""
    found.test, found.not_active = [], []
    for item in items:
        pieces, activations = item["pieces"], torch.tensor(item["activations"])
        tokens = torch.arange(len(pieces))
        if activations.any():
            found.test.append(ActivatingExample(tokens, activations, str_tokens=pieces))
        else:
            found.not_active.append(NonActivatingExample(tokens, activations, pieces))
    return found


def explained(found: LatentRecord) -> list[dict[str, Any]]:
    client = Recorder(f"[EXPLANATION]: {found.explanation}")
    result = DefaultExplainer(client).call_sync(found)
    assert result.explanation == found.explanation
    return client.asked


def scored(found: LatentRecord, scorer: str, at_once: int) -> list[dict[str, Any]]:
    client = Recorder(f"[{','.join('01'[at % 2] for at in range(at_once))}]")
    result = SCORERS[scorer](client, n_examples_shown=at_once).call_sync(found)
    assert len(result.score) == len(found.test) + len(found.not_active)
    assert all(one.prediction is not None for one in result.score)
    return client.asked


def main(folder: Path) -> None:
    given = json.loads((folder / "items.json").read_text("utf-8"))
    records = [record(feature, number) for number, feature in enumerate(given["features"])]
    written: dict[str, Any] = {"default": DEFAULT, "explainer": [one for found in records for one in explained(found)]}
    for scorer in SCORERS:
        for at_once in {DEFAULT, *given["at once"]}:
            written[f"{scorer} {at_once}"] = [
                one
                for found, feature in zip(records, given["features"], strict=True)
                for one in scored(judged(found, feature[scorer]), scorer, at_once)
            ]
    (folder / "delphi.json").write_text(json.dumps(written), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

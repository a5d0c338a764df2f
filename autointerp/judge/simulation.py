"""How strongly does each token fire? The judge says it from the explanation alone (Bills et al. 2023).

Integers from 0 to 10, all tokens of an excerpt at once. Where the model gives log-probabilities, each integer is
replaced by its expected value over the integers that could have stood in its place.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from autointerp.judge.question import Said, Shown, dealt, given
from autointerp.llm.protocol import Reply, TokenLogprob
from autointerp.prompt import neutral
from autointerp.records import Item

TOP_LOGPROBS = 10
LIST = re.compile(r'"activations"\s*:\s*\[([\d\s,]*)\]')


def show(items: Sequence[Item], rng: np.random.Generator) -> list[Shown]:
    """Firing and silent excerpts as lists of tokens. Pictures have none and are left out."""
    texts = [item for item in items if item.excerpt.grid is None]
    shown = [Shown(item, item.fires, {"tokens": [neutral(piece) for piece in item.excerpt.pieces]}) for item in texts]
    return dealt(shown, rng)


def entry(schema: dict[str, Any], group: Sequence[Shown]) -> dict[str, Any]:
    """As many activations as tokens, where all excerpts of the group have equally many."""
    lengths = {len(shown.item.excerpt.pieces) for shown in group}
    if len(lengths) != 1:
        return schema
    (n,) = lengths
    activations = {**schema["properties"]["activations"], "minItems": n, "maxItems": n}
    return {**schema, "properties": {**schema["properties"], "activations": activations}}


def read(answer: Mapping[str, Any], shown: Shown) -> Said:
    given, wanted = answer["activations"], len(shown.item.excerpt.pieces)
    if len(given) != wanted:
        return Said(reason="not as many activations as tokens")
    predicted = tuple(float(value) for value in given)
    return Said(max(predicted), predicted=predicted)


def answers(reply: Reply) -> Sequence[Mapping[str, Any]]:
    """The entries, their integers replaced by expected values where log-probabilities tell them."""
    entries = given(reply)
    if reply.logprobs is None or "".join(token.token for token in reply.logprobs) != reply.text:
        return entries
    expected = list(expectations(reply.text, reply.logprobs))
    if [len(entry["activations"]) for entry in entries] != [len(values) for values in expected]:
        return entries
    return [{**entry, "activations": values} for entry, values in zip(entries, expected, strict=True)]


def expectations(text: str, tokens: Sequence[TokenLogprob]) -> Iterator[list[float]]:
    """For each list of activations in the text, the expected value of each of its numbers."""
    at: dict[int, TokenLogprob] = {}
    end = 0
    for written in tokens:
        at[end] = written
        end += len(written.token)
    for found in LIST.finditer(text):
        values = []
        for number in re.finditer(r"\d+", found[1]):
            start = found.start(1) + number.start()
            # A token may begin with the space before its number; a number of several tokens stays as it is.
            token = at.get(start) or at.get(start - 1)
            whole = token is not None and token.token.strip() == number[0]
            values.append(expectation(token, float(number[0])) if token and whole else float(number[0]))
        yield values


def expectation(token: TokenLogprob, written: float) -> float:
    """Mean of the integers 0 to 10 among the alternatives, by their probabilities."""
    weights: dict[int, float] = {}
    for text, logprob in {token.token: token.logprob, **dict(token.alternatives)}.items():
        if re.fullmatch(r"\s*(\d|10)\s*", text):
            weights[int(text)] = weights.get(int(text), 0.0) + math.exp(logprob)
    total = sum(weights.values())
    return sum(value * weight for value, weight in weights.items()) / total if total > 0 else written

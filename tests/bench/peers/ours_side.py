"""Our side: `python -m tests.bench.peers.ours_side FOLDER CASE [--save | --check]`; prints one line of JSON.

Measured, after a batch to warm up: finding the nonzeros (`Dictionary.encode_sparse` with its matrix product and top-k
already done), `Sketch.seen`, `Sketch.update` and `Sketch.state`. Not measured: the language model, the encoder's matrix
product, the top-k, scaling by decoder norms, writing to disk.

`--check` measures nothing: it compares what `--save` of both sides wrote. Ours keeps a summary and delphi every
firing, so the firings that went into the sketch are held against delphi's one by one, and the sketch against figures
computed from delphi's.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from autointerp.collect.sketch import Sketch
from autointerp.dictionaries.canonical import Dictionary
from tests.bench.peers import inputs

COUNTED = torch.ones(inputs.BATCH, inputs.LENGTH, dtype=torch.bool)  # every position
KEEP = Sketch(1).keep


@dataclass(frozen=True)
class Given(Dictionary):
    """A dictionary that is fed its own pre-activations, or `top`, its own (values, features) [n, k]."""

    top: tuple[Tensor, Tensor] | None = None

    def _hidden(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x

    def _largest(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        assert self.top is not None and len(self.top[0]) == len(hidden)
        return self.top


def encoders(given: inputs.Input, case: str) -> Iterator[tuple[Dictionary, Tensor]]:
    """For each batch, what `encode_sparse` is called on and with."""
    W_enc, blank = torch.empty(1, inputs.WIDTH), torch.empty(0)  # encode_sparse looks at the width alone
    topk = Given(W_enc, blank, blank, blank, activation="topk", convention={}, k=inputs.CANDIDATES["topk"])
    jumprelu = replace(topk, activation="jumprelu", threshold=torch.full((inputs.WIDTH,), 0.05))
    for number in range(given.batches):
        if case == "dense":
            yield jumprelu, given.dense(number)
        else:
            index, value = given.sparse(number)
            yield replace(topk, top=(value, index)), torch.empty(len(index))


def firings(encoder: Dictionary, x: Tensor, number: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(context, position, feature, activation) of one batch, as collecting derives them."""
    rows, features, values = encoder.encode_sparse(x)
    owner, position = COUNTED.nonzero()[rows].T
    return number * inputs.BATCH + owner, position, features, values


def run(folder: Path, case: str, batches: int | None = None) -> tuple[dict[str, Tensor], dict[str, float]]:
    """What a sketch holds of the first `batches`, or of all, and the seconds it took."""
    watch = inputs.Stopwatch()
    given = inputs.Input(folder, case, watch)
    length = torch.full((inputs.BATCH,), inputs.LENGTH)
    sketch = Sketch(inputs.WIDTH)
    for number, (encoder, x) in enumerate(islice(encoders(given, case), batches)):
        contexts = torch.arange(inputs.BATCH) + number * inputs.BATCH
        sketch.seen(contexts, length, (contexts % 2).to(torch.int8), contexts)
        context, position, feature, activation = firings(encoder, x, number)
        sketch.update(context, position, feature, activation, (context % 2).to(torch.int8))
    return sketch.state(), watch.read()


def fold(folder: Path, case: str, save: bool) -> dict[str, float]:
    imported = inputs.peak()
    run(folder, case, 1)  # to warm up: the first call loads what numba compiled
    state, seconds = run(folder, case)
    result = {
        **seconds,
        "peak": inputs.peak(),
        "over imports": inputs.peak() - imported,
        "nonzeros": int(state["fired"].sum()),
    }
    if save:
        save_file(state, folder / f"ours-{case}.safetensors")
    return result


def check(folder: Path, case: str) -> dict[str, int]:
    given = inputs.Input(folder, case, inputs.Stopwatch())
    batches = (firings(*encoder, number) for number, encoder in enumerate(encoders(given, case)))
    context, position, feature, activation = (torch.cat(part) for part in zip(*batches, strict=True))
    theirs = load_file(folder / f"delphi-{case}" / "hook.safetensors")
    assert torch.equal(theirs["locations"], torch.stack([context, position, feature], 1))
    assert torch.equal(theirs["activations"], activation)
    del context, position, feature, activation, batches

    sketch = Sketch.from_state(load_file(folder / f"ours-{case}.safetensors"))
    context, _, feature = theirs["locations"].T
    wide = theirs["activations"].double()
    zero = torch.zeros(inputs.WIDTH)
    assert torch.equal(sketch.fired, load_file(folder / f"delphi-{case}" / "fired.safetensors")["fired"])
    assert torch.equal(sketch.fired, feature.bincount(minlength=inputs.WIDTH))
    assert torch.equal(sketch.max, zero.scatter_reduce(0, feature, theirs["activations"], "amax"))
    torch.testing.assert_close(sketch.sum, feature.bincount(wide, inputs.WIDTH), rtol=1e-9, atol=0)
    torch.testing.assert_close(sketch.sum_sq, feature.bincount(wide.square(), inputs.WIDTH), rtol=1e-9, atol=0)

    # A pair is a context in which a feature fires, `largest` its strongest activation there.
    pair, of_pair = (context * inputs.WIDTH + feature).unique(return_inverse=True)
    largest = torch.zeros(len(pair)).scatter_reduce(0, of_pair, theirs["activations"], "amax")
    context, feature = pair // inputs.WIDTH, pair % inputs.WIDTH
    for split in (0, 1):
        inside = context % 2 == split
        count = feature[inside].bincount(minlength=inputs.WIDTH)
        assert torch.equal(sketch.fired_contexts_by_split[split], count)
        # The strongest contexts: equal activations may stand in either order, so activations are compared.
        order = largest[inside].argsort(descending=True)
        order = order[feature[inside][order].argsort(stable=True)]
        rank = torch.arange(len(order)) - (count.cumsum(0) - count)[feature[inside][order]]
        best = torch.zeros(inputs.WIDTH, KEEP)
        kept = rank < KEEP
        best[feature[inside][order][kept], rank[kept]] = largest[inside][order][kept]
        ids = sketch.reservoir("strongest", split)[0]
        asked = ids.clamp_min(0) * inputs.WIDTH + torch.arange(inputs.WIDTH)[:, None]
        at = torch.searchsorted(pair, asked).clamp_max(len(pair) - 1)
        assert torch.equal(best, torch.where((ids >= 0) & (pair[at] == asked), largest[at], 0))
    return {"firings": len(wide), "pairs": len(pair)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("case", choices=list(inputs.CANDIDATES))
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    done = check(asked.folder, asked.case) if asked.check else fold(asked.folder, asked.case, asked.save)
    print(json.dumps(done))

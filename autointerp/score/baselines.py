"""What can be had without any explanation: a token lookup, and one direction in the hook's own space."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from autointerp.evidence.reader import DictionaryEvidence, PoolReader
from autointerp.evidence.replay import Replay
from autointerp.job import Site
from autointerp.records import Item, Split

Values = dict[int, list[float]]  # by feature, one value for each of its `score` items


def lexical_floor(side: DictionaryEvidence, features: Sequence[int], pool: PoolReader) -> Values:
    """The token-unigram predictor: a token's mean activation over `explain`, an excerpt's largest one.

    The mean is over all occurrences, shrunk by one silent one, so a token seen once says little. Tokens that `explain`
    never held predict 0.
    """
    number: dict[str, int] = {}
    rows = pool.rows("explain")
    tokens = [[number.setdefault(piece, len(number)) for piece in pool.excerpts[row].pieces] for row in rows]
    place = {row: at for at, row in enumerate(rows)}
    held = {pool.excerpts[row].id for row in rows}
    occurrences = np.bincount(np.concatenate(tokens), minlength=len(number)).astype(float)
    found: Values = {}
    for feature in features:
        count, total = occurrences.copy(), np.zeros(len(number))
        firings = side.firings_of(feature)
        for window, position, activation in zip(
            firings["window"], firings["position"], firings["activation"], strict=True
        ):
            if window in place:
                total[tokens[place[window]][position]] += activation
        extra: dict[str, tuple[float, float]] = {}
        for item in side.by_feature[feature].items["explain"]:
            if item.excerpt.id in held:
                continue
            for piece, activation in zip(item.excerpt.pieces, item.excerpt.activations, strict=True):
                if piece in number:
                    count[number[piece]] += 1
                    total[number[piece]] += activation
                else:
                    n, a = extra.get(piece, (0.0, 0.0))
                    extra[piece] = (n + 1, a + activation)
        mean = total / (count + 1)
        unseen = {piece: a / (n + 1) for piece, (n, a) in extra.items()}

        def predict(piece: str, mean: NDArray[np.float64] = mean, unseen: dict[str, float] = unseen) -> float:
            return float(mean[number[piece]]) if piece in number else unseen.get(piece, 0.0)

        found[feature] = [max(map(predict, item.excerpt.pieces)) for item in side.by_feature[feature].items["score"]]
    return found


def probe(side: DictionaryEvidence, features: Sequence[int], replay: Replay) -> Values:
    """A difference-of-means probe on the hook's output.

    Fitted on `explain`: the mean output where the feature fires less the mean where it is silent (silent excerpts). An
    excerpt's value is its largest projection over counted positions. Two passes over contexts, O(features x d) memory.
    """
    site = replay.job.sites[side.name]
    d = replay.job.dictionaries[side.name].d_in
    sums = {f: (torch.zeros(d, dtype=torch.float64), torch.zeros(d, dtype=torch.float64)) for f in features}
    counts = {f: [0, 0] for f in features}
    for feature, _, item, x, mask in windows(side, features, "explain", replay, site):
        where = (torch.tensor(item.excerpt.activations) > 0) & mask if item.fires else mask
        sums[feature][int(item.fires)].add_(x[where].double().sum(0))
        counts[feature][int(item.fires)] += int(where.sum())
    direction = {f: (sums[f][1] / max(counts[f][1], 1) - sums[f][0] / max(counts[f][0], 1)).float() for f in features}
    found = {f: [0.0] * len(side.by_feature[f].items["score"]) for f in features}
    for feature, at, _, x, mask in windows(side, features, "score", replay, site):
        found[feature][at] = float((x[mask] @ direction[feature]).max()) if mask.any() else 0.0
    return found


def windows(
    side: DictionaryEvidence, features: Sequence[int], split: Split, replay: Replay, site: Site
) -> Iterator[tuple[int, int, Item, torch.Tensor, torch.Tensor]]:
    """(feature, item number, item, hook output [window, d], counted [window]) of all items, each context read once."""
    contexts = replay.contexts
    wanted: dict[int, list[tuple[int, int, Item]]] = {}
    for feature in features:
        for at, item in enumerate(side.by_feature[feature].items[split]):
            wanted.setdefault(item.excerpt.context, []).append((feature, at, item))
    rows = contexts.rows(np.array(list(wanted), dtype=np.int64))
    for start in range(0, len(rows), 64):
        part = rows[start : start + 64]
        for row, x, mask in zip(part, *replay.hidden(part, site), strict=True):
            for feature, at, item in wanted[int(contexts.id[row])]:
                inside = slice(item.excerpt.start, item.excerpt.start + contexts.window)
                yield feature, at, item, x[inside], mask[inside]

"""What can be had without any explanation: a token lookup, and one direction in the hook's own space."""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from autointerp.evidence.reader import DictionaryEvidence, PoolReader
from autointerp.evidence.replay import Replay
from autointerp.explain import lexical
from autointerp.job import Site
from autointerp.records import Excerpt, Item, Split

LOGISTIC_STEPS, LOGISTIC_TOLERANCE = 100, 1e-3
Values = dict[int, list[float]]  # by feature, one value for each of its `score` items


def lexical_floor(side: DictionaryEvidence, features: Sequence[int], pool: PoolReader) -> Values:
    """The token-unigram predictor: a token's mean activation over `explain`, an excerpt's largest one.

    The mean is over all occurrences, shrunk by one silent one, so a token seen once says little. Tokens that `explain`
    never held predict 0. Of a picture the words of its label are counted, each with the excerpt's largest activation.
    """
    number: dict[str, int] = {}
    rows = pool.rows("explain")
    tokens: dict[int, dict[int, int]] = {}  # numbers of the tokens of an excerpt, by position
    labels: dict[int, list[int]] = {}
    for row in rows:
        excerpt = pool.excerpts[row]
        tokens[row] = {at: number.setdefault(excerpt.pieces[at], len(number)) for at in excerpt.in_text}
        labels[row] = [number.setdefault(word, len(number)) for word in label_words(excerpt)]
    held = {pool.excerpts[row].id for row in rows}
    counted = [n for row in rows for n in (*tokens[row].values(), *labels[row])]
    occurrences = np.bincount(np.array(counted, dtype=np.int64), minlength=len(number)).astype(float)
    found: Values = {}
    for feature in features:
        count, total = occurrences.copy(), np.zeros(len(number))
        largest: dict[int, float] = {}
        firings = side.firings_of(feature)
        for window, position, activation in zip(
            firings["window"], firings["position"], firings["activation"], strict=True
        ):
            if window in tokens:
                if position in tokens[window]:
                    total[tokens[window][position]] += activation
                largest[window] = max(largest.get(window, 0.0), activation)
        for row, activation in largest.items():
            total[labels[row]] += activation
        extra: dict[str, tuple[float, float]] = {}
        for item in side.by_feature[feature].items["explain"]:
            if item.excerpt.id in held:
                continue
            for piece, activation in spoken(item.excerpt):
                if piece in number:
                    count[number[piece]] += 1
                    total[number[piece]] += activation
                else:
                    n, sum_ = extra.get(piece, (0.0, 0.0))
                    extra[piece] = (n + 1, sum_ + activation)
        means = total / (count + 1)
        lookup = {piece: means[at] for piece, at in number.items()} | {p: s / (n + 1) for p, (n, s) in extra.items()}
        found[feature] = [
            max((float(lookup.get(piece, 0.0)) for piece, _ in spoken(item.excerpt)), default=0.0)
            for item in side.by_feature[feature].items["score"]
        ]
    return found


def spoken(excerpt: Excerpt) -> list[tuple[str, float]]:
    """The tokens of an excerpt with their activations, and the words of its label with the largest of all."""
    found = [(excerpt.pieces[at], excerpt.activations[at]) for at in excerpt.in_text]
    return found + [(word, excerpt.largest) for word in label_words(excerpt)]


def label_words(excerpt: Excerpt) -> list[str]:
    """The words of a label, told apart from the same ones in a text."""
    return [f"label {word}" for word in lexical.label_words(excerpt)]


def probes(side: DictionaryEvidence, features: Sequence[int], replay: Replay) -> dict[str, Values]:
    """Linear probes on the hook's output, fitted on `explain` at single positions; an excerpt's value is its largest.

    `probe` is the difference of means: the mean output where the feature fires less that where it is silent (in
    silent excerpts). `probe_logistic` is a logistic regression on the same positions, both classes weighing the same,
    each dimension in units of its spread. What an explanation in words does not reach, a direction may.
    """
    site = replay.job.sites[side.name]
    seen: dict[int, tuple[list[Tensor], list[Tensor]]] = {feature: ([], []) for feature in features}
    for feature, _, item, x, mask in windows(side, features, "explain", replay, site):
        where = (torch.tensor(item.excerpt.activations) > 0) & mask if item.fires else mask
        seen[feature][int(item.fires)].append(x[where])
    fitted = {feature: fit(*(torch.cat(parts).double() for parts in seen[feature])) for feature in features}
    found: dict[str, Values] = {
        name: {f: [0.0] * len(side.by_feature[f].items["score"]) for f in features}
        for name in ("probe", "probe_logistic")
    }
    for feature, at, _, x, mask in windows(side, features, "score", replay, site):
        if mask.any():
            largest = (x[mask].double() @ fitted[feature]).max(dim=0).values
            for name, value in zip(found, largest.tolist(), strict=True):
                found[name][feature][at] = value
    return found


def fit(silent: Tensor, firing: Tensor) -> Tensor:
    """Directions [d, 2] that separate outputs [n, d] at firing positions from silent ones; zeros without either."""
    from sklearn.exceptions import ConvergenceWarning  # slow to import, and most processes fit nothing
    from sklearn.linear_model import LogisticRegression

    if not len(silent) or not len(firing):
        return torch.zeros(firing.shape[1], 2, dtype=torch.float64)
    difference = firing.mean(0) - silent.mean(0)
    both = torch.cat([silent, firing])
    scale = both.std(0).clamp_min(1e-12)
    model = LogisticRegression(class_weight="balanced", max_iter=LOGISTIC_STEPS, tol=LOGISTIC_TOLERANCE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # separable classes never converge and need not
        model.fit((both / scale).numpy(), [0] * len(silent) + [1] * len(firing))
    return torch.stack([difference, torch.from_numpy(model.coef_[0]) / scale], dim=1)


def windows(
    side: DictionaryEvidence, features: Sequence[int], split: Split, replay: Replay, site: Site
) -> Iterator[tuple[int, int, Item, Tensor, Tensor]]:
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
                inside = slice(item.excerpt.start, item.excerpt.start + len(item.excerpt.pieces))
                yield feature, at, item, x[inside], mask[inside]

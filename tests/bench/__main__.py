"""`make bench`: what the stages cost, as ratios within one run where possible. Machines differ; ratios less so."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file

from autointerp import toml
from autointerp.assets import datasets
from autointerp.collect import stage as collect
from autointerp.collect.prepare import prepare, read_contexts
from autointerp.collect.sketch import Sketch
from autointerp.evidence import stage as evidence
from autointerp.evidence.replay import Replay
from autointerp.job import Job
from autointerp.llm.ledger import Ledger
from autointerp.llm.protocol import Reply, Request, key
from autointerp.store import RunDirectory
from autointerp.subjects.positions import PositionRule
from tests.bench import llm, memory
from tests.dictionaries import formats

ROUNDS = 3
ACTIVE, LENGTH, CONTEXTS_AT_ONCE = 32, 128, 16
WIDTHS = (16_384, 131_072, 1_048_576)


def seconds(work: Callable[[], object]) -> float:
    """The fastest of a few rounds: noise only ever adds."""
    found = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


def folding(width: int) -> None:
    """Nonzeros per second into a sketch: 262,144 positions with 32 active features each, 2,048 positions at a time.

    The features' frequencies fall off as in a trained dictionary; 16,384 of them are tracked, as by default.
    """
    shape = (CONTEXTS_AT_ONCE, LENGTH, ACTIVE)
    generator = torch.Generator().manual_seed(0)
    batches = []
    for b in range(128):
        context = (torch.arange(CONTEXTS_AT_ONCE) + b * CONTEXTS_AT_ONCE)[:, None, None].expand(shape).reshape(-1)
        position = torch.arange(LENGTH)[None, :, None].expand(shape).reshape(-1)
        feature = (torch.rand(len(context), generator=generator) ** 2 * width).long()
        activation = torch.rand(len(context), generator=generator) * 5 + 0.01
        batches.append((context, position, feature, activation, (context % 2).to(torch.int8)))
    sketches: list[Sketch] = []

    def fold() -> None:
        sketches[:] = [Sketch(width, tracked=torch.randperm(width, generator=generator)[:16_384])]
        for batch in batches:
            sketches[0].update(*batch)

    fold()  # compiles, or reads what was compiled
    total = sum(len(batch[0]) for batch in batches)
    rate = total / seconds(fold) / 1e6
    sketch = sketches[0]
    size = sum(tensor.nbytes for tensor in sketch.state().values()) / 2**20
    merging = seconds(lambda: Sketch.from_state(sketch.state()).merge(sketch))
    with tempfile.TemporaryDirectory() as folder:
        saving = seconds(lambda: save_file(sketch.state(), Path(folder) / "sketch.safetensors"))
    print(
        f"sketch: {rate:.2f} M nonzeros/s at width {width:,}; {size:,.0f} MiB, "
        f"merged in {merging:.2f} s, saved in {saving:.2f} s"
    )


def collecting() -> None:
    """The whole collect loop against a bare forward to the hook and encode of the same positions: demo subject."""
    overrides = ("corpus.contexts=64", "evidence.features=50", "collect.loss_contexts=0", "collect.cache_gb=0")
    settings = toml.load("demo-text", overrides)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(settings, RunDirectory(Path(folder)))
        prepared = prepare(job)
        contexts = list(read_contexts(Path(folder) / "collect" / "contexts.parquet", prepared.shards))
        site = next(iter(job.sites.values()))
        dictionaries = list(job.dictionaries.values())
        rule = PositionRule(settings.positions, job.subject, prepared.limits)

        def bare() -> None:
            for start in range(0, len(contexts), settings.collect.batch_size):
                batch = [c.tokens for c in contexts[start : start + settings.collect.batch_size]]
                hidden = job.hidden(batch, [site])[site]
                x = hidden[rule.mask(batch, hidden, str(site))]
                for dictionary in dictionaries:
                    dictionary.encode_sparse(x)

        def whole() -> None:
            for part in (Path(folder) / "collect" / "parts").glob("*"):
                part.unlink()
            collect.run(job)

        spent, floor = seconds(whole), seconds(bare)
        print(f"collect: {spent / floor:.2f}x of a bare forward and encode ({spent:.1f} s and {floor:.1f} s)")
        job.directory.record("collect", collect.inputs(job), *collect.run(job))
        started = time.perf_counter()
        with stopwatch(Replay, "firings") as replaying:
            evidence.run(job)
        spent = time.perf_counter() - started
        n = 50 * len(dictionaries)
        print(f"evidence: {(spent - sum(replaying)) / n * 1000:.1f} ms a feature, {spent / n * 1000:.1f} with replay")


@contextmanager
def stopwatch(owner: type, name: str) -> Iterator[list[float]]:
    """The seconds of every call of a method while it lasts."""
    found: list[float] = []
    method = getattr(owner, name)

    def timed(*arguments: object) -> object:
        started = time.perf_counter()
        result = method(*arguments)
        found.append(time.perf_counter() - started)
        return result

    setattr(owner, name, timed)
    try:
        yield found
    finally:
        setattr(owner, name, method)


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
    for width in WIDTHS:
        folding(width)
    repeating()
    llm.main()
    collecting()
    memory.main()
    print(formats.table())
    for peers in ("tests.bench.peers", "tests.bench.peers.tokens"):
        subprocess.run([sys.executable, "-m", peers], check=True)

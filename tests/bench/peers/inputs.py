"""What both sides read: which features fire where and how strongly. Runs in either environment: torch, safetensors.

    topk    32 distinct features at every position, as (index, value) [positions, 32]
    dense   a varying number, 32 on average, as (index, value) [positions, 64] with value 0 where nothing fires;
            a side gets it as a dense tensor [8 x 256, width], built batch by batch outside the measured time

Features differ in density a hundredfold and more, as those of real dictionaries do, but fire independently of one
another and of the text. Values exceed 0.1, so that delphi's cut at 1e-5 drops none.
"""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

LENGTH, WIDTH, BATCH = 256, 16_384, 8
CANDIDATES = {"topk": 32, "dense": 64}
VOCABULARY = 8_192


def write(folder: Path, contexts: int) -> None:
    """One file per batch, so that a side need not map more of its input than it works on."""
    generator = torch.Generator().manual_seed(0)
    names = torch.randperm(WIDTH, generator=generator)
    for case, candidates in CANDIDATES.items():
        (folder / case).mkdir()
        shape, group = (BATCH * LENGTH, candidates), WIDTH // candidates
        for number in range(contexts // BATCH):
            # One feature out of each of `candidates` groups, so that those of a position are distinct.
            within = (torch.rand(shape, generator=generator) ** 3 * group).long()
            value = torch.empty(shape).exponential_(generator=generator) + 0.1
            if case == "dense":
                value *= torch.rand(shape, generator=generator) < 0.5
            index = names[within + torch.arange(candidates) * group]
            save_file({"index": index, "value": value}, folder / case / f"{number}.safetensors")
    tokens = torch.randint(VOCABULARY, (contexts // BATCH * BATCH, LENGTH), generator=generator)
    save_file({"tokens": tokens}, folder / "tokens.safetensors")


class Stopwatch:
    """Seconds since it was made, on the wall and of the processors, but for those within `paused`."""

    def __init__(self) -> None:
        self._paused = np.zeros(2)
        self._started = clocks()

    @contextmanager
    def paused(self) -> Iterator[None]:
        started = clocks()
        yield
        self._paused += clocks() - started

    def read(self) -> dict[str, float]:
        wall, processor = clocks() - self._started - self._paused
        return {"seconds": wall, "processor": processor}


def clocks() -> NDArray[np.float64]:
    return np.array([time.perf_counter(), time.process_time()])


class Input:
    """One case, a batch of contexts at a time, outside the measured time."""

    def __init__(self, folder: Path, case: str, watch: Stopwatch) -> None:
        self.folder, self.watch = folder / case, watch
        self.batches = len(list(self.folder.iterdir()))

    def sparse(self, number: int) -> tuple[Tensor, Tensor]:
        """(index, value) [BATCH * LENGTH, candidates]."""
        with self.watch.paused():
            found = load_file(self.folder / f"{number}.safetensors")
            return found["index"].clone(), found["value"].clone()  # a clone is in memory, not mapped

    def dense(self, number: int) -> Tensor:
        """[BATCH * LENGTH, WIDTH]."""
        index, value = self.sparse(number)
        with self.watch.paused():
            return torch.zeros(len(index), WIDTH).scatter_(1, index, value)


def peak() -> float:
    """The largest this process has been, MB. Linux counts in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)

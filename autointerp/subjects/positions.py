"""Which positions of a context count: one rule for training, collection, explained variance and L0.

On many decoders the first position is an attention sink whose norm is a hundred times that of any other: on the demo
subject it holds 99.7% of all variance, and figures that include it are meaningless.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from autointerp.config import PositionsConfig
from autointerp.subjects.subject import Subject


class PositionRule:
    """Masks positions and counts why. The norm limit of a hook has to be read off some contexts first, or be given."""

    def __init__(self, config: PositionsConfig, subject: Subject, limits: Mapping[str, float] | None = None) -> None:
        self.config = config
        self.special = subject.special_ids if config.skip_special else frozenset()
        self.limits = dict(limits or {})
        self.masked: Counter[str] = Counter()

    def readable(self, contexts: Sequence[Sequence[int]], length: int) -> Tensor:
        """Positions that may count before norms are looked at, bool [n, length]."""
        keep = torch.zeros(len(contexts), length, dtype=torch.bool)
        for row, tokens in enumerate(contexts):
            keep[row, : len(tokens)] = torch.tensor([token not in self.special for token in tokens])
            if self._skips_first(tokens):
                keep[row, 0] = False
        return keep

    def _skips_first(self, tokens: Sequence[int]) -> bool:
        """A vision model, whose patches have ids below 0, reads no position before another."""
        return self.config.skip_first and len(tokens) > 0 and tokens[0] >= 0

    def calibrate(self, contexts: Sequence[Sequence[int]], hidden: Tensor, hook: str) -> None:
        """Fix a hook's norm limit: a multiple of the median over the readable positions of hidden [n, length, d]."""
        keep = self.readable(contexts, hidden.shape[1]).to(hidden.device)
        self.limits[hook] = self.config.norm_limit * float(hidden.float().norm(dim=2)[keep].nanmedian())

    def mask(self, contexts: Sequence[Sequence[int]], hidden: Tensor, hook: str) -> Tensor:
        """The counted positions of hidden [n, length, d], bool [n, length]. What is masked is added to `masked`."""
        keep = self.readable(contexts, hidden.shape[1]).to(hidden.device)
        for tokens in contexts:
            self.masked["padding"] += hidden.shape[1] - len(tokens)
            first = self._skips_first(tokens)
            self.masked["first"] += int(first)
            self.masked["special"] += sum(t in self.special for t in tokens[int(first) :])
        broken = keep & ~hidden.isfinite().all(dim=2)
        self.masked["not finite"] += int(broken.sum())
        keep &= ~broken
        if not self.config.norm_limit:
            return keep
        loud: Tensor = keep & (hidden.float().norm(dim=2) > self.limits[hook])
        self.masked["norm"] += int(loud.sum())
        return keep & ~loud

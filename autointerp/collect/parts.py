"""What one worker has folded in so far, and how it is kept: durable after every shard, merged in any order."""

import json
import os
import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from autointerp.collect.sketch import Sketch
from autointerp.measure.statistics import explained_variance
from autointerp.store import atomic


class DamagedPart(Exception):
    """A file that is no part, or not a whole one."""


@dataclass
class Moments:
    """Sums over the counted positions of one site, float64, and how many positions were masked, by reason."""

    sum_x: Tensor  # [d]
    n: int = 0
    sum_sq: float = 0.0  # of |x|^2
    masked: Counter[str] = field(default_factory=Counter)

    def add(self, x: Tensor) -> None:
        wide = x.double()
        self.n += len(x)
        self.sum_x += wide.sum(0).cpu()
        self.sum_sq += float(wide.square().sum())

    def merge(self, other: "Moments") -> None:
        self.n += other.n
        self.sum_x += other.sum_x
        self.sum_sq += other.sum_sq
        self.masked.update(other.masked)


@dataclass
class Totals:
    """Sums over the counted positions of one dictionary. `negative` values are nonzero but no firings."""

    nonzeros: int = 0
    negative: int = 0
    not_finite: int = 0
    residual_sq: float = 0.0  # of |x - x_hat|^2, float64

    def merge(self, other: "Totals") -> None:
        self.nonzeros += other.nonzeros
        self.negative += other.negative
        self.not_finite += other.not_finite
        self.residual_sq += other.residual_sq

    def l0(self, moments: Moments) -> float:
        return self.nonzeros / max(moments.n, 1)

    def explained_variance(self, moments: Moments) -> float:
        return explained_variance(moments.sum_x.numpy(), moments.sum_sq, moments.n, self.residual_sq)


@dataclass
class Part:
    """The sketches, totals (by dictionary) and moments (by site) of the shards in `shards`."""

    shards: list[int]
    sketches: dict[str, Sketch]
    totals: dict[str, Totals]
    moments: dict[str, Moments]

    def merge(self, other: "Part") -> "Part":
        """Fold in a part of other shards, and return this one."""
        both = set(self.shards) & set(other.shards)
        if both:
            raise ValueError(f"shard {min(both)} is in two parts")
        self.shards = sorted(self.shards + other.shards)
        for name, sketch in other.sketches.items():
            self.sketches[name].merge(sketch)
            self.totals[name].merge(other.totals[name])
        for site, moments in other.moments.items():
            self.moments[site].merge(moments)
        return self

    def save(self, path: Path, inputs: Mapping[str, str]) -> None:
        """One file, whole or not at all, with the inputs it was made from and who made it."""
        tensors = {f"moments/{site}": moments.sum_x for site, moments in self.moments.items()}
        for name, sketch in self.sketches.items():
            tensors |= {f"sketch/{name}/{key}": value for key, value in sketch.state().items()}
        rest = {
            "inputs": dict(inputs),
            "worker": {"host": platform.node(), "pid": os.getpid()},
            "shards": self.shards,
            "totals": {name: vars(totals) for name, totals in self.totals.items()},
            "moments": {
                site: {"n": m.n, "sum_sq": m.sum_sq, "masked": dict(m.masked)} for site, m in self.moments.items()
            },
        }
        with atomic(path) as temporary:
            save_file(tensors, temporary, {"part": json.dumps(rest)})

    @classmethod
    def load(cls, path: Path) -> tuple["Part", dict[str, str]]:
        """A part and the inputs it was made from. Raises DamagedPart."""
        try:
            with safe_open(path, framework="pt") as handle:
                rest: dict[str, Any] = json.loads(handle.metadata()["part"])
                sketches: dict[str, dict[str, Tensor]] = {name: {} for name in rest["totals"]}
                sums = {}
                for key in handle.keys():  # noqa: SIM118  # not a mapping
                    kind, _, name = key.partition("/")
                    if kind == "moments":
                        sums[name] = handle.get_tensor(key)
                    else:
                        name, _, field_name = name.rpartition("/")
                        sketches[name][field_name] = handle.get_tensor(key)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise DamagedPart(f"{path.name} is damaged ({error}): its shards are done again") from None
        moments = {
            site: Moments(sums[site], m["n"], m["sum_sq"], Counter(m["masked"])) for site, m in rest["moments"].items()
        }
        totals = {name: Totals(**values) for name, values in rest["totals"].items()}
        return cls(rest["shards"], {n: Sketch.from_state(s) for n, s in sketches.items()}, totals, moments), rest[
            "inputs"
        ]


def tree(parts: Iterable[Part]) -> Part:
    """All parts in one, merged in pairs."""
    level = list(parts)
    while len(level) > 1:
        level = [pair[0].merge(pair[1]) if len(pair) == 2 else pair[0] for pair in pairs(level)]
    return level[0]


def pairs(items: list[Any]) -> list[list[Any]]:
    return [items[at : at + 2] for at in range(0, len(items), 2)]

"""Directions without any structure, for tests and benchmarks of what is said of feature vectors."""

import torch
from torch import Tensor


def random_directions(n: int, d: int, seed: int) -> Tensor:
    """Unit vectors [n, d] without any preferred direction."""
    drawn = torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=1)

"""Names for arrays, and the value of what cannot be computed."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csc_array

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Vector = np.ndarray[tuple[int], np.dtype[np.float64]]
Activations: TypeAlias = "csc_array[np.float32]"  # of texts and features, 0 where silent
Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]

NAN = float("nan")
RESOLUTION = 1e-12  # a variance below this share of the second moment is rounding, not variance

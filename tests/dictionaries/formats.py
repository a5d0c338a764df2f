"""The format table: every fixture as this package reads it, against what its own library says of the same input.

python -m tests.dictionaries.formats
"""

import json
import re
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from autointerp.dictionaries import Dictionary, load_dictionary

FIXTURES = Path(__file__).parent / "fixtures"
VERSIONS = json.loads((FIXTURES / "versions.json").read_text())
FAMILY = re.compile(r"(dictionary_learning|gemma_scope_\d|openai|saelens|saev|sparsify|vit_prisma)_?")


def read(name: str) -> tuple[Dictionary, dict[str, Tensor]]:
    """A fixture's dictionary, and its library's x [n, d_in], f [n, width] and y [n, d_out]."""
    (path,) = (FIXTURES / name).glob("dictionary*")
    return load_dictionary(path), load_file(FIXTURES / name / "expected.safetensors")


def differences(name: str) -> tuple[float, float]:
    """The largest differences of f and of the reconstruction from the library's own, each in its own units."""
    dictionary, expected = read(name)
    f = dictionary.encode(expected["x"])
    y = dictionary.decode(f, expected["x"])
    return float((f - expected["f"]).abs().max()), float((y - expected["y"]).abs().max())


def table() -> str:
    """One line per fixture, in aligned columns."""
    lines = [("format", "variety", "written by", "|Δ encode|", "|Δ decode|")]
    for name, wrote in VERSIONS.items():
        form = read(name)[0].convention["format"]
        variety = FAMILY.sub("", name, count=1).replace("_", " ") or "autoencoder"
        encode, decode = differences(name)
        lines.append((form, variety, wrote["library"], f"{encode:.1e}", f"{decode:.1e}"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


if __name__ == "__main__":
    print(table())

"""Gates and the baseline: what was decided, and what has changed since."""

import pandas as pd

from autointerp.report.words.wording import plural


def tally(gates: pd.DataFrame) -> str:
    """How many verdicts there are of each kind, in words; empty without gates."""
    if gates.empty:
        return ""
    counts = [(word, int((gates["verdict"] == word).sum())) for word in ("failed", "undecided", "passed")]
    said = ", ".join(f"{n} {word}" for word, n in counts if n)
    return f"{plural(len(gates), 'gate')}: {said}"

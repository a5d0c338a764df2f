"""`python -m tests.bench.peers`: folding activations here and in EleutherAI's delphi, on equal input, equal output.

Each side runs in its own environment and each pass in its own process, turn about; the best pass counts. Timings are
of this machine at this moment: only the ratio means something elsewhere, and by the clock only if the cores were idle,
since a short pass does not average out what else runs. `processor` adds up the seconds of all cores, and with
`--threads 1` hardly depends on what else runs. Page faults are a large part of delphi's time, and what one costs
depends on the machine: `--huge-pages` makes them rare.

What a side does within the measured time is said in delphi_side.py and ours_side.py, what it is given in inputs.py.
This process stays small: a child would report its parent's size as its own peak.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.peers import environment
from tests.bench.peers.environment import call

BOUNDS = {"topk": 50, "dense": 3}
FULL, SHARE = 1024, 128  # contexts of 256 tokens

Result = dict[str, Any]


def delphi(*arguments: str | Path) -> Result:
    found: Result = json.loads(
        call(environment.PYTHON, environment.HERE / "delphi_side.py", *arguments).splitlines()[-1]
    )
    return found


def ours(*arguments: str | Path) -> Result:
    found: Result = json.loads(call(sys.executable, "-m", "tests.bench.peers.ours_side", *arguments).splitlines()[-1])
    return found


def compare(folder: Path, case: str, rounds: int) -> None:
    passes: dict[str, list[Result]] = {"delphi": [], "ours": []}
    for number in range(rounds):
        save = [] if number else ["--save"]
        passes["delphi"].append(delphi(folder, case, *save))
        passes["ours"].append(ours(folder, case, *save))
    checked = ours(folder, case, "--check")
    nonzeros = passes["ours"][0]["nonzeros"]
    assert checked["firings"] == nonzeros
    best = {
        side: {name: min(one[name] for one in found) for name in ("seconds", "processor", "peak", "over imports")}
        for side, found in passes.items()
    }
    for side, found in best.items():
        rate = nonzeros / found["seconds"] / 1e6
        print(f"{case:9}{side:8}{found['seconds']:9.3f}{found['processor']:11.3f}{rate:13.2f}", end="")
        print(f"{found['peak']:10.0f}{found['over imports']:14.0f}")
    clock, processor = (best["delphi"][name] / best["ours"][name] for name in ("seconds", "processor"))
    print(f"{case:9}{clock:.1f}x by the clock (bound {BOUNDS[case]}x), {processor:.1f}x by processor time; ", end="")
    print(f"{nonzeros:,} firings equal; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__)
    parser.add_argument(
        "--contexts", type=int, default=SHARE, help=f"of 256 tokens, in eights, at least 64; default {SHARE}"
    )
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} contexts, 262,144 tokens; about 15 minutes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of torch, on both sides; default: torch's own choice")
    parser.add_argument("--huge-pages", action="store_true", help="glibc asks for huge pages, on both sides")
    asked = parser.parse_args()
    if asked.huge_pages:
        os.environ["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
    if asked.threads:
        os.environ["OMP_NUM_THREADS"] = str(asked.threads)
    contexts = FULL if asked.full else asked.contexts
    environment.make()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write = "import sys, pathlib; from tests.bench.peers import inputs; inputs.write(pathlib.Path(sys.argv[1]), {})"
        call(sys.executable, "-c", write.format(contexts), folder)
        print(f"{environment.DELPHI}, {contexts:,} contexts of 256 tokens in batches of 8, ", end="")
        print(f"width 16,384, best of {asked.rounds}\n")
        print("case     side      seconds  processor  M firings/s   peak MB  over imports", flush=True)
        for case in BOUNDS:
            compare(folder, case, asked.rounds)
        found = delphi(folder, "evidence")
        print(
            f"evidence delphi  {found['seconds']:.1f} ms a latent, {found['processor']:.1f} by processor time, ", end=""
        )
        print(f"{found['reading']:.1f} to read shards (50 latents, {found['windows']} windows in the median)")


if __name__ == "__main__":
    main()

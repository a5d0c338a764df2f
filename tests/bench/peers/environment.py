"""The environment in which delphi runs, apart from ours."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PEERS = ROOT / ".venv-peers"
PYTHON = PEERS / "bin" / "python"
DELPHI = "eai-delphi==0.1.3"


def call(*command: str | Path) -> str:
    """What a command prints; this process ends with what it says if it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


def make() -> None:
    """Make the environment when it is missing or its requirements have changed."""
    stamp = PEERS / "installed.txt"
    wanted = DELPHI + "\n" + (HERE / "requirements.txt").read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"making {PEERS.name}/ ...", flush=True)
        call(sys.executable, "-m", "venv", PEERS)
        call(PYTHON, "-m", "pip", "install", "-q", "-r", HERE / "requirements.txt")
        call(PYTHON, "-m", "pip", "install", "-q", "--no-deps", DELPHI)
        stamp.write_text(wanted)

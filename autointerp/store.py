"""The run directory: atomic writes, content hashes, and a manifest that says what every stage was made from."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from autointerp import assets
from autointerp.errors import UserError
from autointerp.lock import alone
from autointerp.mirror import LOCK, Mirror

GRID = pa.struct([(name, pa.int32()) for name in ("start", "rows", "columns")])  # of patches, null without a picture


def digest(path: Path) -> str:
    """sha256 of a file, or of a folder's files and their names; all of the content, never a sample of it."""
    if path.is_dir():
        return digest_of({p.relative_to(path).as_posix(): digest(p) for p in sorted(path.rglob("*")) if p.is_file()})
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest_of(value: Any) -> str:
    """sha256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()


def stable_hash(*parts: object) -> int:
    """A 63-bit hash that is the same on every machine and in every process."""
    joined = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(joined.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1


def disk_full(error: BaseException) -> bool:
    """Libraries report it as an OSError with its number, or in words of their own."""
    number = error.errno if isinstance(error, OSError) else None
    return number in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place, whole and durable, when the block ends well.

    Raises UserError where the disk is full; what stood at `path` before is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    except Exception as error:
        if disk_full(error):
            raise UserError(
                f"you asked to write {path}", "the disk is full", "free some space and run again: what is done is kept"
            ) from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, "utf-8", newline="")


def write_table(
    path: Path, rows: Sequence[Mapping[str, Any]] | pd.DataFrame | pa.Table, schema: pa.Schema | None = None
) -> None:
    """Parquet. A schema keeps the types of an empty table."""
    if isinstance(rows, pa.Table):
        table = rows
    elif isinstance(rows, pd.DataFrame):
        table = pa.Table.from_pandas(rows, preserve_index=False)
    else:
        table = pa.Table.from_pylist(list(rows), schema=schema)
    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


@dataclass(frozen=True, slots=True)
class StageRecord:
    """What a stage read and wrote, by content hash, and what it counted."""

    inputs: dict[str, str]
    outputs: dict[str, str]
    facts: dict[str, Any]
    finished: str


class RunDirectory:
    """One run on disk. The manifest is written after a stage's outputs, so a killed stage is simply not there.

    Where the runs live elsewhere, `path` is the local copy that is worked on.
    """

    def __init__(self, path: Path, mirror: Mirror | None = None) -> None:
        self.path, self.mirror = path, mirror

    @classmethod
    def at(cls, out: str | Path, name: str) -> "RunDirectory":
        """The run `name` in the folder of runs `out`, a local path or an fsspec URL; nothing is fetched yet."""
        if "://" not in str(out):
            return cls(Path(out) / name)
        path = assets.cache() / "runs" / digest_of(str(out))[:16] / name
        return cls(path, Mirror(f"{str(out).rstrip('/')}/{name}", path))

    @classmethod
    def open(cls, out: str | Path, name: str) -> "RunDirectory":
        """The same, with what is there already."""
        directory = cls.at(out, name)
        directory.pull()
        return directory

    @contextmanager
    def alone(self, worker: str = "") -> Iterator[None]:
        """Nobody else works on the run meanwhile; as a `worker`, one of several, nobody else does that worker's share.

        Raises WorkPending, which says who does. Only processes that see the same local path exclude each other: two
        machines that share a remote run do not.
        """
        with ExitStack() as held:
            if worker:
                held.enter_context(
                    alone(self.path / f"{worker}.{LOCK}", f"you asked for {worker} of the run {self.path.name!r}")
                )
            else:
                for path in (self.path / f"run.{LOCK}", *sorted(self.path.glob(f"*-of-*.{LOCK}"))):
                    held.enter_context(alone(path, f"you asked to work on the run {self.path.name!r}"))
            yield

    @property
    def location(self) -> str:
        """Where the run lives, which is not where it is worked on if that is elsewhere."""
        return str(self.path) if self.mirror is None else self.mirror.url

    def pull(self) -> None:
        """Fetch what others have published."""
        if self.mirror is not None:
            self.mirror.pull()

    def publish(self) -> None:
        """Have all that is durable here where the run lives."""
        if self.mirror is not None:
            self.mirror.push()

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def records(self) -> dict[str, StageRecord]:
        manifest = self.path / "manifest.json"
        if not manifest.exists():
            return {}
        return {
            name: StageRecord(**record) for name, record in json.loads(manifest.read_text("utf-8"))["stages"].items()
        }

    def facts(self, stage: str) -> dict[str, Any]:
        return self.records()[stage].facts

    def stale(self, stage: str, inputs: dict[str, str]) -> str | None:
        """Why a stage has to run, in words; None when what it would make is already there."""
        record = self.records().get(stage)
        if record is None:
            return "it has not run yet"
        changed = sorted(k for k in inputs.keys() | record.inputs.keys() if inputs.get(k) != record.inputs.get(k))
        if changed:
            return f"{', '.join(changed)} changed"
        for name, expected in record.outputs.items():
            path = self.path / name
            if not path.exists():
                return f"{name} is missing"
            if digest(path) != expected:
                return f"{name} is not what the stage wrote"
        return None

    def record(self, stage: str, inputs: dict[str, str], outputs: Sequence[Path], facts: dict[str, Any]) -> None:
        """Note a finished stage."""
        hashes = {path.relative_to(self.path).as_posix(): digest(path) for path in outputs}
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        stages = {name: asdict(record) for name, record in self.records().items()}
        stages[stage] = asdict(StageRecord(inputs, hashes, facts, finished))
        write_text(self.path / "manifest.json", json.dumps({"stages": stages}, indent=1, sort_keys=True) + "\n")
        self.publish()

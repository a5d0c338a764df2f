"""A run directory that lives elsewhere (s3://…, gs://…, any fsspec path): worked on here, kept up to date there."""

import json
from pathlib import Path
from typing import Any

import fsspec

from autointerp.errors import UserError

STATE = ".mirror.json"  # what the local copy of each file was when it last agreed with the remote one
LOCAL_ONLY = ("collect/hidden/", "collect/scratch/")  # caches
LOCK = "lock"  # how the names of locks end, which say nothing elsewhere


class Mirror:
    """A local folder and its remote one. Files are never removed there; the manifest is always the last to go.

    A file that was changed both here and there since the two agreed is taken from there.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url.rstrip("/"), folder

    def pull(self) -> None:
        """Fetch what is newer there."""
        fs, root = self._filesystem()
        state = self._state()
        for path, info in sorted(fs.find(root, detail=True).items()):
            name = path.removeprefix(root).lstrip("/")
            there = self._fingerprint(fs, path, info)
            target = self.folder / name
            if name in state and state[name][0] == there and target.exists():
                continue  # what a start that was killed has changed here, and not sent, is the newer one
            target.parent.mkdir(parents=True, exist_ok=True)
            fs.get_file(path, str(target))
            state[name] = [there, *here(target)]
        self._keep(state)

    def push(self) -> None:
        """Send what changed here since the two agreed."""
        fs, root = self._filesystem()
        state = self._state()
        names = [p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if p.is_file()]
        for name in sorted(names, key=lambda name: (name == "manifest.json", name)):
            path = self.folder / name
            hidden = any(part.startswith(".") for part in name.split("/"))  # half-written files have such names
            local = name.startswith(LOCAL_ONLY) or path.suffix == f".{LOCK}"
            if hidden or local or (name in state and state[name][1:] == here(path)):
                continue
            remote = f"{root}/{name}"
            fs.makedirs(remote.rpartition("/")[0], exist_ok=True)
            fs.put_file(str(path), remote)
            state[name] = [self._fingerprint(fs, remote, fs.info(remote)), *here(path)]
        self._keep(state)

    def _filesystem(self) -> tuple[Any, str]:
        try:
            fs, root = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise UserError(
                f"you asked for runs in {self.url}", str(error), "install it, or give a local --out"
            ) from None
        return fs, root.rstrip("/")

    def _fingerprint(self, fs: Any, path: str, info: dict[str, Any]) -> str:
        return str(info.get("ETag") or info.get("etag") or [info.get("size"), info.get("mtime") or info.get("created")])

    def _state(self) -> dict[str, list[Any]]:
        path = self.folder / STATE
        found: dict[str, list[Any]] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        return found

    def _keep(self, state: dict[str, list[Any]]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / STATE).write_text(json.dumps(state), "utf-8")


def here(path: Path) -> list[int]:
    """Size and time of a local file; nothing where there is none."""
    return [path.stat().st_size, path.stat().st_mtime_ns] if path.exists() else []

"""Dictionaries on the Hugging Face hub, `owner/name[@revision][/folder or file]`, read out of the hub library's cache.

The grammar is that of the library's own URIs: a revision is a branch, a tag or a whole commit hash (default main), and
one with a slash in it is written with %2F (`@feature%2Fx`), `refs/pr/N` and `refs/convert/NAME` excepted. The commit is
resolved and its files are listed first; then only what reading that one dictionary takes is downloaded. Offline, or
where the hub does not answer, the cache is all there is.
"""

import difflib
import glob
import re
from pathlib import Path, PurePosixPath

import httpx2
from huggingface_hub import HfApi, HfUri, constants, get_cached_repo_tree, parse_hf_uri, snapshot_download
from huggingface_hub.errors import (
    CachedRepoTreeNotFoundError,
    GatedRepoError,
    HfUriError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)
from huggingface_hub.file_download import repo_folder_name

from autointerp import assets
from autointerp.dictionaries import dictionary_learning, gemma_scope, saelens, saev, sparsify, vision
from autointerp.errors import UserError

WEIGHTS = {form.WEIGHTS for form in (saelens, sparsify, saev, dictionary_learning, vision)}
WEIGHTS |= {gemma_scope.FIRST, gemma_scope.SECOND}
CONFIGS = {"cfg.json", "config.json"}
SUFFIXES = (".npz", ".pt", ".pth", ".safetensors")  # of what may be a dictionary under another name
SHOWN = 6


def find(name: str) -> Path:
    """The folder or file that `name` means: a local one, else one of the hub's, downloaded unless the cache has it."""
    return assets.locate(name) or download(name)


def parse(name: str) -> HfUri:
    """Repository, revision and path inside; UserError where `name` cannot be an id on the hub."""
    try:
        place = None if name.startswith("/") else parse_hf_uri("hf://" + name.removeprefix("hf://"))
    except HfUriError:
        place = None
    if place is None or place.type != "model" or {".", ".."} & set(place.path_in_repo.split("/")):
        shown = re.sub(r"//[^/]*@", "//", name)  # a pasted address may hold a token
        raise UserError(
            f"you asked for the dictionary {shown!r}",
            "there is no such folder or file, and a dictionary on the hub is named owner/name@revision/folder",
            "check the path",
        )
    return place


def download(name: str) -> Path:
    """The dictionary in the hub's cache; UserError says what of repository, revision, access, network, folder lacks."""
    place = parse(name)
    try:
        revision = HfApi().resolve_revision(place.id, revision=place.revision or constants.DEFAULT_REVISION)
        files = listing(place.id, revision.resolved)
        wanted = needed(files, place.path_in_repo)
        if not wanted:
            raise UserError(f"you asked for the dictionary {name!r}", *nearest(files, place))
        patterns = [glob.escape(path) for path in wanted]
        return Path(snapshot_download(place.id, revision=revision, allow_patterns=patterns)) / place.path_in_repo
    except (OSError, ValueError, httpx2.HTTPError, RevisionResolutionError) as error:
        raise UserError(f"you asked for the dictionary {name!r}", *trouble(error, place)) from None


def listing(repository: str, commit: str) -> list[str]:
    """The paths of all files of a commit; where the hub is out of reach, of those that the cache has."""
    try:
        return [file.path for file in get_cached_repo_tree(repository, revision=commit)]
    except CachedRepoTreeNotFoundError:
        pass
    try:
        return HfApi().list_repo_files(repository, revision=commit)
    except (OfflineModeIsEnabled, httpx2.TransportError):
        storage = repo_folder_name(repo_id=repository, repo_type="model")
        snapshot = Path(constants.HF_HUB_CACHE) / storage / "snapshots" / commit
        if not snapshot.exists():
            raise
        return [path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if path.is_file()]


def needed(files: list[str], inside: str) -> list[str]:
    """The files that reading the dictionary at `inside` takes, in no order; [] where there is none."""
    held, path = set(files), PurePosixPath(inside)
    folder = path.parent if inside in held else path
    weights = {inside} & held or held & {str(folder / file) for file in WEIGHTS}
    if not weights:
        return []
    beside = held & {str(folder / file) for file in CONFIGS | {saelens.SCALER}}
    # An intermediate checkpoint of dictionary_learning has its config one folder up.
    return [*weights, *(beside or held & {str(folder.parent / "config.json")})]


def nearest(files: list[str], place: HfUri) -> tuple[str, str]:
    """What was found instead, and what to ask for."""
    inside, where = place.path_in_repo, f"{place.id}@{place.revision or constants.DEFAULT_REVISION}"
    folders = {str(PurePosixPath(file).parent) for file in files if PurePosixPath(file).name in WEIGHTS} - {"."}
    named = sorted(folders) or sorted(file for file in files if file.endswith(SUFFIXES))
    under = [path for path in named if not inside or path.startswith(f"{inside}/")]
    shown = under[:SHOWN] or difflib.get_close_matches(inside, named, SHOWN, cutoff=0)
    more = len(under or named) - len(shown)
    found = f"{where} has no dictionary at {inside!r}" if inside else f"{where} has none at its root"
    if not shown:
        return found, "use a repository that holds SAELens, sparsify, dictionary_learning, Gemma Scope or saev files"
    return found, f"choose among {', '.join(shown)}" + (f" and {more} more" if more else "")


def trouble(error: Exception, place: HfUri) -> tuple[str, str]:
    """What went wrong and what to do; nothing of the error's own text, which may quote a request."""
    cause = error.__cause__ or error
    status = getattr(getattr(cause, "response", None), "status_code", None)
    if isinstance(error, RevisionNotFoundError):
        return f"{place.id} has no revision {place.revision!r}", "name a branch, a tag or all 40 digits of a commit"
    if isinstance(error, GatedRepoError):
        return f"{place.id} is gated and does not let you in", "ask for access on its page, then run `hf auth login`"
    if isinstance(error, RepositoryNotFoundError):
        found = f"there is no such folder or file, nor a repository {place.id} on the hub that you may read"
        return found, "check the name, or run `hf auth login` if the repository is private"
    if status in (401, 403):
        return f"the hub refuses your token for {place.id}", "run `hf auth login`"
    if isinstance(cause, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set and the cache does not hold all of it", "unset it once, or give a local folder"
    if status is not None:
        return f"the hub answers with status {status} and the cache does not hold all of it", "try again later"
    if isinstance(cause, httpx2.HTTPError):
        return "the hub cannot be reached and the cache does not hold all of it", "go online, or give a local folder"
    what = getattr(error, "strerror", None) or type(error).__name__
    return f"downloading it failed ({what})", "see to that and try again"


def source(path: Path) -> str:
    """Repository, commit and place inside of a path in the hub's cache; empty for any other path."""
    found = re.search(r"/models--([^/]+)/snapshots/([0-9a-f]{40})(?:/(.+))?$", path.as_posix())
    if not found:
        return ""
    repository, commit, inside = found.groups()
    return f"{repository.replace('--', '/')}, commit {commit}" + (f", {inside}" if inside else "")

"""What a run would miss, found without one: nothing is downloaded, nothing is asked of a model, nothing is written.

Keys are looked for in the environment and never shown. What only the run itself can tell is a note.
"""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from huggingface_hub import try_to_load_from_cache
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from torch import nn

from autointerp import assets
from autointerp.audit.roles import Roles
from autointerp.config import GeneralisationConfig, GivenExplainer, LLMRole, RunConfig
from autointerp.corpus import concepts, sources
from autointerp.dictionaries import form_of, hub, load_dictionary
from autointerp.errors import GateFailed, UserError
from autointerp.llm import anthropic, ledger, openai, wire
from autointerp.llm.budget import refuse_unpriced, worded
from autointerp.llm.ledger import Ledger
from autointerp.llm.providers import batching, open_provider
from autointerp.pipeline import refuse_circular
from autointerp.subjects import hooks
from autointerp.subjects.load import PYTHON, skeleton
from autointerp.subjects.planted import PlantedSubject
from autointerp.subjects.subject import BOTH

GB = 10**9
SPARE_GB = 1.0  # of disk beside what a run may cache
LARGEST_GB = 4.0  # of a dictionary's files that are read to see what they hold
VARIABLES = {"anthropic": anthropic.VARIABLE, "openai": openai.VARIABLE}
EXTRAS = {"local": "language models in this process", "ray": "collection over a cluster", "hub": "hub datasets"}
CHROMIUM = "chromium"


class Finding(NamedTuple):
    """One thing that was looked at. A run can start where nothing is missing; a note is worth knowing."""

    what: str
    state: Literal["ok", "missing", "note"]
    found: str
    next_step: str = ""


def examine(config: RunConfig | None, out: str | Path = "runs") -> list[Finding]:
    """What is there and what is not, for a config or, without one, for any run on this machine."""
    found = [*packages(config), *machine(config), *disk(config, out), ledger_there()]
    if config is not None:
        found += [
            *policy(config),
            model("subject", config.subject.model),
            *dictionaries(config),
            *corpora(config),
            *roles(config),
        ]
    return found


def refuse_missing(found: list[Finding], asked: str) -> None:
    """UserError, in one sentence, where a run could not start."""
    missing = [finding for finding in found if finding.state == "missing"]
    if missing:
        first = missing[0]
        more = f", and {len(missing) - 1} more missing" if len(missing) > 1 else ""
        raise UserError(asked, f"{first.what}: {first.found}{more}", first.next_step)


def packages(config: RunConfig | None) -> Iterator[Finding]:
    """Python and what is installed, against the ranges that the package itself declares."""
    try:
        told = importlib.metadata.metadata("autointerp")
        required = [Requirement(line) for line in importlib.metadata.requires("autointerp") or ()]
    except importlib.metadata.PackageNotFoundError:
        yield Finding("autointerp", "note", "is not installed, so nobody says which versions it needs", "pip install .")
        return
    version, wanted = platform.python_version(), told["Requires-Python"]
    state: Literal["ok", "missing"] = "ok" if SpecifierSet(wanted).contains(version, prereleases=True) else "missing"
    yield Finding("Python", state, f"{version}, needs {wanted}", "" if state == "ok" else "install another Python")
    plain = [one for one in required if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = [(one, said) for one in plain if (said := lacking(one))]
    for one, said in wrong:
        yield Finding(f"package {one.name}", "missing", said, f"pip install '{one.name}{one.specifier}'")
    if not wrong:
        yield Finding("packages", "ok", f"{len(plain)} installed, all in their ranges")
    for extra, use in EXTRAS.items():
        own = [one for one in required if one.marker is not None and one.marker.evaluate({"extra": extra})]
        wrong = [(one, said) for one in own if one not in plain and (said := lacking(one))]
        if not wrong:
            yield Finding(f"extra {extra}", "ok", f"installed: {use}")
            continue
        needed = config is not None and extra in extras_of(config)
        said = ", ".join(f"{one.name} {said}" for one, said in wrong)
        step = f"pip install 'autointerp[{extra}]'"
        yield Finding(f"extra {extra}", "missing" if needed else "note", f"{said} ({use})", step)
    if shutil.which(CHROMIUM) is None:
        yield Finding(
            CHROMIUM, "note", "is not there; only the tests of the report need it", "apt-get install chromium"
        )


def lacking(one: Requirement) -> str:
    """What is wrong with an installed package, empty where nothing is."""
    try:
        version = importlib.metadata.version(one.name)
    except importlib.metadata.PackageNotFoundError:
        return "is not installed"
    return "" if one.specifier.contains(version, prereleases=True) else f"is {version}, needs {one.specifier}"


def extras_of(config: RunConfig) -> set[str]:
    """The extras that a config needs."""
    paths = [config.corpus.path, *config.corpus.trained_on]
    needs = {
        "local": any(isinstance(role, LLMRole) and role.provider == "local" for role in config.roles.values()),
        "ray": config.collect.engine == "ray",
        "hub": any(sources.is_hub(path) for path in paths),
    }
    return {extra for extra, needed in needs.items() if needed}


def machine(config: RunConfig | None) -> Iterator[Finding]:
    """Where torch can compute, and whether the subject's device is among it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB
    yield Finding("device cpu", "ok", f"{os.cpu_count()} cores, {memory:.0f} GB of memory")
    names = ["cpu"]
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        names += [f"cuda:{index}"] + ["cuda"] * (index == 0)
        yield Finding(f"device cuda:{index}", "ok", f"{card.name}, {card.total_memory / GB:.0f} GB of memory")
    if len(names) == 1:
        yield Finding(
            "device cuda", "note", "there is none: large subjects take long without", "use a machine with a GPU"
        )
    device = config.subject.device if config is not None else "auto"
    if device not in ("auto", *names):
        found = f"the subject asks for {device}, and torch has {', '.join(names)}"
        yield Finding("subject.device", "missing", found, "set subject.device to one of them or auto")


def disk(config: RunConfig | None, out: str | Path) -> Iterator[Finding]:
    """Whether runs and the cache can be written, and how much fits there."""
    needed = SPARE_GB + (config.collect.cache_gb if config is not None else 0)
    for what, path in (("runs", out), ("cache", assets.cache())):
        if "://" in str(path):
            yield Finding(f"folder of {what}", "note", f"{path} is elsewhere: it is looked at when a run starts")
            continue
        there = next(folder for folder in (Path(path).absolute(), *Path(path).absolute().parents) if folder.exists())
        free = shutil.disk_usage(there).free / GB
        if not there.is_dir() or not os.access(there, os.W_OK):
            yield Finding(f"folder of {what}", "missing", f"{there} cannot be written", "name another folder")
        elif free < needed:
            found = f"{free:.1f} GB free in {there}, and {needed:.1f} may be needed"
            yield Finding(f"folder of {what}", "note", found, "free some space, or lower collect.cache_gb")
        else:
            yield Finding(f"folder of {what}", "ok", f"{free:,.0f} GB free in {there}")


def ledger_there() -> Finding:
    """Whether the ledger opens. One that is not there yet is not made."""
    path = ledger.home()
    if not path.exists():
        return Finding("ledger", "ok", f"{path} is made by the first answer")
    try:
        with Ledger(path) as opened:
            return Finding("ledger", "ok", f"{path} holds {sum(row.replies for row in opened.holdings()):,} answers")
    except UserError as error:
        return Finding("ledger", "missing", error.found, error.next_step)


def policy(config: RunConfig) -> Iterator[Finding]:
    """What a run is refused for before anything is spent."""
    try:
        graded = Roles(config)
        refuse_circular(config, graded)
        grades = ", ".join(sorted({grade for _, _, grade in graded.arms()}))
        yield Finding(
            "circularity", "ok", f"graded {grades}" + (", which is allowed" if config.circularity.allow else "")
        )
    except GateFailed as error:
        said, _, step = str(error).rstrip(".").partition(": ")
        yield Finding("circularity", "missing", said[0].lower() + said[1:], step)
    except UserError as error:
        yield Finding("circularity", "missing", error.found, error.next_step)
    yield attempt("budget", capped, config)


def capped(config: RunConfig) -> str:
    refuse_unpriced(config)
    caps = [worded(cap, name) for name, cap in config.budget.model_dump(exclude_none=True).items()]
    return f"at most {' or '.join(caps)}" if caps else "no cap"


def model(what: str, name: str) -> Finding:
    """A model that runs here: its files, or whether the hub's cache knows it."""
    if name.startswith(PYTHON):
        module = name.removeprefix(PYTHON).partition(":")[0]
        return attempt(what, module_there, module)
    try:
        location = assets.locate(name)
    except UserError as error:
        return Finding(what, "missing", error.found, error.next_step)
    if location is not None and location.is_dir() and not (location / "config.json").exists():
        return Finding(what, "missing", f"{location} holds no config.json", "give a folder that transformers can load")
    if location is not None:
        return Finding(what, "ok", str(location))
    if name.startswith((assets.PLANTED, "/", ".", "~")) or name.count("/") > 1:
        return Finding(what, "missing", f"there is no {name}", "check the path")
    if cached(name, "config.json"):
        return Finding(what, "ok", f"{name} is in the hub's cache")
    return Finding(what, "note", f"{name} is not here: it will be loaded from the hub", "stay online, or load it first")


def module_there(module: str) -> str:
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        raise UserError(f"you asked for {module}", f"there is no module {module}", "install it, or set PYTHONPATH")
    return f"module {module}"


def cached(repository: str, file: str, revision: str | None = None) -> bool:
    """Whether the hub's cache holds a file."""
    try:
        return isinstance(try_to_load_from_cache(repository, file, revision=revision), str)
    except ValueError:  # no such name can be on the hub
        return False


def attempt(what: str, look: Callable[..., str], *about: Any) -> Finding:
    """What a look finds, or why it finds nothing."""
    try:
        return Finding(what, "ok", look(*about))
    except UserError as error:
        return Finding(what, "missing", error.found, error.next_step)


def dictionaries(config: RunConfig) -> Iterator[Finding]:
    """The format of each, and whether the subject has the module that it reads."""
    modules = modules_of(config)
    for name, entry in config.dictionaries.items():
        if entry.path is None:
            continue
        what, hook = f"dictionary {name}", entry.hook
        location = attempt(what, located, entry.path)
        if location.state == "missing":
            yield location
            continue
        if not location.found:
            yield attempt_hub(what, entry.path)
        elif sum(file.stat().st_size for file in files_of(Path(location.found))) > LARGEST_GB * GB:
            yield attempt(what, unread, Path(location.found))
        else:
            try:
                read = load_dictionary(entry.path)
            except UserError as error:
                yield Finding(what, "missing", error.found, error.next_step)
                continue
            hook = hook or read.hook
            yield Finding(
                what, "ok", f"{read.convention['format']}, {read.width:,} features of {read.d_in:,} dimensions"
            )
            if not hook:
                step = f"set dictionaries.{name}.hook"
                yield Finding(f"hook of {name}", "missing", "neither the config nor the dictionary names one", step)
        if hook:
            yield hooked(name, hook, modules)


def located(path: str) -> str:
    return str(assets.locate(path) or "")


def unread(path: Path) -> str:
    return f"{form_of(path, str(path)).name}, not read here: it is large"


def files_of(path: Path) -> list[Path]:
    return [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]


def attempt_hub(what: str, path: str) -> Finding:
    """A dictionary of the hub: in the cache or not."""
    try:
        place = hub.parse(path)
    except UserError as error:
        return Finding(what, "missing", error.found, error.next_step)
    inside = place.path_in_repo
    names = [inside, *(f"{inside}/{file}".lstrip("/") for file in sorted(hub.WEIGHTS))]
    if any(cached(place.id, name, place.revision) for name in names if name):
        return Finding(what, "ok", f"{path} is in the hub's cache")
    return Finding(what, "note", f"{path} is not here: it will be loaded from the hub", "stay online, or load it first")


def modules_of(config: RunConfig) -> nn.Module | str:
    """The subject's modules without weights, or why they cannot be told before it is loaded."""
    name = config.subject.model
    if name.startswith(PYTHON):
        return "it is made by a function"
    try:
        location = assets.locate(name)
        if name.startswith(assets.PLANTED):
            return PlantedSubject(name.removeprefix(assets.PLANTED)).model
        if location is None and not cached(name, "config.json"):
            return "it is not here yet"
        if location is not None and location.suffix == ".gguf":
            converted = sorted((assets.cache() / "models").glob(f"{location.stem}-*/config.json"))
            if not converted:
                return "it is converted first"
            location = converted[-1].parent
        return skeleton(str(location or name))
    except UserError as error:
        return error.found
    except Exception as error:  # of transformers, for a config that it does not know or that asks for code of its own
        return f"transformers does not say ({type(error).__name__})"


def hooked(name: str, hook: str, modules: nn.Module | str) -> Finding:
    what = f"hook of {name}"
    if isinstance(modules, str):
        return Finding(what, "note", f"{hook} is looked for when the subject is loaded: {modules}")
    return attempt(what, module_of, modules, hook)


def module_of(modules: nn.Module, hook: str) -> str:
    return BOTH.join(hooks.resolve(modules, part) for part in hook.split(BOTH))


def corpora(config: RunConfig) -> Iterator[Finding]:
    """Whether the documents can be read, by the first of them."""
    named = {"corpus": config.corpus.path} | {f"trained on {path}": path for path in config.corpus.trained_on}
    for what, path in named.items():
        if sources.is_hub(path) or "://" in path:
            yield Finding(what, "note", f"{path} is elsewhere: it is looked at when a run starts")
        else:
            yield attempt(what, first_document, path, config)
    if (listed := config.generalisation) is not None:
        yield attempt("concept list", members, listed)


def first_document(path: str, config: RunConfig) -> str:
    found = sources.files(path)
    first = next(iter(sources.documents(path, config.corpus)))
    what = "a picture" if first.image else f"{len(first.text):,} characters"
    return f"{len(found):,} file{'s' * (len(found) != 1)}, the first document of {what}"


def members(listed: GeneralisationConfig) -> str:
    return f"{len(concepts.read(listed)):,} members in {listed.path}"


def roles(config: RunConfig) -> Iterator[Finding]:
    """Whether every model can be asked: its key, its file, its provider."""
    for name, role in config.roles.items():
        if isinstance(role, LLMRole):
            yield attempt(name, reachable, role)
        elif isinstance(role, GivenExplainer):
            yield attempt(name, file_there, role.path)
        elif isinstance(named := getattr(role, "model", None), str):
            yield model(name, named)


def reachable(role: LLMRole) -> str:
    provider = open_provider(role)
    if role.batch:
        batching(provider)
    variable = role.api_key_env or ("" if role.base_url else VARIABLES.get(role.provider, ""))
    where = wire.public(role.base_url) if role.base_url else role.provider
    return f"{role.model} by {where}" + (f", the key is in {variable}" if variable else "")


def file_there(path: str) -> str:
    location = assets.locate(path)
    if location is None:
        raise UserError(f"you asked for {path}", f"there is no {path}", "check its path")
    return str(location)

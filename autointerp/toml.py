"""Configs as they are written: read from TOML, refused in a sentence with the nearest valid key, written back."""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

import tomlkit
from pydantic import BaseModel, ValidationError

from autointerp import assets
from autointerp.config import ROLES, RunConfig, settings_of
from autointerp.errors import UserError


def load(source: str | Path, overrides: tuple[str, ...] = ()) -> RunConfig:
    """Read a TOML path or a preset's name; apply `a.b=c` overrides; refuse what does not fit, in one sentence."""
    path = Path(source)
    if path.suffix != ".toml" and not path.exists():
        preset = assets.preset(str(source))
        if preset is None:
            raise UserError(
                f"you asked for the config {str(source)!r}",
                f"it is neither a file nor one of the presets {', '.join(assets.presets())}",
                "give the path of a .toml file or one of these names",
            )
        path = preset
    try:
        tree = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"you asked for the config {path}", "there is no such file", "check the path") from None
    except IsADirectoryError:
        raise UserError(f"you asked for the config {path}", "it is a folder", "name the .toml file inside it") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"you asked for the config {path}", f"it is not valid TOML ({error})", "mend that line"
        ) from None
    for override in overrides:
        apply(tree, override)
    return build(tree, str(path))


def build(tree: dict[str, Any], origin: str) -> RunConfig:
    """Validate a parsed tree. `origin` names it in the error."""
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        raise UserError(
            f"you asked to run {origin}", explain_validation(error, tree), "mend the config and run again"
        ) from None


def apply(tree: dict[str, Any], override: str) -> None:
    """Set one `a.b=c` in place; the value is read as TOML, or as a plain string where it is not TOML."""
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise UserError(f"you asked for --set {override}", "that is not key=value", "write --set a.b=c")
    try:
        value = tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, leaf = key.strip().split(".")
    for name in parents:
        tree = tree.setdefault(name, {})
        if not isinstance(tree, dict):
            raise UserError(f"you asked for --set {override}", f"{name!r} is a value, not a table", "check the key")
    tree[leaf] = value


def dump(config: RunConfig) -> str:
    """The resolved config as TOML: every setting of the run, defaults included."""
    return tomlkit.dumps(without_none(config.model_dump(mode="json")))


def without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_none(v) for k, v in value.items() if v is not None}
    return [without_none(v) for v in value] if isinstance(value, list) else value


def explain_validation(error: ValidationError, tree: Mapping[str, Any]) -> str:
    """The first problems of a pydantic error about a tree, in words, with the nearest valid name for an unknown key."""
    problems = []
    for item in error.errors()[:3]:
        path = [str(part) for part in item["loc"]]
        where = ".".join(path) or "the config"
        if item["type"] == "extra_forbidden":
            valid = fields_at(item["loc"][:-1], tree)
            nearest = difflib.get_close_matches(path[-1], valid, 1, 0.5)
            hint = f"; the nearest is {nearest[0]!r}" if nearest else f"; valid ones are {', '.join(valid)}"
            problems.append(f"{where} is not a known key{hint}")
        elif item["type"] == "missing":
            problems.append(f"{where} is missing")
        elif item["type"] == "value_error":
            problems.append(str(item["ctx"]["error"]))
        elif item["type"] == "kind":
            problems.append(f"{where} {item['msg']}")
        else:
            problems.append(f"{where} = {item['input']!r}: {item['msg'][0].lower()}{item['msg'][1:]}")
    return "; ".join(problems)


def fields_at(location: tuple[int | str, ...], tree: Mapping[str, Any]) -> list[str]:
    """Names that are valid at a place of a config, following tables by name and roles by the kind that they say."""
    model: Any = RunConfig
    here: Any = tree
    for part in location:
        here = here.get(part) if isinstance(here, Mapping) else None
        if get_origin(model) is dict:
            model = get_args(model)[1]
            group = next((group for group, role in ROLES.items() if role == model), None)
            if group is not None and isinstance(here, Mapping):
                model = settings_of(group, here["kind"])
        elif isinstance(model, type) and issubclass(model, BaseModel) and part in model.model_fields:
            model = model.model_fields[str(part)].annotation
            if get_origin(model) is UnionType:  # a table that may be left out
                model = next(option for option in get_args(model) if option is not NoneType)
        else:
            return []
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []

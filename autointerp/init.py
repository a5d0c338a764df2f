"""The first config of a user: written from a few answers, with what the files named in them say of themselves.

Every comment in it is a description in `config`, so that none can come to say something else.
"""

import inspect
import re
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, get_origin

import tomlkit

from autointerp import assets, pictures, plugins, toml
from autointerp import config as configuration
from autointerp.audit.circularity import MEANING
from autointerp.audit.roles import Roles
from autointerp.config import (
    CorpusConfig,
    Grade,
    LLMRole,
    Record,
    Role,
    RunConfig,
)
from autointerp.corpus import sources
from autointerp.dictionaries import load_dictionary
from autointerp.errors import UserError
from autointerp.llm import providers
from autointerp.llm.capabilities import blind
from autointerp.plan import plan
from autointerp.store import write_text

ROWS = 20  # of a corpus that are looked at for the column that holds the documents
WIDTH = 120
GROUPS = {"explainer": plugins.EXPLAINER, "scorer": plugins.SCORER}
LLM = "llm"  # the kind of language models, which a provider serves
Table = dict[str, Any]
Ask = Callable[[str, str | None], str]  # a question and what no answer means
QUESTIONS = {
    "subject": "the model under study: hub id, path, or package:NAME/PATH",
    "dictionary": "the dictionary: path, or owner/name@revision/folder on the hub",
    "corpus": "held-out documents: file, folder, URL, or hf:ID",
    "explainer": "who explains: lexical, given:FILE, or provider:model as anthropic:claude-…",
    "scorer": "who judges: embedding:MODEL, surprisal:MODEL, or provider:model as openai:gpt-…",
}


@dataclass(frozen=True, slots=True)
class Answers:
    """What a config is written from. Without a `hook` it is the one in the dictionary's own config.

    An explainer is lexical, rule, given:FILE or PROVIDER:MODEL; a scorer embedding:MODEL, surprisal:MODEL or
    PROVIDER:MODEL.
    """

    subject: str
    dictionary: str
    corpus: str
    explainer: str
    scorer: str
    hook: str | None = None
    pictures: bool = False


def completed(given: Mapping[str, str | None], pictures: bool, ask: Ask | None) -> Answers:
    """All answers: those that were not given are asked for or, where there is nobody to ask, those of the demo.

    Raises UserError for what has no default: who explains, who judges, and one of subject and dictionary where the
    other is not the demo's.
    """
    demo = toml.load("demo-vision" if pictures else "demo-text")
    usual: dict[str, str | None] = {
        "subject": demo.subject.model,
        "dictionary": next(entry.path for entry in demo.dictionaries.values() if entry.path),
        "corpus": demo.corpus.path,
    }
    found: dict[str, str] = {}
    for name, question in QUESTIONS.items():
        pair = {"subject": "dictionary", "dictionary": "subject"}.get(name, name)
        others = found.get(pair) or given.get(pair)
        default = usual.get(name) if others in (None, usual.get(pair)) else None
        said = given.get(name) or (ask(question, default) if ask else default)
        if not said:
            raise UserError(f"you asked for a config without --{name}", "it has no default", f"add it: {question}")
        found[name] = said
    return Answers(**found, hook=given.get("hook"), pictures=pictures)


def write(path: Path, answers: Answers, force: bool = False) -> str:
    """Write a config that `check` accepts; returns the grade of what it would measure, in a sentence.

    Raises UserError, and writes nothing, where a file stands there already or where the answers make no run.
    """
    if path.exists() and not force:
        raise UserError(f"you asked to write {path}", "it is there already", "name another file, or add --force")
    text = render(path, answers)
    config = toml.build(tomllib.loads(text), str(path))
    plan(config)
    write_text(path, text)
    grade = worst_of(config)
    return f"what the scorer says of the explanations will be graded {grade}: {MEANING[grade]}"


def render(path: Path, answers: Answers) -> str:
    """The text of a config: what the answers say, and every other setting as a comment with its default."""
    explainer, explaining = role_of(answers.explainer, "explainer")
    scorer, judging = role_of(answers.scorer, "scorer")
    dictionary, entry, read = dictionary_of(answers.dictionary, answers.hook)
    tree: Table = {
        "name": re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._") or "run",
        "subject": {"model": answers.subject},
        "corpus": corpus_of(answers.corpus),
        "dictionaries": {dictionary: entry},
        "explainers": {explainer: explaining},
        "scorers": {scorer: judging},
        "circularity": {},
    }
    config = toml.build(tree, str(path))
    notes = {"dictionaries": read, "circularity": []}
    grade = worst_of(config)
    if grade > config.circularity.worst:
        tree["circularity"] = {"worst": grade}
        notes["circularity"] = [
            f"What the scorer says would be graded {grade} ({MEANING[grade]}), since {'; '.join(clashes(config))}.",
            "For B name models of known and different developers, none of them the subject's, and leave worst out.",
        ]
    sees = answers.pictures or sources.has_pictures(config.corpus)
    roles: list[tuple[str, Role]] = [("explainers", config.explainers[explainer]), ("scorers", config.scorers[scorer])]
    for table, role in roles:
        if sees and isinstance(role, LLMRole) and blind(role):
            notes[table] = ["This model is not known to take pictures, which the corpus holds: name one that is."]
    return "\n".join(lines(tree, config, notes)) + "\n"


def worst_of(config: RunConfig) -> Grade:
    return max(grade for _, _, grade in Roles(config).arms())


def clashes(config: RunConfig) -> list[str]:
    """Why a number of the run grades worse than B, in words."""
    models = [(row.role, row.lineage) for row in Roles(config).rows() if row.lineage is not None]
    found = [f"the lineage of the {role} ({model.model}) is not known" for role, model in models if not model.known]
    for (role, model), (other, its) in combinations(models, 2):
        if model.model == its.model:
            found.append(f"{role} and {other} are one model")
        elif model.known and model.developer == its.developer:
            found.append(f"{role} and {other} are both of {model.developer}")
        elif model.known and model.family == its.family:
            found.append(f"{role} and {other} both grew from {model.family}")
    return found


def role_of(said: str, what: str) -> tuple[str, Table]:
    """The name and the table of an explainer or a scorer."""
    head, _, rest = said.partition(":")
    if head in plugins.names(GROUPS[what]) and head != LLM:
        needed = needed_by(what, head)
        if len(needed) == bool(rest):
            return head, {"kind": head, **dict.fromkeys(needed, rest)}
    elif rest and head in providers.known():
        return head, {"kind": "llm", "provider": head, "model": rest}
    raise UserError(
        f"you asked for the {what} {said!r}",
        "that is none of the kinds of config, nor a provider with a model",
        f"write {spellings(what)}",
    )


def needed_by(what: str, kind: str) -> list[str]:
    """The settings of a kind of role that have no default."""
    fields = configuration.settings_of(GROUPS[what], kind).model_fields
    return [name for name, field in fields.items() if field.is_required() and name != "kind"]


def spellings(what: str) -> str:
    """The ways to say who explains or judges."""
    ways = []
    for kind in plugins.names(GROUPS[what]):
        with suppress(UserError):  # a plugin that cannot be loaded is in nobody's way
            needed = needed_by(what, kind)
            if kind != LLM and len(needed) < 2:
                ways.append(":".join([kind, *(name.upper() for name in needed)]))
    return f"{', '.join(ways)} or PROVIDER:MODEL, with the providers {', '.join(providers.known())}"


def dictionary_of(path: str, hook: str | None) -> tuple[str, Table, list[str]]:
    """A dictionary's name in the run, its table, and what its files say. One on the hub is not fetched for this."""
    if assets.locate(path) is None:
        name = re.sub(r'^\.+|[/\\,"\n]', "", path.rstrip("/").rpartition("/")[2]) or "dictionary"
        read = [] if hook else ["Where its own config names no hook, it has to be named here, as model.layers.12."]
    else:
        found = load_dictionary(path)
        name, hook = str(found.width), hook or found.hook
        said = [found.convention[part] for part in ("format", "activation", "hook") if part in found.convention]
        read = [f"{found.width:,} features of {found.d_in:,} dimensions; {', '.join(said)}."]
        if not hook:
            read.append("Its files name no hook: it has to be named here, as model.layers.12.")
    return name, {"path": path, **({"hook": hook} if hook else {})}, read


def corpus_of(path: str) -> Table:
    """The table of a corpus, with the column that its first rows hold pictures or most text in.

    Of a hub dataset nothing is known before it is read.
    """
    usual = CorpusConfig(path=path)
    table: Table = {"path": path}
    first = next(iter(sources.files(path)), None)
    if first is not None and first.origin.lower().endswith(pictures.ENDINGS):
        return {**table, "label_columns": [sources.FOLDER]}
    rows = sources.first_rows(first, ROWS) if first is not None else []
    columns = list(dict.fromkeys(column for row in rows for column in row))
    if not rows or {usual.text_column, usual.image_column} & set(columns):
        return table
    seen = [column for column in columns if any(sources.is_file(row.get(column)) for row in rows)]
    if seen:
        return {**table, "image_column": seen[0]}
    length = {c: sum(len(row[c]) for row in rows if isinstance(row.get(c), str)) for c in columns}
    if not any(length.values()):
        assert first is not None
        raise sources.no_column(first.origin, columns, usual)
    return {**table, "text_column": max(columns, key=lambda column: length[column])}


def lines(tree: Table, config: RunConfig, notes: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The config line by line, in the order of its record; tables that may be added stand at the end."""
    yield "# Behind a # stand defaults, and what else may be set: take the # away and give a value."
    fields = RunConfig.model_fields
    single = [name for name, field in fields.items() if get_origin(field.annotation) is not dict]
    yield from settings(RunConfig, tree, [name for name in single if not toml.fields_at((name,), tree)])
    absent = []
    for name in fields:
        value, said = getattr(config, name), notes.get(name, ())
        if isinstance(value, Record):
            yield from table(name, value, tree.get(name, {}), said)
        elif name in tree and isinstance(value, Mapping):
            for key, record in value.items():
                yield from table(f"{name}.{tomlkit.key(key).as_string()}", record, tree[name][key], said)
        elif name not in single or toml.fields_at((name,), tree):
            absent.append(name)
    yield ""
    for name in absent:
        yield from comment(f"[{name}] may be added: {fields[name].description}")


def table(name: str, record: Record, given: Table, notes: Sequence[str]) -> Iterator[str]:
    """A table with what it is for in front, and what there is to say of this one."""
    yield ""
    for note in ((inspect.getdoc(record) or "").partition("\n")[0], *notes):
        yield from comment(note)
    yield f"[{name}]"
    yield from settings(type(record), given, list(type(record).model_fields))


def settings(record: type[Record], given: Table, names: Sequence[str]) -> Iterator[str]:
    """Settings of a record: those that are given, then in comments the others with their defaults."""
    for name in sorted(names, key=lambda name: name not in given):
        field = record.model_fields[name]
        if name not in given and field.default is None:
            yield from comment(f"{name}: {field.description}")
            continue
        line = f"{name} = {spelled(given[name])}" if name in given else f"# {name} = {spelled(field.default)}"
        whole = f"{line}  # {field.description}" if field.description else line
        if len(whole) > WIDTH and field.description:
            yield from comment(field.description)
            whole = line
        yield whole


def comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="#   ", break_long_words=False)


def spelled(value: Any) -> str:
    """A value as TOML, on one line."""
    if isinstance(value, Record):
        value = toml.without_none(value.model_dump(mode="json"))
    if not isinstance(value, dict):
        return str(tomlkit.item(value).as_string())
    inline = tomlkit.inline_table()
    inline.update(value)
    return inline.as_string()

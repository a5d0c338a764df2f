"""Who made a model and which weights it grew from, judged by its name. What no pattern knows stays unknown."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from autointerp import assets
from autointerp.llm import metadata

TABLE = Path(__file__).with_suffix(".toml")

PLACE = re.compile(
    r"models?|snapshots?|main|master|final|best|weights|hf|gguf|onnx|ggml-model|pytorch-model"
    r"|checkpoint(-\d+)?|[0-9a-f]{12,64}"
)
SUFFIX = re.compile(
    r"""(?:
      \.(?:gguf|ggml|safetensors|bin|pt|pth|onnx)
    | -\d{5}-of-\d{5}
    | [-.](?:ud-)?i?q[1-8](?:-(?:[01]|k|s|m|l|xl|xs|xxs|nl))*
    | [-.](?:b?f16|f32|[bm]?x?fp(?:4|8|16|32)|int[48]|awq|gptq|gguf|mlx|exl[23]|(?:bnb-)?[2-8]bits?)
    | [-.]hf
    | :(?:free|beta|nitro|extended|thinking|floor|online|latest|\d+)
    | -v\d+:\d+
    | -latest
    | -\d{4}-\d{2}-\d{2} | [-@]20\d{6} | -\d{2}-20\d{2}
    | -(?:0[1-9]|1[0-2])[0-3]\d | -2[3-9](?:0[1-9]|1[0-2])
    )$""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Lineage:
    """`model` is the normal form of the name: equal for the same weights, however spelled, stored or dated.

    Equal `family` means weights that grew from the same pretraining.
    """

    developer: str
    family: str
    generation: str
    model: str
    known: bool


@cache
def lineage(name: str, resolved: str = "") -> Lineage:
    """The lineage of a model as requested and, where a provider answered, as it resolved the name.

    Where the two names tell of different developers, or only one of them tells anything, the lineage is unknown,
    unless one name holds the other: then the one that tells more is believed. A local model whose name tells nothing is
    known by what its files say; its `model` is then what they name, so that a copy is the same model.
    """
    asked = look_up(normal_form(name))
    if not asked.known:
        asked = by_files(name) or asked
    if not resolved or normal_form(resolved) == normal_form(name):
        return asked
    given = look_up(normal_form(resolved))
    if asked.known == given.known and asked.developer == given.developer:
        return given
    if holds(asked.model, given.model) or holds(given.model, asked.model):
        return max(given, asked, key=lambda one: (one.known, len(one.model)))
    return unknown(given.model)


def by_files(name: str) -> Lineage | None:
    """The lineage that the files of a local model tell, by the first name in them that the table knows."""
    location = assets.locate(name)
    claims = metadata.names(location) if location is not None else []
    return next((found for claim in claims if (found := look_up(normal_form(claim))).known), None)


def normal_form(name: str) -> str:
    """Lower case, words joined by hyphens, without path, vendor, file ending, quantisation, date and `-latest`.

    A planted subject is planted:NAME, whatever its file of rules is called; no other name keeps a colon.
    """
    if name.startswith(assets.PLANTED):
        return f"{assets.PLANTED}{Path(name).stem.lower()}"
    form = ""
    for part in reversed(re.split(r"[/\\]", name.removeprefix("package:").strip().lower())):
        words = re.sub(r"[\s_]+", "-", part.rpartition("--")[2])
        while (shorter := SUFFIX.sub("", words)) != words:
            words = shorter
        words = words.replace(":", "-").replace("@", "-").strip("-.")
        form = form or words
        if words and not PLACE.fullmatch(words):
            form = words
            break
    for pattern, replacement in table()[0]:
        form = pattern.sub(replacement, form)
    return form


def look_up(form: str) -> Lineage:
    for pattern, developer, family, generation in table()[1]:
        match = pattern.match(form)
        if match:
            return Lineage(developer, match.expand(family), match.expand(generation), form, True)
    return unknown(form)


def unknown(form: str) -> Lineage:
    return Lineage("unknown", "unknown", "", form, False)


def holds(whole: str, part: str) -> bool:
    return bool(part) and f"-{part}-" in f"-{whole}-"


@cache
def table() -> tuple[list[tuple[re.Pattern[str], str]], list[tuple[re.Pattern[str], str, str, str]]]:
    """The spellings (pattern, replacement) and the models (pattern, developer, family, generation)."""
    content = tomllib.loads(TABLE.read_text("utf-8"))
    spellings = [(re.compile(row["pattern"]), row["replace"]) for row in content["spelling"]]
    models = [
        (re.compile(f"(?:{row['pattern']})(?=-|$)"), row["developer"], row["family"], row["generation"])
        for row in content["model"]
    ]
    return spellings, models

"""Prompts with one right next word and some wrong ones, as a file has them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autointerp.causal.attribute import Choice
from autointerp.errors import UserError
from autointerp.subjects.subject import Subject

FIELDS = ("family", "text", "target", "baselines")


@dataclass(frozen=True, slots=True)
class Prompt:
    """`target` is right behind `text` and each of `baselines` is wrong; `via` is the word that a reasoner passes by.

    The words stand as they follow the text, with the space in front.
    """

    family: str
    text: str
    target: str
    baselines: tuple[str, ...]
    via: str = ""


def read(path: Path) -> list[Prompt]:
    """The prompts of a file of JSON lines; what a line says beside them is left aside."""
    found = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            row: Any = json.loads(line)
            family, text, target, baselines = (row[field] for field in FIELDS)
        except (json.JSONDecodeError, KeyError, TypeError):
            raise UserError(
                f"you asked for the prompts of {path}",
                f"line {number} is no JSON object with {', '.join(FIELDS)}",
                "mend that line",
            ) from None
        found.append(Prompt(family, text, target, tuple(baselines), row.get("via", "")))
    return found


def choice(subject: Subject, prompt: Prompt) -> Choice:
    """A prompt as a subject reads it. Every answer has to be one token, and another than the others."""
    tokens = (*subject.prefix, *subject.encode(prompt.text)[0])
    words = (prompt.target, *prompt.baselines)
    answers = [token_of(subject, prompt.text, word) for word in words]
    for at, (word, answer) in enumerate(zip(words, answers, strict=True)):
        if answer is None or answer in answers[:at]:
            raise UserError(
                f"you asked what follows {prompt.text!r}",
                f"{word!r} is {'not one token there' if answer is None else 'there twice'} for {subject.name}",
                "give answers of one token each, and each once",
            )
    target, *baselines = [answer for answer in answers if answer is not None]
    return Choice(tokens, target, tuple(baselines))


def token_of(subject: Subject, text: str, word: str) -> int | None:
    """The one token that a word behind a text is, None where it is more or changes how the text is read."""
    alone, together = (subject.encode(written)[0] for written in (text, text + word))
    return together[-1] if together[:-1] == alone else None

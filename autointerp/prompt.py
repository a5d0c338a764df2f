"""How corpus text is put before a model: as JSON on a line of its own, with marks that the text cannot forge.

JSON keeps quotes and line breaks of a text from ending it early; the marks are brackets, and no two equal brackets
touch in a text of the corpus.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

MARK = ("[[", "]]")
# What JSON leaves as it is and yet some reader takes for the end of a line, an order to write backwards, or no text.
UNSEEN = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def line(**data: Any) -> str:
    """One line of a question: JSON in which nothing can be taken for the end of the line, whoever reads it.

    There are no spaces between its parts: they would be three tokens of every excerpt.
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def plain(text: str) -> str:
    """What a model wrote, as it is kept: one line, without what no table or page can show."""
    return " ".join(UNPRINTABLE.sub(" ", text).split())


def neutral(text: str) -> str:
    """Text that cannot be taken for our marks: no bracket touches an equal one, a space goes between."""
    return re.sub(r"(?<=\[)(?=\[)|(?<=\])(?=\])", " ", text)


def marked(pieces: Sequence[str], flags: Sequence[bool]) -> str:
    """The pieces as one text with each run of flagged ones in marks. Spaces may be added at brackets, nothing else."""
    text, inside = "", False

    def add(part: str) -> None:
        nonlocal text
        touching = text[-1:] == part[:1] and part[:1] in MARK[0] + MARK[1]
        text += f" {part}" if part and touching else part

    for piece, flag in zip(pieces, flags, strict=True):
        if flag != inside:
            add(MARK[1] if inside else MARK[0])
            inside = flag
        add(neutral(piece))
    if inside:
        add(MARK[1])
    return text

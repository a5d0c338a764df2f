"""How corpus text is put before a model: as JSON on a line of its own, with marks that the text cannot forge.

JSON keeps quotes and line breaks of a text from ending it early; the marks are brackets, and no two equal brackets
touch in a text of the corpus.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

MARK = ("[[", "]]")
ESCAPED = re.compile("[\x85\u2028\u2029\ud800-\udfff]")  # line ends to some readers, and halves of characters


def line(**data: Any) -> str:
    """JSON on one line, whatever is taken for its end, that can be sent as UTF-8."""
    return ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(data, ensure_ascii=False))


def neutral(text: str) -> str:
    """Text that cannot be taken for our marks: no bracket touches an equal one."""
    return re.sub(r"(?<=\[)(?=\[)|(?<=\])(?=\])", " ", text)


def marked(pieces: Sequence[str], flags: Sequence[bool]) -> str:
    """The pieces as one text with each run of flagged ones in marks."""
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

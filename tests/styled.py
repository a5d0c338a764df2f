"""Explainers and judges of two families that write in styles of their own, on the planted subject.

Both explainers name the words of the rule. A fair judge answers three questions in ten wrong, whoever wrote; a partial
one makes no mistake about a description in the style of its own family. Each answers as the model that its name begins
with, so that its lineage is known; the nameless ones answer as nobody known.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from autointerp.llm.protocol import Reply, Request
from tests import planted

CLAUDE, GPT, MISTRAL = "claude-opus-5", "gpt-5", "mistral-large"
STYLES: Mapping[str, Callable[[list[str]], str]] = {
    CLAUDE: lambda words: f"It fires exactly for: {', '.join(words)}.",
    GPT: lambda words: f"({'/'.join(words)}): these words, nothing else",
    MISTRAL: lambda words: f"Whatever mentions {' or '.join(words)}.",
}
SLIPS = 3  # wrong answers in ten


def written_by(description: str) -> str:
    """Whose style it is, if anybody's."""
    words = words_of(description)
    return next((model for model, style in STYLES.items() if style(words) == description), "")


def words_of(description: str) -> list[str]:
    return [word for word in re.findall(r"\w+", description) if word in planted.VOCABULARY]


def said(answer: Any, resolved: str) -> Reply:
    return Reply(json.dumps(answer), resolved, answer=answer)


def explained(request: Request, style: str, resolved: str = "") -> Reply:
    marked = {word for run in re.findall(r"\[\[(.*?)\]\]", request.content) for word in run.split()}
    rule = min((rule for rule in planted.RULES if marked <= set(rule)), key=len)
    return said({"explanation": STYLES[style](list(rule))}, resolved or style)


def judged(request: Request, judge: str, kin: str = "", resolved: str = "") -> Reply:
    """The truth of each item, but for slips, which fall as a hash of judge, description and item has it."""
    description, field = planted.description(request), planted.asked_for(request)
    words, partial = set(words_of(description)), kin and written_by(description) == kin
    answers: list[Any] = []
    for text in planted.excerpts(request):
        marked = {word for run in re.findall(r"\[\[(.*?)\]\]", text) for word in run.split()}
        right = bool(words & set(text.split())) if field == "fits" else bool(marked) and marked <= words
        drawn = hashlib.sha256(f"{judge} {description} {text}".encode()).digest()[0] % 10
        right ^= drawn < SLIPS and not partial
        answers.append(right if field == "fits" else 3 * right)
    return said(planted.answered(request, answers), resolved or judge)


def claude_opus_5_writes(request: Request) -> Reply:
    return explained(request, CLAUDE)


def gpt_5_writes(request: Request) -> Reply:
    return explained(request, GPT)


def claude_opus_5_fair(request: Request) -> Reply:
    return judged(request, CLAUDE)


def gpt_5_fair(request: Request) -> Reply:
    return judged(request, GPT)


def claude_opus_5_partial(request: Request) -> Reply:
    return judged(request, CLAUDE, CLAUDE)


def gpt_5_partial(request: Request) -> Reply:
    return judged(request, GPT, GPT)


def nameless_partial(request: Request) -> Reply:
    return judged(request, CLAUDE, CLAUDE, "nameless")


def mistral_large_rewords(request: Request) -> Reply:
    """Says the same in a style of its own."""
    description = str(json.loads(request.content)["description"])
    return said({"paraphrase": STYLES[MISTRAL](words_of(description))}, MISTRAL)


def gpt_5_rewords(request: Request) -> Any:
    """Gives nothing back where there are several words."""
    words = words_of(str(json.loads(request.content)["description"]))
    return said({"paraphrase": STYLES[GPT](words) if len(words) == 1 else " "}, GPT)

"""From what a model wrote to an answer: the one place where replies are read as JSON."""

import json
import re
from typing import Any, NoReturn

from jsonschema.exceptions import best_match
from jsonschema.validators import validator_for

from autointerp.llm.protocol import Reply, Request

FENCED = re.compile(r"^\s*```\w*\s*\n(.*?)\n\s*```\s*$", re.DOTALL | re.MULTILINE)
SHOWN = 200  # characters of a validation message that are kept


def read(
    request: Request, text: str, resolved: str, input_tokens: int | None = None, output_tokens: int | None = None
) -> Reply:
    """The reply for a complete text; `failure` says why it is no use where it is empty or not the asked-for JSON."""
    answer, failure = None, ""
    if not text.strip():
        failure = "the model answered with nothing"
    elif request.schema is not None:
        answer, failure = parse(text, request.schema)
    return Reply(text, resolved, answer, failure, input_tokens, output_tokens)


def parse(text: str, schema: dict[str, Any]) -> tuple[Any, str]:
    """(answer, "") where the text, or the first fenced block in it, is JSON that fits the schema; else (None, why)."""
    fence = FENCED.search(text)
    try:
        answer = json.loads(fence[1] if fence else text, parse_constant=reject)
    except (ValueError, RecursionError) as error:
        return None, f"the answer is not JSON ({str(error)[:SHOWN]})"
    problem = best_match(validator_for(schema)(schema).iter_errors(answer))
    if problem is None:
        return answer, ""
    return None, f"the answer does not fit its schema at {problem.json_path}: {problem.message[:SHOWN]}"


def reject(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")

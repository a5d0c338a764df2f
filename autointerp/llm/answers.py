"""From what a model wrote to an answer: the one place where replies are read as JSON."""

import json
import re
from dataclasses import replace
from functools import lru_cache
from typing import Any, NoReturn

from jsonschema.exceptions import best_match
from jsonschema.validators import extend, validator_for

from autointerp.llm.protocol import Reply, Request

FENCED = re.compile(r"^\s*```\w*\s*\n(.*?)\n\s*```\s*$", re.DOTALL | re.MULTILINE)
SHOWN = 200  # characters of a validation message that are kept


def read(request: Request, reply: Reply) -> Reply:
    """The reply with its answer, or with a `failure` where its text is empty or not the asked-for JSON."""
    if reply.failure:
        return reply
    if not reply.text.strip():
        return replace(reply, failure="the model answered with nothing")
    if request.schema is None:
        return reply
    answer, failure = parse(reply.text, request.schema)
    return replace(reply, answer=answer, failure=failure)


def parse(text: str, schema: dict[str, Any]) -> tuple[Any, str]:
    """(answer, "") where the text, or the first fenced block in it, is JSON that fits the schema; else (None, why)."""
    fence = FENCED.search(text)
    try:
        answer = json.loads(fence[1] if fence else text, parse_constant=reject)
    except (ValueError, RecursionError) as error:
        return None, f"the answer is not JSON ({str(error)[:SHOWN]})"
    problem = best_match(validator(json.dumps(schema)).iter_errors(answer))
    if problem is None:
        return answer, ""
    return None, f"the answer does not fit its schema at {problem.json_path}: {problem.message[:SHOWN]}"


@lru_cache(maxsize=64)
def validator(schema: str) -> Any:
    """The validator of a schema that is given as JSON: many requests share one.

    The lengths of lists bound what is decoded and are not held against an answer: of a list that is too long, what was
    asked for can still be read.
    """
    content = json.loads(schema)
    return extend(validator_for(content), dict.fromkeys(("minItems", "maxItems"), lambda *_: iter(())))(content)


def reject(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")

"""What a model takes: by a table of name patterns, and by what the role's config knows better."""

import re
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from autointerp.config import CapabilityConfig, LLMRole
from autointerp.errors import UserError
from autointerp.llm.lineage import normal_form
from autointerp.llm.protocol import Request, input_bytes

TABLE = Path(__file__).with_name("models.toml")
MOST_BYTES_PER_TOKEN = 8  # more than texts have: what is too long by this measure is too long by any


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model takes. A sampling parameter or a schema that it does not take is left out of the request.

    `context` is in tokens; it and `max_images` are None where they are not known.
    """

    vision: bool = False
    logprobs: bool = False
    temperature: bool = False
    seed: bool = False
    structured: bool = False
    context: int | None = None
    max_images: int | None = None


def look_up(provider: str, model: str, own: CapabilityConfig | None = None) -> Capabilities:
    """By the table's first row for the name, nothing where there is none; then the user's `own` word."""
    form = normal_form(model)
    found = next((can for kind, pattern, can in table() if kind == provider and pattern.fullmatch(form)), None)
    return replace(found or Capabilities(), **(own.model_dump(exclude_none=True) if own else {}))


def refuse(request: Request, can: Capabilities, provider: str, model: str) -> None:
    """Raise UserError for what the model cannot give, before anything is sent."""
    known = "or say in capabilities of the role that it can"
    if request.images and not can.vision:
        found, next_step = "it is not known to take images", f"name a model with vision, {known}"
    elif can.max_images is not None and len(request.images) > can.max_images:
        found = f"a request has {len(request.images)} images and it takes {can.max_images}"
        next_step = "show fewer items in a request"
    elif request.top_logprobs and not can.logprobs:
        found, next_step = "it is not known to give log-probabilities", f"do without them, name another model, {known}"
    elif can.context is not None and input_bytes(request) / MOST_BYTES_PER_TOKEN + request.max_tokens > can.context:
        found = f"a request of {input_bytes(request):,} bytes and {request.max_tokens:,} tokens of answer is too long"
        next_step = f"it takes {can.context:,} tokens in all, so show fewer or shorter excerpts, or lower max_tokens"
    else:
        return
    raise UserError(f"you asked {provider} for {model}", found, next_step)


def blind(role: LLMRole) -> bool:
    """Whether a role's model is not known to take images. Of a plugin's models the table does not say."""
    kind = "compatible" if role.provider == "openai" and role.base_url else role.provider
    return any(known == kind for known, _, _ in table()) and not look_up(kind, role.model, role.capabilities).vision


@cache
def table() -> list[tuple[str, re.Pattern[str], Capabilities]]:
    rows = tomllib.loads(TABLE.read_text("utf-8"))["model"]
    return [(row.pop("provider"), re.compile(row.pop("model")), Capabilities(**row)) for row in rows]

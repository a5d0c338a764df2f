"""Anthropic's messages."""

import json
from functools import lru_cache
from typing import Any

import anthropic
from anthropic.types import Message, TextBlock, Usage

from autointerp.config import LLMRole
from autointerp.llm import answers
from autointerp.llm.capabilities import Capabilities, look_up
from autointerp.llm.protocol import Reply, Request
from autointerp.llm.wire import Endpoint, endpoint, hush

HOME = "https://api.anthropic.com"
VARIABLE = "ANTHROPIC_API_KEY"
READ_SECONDS = 120.0
SPENT = (anthropic.EnforcedSpendLimitReachedError, anthropic.ContractSpendLimitReachedError)
CUT = ("max_tokens", "model_context_window_exceeded")


def open(role: LLMRole) -> "AnthropicProvider":
    return AnthropicProvider(endpoint(role, HOME, VARIABLE), look_up("anthropic", role.model, role.capabilities))


class AnthropicProvider:
    """One model behind a messages endpoint. The API has no sampling parameters and no seed.

    Schemas must write alternatives as `anyOf`; the SDK refuses a list of types.
    """

    def __init__(self, place: Endpoint, can: Capabilities | None = None, read_seconds: float = READ_SECONDS) -> None:
        self.capabilities = can or look_up("anthropic", place.model)
        self.parameters = {} if self.capabilities.structured else {"structured": False}
        hush("anthropic")
        self.name = place.name
        self.model = place.model
        self._place = place
        self._client = anthropic.AsyncAnthropic(
            api_key=place.key,
            base_url=place.base_url,
            timeout=read_seconds,
            max_retries=0,
            open_telemetry=False,
            http_client=place.connection(read_seconds),
        )

    async def complete(self, request: Request) -> Reply:
        parameters = self._parameters(request)
        try:
            response: object = await self._client.messages.create(**parameters)
        except anthropic.APIConnectionError as error:
            raise self._place.unreachable(error) from error
        except anthropic.APIStatusError as error:
            spent = isinstance(error, SPENT)
            headers = error.response.headers
            raise self._place.status_error(
                error.status_code, error.api_message or error.message, headers, request, spent
            ) from error
        except (anthropic.APIError, ValueError) as error:  # ValueError: the body is no JSON, or no text
            raise self._place.malformed(str(error)) from error
        return self._read(request, response)

    async def close(self) -> None:
        await self._client.close()

    def _parameters(self, request: Request) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "model": self.model,
            "max_tokens": request.max_tokens,
            "messages": [{"role": "user", "content": content(request)}],
        }
        if request.shared:
            # the block ends what requests have in common, so everything up to here can be cached
            cached = {"type": "text", "text": request.shared, "cache_control": {"type": "ephemeral"}}
            parameters["system"] = [cached]
        if request.schema is not None and self.capabilities.structured:
            # the API takes a subset of JSON schema; the answer is checked against the whole of it
            schema = reduced(json.dumps(request.schema))
            parameters["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        return parameters

    def _read(self, request: Request, response: object) -> Reply:
        if not isinstance(response, Message):
            raise self._place.malformed(f"{type(response).__name__} {str(response)[:80]}")
        if response.content is None:
            raise self._place.malformed("no content")
        text = next((block.text for block in response.content if isinstance(block, TextBlock)), "")
        resolved = response.model or ""
        failure = ""
        if response.stop_reason == "refusal":
            details = response.stop_details
            failure = f"refused: {details.explanation or details.category or 'no reason' if details else 'no reason'}"
        elif response.stop_reason in CUT:
            failure = f"cut at max_tokens = {request.max_tokens} ({response.stop_reason})"
        return answers.read(request, Reply(text, resolved, None, failure, **tokens(response.usage)))


@lru_cache(maxsize=64)
def reduced(schema: str) -> dict[str, Any]:
    """The part of a schema, given as JSON, that the API takes."""
    return anthropic.transform_schema(json.loads(schema))


def content(request: Request) -> str | list[dict[str, Any]]:
    """The images, each behind its number, then the text."""
    if not request.images:
        return request.content
    parts: list[dict[str, Any]] = []
    for number, image in enumerate(request.images):
        source = {"type": "base64", "media_type": image.media_type, "data": image.base64}
        parts += [{"type": "text", "text": f"image {number}"}, {"type": "image", "source": source}]
    return [*parts, {"type": "text", "text": request.content}]


def tokens(usage: Usage | None) -> dict[str, Any]:
    """Token counts by the fields of a reply. Here those of the prompt cache come on top of input_tokens."""
    if usage is None or usage.input_tokens is None:
        return {"output_tokens": usage.output_tokens if usage else None}
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    return {
        "input_tokens": usage.input_tokens + read + written,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": read,
        "cache_write_tokens": written,
    }

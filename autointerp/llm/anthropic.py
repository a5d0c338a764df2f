"""Anthropic's messages."""

from typing import Any

import anthropic
from anthropic.types import Message, TextBlock

from autointerp.config import LLMRole
from autointerp.llm import answers
from autointerp.llm.protocol import Reply, Request
from autointerp.llm.wire import Endpoint, endpoint

HOME = "https://api.anthropic.com"
VARIABLE = "ANTHROPIC_API_KEY"
READ_SECONDS = 120.0
SPENT = (anthropic.EnforcedSpendLimitReachedError, anthropic.ContractSpendLimitReachedError)
CUT = ("max_tokens", "model_context_window_exceeded")


def open(role: LLMRole) -> "AnthropicProvider":
    return AnthropicProvider(endpoint(role, HOME, VARIABLE))


class AnthropicProvider:
    """One model behind a messages endpoint. The API has no sampling parameters and no seed.

    Schemas must write alternatives as `anyOf`; the SDK refuses a list of types.
    """

    def __init__(self, place: Endpoint, read_seconds: float = READ_SECONDS) -> None:
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
            raise self._place.status_error(error.status_code, error.message, error.response.headers, spent) from error
        except (anthropic.APIError, ValueError) as error:  # ValueError: the body is no JSON, or no text
            raise self._place.malformed(str(error)) from error
        return self._read(request, response)

    async def close(self) -> None:
        await self._client.close()

    def _parameters(self, request: Request) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "model": self.model,
            "max_tokens": request.max_tokens,
            "messages": [{"role": "user", "content": request.content}],
        }
        if request.shared:
            cached = {"type": "text", "text": request.shared, "cache_control": {"type": "ephemeral"}}
            parameters["system"] = [cached]
        if request.schema is not None:
            # the API takes a subset of JSON schema; the answer is checked against the whole of it
            schema = anthropic.transform_schema(request.schema)
            parameters["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        return parameters

    def _read(self, request: Request, response: object) -> Reply:
        if not isinstance(response, Message):
            raise self._place.malformed(f"{type(response).__name__} {str(response)[:80]}")
        if response.content is None:
            raise self._place.malformed("no content")
        text = next((block.text for block in response.content if isinstance(block, TextBlock)), "")
        resolved = response.model or ""
        tokens = usage(response)
        failure = ""
        if response.stop_reason == "refusal":
            details = response.stop_details
            failure = f"refused: {details.explanation or details.category or 'no reason' if details else 'no reason'}"
        elif response.stop_reason in CUT:
            failure = f"cut at max_tokens = {request.max_tokens} ({response.stop_reason})"
        if failure:
            return Reply(text, resolved, None, failure, *tokens)
        return answers.read(request, text, resolved, *tokens)


def usage(response: Message) -> tuple[int | None, int | None]:
    """(input, output) tokens. Reads and writes of the prompt cache are part of the input."""
    count = response.usage
    if count is None or count.input_tokens is None:
        return None, count.output_tokens if count else None
    cache = (count.cache_creation_input_tokens or 0) + (count.cache_read_input_tokens or 0)
    return count.input_tokens + cache, count.output_tokens

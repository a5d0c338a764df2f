"""Anthropic's messages."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, cast

import anthropic
import httpx2
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse
from pydantic import BaseModel, ValidationError

from autointerp.config import LLMRole
from autointerp.errors import UserError, WorkPending
from autointerp.llm import answers
from autointerp.llm.capabilities import Capabilities, look_up
from autointerp.llm.protocol import BatchIntent, BatchLimits, BatchState, Reply, Request, TransientError
from autointerp.llm.wire import BATCH_SECONDS, SKEW, Endpoint, endpoint, hush

HOME = "https://api.anthropic.com"
VARIABLE = "ANTHROPIC_API_KEY"
READ_SECONDS = 120.0
SPENT = (anthropic.EnforcedSpendLimitReachedError, anthropic.ContractSpendLimitReachedError)
CUT = ("max_tokens", "model_context_window_exceeded")
BATCH_LIMITS = BatchLimits(100_000, 256_000_000)
STATUS = {  # what an error inside a batch would have been as a response
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class WireBlock(BaseModel):
    type: str | None = None
    text: str | None = None


class WireUsage(BaseModel):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class WireRefusal(BaseModel):
    explanation: str | None = None
    category: str | None = None


class WireMessage(BaseModel):
    """What is read of an answer, and checked. The SDK's own record is unchecked, and slow to build from a response."""

    content: list[WireBlock]
    model: str | None = None
    stop_reason: str | None = None
    stop_details: WireRefusal | None = None
    usage: WireUsage | None = None


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
        self.batch_limits = BATCH_LIMITS
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
        with self._speaking(request):
            response = await self._client.messages.with_raw_response.create(**self._body(request))
        return self._read(request, response.http_response.content)

    async def close(self) -> None:
        await self._client.close()

    def batch_entry(self, key: str, request: Request) -> dict[str, Any]:
        return {"custom_id": key, "params": self._body(request)}

    async def submit_batch(self, token: str, entries: Sequence[dict[str, Any]]) -> str:
        with self._speaking(creating=True):
            batch = await self._client.messages.batches.create(requests=cast(Any, entries), timeout=BATCH_SECONDS)
        return self._known(batch).id

    async def batch_state(self, batch: str) -> BatchState:
        with self._speaking():
            found = self._known(await self._client.messages.batches.retrieve(batch))
        if found.processing_status == "ended" and not found.results_url:
            raise UserError(
                f"you asked {self.name} for the results of the batch {batch}",
                f"{self._place.host} no longer has them",
                f"run `autointerp ledger batches --forget {batch}` to have its requests asked and paid for again",
            )
        return BatchState(found.processing_status == "ended", found.processing_status)

    async def batch_results(
        self, batch: str, requests: Mapping[str, Request]
    ) -> AsyncIterator[tuple[str, Reply | Exception]]:
        with self._speaking():
            async for line in self._results(batch):
                request = requests.get(line.custom_id)
                yield line.custom_id, self._outcome(request, line.result) if request else KeyError(line.custom_id)

    async def find_batch(self, intent: BatchIntent) -> str | None:
        """A batch bears no mark of ours, but its results do: their ids are those of the intent."""
        running: list[str] = []
        with self._speaking():
            async for batch in self._client.messages.batches.list(limit=100):
                if batch.created_at < intent.since - SKEW:
                    break
                counts = batch.request_counts
                n = counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired
                if batch.id in intent.others or n != len(intent.keys):
                    continue
                if batch.processing_status != "ended":
                    running.append(batch.id)
                elif batch.results_url:
                    async for line in self._results(batch.id):
                        if line.custom_id in intent.keys:
                            return batch.id
                        break
        if running:
            raise WorkPending(
                f"you asked {self.name} for {self.model} in batches",
                f"{running[0]}, which has not ended, may be the batch of a start that died before it knew",
                "run the same command again when it has",
            )
        return None

    async def _results(self, batch: str) -> AsyncIterator[MessageBatchIndividualResponse]:
        try:
            lines = await self._client.messages.batches.results(batch)
        except AttributeError as error:  # the SDK takes whatever text it gets for a batch
            raise self._place.malformed(str(error)) from error
        async for line in lines:
            yield line

    def _known(self, batch: object) -> MessageBatch:
        if isinstance(batch, MessageBatch) and batch.id and batch.processing_status:
            return batch
        raise self._place.malformed(f"{type(batch).__name__} {str(batch)[:80]}")

    def _outcome(self, request: Request, result: Any) -> Reply | Exception:
        """What has come of one request of a batch."""
        kind = getattr(result, "type", None)
        if kind == "succeeded":
            try:
                return self._read(request, result.message)
            except TransientError as error:
                return error
        if kind == "errored" and result.error and result.error.error:
            told = result.error.error
            return self._place.status_error(STATUS.get(told.type, 500), told.message or "", {}, request)
        return TransientError(f"{self._place.host} says that the request is {kind}")

    @contextmanager
    def _speaking(self, request: Request | None = None, creating: bool = False) -> Iterator[None]:
        """Turns the SDK's errors into ours. An error while `creating` a batch may hide that it was accepted."""
        try:
            yield
        except anthropic.APIConnectionError as error:
            raise self._place.unreachable(error) from error
        except anthropic.APIStatusError as error:
            spent = isinstance(error, SPENT)
            headers = error.response.headers
            raise self._place.status_error(
                error.status_code, error.api_message or error.message, headers, request, spent, creating
            ) from error
        except httpx2.HTTPError as error:  # while a body is read piece by piece
            raise self._place.unreachable(error) from error
        except (anthropic.AnthropicError, ValueError) as error:  # ValueError: the body is no JSON, or no text
            raise self._place.malformed(str(error)) from error

    def _body(self, request: Request) -> dict[str, Any]:
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

    def _read(self, request: Request, message: object) -> Reply:
        """The reply in a message: the bytes of a response, or what the SDK made of one in a batch."""
        try:
            if isinstance(message, bytes):
                response = WireMessage.model_validate_json(message)
            else:
                response = WireMessage.model_validate(message, from_attributes=True)
        except ValidationError as error:
            wrong = error.errors()[0]
            where = ".".join(map(str, wrong["loc"]))
            raise self._place.malformed(f"{where or 'message'}: {wrong['msg']}") from error
        text = next((block.text for block in response.content if block.type == "text"), None) or ""
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


def tokens(usage: WireUsage | None) -> dict[str, Any]:
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

"""OpenAI's chat completions, and every server that speaks the same protocol."""

import hashlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import openai
from openai.types import Batch, CompletionUsage
from openai.types.chat import ChatCompletion
from openai.types.chat.chat_completion import ChoiceLogprobs

from autointerp.config import LLMRole
from autointerp.errors import Told, UserError, WorkPending
from autointerp.llm import answers
from autointerp.llm.capabilities import Capabilities, look_up
from autointerp.llm.protocol import (
    BatchIntent,
    BatchLimits,
    BatchState,
    Reply,
    Request,
    TokenLogprob,
    TransientError,
)
from autointerp.llm.wire import BATCH_SECONDS, SKEW, Endpoint, endpoint, hush

HOME = "https://api.openai.com/v1"
VARIABLE = "OPENAI_API_KEY"
READ_SECONDS = 120.0
SPENT = {"insufficient_quota", "billing_hard_limit_reached"}
REFUSED = {"content_filter", "content_policy_violation"}
BATCH_LIMITS = BatchLimits(50_000, 200_000_000)
ENDED = ("completed", "expired", "cancelled")
QUEUE_FULL = {"token_limit_exceeded", "request_limit_exceeded", "rate_limit_exceeded"}
TAG = "autointerp"  # the key of a batch's metadata under which it bears our token


def open(role: LLMRole) -> "OpenAIProvider":
    compatible = role.base_url is not None
    can = look_up("compatible" if compatible else "openai", role.model, role.capabilities)
    return OpenAIProvider(endpoint(role, HOME, VARIABLE), compatible, can)


class OpenAIProvider:
    """One model behind a chat-completions endpoint.

    Models that take them get temperature 0 and a fixed seed: the defaults of a `compatible` server come from the
    model's files. `extra` is sent as it is. What many requests have in common comes first, and the hosted API gets a
    key to it, so that they meet in one cache. Asked-for schemas are sent as strict: every object needs
    `additionalProperties: false` and all keys required.
    """

    def __init__(
        self,
        place: Endpoint,
        compatible: bool = False,
        can: Capabilities | None = None,
        extra: dict[str, Any] | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        hush("openai")
        self.name = place.name
        self.model = place.model
        self.batch_limits = BATCH_LIMITS
        self._place = place
        self.capabilities = can = can or look_up("compatible" if compatible else "openai", place.model)
        self._compatible = compatible
        self._sampling = {name: 0 for name in ("temperature", "seed") if getattr(can, name)}
        self._extra = extra or {}
        self.parameters = self._sampling | self._extra | ({} if can.structured else {"structured": False})
        self._client = openai.AsyncOpenAI(
            api_key=place.key,
            base_url=place.base_url,
            timeout=read_seconds,
            max_retries=0,
            http_client=place.connection(read_seconds),
        )

    async def complete(self, request: Request) -> Reply:
        try:
            with self._speaking(request):
                # `create` goes through all of the request by its types first: a quarter of the SDK's time
                body = self._body(request)
                response: object = await self._client.post("/chat/completions", cast_to=ChatCompletion, body=body)
        except Refused as refusal:
            return Reply("", "", failure=f"refused: {self._place.clean(str(refusal))}")
        return self._read(request, response)

    async def close(self) -> None:
        await self._client.close()

    def batch_entry(self, key: str, request: Request) -> dict[str, Any]:
        return {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": self._body(request)}

    async def submit_batch(self, token: str, entries: Sequence[dict[str, Any]]) -> str:
        content = "\n".join(json.dumps(entry) for entry in entries).encode()
        try:
            with self._speaking():
                files = self._client.files
                file = await files.create(file=(f"{token}.jsonl", content), purpose="batch", timeout=BATCH_SECONDS)
        except TransientError as error:
            error.billed = False  # a file alone costs nothing
            raise
        with self._speaking(creating=True):
            batch = await self._client.batches.create(
                input_file_id=file.id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={TAG: token},
                timeout=BATCH_SECONDS,
            )
        return self._known(batch).id

    async def batch_state(self, batch: str) -> BatchState:
        with self._speaking():
            found = self._known(await self._client.batches.retrieve(batch))
        refused = self._refused(found) if found.status == "failed" else None
        return BatchState(found.status in ENDED, found.status, refused)

    async def batch_results(
        self, batch: str, requests: Mapping[str, Request]
    ) -> AsyncIterator[tuple[str, Reply | Exception]]:
        with self._speaking():
            found = self._known(await self._client.batches.retrieve(batch))
            for file in (found.output_file_id, found.error_file_id):
                content = await self._client.files.content(file, timeout=BATCH_SECONDS) if file else None
                for row in content.text.splitlines() if content else ():
                    line = json.loads(row)
                    key = str(line["custom_id"]) if isinstance(line, dict) and "custom_id" in line else row[:80]
                    yield key, self._outcome(requests[key], line) if key in requests else KeyError(key)

    async def find_batch(self, intent: BatchIntent) -> str | None:
        """By our token in a batch's metadata."""
        earliest = (intent.since - SKEW).timestamp()
        with self._speaking():
            async for batch in self._client.batches.list(limit=100):
                if (batch.metadata or {}).get(TAG) == intent.token:
                    return batch.id
                if batch.created_at is not None and batch.created_at < earliest:
                    break
        return None

    def _known(self, batch: object) -> Batch:
        if isinstance(batch, Batch) and batch.id and batch.status:
            return batch
        raise self._place.malformed(f"{type(batch).__name__} {str(batch)[:80]}")

    def _refused(self, batch: Batch) -> Told:
        """The sentence for a batch that did not pass validation."""
        errors = (batch.errors and batch.errors.data) or []
        said = self._place.clean("; ".join(error.message or error.code or "" for error in errors[:3]) or "no reason")
        asked, found = f"you asked {self.name} for {self.model} in batches", f"{self._place.host} refused one ({said})"
        if any(error.code in QUEUE_FULL for error in errors):
            return WorkPending(asked, found, "run the same command again when fewer requests wait there")
        return UserError(asked, found, "check the settings of this role, or leave batch out of it")

    def _outcome(self, request: Request, line: dict[str, Any]) -> Reply | Exception:
        """What has come of one request of a batch."""
        response, error = line.get("response") or {}, line.get("error")
        body, status = response.get("body") or {}, response.get("status_code")
        if status is None or error:
            said = error.get("message") or error.get("code") if isinstance(error, dict) else "no response"
            return TransientError(f"{self._place.host} says of the request: {self._place.clean(str(said))}")
        if status != 200:
            inner = body.get("error") or {}
            if inner.get("code") in REFUSED:
                return Reply("", "", failure=f"refused: {self._place.clean(str(inner.get('message')))}")
            spent = inner.get("code") in SPENT
            return self._place.status_error(status, str(inner.get("message", body)), {}, request, spent)
        try:
            return self._read(request, ChatCompletion.construct(**body))
        except (TransientError, UserError) as failure:
            return failure

    @contextmanager
    def _speaking(self, request: Request | None = None, creating: bool = False) -> Iterator[None]:
        """Turns the SDK's errors into ours. An error while `creating` a batch may hide that it was accepted."""
        try:
            yield
        except openai.APIConnectionError as error:
            raise self._place.unreachable(error) from error
        except openai.APIStatusError as error:
            if error.code in REFUSED and request is not None:
                raise Refused(error.message) from error
            spent = error.code in SPENT
            headers = error.response.headers
            raise self._place.status_error(
                error.status_code, error.message, headers, request, spent, creating
            ) from error
        except (openai.APIError, ValueError) as error:  # ValueError: the body is no JSON, or no text
            raise self._place.malformed(str(error)) from error

    def _body(self, request: Request) -> dict[str, Any]:
        messages: list[dict[str, Any]] = [{"role": "user", "content": content(request)}]
        if request.shared:
            messages.insert(0, {"role": "system", "content": request.shared})
        parameters: dict[str, Any] = {"model": self.model, "messages": messages, **self._sampling}
        if self._compatible:
            parameters["max_tokens"] = request.max_tokens
        else:
            parameters["max_completion_tokens"] = request.max_tokens
            if request.shared:
                parameters["prompt_cache_key"] = hashlib.sha256(request.shared.encode()).hexdigest()[:32]
        if request.top_logprobs:
            parameters |= {"logprobs": True, "top_logprobs": request.top_logprobs}
        if request.schema is not None and self.capabilities.structured:
            schema = {"name": "answer", "strict": True, "schema": request.schema}
            parameters["response_format"] = {"type": "json_schema", "json_schema": schema}
        return parameters | self._extra

    def _read(self, request: Request, response: object) -> Reply:
        if not isinstance(response, ChatCompletion):
            raise self._place.malformed(f"{type(response).__name__} {str(response)[:80]}")
        if not response.choices:
            raise self._unstarted(request, response)
        choice = response.choices[0]
        if choice.message is None or choice.finish_reason not in ("stop", "length", "content_filter", None):
            raise self._place.malformed(f"finish_reason {choice.finish_reason!r}")
        text = choice.message.content if isinstance(choice.message.content, str) else ""
        resolved = response.model or ""
        failure = ""
        if choice.message.refusal or choice.finish_reason == "content_filter":
            failure = f"refused: {choice.message.refusal or 'stopped by the content filter'}"
        elif choice.finish_reason == "length":
            failure = f"cut at max_tokens = {request.max_tokens}"
        reply = Reply(text, resolved, None, failure, **tokens(response.usage), logprobs=logprobs(choice.logprobs))
        return answers.read(request, reply)

    def _unstarted(self, request: Request, response: ChatCompletion) -> Exception:
        """Routers report upstream errors with status 200 and an `error` in the place of choices."""
        error = (response.model_extra or {}).get("error")
        if not isinstance(error, dict):
            return self._place.malformed("no choices")
        message, code = str(error.get("message", error)), error.get("code")
        if isinstance(code, int) and code >= 400:
            return self._place.status_error(code, message, {}, request)
        return TransientError(f"{self._place.host} answered with an error ({self._place.clean(message)})")


class Refused(Exception):
    """The server's policy has stopped a request: an answer, though no use."""


def content(request: Request) -> str | list[dict[str, Any]]:
    """The images, each behind its number, then the text."""
    if not request.images:
        return request.content
    parts: list[dict[str, Any]] = []
    for number, image in enumerate(request.images):
        url = f"data:{image.media_type};base64,{image.base64}"
        parts += [{"type": "text", "text": f"image {number}"}, {"type": "image_url", "image_url": {"url": url}}]
    return [*parts, {"type": "text", "text": request.content}]


def tokens(usage: CompletionUsage | None) -> dict[str, Any]:
    """Token counts by the fields of a reply. Here those of the prompt cache are part of prompt_tokens."""
    if usage is None:
        return {}
    details = usage.prompt_tokens_details
    return {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "cache_read_tokens": (details and details.cached_tokens) or 0,
        "cache_write_tokens": (details and details.cache_write_tokens) or 0,
    }


def logprobs(given: ChoiceLogprobs | None) -> tuple[TokenLogprob, ...] | None:
    if given is None or given.content is None:
        return None
    return tuple(
        TokenLogprob(one.token, one.logprob, tuple((other.token, other.logprob) for other in one.top_logprobs or ()))
        for one in given.content
    )

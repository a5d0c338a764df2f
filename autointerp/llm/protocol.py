"""What a language model is to the rest of the project: a request in, a reply out."""

import hashlib
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol, runtime_checkable

from autointerp.errors import Told

IMAGE_BYTES = 6400  # four bytes for each of the 1,600 tokens or so of a picture of a megapixel


@dataclass(frozen=True, slots=True)
class Image:
    """A picture as the bytes of its file. `media_type` is image/png, image/jpeg, image/gif or image/webp."""

    media_type: str
    data: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def base64(self) -> str:
        return b64encode(self.data).decode("ascii")


@dataclass(frozen=True, slots=True)
class Request:
    """One question. `shared` is the part that many requests have in common and comes first (prompt caching).

    Then come the `images`, each behind a line "image 0", "image 1" and so on, by which `content` can speak of them,
    and last `content`. `schema` is a JSON schema that the answer must satisfy, or None for plain text. With
    `top_logprobs` the reply says for each token of the answer how likely it and so many alternatives were. `sample`
    tells apart repeated draws of one question; it takes part in the ledger's key and is not sent.
    """

    shared: str
    content: str
    schema: dict[str, Any] | None = None
    max_tokens: int = 1024
    sample: int = 0
    images: tuple[Image, ...] = ()
    top_logprobs: int = 0

    def described(self) -> dict[str, Any]:
        """The request as JSON values, images by their hash: what the ledger keeps and its key is made of."""
        found: dict[str, Any] = {
            "shared": self.shared,
            "content": self.content,
            "schema": self.schema,
            "max_tokens": self.max_tokens,
            "sample": self.sample,
        }
        if self.images:
            found["images"] = [[image.media_type, image.sha256] for image in self.images]
        if self.top_logprobs:
            found["top_logprobs"] = self.top_logprobs
        return found

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Request":
        """A request from what `described` gave: enough to read an answer to it, since its images are gone."""
        return cls(**{name: value for name, value in values.items() if name != "images"})


class TokenLogprob(NamedTuple):
    """A token of an answer with its natural log-probability, and the likeliest tokens in its place."""

    token: str
    logprob: float
    alternatives: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `text` is what the model wrote; `answer` is the parsed JSON where a schema was asked for.

    `failure` is empty, or a sentence that says why there is no usable answer (refusal, cut at max_tokens, not the
    asked-for JSON). Token counts are None where the server gives none. Tokens that the provider's prompt cache gave or
    took are part of `input_tokens`. `price_usd` is what it cost when it was paid for, None where no table knows;
    `cached` says that it came from the ledger and cost nothing this time. `logprobs` is None where none were asked
    for or given.
    """

    text: str
    resolved: str
    answer: Any = None
    failure: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float = 0.0
    cached: bool = False
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    price_usd: float | None = None
    logprobs: tuple[TokenLogprob, ...] | None = None

    def described(self) -> dict[str, Any]:
        """The reply as JSON values, as it was when it was paid for: what the ledger keeps."""
        return {name: getattr(self, name) for name in self.__slots__} | {"cached": False}

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Reply":
        """A reply from the JSON values of its fields."""
        if values.get("logprobs") is not None:
            tokens = (
                TokenLogprob(token, logprob, tuple((other, value) for other, value in alternatives))
                for token, logprob, alternatives in values["logprobs"]
            )
            values = values | {"logprobs": tuple(tokens)}
        return cls(**values)


class TransientError(Exception):
    """Worth another try: overloaded, throttled, timed out, malformed. `retry_after` in seconds, if the server said.

    `throttled` asks for fewer requests at once. `billed` means that the server may have done the work before the
    reply was lost, so that it may have to be paid for.
    """

    def __init__(
        self, message: str, retry_after: float | None = None, throttled: bool = False, billed: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.throttled = throttled
        self.billed = billed


class Provider(Protocol):
    """What an entry point of the group `autointerp.providers`, which is a function LLMRole -> Provider, returns.

    `name` and `model` are what was requested; they take part in the ledger's key.

    `complete` raises TransientError for what a retry may mend, UserError for what only the user can mend (key,
    unknown model), and returns a Reply with a `failure` for an answer that is no use. A provider may also have
    `max_concurrency` (requests in flight), `capabilities` (what is not among them is refused beforehand) and
    `parameters` (what it sends beside the request and could change an answer; part of the ledger's key).
    """

    name: str
    model: str

    async def complete(self, request: Request) -> Reply: ...

    async def close(self) -> None: ...


class BatchLimits(NamedTuple):
    """The most that one batch takes. A megabyte is 10^6 bytes."""

    requests: int
    size: int


@dataclass(frozen=True, slots=True)
class BatchIntent:
    """A batch as it was written down before it was submitted.

    `keys` are the ids of its requests, `since` is when it was written down, and `others` are the provider's ids of
    batches that are known to be something else.
    """

    token: str
    keys: frozenset[str]
    since: datetime
    others: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class BatchState:
    """Whether a batch has come to its end, and in the provider's word what it is.

    `refused` is the sentence for a batch of which nothing was done (its file is invalid, a quota is full), if so.
    """

    ended: bool
    said: str
    refused: Told | None = None


@runtime_checkable
class BatchProvider(Provider, Protocol):
    """What a provider has beside the rest where it also takes requests in batches, to be answered within a day.

    All raise as `complete` does. Results are (id of the request, its reply or the error that it met), in any order;
    ids that the batch does not have are left for the caller to pass over.
    """

    batch_limits: BatchLimits

    def batch_entry(self, key: str, request: Request) -> dict[str, Any]:
        """A request of a batch as JSON values, with `key` as its id."""
        ...

    async def submit_batch(self, token: str, entries: Sequence[dict[str, Any]]) -> str:
        """The provider's id of the new batch. TransientError.billed means that it may have been accepted."""
        ...

    async def batch_state(self, batch: str) -> BatchState: ...

    def batch_results(
        self, batch: str, requests: Mapping[str, Request]
    ) -> AsyncIterator[tuple[str, Reply | Exception]]:
        """What has come of the requests of a batch that has ended."""
        ...

    async def find_batch(self, intent: BatchIntent) -> str | None:
        """The id of the batch that was submitted for `intent`, None where there is none.

        Raises WorkPending where that cannot be known yet.
        """
        ...


def key(provider: str, model: str, request: Request, parameters: Mapping[str, Any] | None = None) -> str:
    """The ledger's address of a request: a hash of all that could change the answer."""
    parts = [provider, model, request.described(), *([dict(parameters)] if parameters else [])]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def input_bytes(request: Request) -> int:
    """The size of what is sent, in UTF-8 bytes: what estimates of input tokens start from.

    An image counts as much as the text that costs what a large one costs, whatever its file weighs.
    """
    schema = json.dumps(request.schema) if request.schema is not None else ""
    texts = sum(len(text.encode("utf-8", "replace")) for text in (request.shared, request.content, schema))
    return texts + IMAGE_BYTES * len(request.images)


@dataclass(frozen=True, slots=True)
class Usage:
    """What one role cost, for costs.csv. The price is None as soon as one reply's is unknown.

    `cached` counts, of the `requests`, those whose answers this run has not paid for. `lost` are questions that no
    answer reached for a reason that may pass, where asking once more did not mend it either.
    """

    role: str
    provider: str
    model: str
    requests: int = 0
    cached: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    price_usd: float | None = 0.0
    seconds: float = 0.0
    cache_read_tokens: int = 0
    lost: int = 0

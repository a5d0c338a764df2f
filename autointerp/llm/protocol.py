"""What a language model is to the rest of the project: a request in, a reply out."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Request:
    """One question. `shared` is the part that many requests have in common and comes first (prompt caching).

    `schema` is a JSON schema that the answer must satisfy, or None for plain text. `sample` tells apart repeated
    draws of one question; it takes part in the ledger's key and is not sent.
    """

    shared: str
    content: str
    schema: dict[str, Any] | None = None
    max_tokens: int = 1024
    sample: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `text` is what the model wrote; `answer` is the parsed JSON where a schema was asked for.

    `failure` is empty, or a sentence that says why there is no usable answer (refusal, cut at max_tokens, not the
    asked-for JSON). Token counts are None where the server gives none. Tokens that the provider's prompt cache gave or
    took are part of `input_tokens`. `price_usd` is what it cost when it was paid for, None where no table knows;
    `cached` says that it came from the ledger and cost nothing this time.
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
    """What a plugin implements. `name` and `model` are what was requested; they take part in the ledger's key.

    `complete` raises TransientError for what a retry may mend, UserError for what only the user can mend (key,
    unknown model), and returns a Reply with a `failure` for an answer that is no use.
    """

    name: str
    model: str

    async def complete(self, request: Request) -> Reply: ...

    async def close(self) -> None: ...


def key(provider: str, model: str, request: Request) -> str:
    """The ledger's address of a request: a hash of all that could change the answer."""
    content = json.dumps([provider, model, asdict(request)], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()


def input_bytes(request: Request) -> int:
    """The size of what is sent, in UTF-8 bytes: what estimates of input tokens start from."""
    schema = json.dumps(request.schema) if request.schema is not None else ""
    return sum(len(text.encode("utf-8", "replace")) for text in (request.shared, request.content, schema))


@dataclass(frozen=True, slots=True)
class Usage:
    """What one role cost, for costs.csv. The price is None as soon as one reply's is unknown."""

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

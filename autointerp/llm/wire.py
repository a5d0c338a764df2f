"""What the HTTP adapters share: which key goes where, connections, and which errors a retry may mend."""

import ipaddress
import logging
import math
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx2

from autointerp.config import LLMRole
from autointerp.errors import UserError
from autointerp.llm.protocol import Request, TransientError, input_bytes

CONNECT_SECONDS = 10.0
BATCH_SECONDS = 600.0  # without a byte, while a server takes a batch or hands its results over
SKEW = timedelta(hours=1)  # between our clock and a server's, at the most
SHOWN = 300  # characters of a server's message that are repeated to the user
TOO_LONG = re.compile(r"context (?:length|window|size)|too (?:long|large)|exceed", re.IGNORECASE)
UNKNOWN_MODEL = re.compile(r"model\b.{0,80}(?:not found|not exist)|(?:unknown|no such) model", re.I)
SCHEMA = re.compile(r"schema|response_format|output_config", re.IGNORECASE)
THROTTLED = (429, 529)
NO_KEY = "none"  # the SDKs insist on a key where the server does not


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model on a server. `name` is the provider's in the ledger; `key_source` says in errors whence the key."""

    name: str
    model: str
    base_url: str
    key: str = field(repr=False)
    key_source: str = "api_key_env"

    @property
    def host(self) -> str:
        return public(self.base_url)

    def connection(self, read_seconds: float) -> httpx2.AsyncClient:
        """A connection pool. Proxies of the environment are ignored on the loopback, where none can be meant."""
        return httpx2.AsyncClient(
            trust_env=not is_loopback(self.base_url),
            timeout=httpx2.Timeout(read_seconds, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=100),
            follow_redirects=True,
        )

    def status_error(
        self,
        status: int,
        message: str,
        headers: Mapping[str, str],
        request: Request | None,
        exhausted: bool = False,
        creating: bool = False,
    ) -> TransientError | UserError:
        """The exception for an HTTP status, of one request or of what was done with a batch.

        `exhausted` marks a spent quota, which comes as 429 and never passes; `creating` a batch, which may have been
        accepted when the server failed later.
        """
        said = f"{status}: {self.clean(message)}"
        asked = f"you asked {self.name} for {self.model}"
        if exhausted or status == 402:
            return UserError(asked, f"{self.host} says that the quota is spent ({said})", "raise it or wait for it")
        if status in (408, 409, 429) or status >= 500:
            throttled = status in THROTTLED
            return TransientError(
                f"{self.host} answered {said}", retry_after(headers), throttled, creating and not throttled
            )
        if status in (401, 403):
            return UserError(asked, f"{self.host} refused the key ({said})", f"check the key in {self.key_source}")
        if request is None and status in (404, 405, 501):
            next_step = "check the key and base_url, see `autointerp ledger batches`, or leave batch out of the role"
            return UserError(
                f"{asked} in batches", f"{self.host} has none, or not the one asked after ({said})", next_step
            )
        if status == 404 or UNKNOWN_MODEL.search(message):
            return UserError(asked, f"{self.host} does not know it ({said})", "check model and base_url")
        if request is not None and (status == 413 or TOO_LONG.search(message)):
            size = f"about {input_bytes(request) // 4:,} tokens and {request.max_tokens:,} for the answer"
            next_step = (
                "lower examples, items_per_request, evidence.window or max_tokens, or choose a model with a longer "
                "context"
            )
            return UserError(asked, f"{self.host} found the request of {size} too long ({said})", next_step)
        if request is not None and request.schema is not None and SCHEMA.search(message):
            next_step = "simplify the schema of the rubric, or set capabilities.structured = false to only check it"
            return UserError(asked, f"{self.host} refused the schema of the answer ({said})", next_step)
        return UserError(asked, f"{self.host} refused the request ({said})", "check the settings of this role")

    def malformed(self, what: str) -> TransientError:
        return TransientError(f"{self.host} sent a malformed response: {self.clean(what)}", billed=True)

    def unreachable(self, error: Exception) -> TransientError:
        cause = error.__cause__ or error
        never_sent = isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
        said = f"{type(cause).__name__}: {self.clean(str(cause))}"
        what = "was not reached" if never_sent else "gave no whole answer"
        return TransientError(f"{self.host} {what} ({said})", billed=not never_sent)

    def clean(self, message: str) -> str:
        """A server's message on one line, short, and without the key, which some servers repeat."""
        line = " ".join(message.replace(self.key, "[key]").split() if self.key != NO_KEY else message.split())
        return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"


def endpoint(role: LLMRole, home: str, variable: str) -> Endpoint:
    """Where a role's requests go and with which key.

    The provider's own variable is read for its own server only: a key goes elsewhere when `api_key_env` says so.
    Raises UserError where the named variable is empty.
    """
    name = role.api_key_env or ("" if role.base_url else variable)
    key = os.environ.get(name, "") if name else NO_KEY
    if not key:
        raise UserError(
            f"you asked {role.provider} for {role.model}",
            f"the variable {name} holds no key",
            f"set {name}, or name another variable in api_key_env",
        )
    return Endpoint(provider_name(role), role.model, role.base_url or home, key, name or "api_key_env")


def provider_name(role: LLMRole) -> str:
    """The provider's name in the ledger and in prices.

    Two servers may serve different weights under one model name, and at different prices, so an address is part of it.
    """
    return f"{role.provider}@{public(role.base_url)}" if role.base_url else role.provider


def hush(sdk: str) -> None:
    """Keep an SDK's debug log shut, whatever its own variable says: it repeats all that servers say, keys included."""
    log = logging.getLogger(sdk)
    log.setLevel(max(logging.INFO, log.level))


def public(base_url: str) -> str:
    """Host, port and path of an address, without the credentials that it may hold."""
    parts = urlsplit(base_url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")


def is_loopback(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait, from retry-after-ms or retry-after (seconds or an HTTP date)."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time.time())
    except (ValueError, TypeError):
        return None

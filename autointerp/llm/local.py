"""A GGUF file served by llama.cpp inside this process."""

import asyncio
import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

from autointerp import assets
from autointerp.config import LLMRole
from autointerp.errors import UserError
from autointerp.llm.capabilities import Capabilities, look_up
from autointerp.llm.openai import OpenAIProvider
from autointerp.llm.protocol import Reply, Request
from autointerp.llm.wire import Endpoint

CONTEXT_TOKENS = 4096
CHARACTERS_PER_TOKEN = 2  # fewer than any text really has, so that the answer closes before it is cut
READ_SECONDS = 3600.0  # a large model on a few cores may think for long before the first byte


def open(role: LLMRole) -> "LocalProvider":
    return LocalProvider(role.model, look_up("local", role.model, role.capabilities))


class LocalProvider:
    """One model, started at the first request and stopped by `close`.

    Greedy, with a fixed seed, one request at a time and no reuse of a cached prompt: what shares a batch or a
    cache with a request changes its last bits, and with them the answer.
    """

    name = "local"
    max_concurrency = 1

    def __init__(self, model: str, can: Capabilities | None = None) -> None:
        self.model = model
        self.capabilities = can or look_up(self.name, model)
        self.parameters = {"temperature": 0, "seed": 0}
        self._path = gguf(model)
        self._starting = asyncio.Lock()
        self._server: Any = None
        self._speaker: OpenAIProvider | None = None

    async def complete(self, request: Request) -> Reply:
        async with self._starting:
            if self._speaker is None:
                self._speaker = await self._start()
        return await self._speaker.complete(replace(request, schema=bounded(request.schema, request.max_tokens)))

    async def close(self) -> None:
        if self._speaker is not None:
            await self._speaker.close()
        self._speaker = self._server = None

    async def _start(self) -> OpenAIProvider:
        token = secrets.token_hex(16)  # other users of this machine can reach the port
        self._server = await asyncio.to_thread(serve, self._path, token)
        place = Endpoint(self.name, self._path.name, f"{self._server.listening_address}/v1", token)
        return OpenAIProvider(place, True, self.capabilities, {"cache_prompt": False}, READ_SECONDS)


def bounded(schema: Any, max_tokens: int) -> Any:
    """The schema with a length on every string that fits into `max_tokens`: small models do not know when to stop."""
    if isinstance(schema, list):
        return [bounded(part, max_tokens) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: bounded(part, max_tokens) for name, part in schema.items()}
    return {"maxLength": CHARACTERS_PER_TOKEN * max_tokens, **found} if schema.get("type") == "string" else found


def gguf(model: str) -> Path:
    path = assets.locate(model)
    if path is None or not path.is_file():
        found = "there is no such file" if path is None else "it is a folder"
        raise UserError(
            f"you asked the local provider for {model}", found, "give the path of a .gguf file, or package:NAME/PATH"
        )
    return path


def serve(path: Path, token: str) -> Any:
    """Start a server on a free port of 127.0.0.1. It lives as long as the object that is returned."""
    try:
        import xllamacpp
    except ImportError:
        raise UserError(
            f"you asked the local provider for {path}",
            "the package 'xllamacpp' is not installed",
            "pip install xllamacpp",
        ) from None
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.model_alias = {path.name}
    parameters.api_keys = [token]
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = LocalProvider.max_concurrency
    parameters.cpuparams.n_threads = max(2, os.cpu_count() or 2)
    parameters.warmup = False
    parameters.ui = False
    parameters.verbosity = 0
    try:
        return xllamacpp.Server(parameters)
    except RuntimeError as error:
        raise UserError(
            f"you asked the local provider for {path}",
            f"llama.cpp cannot load it ({error})",
            "check that it is a GGUF file",
        ) from None

"""What asking costs beside the SDK itself: `python -m tests.bench.llm`. Both sides of a ratio run in one process.

The server is another process that answers every request after 50 ms with the same bytes, so that what is compared is
the client's work: the bare loop calls the SDK from 64 tasks and keeps nothing; ours keys, retries, paces, reserves,
reads, checks and stores every reply.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autointerp.config import BudgetConfig
from autointerp.llm.anthropic import AnthropicProvider
from autointerp.llm.budget import Budget
from autointerp.llm.client import Client
from autointerp.llm.ledger import Ledger
from autointerp.llm.openai import OpenAIProvider
from autointerp.llm.prices import Price
from autointerp.llm.protocol import Provider, Request
from autointerp.llm.wire import Endpoint
from autointerp.testing.server import ANSWER, Fault, Received, completion, message

N, FLIGHT, SECONDS, ROUNDS = 2000, 64, 0.05, 3
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}
REQUESTS = [Request("rubric " * 200, f"question {number}", SCHEMA, max_tokens=256) for number in range(N)]

SERVER = """
import asyncio, sys

HEAD = b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: %d\\r\\n\\r\\n"

async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            lower = head.lower()
            size = int(lower.split(b"content-length:")[1].split(b"\\r\\n")[0])
            await reader.readexactly(size)
            body = bodies[b"/v1/messages" in head]
            await asyncio.sleep(float(sys.argv[1]))
            writer.write(HEAD % len(body) + body)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

bodies = [argument.encode() for argument in sys.argv[2:4]]
asyncio.run(main())
"""


@contextmanager
def served() -> Iterator[str]:
    """The address of a running server."""
    import json

    blank = Received("", {}, {"messages": []})
    bodies = [json.dumps(make(Fault(), blank, ANSWER, (0, 0))) for make in (completion, message)]
    command = [sys.executable, "-c", SERVER, str(SECONDS), *bodies]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def opened(dialect: str, url: str) -> AnthropicProvider | OpenAIProvider:
    if dialect == "anthropic":
        return AnthropicProvider(Endpoint("anthropic", "m", url, "key"))
    return OpenAIProvider(Endpoint("openai", "m", f"{url}/v1", "key"), True)


def bare(provider: AnthropicProvider | OpenAIProvider) -> float:
    """Seconds for the SDK alone: the same parameters, from FLIGHT tasks, the answers thrown away."""

    async def ask() -> float:
        pending = deque(provider._body(request) for request in REQUESTS)
        create = (
            provider._client.messages.create
            if isinstance(provider, AnthropicProvider)
            else provider._client.chat.completions.create
        )

        async def work() -> None:
            while pending:
                await create(**pending.popleft())

        started = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(FLIGHT)))
        spent = time.perf_counter() - started
        await provider.close()
        return spent

    return asyncio.run(ask())


def ours(provider: Provider, path: Path) -> tuple[float, float]:
    """Seconds for asking everything, and for asking it again of the ledger."""
    budget, price = Budget(BudgetConfig(usd=1e6, requests=10**9)), Price(1.0, 2.0, "bench")
    with Ledger(path) as ledger, Client(provider, ledger, FLIGHT, budget=budget, price=price) as client:
        times = []
        for cached in (False, True):
            started = time.perf_counter()
            replies = client.complete_all(REQUESTS)
            times.append(time.perf_counter() - started)
            assert all(reply.answer == {"answer": "yes"} and reply.cached == cached for reply in replies)
    return times[0], times[1]


def compare(dialect: str) -> tuple[float, float, float, float]:
    """(ratio of ours to bare, seconds of each, ledger repeats per second), the best of a few rounds in turns."""
    plain, asked, repeated = [], [], []
    with served() as url, tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS):
            plain.append(bare(opened(dialect, url)))
            first, again = ours(opened(dialect, url), Path(folder) / f"{number}.sqlite")
            asked.append(first)
            repeated.append(again)
    return min(asked) / min(plain), min(asked), min(plain), N / min(repeated)


def main() -> None:
    for dialect in ("openai", "anthropic"):
        ratio, asked, plain, repeats = compare(dialect)
        print(
            f"{dialect}: {N:,} requests, {FLIGHT} in flight, {SECONDS * 1000:.0f} ms server: {asked:.2f} s, bare SDK "
            f"{plain:.2f} s, ratio {ratio:.3f}; from the ledger {repeats:,.0f} requests/s"
        )


if __name__ == "__main__":
    main()

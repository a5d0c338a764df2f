"""pytest fixtures for those who write an explainer, a scorer or a provider of their own. Nothing here calls a model.

    from autointerp.testing import fault_server, scripted_model

    def test_my_scorer_asks_once(scripted_model):
        model = scripted_model(lambda request: {"answers": [{"id": 0, "fits": True}]})
        model.client.complete_all([Request("the rubric", "the item", SCHEMA)])
        assert len(model.asked) == 1

    def test_my_provider_survives_throttling(fault_server):
        fault_server.plan(status(429, retry_after="1"))
        ...

No plugin is registered: a test module has the fixtures that it imports. Needs pytest.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from autointerp.llm.client import Client
from autointerp.llm.ledger import Ledger
from autointerp.llm.protocol import Request
from autointerp.llm.scripted import Script, ScriptedProvider
from autointerp.testing.server import Fault, FaultServer, Received, status

__all__ = ["Fault", "FaultServer", "Received", "ScriptedModel", "fault_server", "scripted_model", "status"]


@dataclass(frozen=True)
class ScriptedModel:
    """A function in the place of a model, behind a real client: its ledger, retries and checks of answers.

    `asked` holds the requests that reached it, in order: not those that the ledger answered.
    """

    client: Client
    asked: list[Request] = field(default_factory=list)


@pytest.fixture
def scripted_model(tmp_path: Path) -> Iterator[Callable[[Script], ScriptedModel]]:
    """Makes a model of a function: what it returns for a request is the answer (see `autointerp.llm.scripted`).

    A string is what the model wrote, a Reply passes as it is, an exception is raised, anything else is the answer as
    JSON. Each has a ledger of its own. In a config the same is `provider = "scripted"`,
    `model = "package.module:function"`.
    """
    with ExitStack() as stack:

        def make(script: Script) -> ScriptedModel:
            asked: list[Request] = []

            def recorded(request: Request) -> Any:
                asked.append(request)
                return script(request)

            ledger = stack.enter_context(Ledger(tmp_path / f"scripted-{len(made)}.sqlite"))
            made.append(stack.enter_context(Client(ScriptedProvider(recorded), ledger)))
            return ScriptedModel(made[-1], asked)

        made: list[Client] = []
        yield make


@pytest.fixture
def fault_server() -> Iterator[FaultServer]:
    """A running server for the real SDKs: good answers, and the faults that you `plan`, one for each request to come.

    `url` is where it listens, on this machine alone and on a free port; it stops with the test.
    """
    with FaultServer() as server:
        yield server

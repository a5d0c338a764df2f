"""OpenAI's chat completions, and every server that speaks the same protocol."""

from typing import Any

import openai
from openai.types.chat import ChatCompletion

from autointerp.config import LLMRole
from autointerp.llm import answers
from autointerp.llm.protocol import Reply, Request, TransientError
from autointerp.llm.wire import Endpoint, endpoint

HOME = "https://api.openai.com/v1"
VARIABLE = "OPENAI_API_KEY"
READ_SECONDS = 120.0
SPENT = {"insufficient_quota", "billing_hard_limit_reached"}
REFUSED = {"content_filter", "content_policy_violation"}


def open(role: LLMRole) -> "OpenAIProvider":
    return OpenAIProvider(endpoint(role, HOME, VARIABLE), compatible=role.base_url is not None)


class OpenAIProvider:
    """One model behind a chat-completions endpoint.

    Hosted models reject sampling parameters or not by model and effort, so they get none; a `compatible` server
    gets temperature 0 and a fixed seed, since its defaults come from the model's files. `extra` is sent as it is.
    Asked-for schemas are sent as strict: every object needs `additionalProperties: false` and all keys required.
    """

    def __init__(
        self,
        place: Endpoint,
        compatible: bool = False,
        extra: dict[str, Any] | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self.name = place.name
        self.model = place.model
        self._place = place
        self._compatible = compatible
        self._extra = extra
        self._client = openai.AsyncOpenAI(
            api_key=place.key,
            base_url=place.base_url,
            timeout=read_seconds,
            max_retries=0,
            http_client=place.connection(read_seconds),
        )

    async def complete(self, request: Request) -> Reply:
        try:
            response: object = await self._client.chat.completions.create(**self._parameters(request))
        except openai.APIConnectionError as error:
            raise self._place.unreachable(error) from error
        except openai.APIStatusError as error:
            if error.code in REFUSED:
                return Reply("", "", failure=f"refused: {self._place.clean(error.message)}")
            spent = error.code in SPENT
            raise self._place.status_error(error.status_code, error.message, error.response.headers, spent) from error
        except (openai.APIError, ValueError) as error:  # ValueError: the body is no JSON, or no text
            raise self._place.malformed(str(error)) from error
        return self._read(request, response)

    async def close(self) -> None:
        await self._client.close()

    def _parameters(self, request: Request) -> dict[str, Any]:
        messages = [{"role": "user", "content": request.content}]
        if request.shared:
            messages.insert(0, {"role": "system", "content": request.shared})
        parameters: dict[str, Any] = {"model": self.model, "messages": messages}
        if self._compatible:
            parameters |= {"max_tokens": request.max_tokens, "temperature": 0, "seed": 0}
        else:
            parameters["max_completion_tokens"] = request.max_tokens
        if request.schema is not None:
            schema = {"name": "answer", "strict": True, "schema": request.schema}
            parameters["response_format"] = {"type": "json_schema", "json_schema": schema}
        if self._extra:
            parameters["extra_body"] = self._extra
        return parameters

    def _read(self, request: Request, response: object) -> Reply:
        if not isinstance(response, ChatCompletion):
            raise self._place.malformed(f"{type(response).__name__} {str(response)[:80]}")
        if not response.choices:
            raise self._unstarted(response)
        choice = response.choices[0]
        if choice.message is None or choice.finish_reason not in ("stop", "length", "content_filter", None):
            raise self._place.malformed(f"finish_reason {choice.finish_reason!r}")
        text = choice.message.content if isinstance(choice.message.content, str) else ""
        resolved = response.model or ""
        usage = response.usage
        tokens = (usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)
        failure = ""
        if choice.message.refusal or choice.finish_reason == "content_filter":
            failure = f"refused: {choice.message.refusal or 'stopped by the content filter'}"
        elif choice.finish_reason == "length":
            failure = f"cut at max_tokens = {request.max_tokens}"
        if failure:
            return Reply(text, resolved, None, failure, *tokens)
        return answers.read(request, text, resolved, *tokens)

    def _unstarted(self, response: ChatCompletion) -> Exception:
        """Routers report upstream errors with status 200 and an `error` in the place of choices."""
        error = (response.model_extra or {}).get("error")
        if not isinstance(error, dict):
            return self._place.malformed("no choices")
        message, code = str(error.get("message", error)), error.get("code")
        if isinstance(code, int) and code >= 400:
            return self._place.status_error(code, message, {})
        return TransientError(f"{self._place.host} answered with an error ({self._place.clean(message)})")

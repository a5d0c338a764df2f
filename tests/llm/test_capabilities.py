"""What a model can take goes by the table and the user's word, and what is just within it is asked."""

from dataclasses import replace
from typing import Any

import pytest

from autointerp.config import CapabilityConfig, LLMRole
from autointerp.errors import UserError
from autointerp.llm.capabilities import Capabilities, blind, look_up, refuse
from autointerp.llm.protocol import Image, Request, input_bytes

PICTURE = Image("image/png", b"png")


def test_what_is_just_within_a_limit_is_asked_and_one_more_is_not() -> None:
    pictures = Request("", "?", images=(PICTURE, PICTURE))
    refuse(pictures, Capabilities(vision=True, max_images=2), "p", "m")
    with pytest.raises(UserError, match="a request has 2 images and it takes 1"):
        refuse(pictures, Capabilities(vision=True, max_images=1), "p", "m")
    # Of 800 bytes no fewer than 100 tokens can be made, and 50 are for the answer.
    words = Request("", "x" * 800, max_tokens=50)
    assert input_bytes(words) == 800
    refuse(words, Capabilities(context=150), "p", "m")
    with pytest.raises(UserError, match="800 bytes and 51 tokens of answer is too long"):
        refuse(replace(words, max_tokens=51), Capabilities(context=150), "p", "m")


def test_the_users_word_stands_above_the_table() -> None:
    known = look_up("anthropic", "claude-haiku-4-5")
    assert known.vision and known.context == 200_000
    own = look_up("anthropic", "claude-haiku-4-5", CapabilityConfig(vision=False))
    assert own == replace(known, vision=False)
    assert look_up("nobody", "claude-haiku-4-5") == Capabilities()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"provider": "anthropic", "model": "claude-haiku-4-5"}, False),
        ({"provider": "openai", "model": "gpt-4"}, True),
        ({"provider": "openai", "model": "gpt-4", "capabilities": {"vision": True}}, False),
        ({"provider": "openai", "model": "gpt-5.5"}, False),
        ({"provider": "openai", "model": "gpt-5.5", "base_url": "http://127.0.0.1:1/v1"}, True),
        ({"provider": "plugin", "model": "anything"}, False),  # nobody knows
    ],
)
def test_a_model_that_is_not_known_to_see_is_blind(settings: dict[str, Any], expected: bool) -> None:
    assert blind(LLMRole(kind="llm", **settings)) is expected

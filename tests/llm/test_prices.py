"""Prices: arithmetic by hand, dated rows, and unknown where nobody knows."""

from datetime import UTC, date, datetime

import pytest

from autointerp.config import PriceConfig
from autointerp.llm import prices
from autointerp.llm.prices import Price, look_up


def test_cached_tokens_are_part_of_the_input_and_have_their_own_price() -> None:
    price = Price(2.0, 10.0, "test", cache_read=0.2, cache_write=2.5)
    # 600 plain at 2, 300 read at 0.2, 100 written at 2.5, 50 out at 10: 1200 + 60 + 250 + 500 = 2010 millionths
    assert price.usd(1000, 50, 300, 100) == pytest.approx(2010e-6)
    # without prices of their own they cost what input costs: 1000 at 2 and 50 at 10
    assert Price(2.0, 10.0, "test").usd(1000, 50, 300, 100) == pytest.approx(2500e-6)


def test_a_request_longer_than_the_price_holds_for_is_unknown() -> None:
    price = Price(1.0, 1.0, "test", up_to=100)
    assert price.usd(100, 1) is not None
    assert price.usd(101, 1) is None


def test_of_dated_rows_the_newest_in_force_counts() -> None:
    def read(day: date) -> float | None:
        found = look_up("anthropic", "claude-sonnet-5-5", {}, day)
        return found.cache_read if found else None

    assert [read(date(2026, 9, 1)), read(date(2026, 10, 6)), read(date(2026, 10, 7))] == [None, 0.2, 0.1]


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("anthropic", "claude-fable-5-2", (8, 40, 0.2, 10)),
        ("openai", "gpt-6.2-sol", (2, 10, 0.1, 2.5)),
        ("openai", "gpt-6.1-sol", (2, 10, 0.1, 2.5)),
        ("openai", "gpt-6.1-terra", (1, 5, 0.05, 1.25)),
        ("openai", "gpt-6-astra", (10, 50, 1, 12.5)),
        ("openai", "gpt-5.6-terra", (2, 12, 0.2, 2.5)),
    ],
)
def test_each_model_has_its_own_price(provider: str, model: str, expected: tuple[float, ...]) -> None:
    found = look_up(provider, model, {}, date(2026, 11, 22))
    assert found is not None
    assert (found.input, found.output, found.cache_read, found.cache_write) == expected


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-6-luna-mini"),
        ("openai", "my-gpt-6-luna"),
        ("openai@router.example/v1", "gpt-6-luna"),
        ("anthropic", "gpt-6-luna"),
        ("scripted", "module:function"),
        ("openai", "gpt-5.6-sol"),  # on offer until 21 November 2026 at the earliest, so nobody knows
        ("anthropic", "claude-mythos-5-2"),
    ],
)
def test_what_no_row_names_is_unknown(provider: str, model: str) -> None:
    assert look_up(provider, model, {}) is None


def test_the_users_own_price_goes_first_by_name_or_pattern() -> None:
    own = {"gpt-6-*": PriceConfig(input=7, output=8)}
    found = look_up("openai", "gpt-6-luna", own)
    assert found is not None
    assert (found.input, found.output, found.source) == (7, 8, "[prices] of the config")
    assert look_up("openai@somewhere/v1", "gpt-6-luna", own) == found
    other = look_up("anthropic", "claude-haiku-5-5", own)
    assert other is not None and other.input == 0.1


def test_every_row_has_a_source_and_a_date_and_no_row_is_cheaper_to_write_than_to_read() -> None:
    today = datetime.now(UTC).date()
    for provider, pattern, day, price in prices.table():
        assert provider in ("anthropic", "openai", "local")
        assert pattern.pattern and day <= today
        if provider == "local":
            assert (price.input, price.output) == (0, 0)
            continue
        assert price.source.startswith("https://")
        assert price.cache_read is not None and price.cache_write is not None and price.batch_input is not None
        assert 0 < price.cache_read < price.input < price.cache_write < price.output
        assert price.batch_input == pytest.approx(price.input / 2)


def test_batches_have_a_price_of_their_own_and_both_discounts_of_a_cached_token_count() -> None:
    # half the input's price, so half of what a cached token costs: 600 at 1, 300 at 0.1, 100 at 1.25, 50 at 5
    price = Price(2.0, 10.0, "test", cache_read=0.2, cache_write=2.5, batch_input=1.0, batch_output=5.0).batched()
    assert price is not None and price.usd(1000, 50, 300, 100) == pytest.approx(1005e-6)
    assert Price(2.0, 10.0, "test").batched() is None

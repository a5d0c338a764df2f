"""Numbers as the page writes them."""

import pytest

from autointerp.report.words.wording import decimal, interval, listing, percent, signed
from tests.report.builders import NAN, estimate


@pytest.mark.parametrize(
    ("value", "text"), [(0.614, "0.61"), (-0.004, "0.00"), (-0.3, "−0.30"), (1.0, "1.00"), (NAN, "unscored")]
)
def test_decimal(value: float, text: str) -> None:
    assert decimal(value) == text


def test_signed_has_no_sign_at_zero() -> None:
    assert (signed(0.14), signed(-0.14), signed(0.001), signed(-0.001)) == ("+0.14", "−0.14", "0.00", "0.00")


def test_interval_in_words_where_there_is_none() -> None:
    assert interval(estimate(0.5, 0.4, 0.6)) == "[0.40, 0.60]"
    assert interval(estimate(0.5)) == "[no interval]"


def test_percent_keeps_small_shares_visible() -> None:
    assert [percent(x) for x in (0.2, 0.043, 3 / 431, 0.0, NAN)] == ["20%", "4.3%", "0.7%", "0%", "unknown"]


def test_listing() -> None:
    assert [listing(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]

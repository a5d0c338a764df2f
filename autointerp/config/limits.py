"""What a run may not do: who may grade whom, what it may spend, and what no number of it may do."""

from typing import Literal, get_args

from pydantic import Field, model_validator

from autointerp.config.record import Record

Grade = Literal["A", "B", "C", "D", "E"]
Limit = Literal["fall", "rise", "above", "below"]


class CircularityConfig(Record):
    """Who may grade whom."""

    worst: Grade = Field("B", description="A run with a worse grade is refused before anything is spent.")
    allow: str | None = Field(None, min_length=8, description="The reason to run anyway; printed on the first screen.")


class BudgetConfig(Record):
    """Caps on what a run spends, all its starts together. No cap where there is none."""

    usd: float | None = Field(None, ge=0, description="US dollars, by [prices] or the shipped table.")
    requests: int | None = Field(None, ge=0, description="Requests that reach a provider, repeated ones included.")
    tokens: int | None = Field(None, ge=0, description="Input and output tokens together.")


class PriceConfig(Record):
    """What a model costs, in US dollars per million tokens."""

    input: float = Field(ge=0, description="Input tokens.")
    output: float = Field(ge=0, description="Output tokens.")
    cache_read: float | None = Field(None, ge=0, description="Input from the prompt cache; default as any input.")
    cache_write: float | None = Field(None, ge=0, description="Input put into the prompt cache; default as any input.")
    batch_input: float | None = Field(None, ge=0, description="Input tokens of a batch.")
    batch_output: float | None = Field(None, ge=0, description="Output tokens of a batch.")


class GateConfig(Record):
    """What a number must not do. It has, where its interval proves it; without an interval the number decides."""

    fall: float | None = Field(None, ge=0, description="Fall by more than this since the baseline.")
    rise: float | None = Field(None, ge=0, description="Rise by more than this since the baseline.")
    above: float | None = Field(None, description="Be above this.")
    below: float | None = Field(None, description="Be below this.")
    dictionary: str | None = Field(None, description="Of this dictionary; default all that are no controls.")
    explainer: str | None = Field(None, description="Of explanations by this explainer; default all.")
    scorer: str | None = Field(None, description="By this scorer or generator; default all.")

    @property
    def limits(self) -> "dict[Limit, float]":
        kinds: tuple[Limit, ...] = get_args(Limit)
        return {kind: limit for kind in kinds if (limit := getattr(self, kind)) is not None}

    @model_validator(mode="after")
    def limited(self) -> "GateConfig":
        if not self.limits:
            raise ValueError("a gate needs a limit: fall, rise, above or below")
        return self

"""A scorer of one's own, without a model: an excerpt fits as well as it holds the words of the explanation."""

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from autointerp.config import RunConfig, ScorerRole
from autointerp.records import Model, Verdict
from autointerp.score.scorer import Work


class Settings(ScorerRole):
    kind: Literal["keyword"]
    letters: int = Field(3, ge=1, description="Words of fewer letters do not count.")


def models(role: Settings, config: RunConfig) -> list[Model]:
    return []  # code judges, so its scores grade A where no model wrote the explanation


def verdicts(role: Settings, work: Work) -> Iterator[Verdict]:
    for case in work.cases:
        wanted = set(re.findall(rf"\w{{{role.letters},}}", case.text.lower()))
        for item in work.items(case):
            held = wanted & set(re.findall(r"\w+", item.excerpt.text.lower()))
            yield work.verdict(case, "keyword", item, len(held))

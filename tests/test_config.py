"""The records of a config: every setting says what it is."""

import re

import pytest
from pydantic import BaseModel

from autointerp import config


def records() -> list[type[BaseModel]]:
    """Every record of the config, roles included."""
    found, waiting = [], [config.Record]
    while waiting:
        one = waiting.pop()
        waiting += one.__subclasses__()
        found.append(one)
    return sorted(found[1:], key=lambda record: record.__name__)


@pytest.mark.parametrize("record", records(), ids=lambda record: record.__name__)
def test_every_field_says_what_it_is(record: type[BaseModel]) -> None:
    assert record.__doc__
    for name, field in record.model_fields.items():
        # The tag of a role, and the tables of a run, are what the docstring of the record behind them says.
        if name != "kind" and not (record is config.RunConfig and name not in ("name", "seed")):
            assert field.description, f"{record.__name__}.{name} says nothing"
            assert re.fullmatch(r"\w.* .*\.", field.description)
    assert record.model_config["extra"] == "forbid"
    assert record.model_config["frozen"]

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

import pytest

from weir_sdk.config import ConfigError, parse


class Color(Enum):
    RED = "red"


@dataclass
class Rule:
    limit: int
    unit: Literal["tokens", "requests"] = "requests"


@dataclass
class Settings:
    rules: list[Rule] = field(default_factory=list)
    share: float = 0.5
    names: dict[str, str] = field(default_factory=dict)
    color: Color | None = None
    pair: tuple[int, int] | None = None
    strict: bool = False


def errors(config: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        parse(Settings, config)
    return refused.value.errors


def test_a_typed_value():
    made = parse(Settings, '{"rules": [{"limit": 3}], "share": 1, "color": "red", "pair": [1, 2], "strict": true}')
    assert made == Settings([Rule(3)], 1.0, {}, Color.RED, (1, 2), True)
    assert parse(Settings, " ") == Settings()
    assert parse(None, "{}") is not None


def test_errors_name_the_setting():
    assert errors('{"rules": [{"limit": "ten"}]}') == ['rules[0].limit: must be an integer, not "ten"']
    assert errors('{"rules": [{"limit": true}]}') == ["rules[0].limit: must be an integer, not true"]
    assert errors('{"rules": [{}]}') == ["rules[0].limit: must be set"]
    assert errors('{"rules": [{"limit": 1, "unit": "days"}]}') == ['rules[0].unit: must be one of tokens, requests, not "days"']
    assert errors('{"rule": []}') == ["rule: no such setting; did you mean `rules`?"]
    assert errors('{"pair": [1]}') == ["pair: must be a list of 2, not [1]"]
    assert errors('{"color": "blue"}') == ['color: must be one of red, not "blue"']
    assert errors("[]") == ["the configuration: must be a table, not []"]
    assert errors("{")[0].startswith("not JSON")


def test_every_mistake_is_told():
    assert len(errors('{"share": "x", "strict": 1, "names": {"a": 1}}')) == 3

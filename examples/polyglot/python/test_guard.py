from datetime import datetime

import pytest
from guard import Guard

from weir_sdk import Denial, Unit, Window
from weir_sdk.config import ConfigError
from weir_sdk.testing import Call, Channel, Host


def at(hour: int) -> datetime:
    return datetime(2026, 1, 5, hour, 30)


def test_a_denied_model():
    host = Host(Guard, {"denied_models": ["gpt-4-*", "o1"]})
    host.authorize(Call("gpt-4o"))
    for model in ("gpt-4-32k", "o1"):
        with pytest.raises(Denial) as denial:
            host.authorize(Call(model))
        assert denial.value.code == "model_denied"


def test_outside_the_hours_only_the_exempt_plan_passes():
    host = Host(Guard, {"open_hour": 8, "close_hour": 18, "exempt_plan": "pro"})
    host.authorize()
    host.set_clock(at(20))
    with pytest.raises(Denial) as denial:
        host.authorize(Call(labels={"plan": "free"}))
    assert (denial.value.code, denial.value.retry_after_ms) == ("closed", 41_400_000)
    host.authorize(Call(labels={"plan": "pro"}))


def test_the_instruction_comes_first():
    seen = Host(Guard, {"instruction": "Be brief."}).rewrite()
    assert seen.json()["messages"][0] == {"role": "system", "content": "Be brief."}
    assert seen.headers["x-guard"] == "python"


def test_a_bucket_for_each_key():
    (rule,) = Host(Guard, {"requests_per_minute": 60}).limits(Call(key="key_7"))
    assert (rule.key, rule.unit, rule.window, rule.limit) == ("key:key_7", Unit.REQUESTS, Window.sliding(60), 60)
    assert Host(Guard).limits() == []


def test_channels_of_the_region_by_priority_the_tripped_one_last():
    channels = [
        Channel("tripped", labels={"region": "eu"}, facts={"priority": 9, "tripped_ms": 500}),
        Channel("low", labels={"region": "eu"}),
        Channel("us", labels={"region": "us"}),
        Channel("high", labels={"region": "eu"}, facts={"priority": 2}),
    ]
    assert Host(Guard, {"region": "eu"}, channels=channels).route() == ["high", "low", "tripped"]
    with pytest.raises(Denial, match="no_channel"):
        Host(Guard, {"region": "asia"}, channels=channels).route()


def test_words_of_a_stream():
    host = Host(Guard, {"replace": {"secret": "[redacted]"}})
    assert host.stream(["a secret, ", "another secret"]) == "a [redacted], another [redacted]"


def test_mistakes_in_the_configuration():
    for config, error in [
        ({"open_hour": 9, "close_hour": 9}, "close_hour: must be from open_hour + 1 to 24"),
        ({"denied_models": "o1"}, 'denied_models: must be a list, not "o1"'),
        ({"regoin": "eu"}, "regoin: no such setting; did you mean `region`?"),
    ]:
        with pytest.raises(ConfigError) as refused:
            Host(Guard, config)
        assert refused.value.errors == [error]

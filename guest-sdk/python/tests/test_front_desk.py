import json

from front_desk import FrontDesk
from weir_sdk.testing import Call, Host, types


def test_only_the_list_of_models_is_answered():
    host = Host(FrontDesk, {"models": ["small"]})
    assert host.answer(Call("small")) is None
    answered = host.answer(Call("", operation="models", method="GET", path="/v1/models"))
    assert json.loads(answered.body)["data"][0]["id"] == "small"


def test_only_replies_with_the_field_are_changed():
    host = Host(FrontDesk)
    assert host.reply(types.Response(200, [], b"no JSON")) is None
    assert host.reply(types.Response(200, [], b'{"id": 1}')) is None
    changed = host.reply(types.Response(200, [("a", "b")], b'{"id": 1, "system_fingerprint": "x"}'))
    assert (changed.headers, json.loads(changed.body)) == ([("a", "b")], {"id": 1})


def test_refusals_and_costs_are_counted_apart():
    host = Host(FrontDesk)
    assert [one[:2] for one in host.finished(denied="closed").metrics] == [("refused", 1)]
    assert [one[:2] for one in host.finished(total_ms=7).metrics] == [("cost_micros", 0), ("total_ms", 7.0)]

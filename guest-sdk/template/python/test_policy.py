import pytest
# weir:if answer reply
from weir_sdk import Response
# weir:end
# weir:if access route
from weir_sdk import Denial
# weir:end
from weir_sdk.config import ConfigError
from weir_sdk.testing import Call, Host

from policy import WeirTemplate
# weir:if access


def test_a_denied_model():
    host = Host(WeirTemplate, {"denied_models": ["o1*"]})
    host.authorize(Call("gpt-4o"))
    with pytest.raises(Denial, match="model_denied"):
        host.authorize(Call("o1-pro"))
# weir:end
# weir:if rewrite


def test_the_instruction_comes_first():
    seen = Host(WeirTemplate, {"instruction": "Be brief."}).rewrite()
    assert seen.json()["messages"][0] == {"role": "system", "content": "Be brief."}
# weir:end
# weir:if limit


def test_a_bucket_for_each_key():
    (rule,) = Host(WeirTemplate, {"requests_per_minute": 60}).limits(Call(key="key_7"))
    assert (rule.key, rule.limit) == ("key:key_7", 60)
# weir:end
# weir:if answer


def test_the_notice_is_the_answer():
    answer = Host(WeirTemplate, {"notice": "Back at nine."}).answer()
    assert (answer.status, answer.body) == (503, b"Back at nine.")
# weir:end
# weir:if route


def test_without_a_channel_of_the_region_the_call_is_denied():
    with pytest.raises(Denial, match="no_channel"):
        Host(WeirTemplate, {"region": "eu"}).route()
# weir:end
# weir:if reply


def test_replies_are_stamped():
    reply = Host(WeirTemplate, {"stamp": "checked"}).reply(Response(200, [], b"{}"))
    assert reply.headers == [("x-stamp", "checked")]
# weir:end
# weir:if events


def test_words_of_a_stream():
    host = Host(WeirTemplate, {"replace": {"secret": "[redacted]"}})
    assert host.stream(["a secret, ", "another secret"]) == "a [redacted], another [redacted]"
# weir:end
# weir:if audit


def test_finished_calls_are_counted():
    seen = Host(WeirTemplate).finished(status=429)
    assert seen.metrics == [("calls_finished", 1, {"status": "429"})]
# weir:end


def test_a_setting_that_there_is_not():
    with pytest.raises(ConfigError, match="regoin: no such setting"):
        Host(WeirTemplate, {"regoin": "eu"})

from dataclasses import dataclass

import pytest

from weir_sdk import Denial, HostError, Policy, Stream, Summary
from weir_sdk import call, channels, clock, edit, firewall, http, log, metrics, models, secrets, store, text_event
from weir_sdk._denial import Err
from weir_sdk.testing import Call, Channel, Host, refusal, types


@dataclass
class Settings:
    word: str = "x"


class Run(Policy[Settings]):
    """Runs what the test gives it."""

    def authorize(self, summary: Summary) -> None:
        self.do(summary)


def host(do, **more) -> Host:
    made = Host(Run, **more)
    made.policy.do = do
    return made


def test_the_call_as_it_is_given():
    def do(summary):
        assert (summary.model, summary.input_tokens, summary.operation.name) == ("m", 7, "COUNT_TOKENS")
        assert (call.tenant(), call.key(), call.label("plan"), call.label("other")) == ("t", "k", "pro", None)
        assert (call.header("X-One"), call.header("two")) == ("1", None)
        assert call.json("/a/0/b~1c") == [True] and call.json("/a/9") is None and call.json("") == {"a": [{"b/c": [True]}]}
        assert call.query() == [("a", "b")] and call.body() == b'{"a": [{"b/c": [true]}]}'
        call.remember(500)

    body = {"a": [{"b/c": [True]}]}
    given = Call("m", operation="count-tokens", input_tokens=7, tenant="t", key="k", labels={"plan": "pro"},
                 headers={"X-One": "1"}, body=body, query=[("a", "b")])  # fmt: skip
    run = host(do)
    run.authorize(given)
    assert run.seen.remember_ms == 500 and run.seen.imports == 12


def test_messages_of_both_dialects():
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
    run = host(lambda summary: seen.extend(call.messages()))
    seen: list = []
    run.authorize(Call(body={"system": "S", "messages": [{"role": "user", "content": parts}]}))
    assert [(one.role, one.text) for one in seen] == [("system", "S"), ("user", "a\nb")]


def test_edits():
    def do(summary):
        edit.set_model("n")
        edit.set_header("X-A", "1")
        edit.remove_header("Content-Type")
        edit.set_json("/temperature", 0.5)
        edit.set_json("/messages/-", {"role": "user", "content": "more"})
        edit.remove_json("/absent/deep")
        edit.prepend_system("first")
        edit.set_message_text(1, "changed")
        with pytest.raises(HostError, match="gateway's"):
            edit.set_header("Authorization", "x")
        with pytest.raises(HostError, match="nothing at"):
            edit.set_json("/a/b", 1)

    run = host(do)
    run.authorize()
    assert run.seen.json() == {"model": "n", "temperature": 0.5, "messages": [
        {"role": "system", "content": "first"}, {"role": "user", "content": "changed"},
        {"role": "user", "content": "more"}]}  # fmt: skip
    assert run.seen.headers == {"x-a": "1"} and run.seen.model == "n"
    assert run.seen.edits[0] == ("set_model", "n")


def test_the_store_and_the_clock_last():
    run = host(lambda summary: seen.append((store.add("n", 2, 1000), store.get("n"), clock.now().hour)))
    seen: list = []
    run.authorize()
    run.advance(0.5)
    run.authorize()
    run.advance(0.5)
    run.authorize()
    assert seen == [(2, b"2", 12), (4, b"4", 12), (2, b"2", 12)]


def test_the_other_imports():
    def do(summary):
        log.warn("careful")
        metrics.count("n", 2, kind="a")
        assert secrets.get("token") == "s" and secrets.get("other") is None
        firewall.ban("192.0.2.9", 10, "why")
        assert channels.label(1, "region") == "eu" and channels.name(2) == ""
        assert models.complete("judge", "ok?", 5).text == "judge says ok?"
        assert models.count_tokens("m", "12345") == 2
        assert http.get("https://a.example/").status == 204

    run = host(
        do, secrets={"token": "s"}, channels=[Channel("one", labels={"region": "eu"})],
        models=lambda model, messages: f"{model} says {messages[0].text}",
        http=lambda request: types.Response(204, [], b""),
    )  # fmt: skip
    run.authorize()
    assert run.seen.logs == [("warn", "careful")] and run.seen.metrics == [("n", 2.0, {"kind": "a"})]
    assert run.seen.bans == [("192.0.2.9", 10, "why")]


def test_what_was_not_granted_is_refused():
    def do(summary):
        with pytest.raises(HostError, match="not granted"):
            http.get("https://a.example/")
        with pytest.raises(HostError, match="later"):
            models.complete("m", "x", 1)

    def refuse(model, messages):
        raise refusal("later")

    host(do, models=refuse).authorize()
    assert isinstance(refusal("x"), Err)


def test_a_denial_is_an_exception_with_a_valid_status():
    assert Denial.too_many("slow", "Wait.", 50).retry_after_ms == 50
    with pytest.raises(ValueError):
        Denial(200, "ok", "?")


def test_streams():
    class Last(Stream):
        def __init__(self):
            self.held = []

        def push(self, event):
            self.held.append(event)
            return []

        def close(self):
            return [text_event("held: "), *self.held]

    class Hold(Policy[None]):
        def open(self, summary):
            return Last() if summary.model == "gpt-4o" else None

    run = Host(Hold)
    assert run.stream(["a", "b"]) == "held: ab"
    assert run.stream(["a", "b"], Call("other")) == "ab"

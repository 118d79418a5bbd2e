import pytest
from componentize_py_types import Err
from wit_world.exports import events

from weir_sdk import Denial, Policy, Stream, text_event
from weir_sdk import _policy, build
from weir_sdk._glue import exports
from weir_sdk.testing import Host


class Guard(Policy[None]):
    def authorize(self, summary):
        if summary is None:
            raise RuntimeError("a mistake")
        raise Denial.forbidden("no", "No.")

    def open(self, summary):
        return Stream() if summary else None


class Loud(Stream):
    def push(self, event):
        return [text_event("!")] if event.value.text == "?" else []


def test_hooks_are_what_is_overridden():
    assert _policy.hooks_of(Guard) == ["access", "events"]
    assert set(exports(Guard)) == {"Lifecycle", "Access", "Events"}


def test_init_refuses_a_configuration():
    lifecycle = exports(Guard)["Lifecycle"]()
    with pytest.raises(Err) as refused:
        lifecycle.init('{"a": 1}')
    assert refused.value.value == ["a: no such setting; there are: none"]


def test_a_denial_is_the_error_and_a_mistake_is_logged():
    made, host = exports(Guard), Host(Guard)
    made["Lifecycle"]().init("{}")
    with pytest.raises(Err) as refused:
        made["Access"]().authorize(host.call.summary())
    assert (refused.value.value.status, refused.value.value.code) == (403, "no")
    with pytest.raises(RuntimeError):
        made["Access"]().authorize(None)
    ((level, text),) = host.seen.logs
    assert level == "error" and "RuntimeError: a mistake" in text


def test_streams_are_told_apart():
    class Two(Policy[None]):
        def open(self, summary):
            return Loud() if summary == "loud" else Stream() if summary else None

    made = exports(Two)
    made["Lifecycle"]().init("")
    streams = made["Events"]()
    assert streams.open(1, "loud") and streams.open(2, "quiet") and not streams.open(3, "")
    assert streams.push(1, text_event("?")) == events.Action_Replace([text_event("!")])
    assert streams.push(1, text_event(".")) == events.Action_Drop()
    assert streams.push(2, text_event("?")) == events.Action_Pass()
    assert streams.push(3, text_event("?")) == events.Action_Pass()
    assert streams.close(1) == [] and streams.close(1) == []


def test_a_file_tells_what_its_component_needs(tmp_path):
    (tmp_path / "small_one.py").write_text(
        "from weir_sdk import Policy, clock, store\nclass P(Policy[None]):\n    def limits(self, summary): return []\n"
    )
    found = build.find(str(tmp_path / "small_one.py"))
    assert (found.name, found.hooks, found.imports) == ("P", ["limit"], ["clock", "log", "store"])
    world = build.world(found.hooks, found.imports)
    assert f"export weir:policy/limit@{build.version()};" in world and "import weir:policy/store@" in world


def test_mistakes_are_told_in_a_sentence(tmp_path):
    (tmp_path / "none_here.py").write_text("from weir_sdk import Policy\n")
    with pytest.raises(build.Trouble, match="must define one Policy"):
        build.find(str(tmp_path / "none_here.py"))
    with pytest.raises(build.Trouble, match="no such file"):
        build.find(str(tmp_path / "absent.py"))

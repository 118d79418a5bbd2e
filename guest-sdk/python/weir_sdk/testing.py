"""A double of the gateway, so that tests run natively, in microseconds and always the same.

    from weir_sdk.testing import Call, Host
    host = Host(OnlyGpt, {"prefix": "gpt-"})
    host.authorize(Call("gpt-4o"))                    # raises Denial where the policy does
    host.stream(["Hello ", "world"]) == "Hello world"

It answers the imports as the gateway does, except that `edit` works in every hook and nothing is
evicted from the store. What the hook of the last call left behind is in `host.seen`.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Callable

from componentize_py_types import Err

from . import _native
from ._policy import Policy, settings_type
from .config import parse

if _native.IN_COMPONENT:
    raise ImportError("weir_sdk.testing is for tests, not for a component")

from wit_world.exports import audit, events, route  # noqa: E402
from wit_world.imports import types  # noqa: E402

#: 2026-01-05T12:00:00Z, a Monday.
NOON_MS = 1_767_614_400_000


@dataclass
class Call:
    """The call of a test. Whatever is not said is plausible: a chat of tenant `acme`."""

    model: str = "gpt-4o"
    operation: str = "chat"
    streaming: bool = False
    input_tokens: int = 10
    max_output_tokens: int = 0
    id: str = "req_1"
    dialect: str = "openai.chat"
    method: str = "POST"
    path: str = "/v1/chat/completions"
    query: list[tuple[str, str]] = field(default_factory=list)
    tenant: str = "acme"
    key: str = "key_1"
    client_ip: str = "192.0.2.1"
    labels: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    #: The body: JSON as a value, or bytes. Where it is None, a short chat to the model.
    body: Any = None

    def summary(self) -> types.Summary:
        """The facts that every hook gets."""
        operation = types.Operation[self.operation.upper().replace("-", "_")]
        return types.Summary(operation, self.model, self.streaming, self.input_tokens, self.max_output_tokens)


@dataclass
class Channel:
    """A channel that could serve the call; healthy unless said otherwise."""

    name: str
    provider: str = "openai"
    model: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    #: Fields of `Candidate` that differ from a healthy channel's.
    facts: dict[str, Any] = field(default_factory=dict)

    def candidate(self, number: int) -> route.Candidate:
        """The channel as a hook sees it."""
        healthy: dict[str, Any] = dict.fromkeys(route.Candidate.__dataclass_fields__, 0)
        healthy.update(channel=number, weight=1, usable_keys=1, headroom=1.0, input_price=-1.0, output_price=-1.0)
        unknown = set(self.facts) - set(healthy)
        if unknown:
            raise TypeError(f"a candidate has no {', '.join(sorted(unknown))}")
        return route.Candidate(**{**healthy, **self.facts})


@dataclass
class Seen:
    """What one hook left behind."""

    #: How many calls into the host the hook made.
    imports: int = 0
    remember_ms: int = 0
    model: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    #: The edits in order: the function's name, then its arguments.
    edits: list[tuple[Any, ...]] = field(default_factory=list)
    logs: list[tuple[str, str]] = field(default_factory=list)
    metrics: list[tuple[str, float, dict[str, str]]] = field(default_factory=list)
    bans: list[tuple[str, int, str]] = field(default_factory=list)

    def json(self) -> Any:
        """The body after the edits."""
        return json.loads(self.body)


def _nobody(*asked: Any) -> Any:
    raise Err(f"{asked[0]} was not granted")


class Host:
    """The gateway's place in a test, with a policy in it. The store and the clock last from hook to hook."""

    def __init__(
        self,
        policy: type[Policy[Any]],
        config: dict[str, Any] | None = None,
        *,
        channels: list[Channel] | None = None,
        secrets: dict[str, str] | None = None,
        now: datetime | int = NOON_MS,
        http: Callable[[Any], types.Response] = _nobody,
        models: Callable[[str, list[types.Message]], str] = _nobody,
    ) -> None:
        """Raises `weir_sdk.config.ConfigError` where the policy refuses the configuration. `http`
        and `models` answer what the policy sends; they may raise `testing.refusal(...)`."""
        self.channels = channels or []
        self.secrets = secrets or {}
        self.http, self.models = http, models
        self.store: dict[str, tuple[bytes, int | None]] = {}
        self.now_ms = 0
        self.set_clock(now)
        self.seen = Seen()
        self._start(Call())
        self.policy = policy(parse(settings_type(policy), json.dumps(config or {})))

    def set_clock(self, now: datetime | int) -> None:
        """Sets the clock to a moment (UTC where it has no zone) or to milliseconds since the epoch."""
        if isinstance(now, datetime):
            zoned = now if now.tzinfo else now.replace(tzinfo=timezone.utc)
            now = round(zoned.timestamp() * 1000)
        self.now_ms = now

    def advance(self, seconds: float) -> None:
        """Moves the clock on."""
        self.now_ms += round(seconds * 1000)

    def authorize(self, call: Call | None = None) -> None:
        """Runs the hook; a refusal is raised."""
        self.policy.authorize(self._start(call))

    def rewrite(self, call: Call | None = None) -> Seen:
        """Runs the hook and returns what became of the request."""
        self.policy.rewrite(self._start(call))
        return self.seen

    def limits(self, call: Call | None = None) -> list[Any]:
        """Runs the hook and returns the rules."""
        return self.policy.limits(self._start(call))

    def answer(self, call: Call | None = None) -> types.Response | None:
        """Runs the hook."""
        return self.policy.answer(self._start(call))

    def route(self, call: Call | None = None) -> list[str]:
        """Runs the hook with all channels as candidates, and returns the names in order."""
        return [self._channel(one.channel).name for one in self.attempts(call)]

    def attempts(self, call: Call | None = None) -> list[route.Attempt]:
        """Runs the hook with all channels as candidates."""
        candidates = [one.candidate(number) for number, one in enumerate(self.channels, 1)]
        return self.policy.route(self._start(call), candidates)

    def reply(self, response: types.Response, call: Call | None = None) -> types.Response | None:
        """Runs the hook on a whole reply."""
        return self.policy.reply(self._start(call), response)

    def events(self, given: list[Any], call: Call | None = None) -> list[Any]:
        """Runs a stream of events through the policy and returns what the caller gets; a text is
        an event of the answer's text."""
        summary = self._start(call or Call(streaming=True))
        sent = [_text(one) if isinstance(one, str) else one for one in given]
        stream = self.policy.open(summary)
        if stream is None:
            return sent
        out: list[Any] = []
        for event in sent:
            made = stream.push(event)
            out += [event] if made is None else made
        return out + stream.close()

    def stream(self, given: list[Any], call: Call | None = None) -> str:
        """The same, and only the text that comes out."""
        texts = (one.value.text for one in self.events(given, call) if isinstance(one, events.Event_Text))
        return "".join(texts)

    def finished(self, call: Call | None = None, **facts: Any) -> Seen:
        """Runs the hook with an outcome: 200 after one attempt, unless `facts` say otherwise."""
        summary = self._start(call)
        usage = types.Usage(summary.input_tokens, 0, 0, 0, 0, 0, False)
        told = {"channel": None, "status": 200, "denied": None, "attempts": 1, "first_byte_ms": 0, "total_ms": 0}
        self.policy.finished(audit.Outcome(**{"call": summary, "usage": usage, **told, **facts}))
        return self.seen

    def _start(self, call: Call | None) -> types.Summary:
        self.call = call or Call()
        body = self.call.body
        if body is None:
            body = {"model": self.call.model, "messages": [{"role": "user", "content": "Hello"}]}
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {name.lower(): value for name, value in self.call.headers.items()}
        self.seen = Seen(model=self.call.model, headers=headers, body=raw)
        _current[0] = self
        return self.call.summary()

    def _channel(self, number: int) -> Channel:
        found = self.channels[number - 1 : number] if number > 0 else []
        return found[0] if found else Channel("", "", "")

    def _alive(self, key: str) -> tuple[bytes, int | None] | None:
        entry = self.store.get(key)
        return entry if entry and (entry[1] is None or self.now_ms < entry[1]) else None


def refusal(sentence: str) -> Exception:
    """What the host says when it cannot do what was asked; raise it from `http` or `models`."""
    return Err(sentence)


def _text(text: str) -> Any:
    return events.Event_Text(events.TextDelta(0, text))


_current: list[Host] = []
_current.append(None)  # type: ignore[arg-type]


# ---- the imports, each a class of functions that take the host first


class _CallDouble:
    @staticmethod
    def _fact(name: str) -> Callable[[Host], Any]:
        return lambda host: getattr(host.call, name)

    @staticmethod
    def remember(host: Host, for_ms: int) -> None:
        host.seen.remember_ms = for_ms

    @staticmethod
    def label(host: Host, name: str) -> str | None:
        return host.call.labels.get(name)

    @staticmethod
    def header(host: Host, name: str) -> str | None:
        return host.seen.headers.get(name.lower())

    @staticmethod
    def headers(host: Host) -> list[tuple[str, str]]:
        return list(host.seen.headers.items())

    @staticmethod
    def json(host: Host, pointer: str) -> str | None:
        try:
            value = json.loads(host.seen.body)
            for step in _steps(pointer):
                value = value[int(step)] if isinstance(value, list) else value[step]
        except (ValueError, KeyError, IndexError, TypeError):
            return None
        return json.dumps(value)

    @staticmethod
    def messages(host: Host) -> list[types.Message]:
        try:
            body = json.loads(host.seen.body)
        except ValueError:
            return []
        listed = [{"role": "system", "content": body["system"]}] if "system" in body else []
        listed += body.get("messages", [])
        return [types.Message(one.get("role", ""), _content(one.get("content"))) for one in listed]

    @staticmethod
    def body(host: Host) -> bytes:
        return host.seen.body


for _name in ("id", "dialect", "method", "path", "tenant", "key", "client_ip"):
    setattr(_CallDouble, _name, staticmethod(_CallDouble._fact(_name)))
setattr(_CallDouble, "query", staticmethod(lambda host: list(host.call.query)))


def _content(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""


def _steps(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise ValueError(pointer)
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


class _ChannelsDouble:
    @staticmethod
    def name(host: Host, channel: int) -> str:
        return host._channel(channel).name

    @staticmethod
    def provider(host: Host, channel: int) -> str:
        return host._channel(channel).provider

    @staticmethod
    def model(host: Host, channel: int) -> str:
        found = host._channel(channel).model
        return host.seen.model if found is None else found

    @staticmethod
    def label(host: Host, channel: int, name: str) -> str | None:
        return host._channel(channel).labels.get(name)


def _change(host: Host, change: Callable[[Any], Any]) -> None:
    try:
        body = json.loads(host.seen.body)
    except ValueError:
        raise Err("the body is not JSON") from None
    made = change(body)
    host.seen.body = json.dumps(body if made is None else made).encode()


def _place(body: Any, pointer: str) -> tuple[Any, Any]:
    try:
        *steps, last = _steps(pointer)
        for step in steps:
            body = body[int(step)] if isinstance(body, list) else body[step]
        if isinstance(body, list):
            return body, len(body) if last == "-" else int(last)
        if isinstance(body, dict):
            return body, last
    except (ValueError, KeyError, IndexError, TypeError):
        pass
    raise Err(f"nothing at {pointer}")


class _EditDouble:
    @staticmethod
    def set_model(host: Host, model: str) -> None:
        host.seen.model = model

        def change(body: Any) -> None:
            if "model" in body:
                body["model"] = model

        try:
            _change(host, change)
        except Err:
            # Some dialects keep it in the path instead.
            pass

    @staticmethod
    def set_header(host: Host, name: str, value: str) -> None:
        name = name.lower()
        if name in ("authorization", "x-api-key", "host", "connection"):
            raise Err(f"{name} is the gateway's")
        host.seen.headers[name] = value

    @staticmethod
    def remove_header(host: Host, name: str) -> None:
        host.seen.headers.pop(name.lower(), None)

    @staticmethod
    def set_json(host: Host, pointer: str, text: str) -> None:
        value = json.loads(text)
        if not pointer:
            _change(host, lambda body: value)
            return

        def change(body: Any) -> None:
            where, last = _place(body, pointer)
            if isinstance(where, list) and last == len(where):
                where.append(value)
            elif isinstance(where, list) and last > len(where):
                raise Err(f"nothing at {pointer}")
            else:
                where[last] = value

        _change(host, change)

    @staticmethod
    def remove_json(host: Host, pointer: str) -> None:
        def change(body: Any) -> None:
            try:
                where, last = _place(body, pointer)
                del where[last]
            except (Err, KeyError, IndexError):
                pass

        _change(host, change)

    @staticmethod
    def prepend_system(host: Host, text: str) -> None:
        def change(body: Any) -> None:
            if host.call.dialect == "anthropic.messages":
                old = _content(body.get("system"))
                body["system"] = f"{text}\n{old}" if old else text
            else:
                body.setdefault("messages", []).insert(0, {"role": "system", "content": text})

        _change(host, change)

    @staticmethod
    def set_message_text(host: Host, index: int, text: str) -> None:
        def change(body: Any) -> None:
            at = index - 1 if "system" in body else index
            if at < 0:
                body["system"] = text
                return
            try:
                body["messages"][at]["content"] = text
            except (KeyError, IndexError):
                raise Err(f"there is no message {index}") from None

        _change(host, change)

    @staticmethod
    def replace_body(host: Host, body: bytes) -> None:
        host.seen.body = body


class _StoreDouble:
    @staticmethod
    def get(host: Host, key: str) -> bytes | None:
        entry = host._alive(key)
        return entry[0] if entry else None

    @staticmethod
    def set(host: Host, key: str, value: bytes, ttl_ms: int | None) -> None:
        host.store[key] = (value, None if ttl_ms is None else host.now_ms + ttl_ms)

    @staticmethod
    def remove(host: Host, key: str) -> None:
        host.store.pop(key, None)

    @staticmethod
    def add(host: Host, key: str, by: int, ttl_ms: int | None) -> int:
        old, expires = host._alive(key) or (b"0", None if ttl_ms is None else host.now_ms + ttl_ms)
        try:
            total = int(old) + by
        except ValueError:
            raise Err("the value is not an integer") from None
        host.store[key] = (str(total).encode(), expires)
        return total


class _OthersDouble:
    @staticmethod
    def write(host: Host, level: Any, message: str) -> None:
        host.seen.logs.append((level.name.lower(), message))

    @staticmethod
    def count(host: Host, name: str, by: int, labels: list[tuple[str, str]]) -> None:
        host.seen.metrics.append((name, float(by), dict(labels)))

    @staticmethod
    def observe(host: Host, name: str, value: float, labels: list[tuple[str, str]]) -> None:
        host.seen.metrics.append((name, value, dict(labels)))

    @staticmethod
    def now_ms(host: Host) -> int:
        return host.now_ms

    @staticmethod
    def ban(host: Host, ip: str, for_ms: int, reason: str) -> None:
        host.seen.bans.append((ip, for_ms, reason))

    @staticmethod
    def send(host: Host, request: Any) -> types.Response:
        return host.http(request.url) if host.http is _nobody else host.http(request)

    @staticmethod
    def complete(host: Host, model: str, messages: list[types.Message], max_output_tokens: int) -> Any:
        models = importlib.import_module("wit_world.imports.models")
        answer = host.models(model, messages)
        usage = types.Usage(0, 0, 0, 0, 0, 0, True)
        return models.Completion(answer, usage) if isinstance(answer, str) else answer

    @staticmethod
    def count_tokens(host: Host, model: str, text: str) -> int:
        # The rule of thumb for English: a token is four characters.
        return -(-len(text) // 4)


class _SecretsDouble:
    @staticmethod
    def get(host: Host, name: str) -> str | None:
        return host.secrets.get(name)


def _install(interface: str, double: type) -> None:
    module = importlib.import_module(f"wit_world.imports.{interface}")
    for name, stub in list(vars(module).items()):
        # The functions of the interface; what else is there are its types.
        if not callable(stub) or isinstance(stub, type) or getattr(stub, "__module__", "") != module.__name__:
            continue
        setattr(module, name, _answering(interface, name, getattr(double, name)))


def _answering(interface: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def answer(*arguments: Any) -> Any:
        host = _current[0]
        if host is None:
            raise RuntimeError(f"{interface}.{name} was called outside of a hook of a Host")
        host.seen.imports += 1
        if interface == "edit":
            host.seen.edits.append((name, *arguments))
        return function(host, *arguments)

    return answer


for _interface, _double in {
    "call": _CallDouble, "channels": _ChannelsDouble, "edit": _EditDouble, "store": _StoreDouble,
    "secrets": _SecretsDouble,
    **dict.fromkeys(("log", "metrics", "clock", "firewall", "http", "models"), _OthersDouble),
}.items():  # fmt: skip
    _install(_interface, _double)

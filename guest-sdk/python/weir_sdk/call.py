"""The call that the running hook is about, piece by piece: pay only for what you look at.

Each function is one call into the host, about a microsecond and up with the size of what it
returns. What the `Summary` has needs none.
"""

from __future__ import annotations

import json as _json
from typing import TYPE_CHECKING, Any

from wit_world.imports import call as _raw

if TYPE_CHECKING:
    from ._bindings.wit_world.imports.types import Message


def id() -> str:
    """The request id that the caller sees in `x-request-id`."""
    return _raw.id()


def dialect() -> str:
    """For example `openai.chat`, `openai.responses`, `anthropic.messages`, `gemini.generate`."""
    return _raw.dialect()


def method() -> str:
    """The HTTP method, in upper case."""
    return _raw.method()


def path() -> str:
    """The path as the caller asked for it, without the query."""
    return _raw.path()


def query() -> list[tuple[str, str]]:
    """The parameters of the query, decoded and in order; never a credential."""
    return _raw.query()


def tenant() -> str:
    """The name of the tenant that the virtual key belongs to."""
    return _raw.tenant()


def key() -> str:
    """The public id of the virtual key, never its secret."""
    return _raw.key()


def client_ip() -> str:
    """The caller's address, as text; empty where it is not known."""
    return _raw.client_ip()


def remember(for_ms: int) -> None:
    """This hook's answer holds for that many milliseconds, a minute at most, for every call of this
    key, address, dialect, operation, model and streaming: the gateway may use it again without
    asking. For `authorize` where it allows and for `limits`; not for an answer that depends on
    headers, the body, tokens, the time or the store."""
    _raw.remember(for_ms)


def label(name: str) -> str | None:
    """A label of the key, else of its tenant."""
    return _raw.label(name)


def header(name: str) -> str | None:
    """The first header of that name, in any case; never a credential."""
    return _raw.header(name)


def headers() -> list[tuple[str, str]]:
    """All headers in order, names in lower case, without credentials."""
    return _raw.headers()


def json(pointer: str = "") -> Any:
    """The value at an RFC 6901 pointer into the body; None where there is nothing."""
    text = _raw.json(pointer)
    return None if text is None else _json.loads(text)


def messages() -> list[Message]:
    """The prompt in the dialect-neutral view, system instructions first."""
    return _raw.messages()


def body() -> bytes:
    """The bytes of the request's body."""
    return _raw.body()

"""Outgoing HTTP to the hosts that the operator granted, and to no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping

from wit_world.imports import http as _raw

from ._denial import asked as _asked

if TYPE_CHECKING:
    from ._bindings.wit_world.imports.types import Response


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | str = b"",
    timeout_ms: int = 1000,
) -> Response:
    """Sends a request and waits for the whole response. Redirects are not followed."""
    raw = body.encode() if isinstance(body, str) else body
    return _asked(_raw.send, _raw.Request(method, url, list((headers or {}).items()), raw, timeout_ms))


def get(url: str, *, headers: Mapping[str, str] | None = None, timeout_ms: int = 1000) -> Response:
    """A GET request."""
    return send("GET", url, headers=headers, timeout_ms=timeout_ms)

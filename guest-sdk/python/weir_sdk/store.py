"""A small key-value store, private to the policy; outlives instances and versions."""

from __future__ import annotations

from wit_world.imports import store as _raw

from ._denial import asked as _asked


def get(key: str) -> bytes | None:
    """The value of a key, if it has one that has not expired."""
    return _raw.get(key)


def set(key: str, value: bytes | str, ttl_ms: int | None = None) -> None:
    """Sets a value (text as UTF-8); without `ttl_ms` it stays until it is removed or evicted."""
    _asked(_raw.set, key, value.encode() if isinstance(value, str) else value, ttl_ms)


def remove(key: str) -> None:
    """Removes a key; nothing happens where it does not exist."""
    _raw.remove(key)


def add(key: str, by: int = 1, ttl_ms: int | None = None) -> int:
    """Adds atomically and returns the sum; a missing key counts as 0, and `ttl_ms` applies when
    the key is made. `HostError` where the value is not an integer."""
    return _asked(_raw.add, key, by, ttl_ms)

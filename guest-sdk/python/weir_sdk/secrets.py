"""Values that the operator granted to this policy by name."""

from __future__ import annotations

from wit_world.imports import secrets as _raw


def get(name: str) -> str | None:
    """The value; None where the name was not granted or has no value."""
    return _raw.get(name)

"""Constructors for the shapes that are long to write by hand."""

from __future__ import annotations

import importlib
from typing import Any


def _limit(name: str, *arguments: Any) -> Any:
    return getattr(importlib.import_module("wit_world.exports.limit"), f"Window_{name}")(*arguments)


class Window:
    """The time over which a limit counts."""

    @staticmethod
    def sliding(seconds: int) -> Any:
        """The last so many seconds."""
        return _limit("Sliding", seconds)

    @staticmethod
    def day() -> Any:
        """The natural day in the tenant's time zone."""
        return _limit("Day")

    @staticmethod
    def week() -> Any:
        """The natural week, Monday first."""
        return _limit("Week")

    @staticmethod
    def month() -> Any:
        """The natural month."""
        return _limit("Month")

    @staticmethod
    def lifetime() -> Any:
        """Never resets."""
        return _limit("Lifetime")

    @staticmethod
    def call() -> Any:
        """As long as the call is under way; for `Unit.IN_FLIGHT`."""
        return _limit("Call")


def attempt(channel: int, *, first_byte_timeout_ms: int | None = None, hedge_after_ms: int | None = None) -> Any:
    """A try at the channel of that number."""
    route = importlib.import_module("wit_world.exports.route")
    return route.Attempt(channel, first_byte_timeout_ms, hedge_after_ms)


def usable(candidate: Any) -> bool:
    """The circuit breaker does not keep the channel out, and it has a key that may be used."""
    return candidate.tripped_ms == 0 and candidate.usable_keys > 0


def text_event(text: str, choice: int = 0) -> Any:
    """A piece of the answer's text."""
    events = importlib.import_module("wit_world.exports.events")
    return events.Event_Text(events.TextDelta(choice, text))

"""The host's clock, so that a test or a replay can set it. Python's own stops in a component."""

from datetime import datetime, timedelta, timezone

from wit_world.imports import clock as _raw

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def now_ms() -> int:
    """Milliseconds since the Unix epoch."""
    return _raw.now_ms()


def now() -> datetime:
    """The moment, in UTC."""
    return _EPOCH + timedelta(milliseconds=_raw.now_ms())

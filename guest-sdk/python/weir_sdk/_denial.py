"""The two errors: the policy's own refusal, and the host's."""

from __future__ import annotations

from typing import Any, Callable, TypeVar

from componentize_py_types import Err

T = TypeVar("T")


class Denial(Exception):
    """A refusal of the call, raised by any hook; the gateway renders it in the caller's dialect."""

    def __init__(
        self, status: int, code: str, message: str, *, retry_after_ms: int | None = None
    ) -> None:
        """`status` 400 to 599, `code` in snake_case, `message` one sentence that says what to do."""
        super().__init__(f"{status} {code}: {message}")
        if not 400 <= status <= 599:
            raise ValueError(f"a denial's status is 400 to 599, not {status}")
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms

    @classmethod
    def bad_request(cls, code: str, message: str) -> Denial:
        """400: the request itself is at fault."""
        return cls(400, code, message)

    @classmethod
    def forbidden(cls, code: str, message: str) -> Denial:
        """403: the caller may not do this."""
        return cls(403, code, message)

    @classmethod
    def too_many(cls, code: str, message: str, retry_after_ms: int) -> Denial:
        """429: too much for now; the same call may succeed after that many milliseconds."""
        return cls(429, code, message, retry_after_ms=retry_after_ms)


class HostError(Exception):
    """What the host could not do, in its own words."""


def asked(function: Callable[..., T], *arguments: Any) -> T:
    """Calls the host; its error becomes an exception of Python's own kind."""
    try:
        return function(*arguments)
    except Err as error:
        raise HostError(error.value) from None

"""The base class of policies: hooks are methods, those that are overridden are exported."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from ._bindings.wit_world.exports.audit import Outcome
    from ._bindings.wit_world.exports.events import Event
    from ._bindings.wit_world.exports.limit import Rule
    from ._bindings.wit_world.exports.route import Attempt, Candidate
    from ._bindings.wit_world.imports.types import Response, Summary

S = TypeVar("S")

#: Each hook of the interface and the method that is it.
HOOKS = {
    "access": "authorize",
    "rewrite": "rewrite",
    "limit": "limits",
    "answer": "answer",
    "route": "route",
    "reply": "reply",
    "events": "open",
    "audit": "finished",
}


class Stream:
    """What a policy remembers of one streamed reply; `Policy.open` makes one for each."""

    def push(self, event: Event) -> list[Event] | None:
        """The next event. None passes the provider's own bytes on, a list takes its place (an
        empty one drops it); a `Denial` ends the stream with an error."""
        return None

    def close(self) -> list[Event]:
        """The stream ends, also where the caller hung up: what is still held back."""
        return []


class Policy(Generic[S]):
    """A policy with settings of the type S, a dataclass. Override the hooks that you need.

    An instance serves many calls, one at a time, and may be replaced at any time: what must last
    belongs into `store`.
    """

    settings: S

    def __init__(self, settings: S) -> None:
        """The settings are read already. A subclass may prepare something from them; a
        `ValueError` refuses the configuration."""
        self.settings = settings

    def authorize(self, summary: Summary) -> None:
        """May this caller make this call at all?"""

    def rewrite(self, summary: Summary) -> None:
        """Change the request, with `weir_sdk.edit`."""

    def limits(self, summary: Summary) -> list[Rule]:
        """The limits that the call falls under."""
        return []

    def answer(self, summary: Summary) -> Response | None:
        """Answer without calling a provider."""
        return None

    def route(self, summary: Summary, candidates: list[Candidate]) -> list[Attempt]:
        """The attempts in order; candidates left out are not tried."""
        raise NotImplementedError

    def reply(self, summary: Summary, response: Response) -> Response | None:
        """Change a whole (not streamed) reply; None leaves it as it is."""
        return None

    def open(self, summary: Summary) -> Stream | None:
        """A streamed reply begins; None lets it run untouched."""
        return None

    def finished(self, outcome: Outcome) -> None:
        """The call is over and settled."""


def hooks_of(policy: type[Policy[Any]]) -> list[str]:
    """The hooks that a policy implements, as the interface names them."""
    return [
        hook for hook, method in HOOKS.items() if getattr(policy, method) is not getattr(Policy, method)
    ]


def settings_type(policy: type[Policy[Any]]) -> Any:
    """The S of `Policy[S]`, None where the policy has no settings."""
    for base in policy.__mro__:
        for generic in getattr(base, "__orig_bases__", ()):
            if typing.get_origin(generic) is Policy:
                (settings,) = typing.get_args(generic)
                return None if isinstance(settings, TypeVar) or settings is type(None) else settings
    return None


def policy_of(module: Any, name: str | None = None) -> type[Policy[Any]]:
    """The policy class of a module: the one that is named, else the only one defined there."""
    if name:
        return getattr(module, name)
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Policy) and value.__module__ == module.__name__
    ]
    if len(own) != 1:
        listed = ", ".join(sorted(one.__name__ for one in own)) or "none"
        raise LookupError(f"{module.__name__} must define one Policy (it has {listed}); or name it: FILE:CLASS")
    return own[0]

"""From a policy class to the classes that componentize-py calls. Runs in a component only."""

from __future__ import annotations

import importlib
from typing import Any, Callable

from componentize_py_types import Err
from wit_world.imports import log, types

from ._denial import Denial
from ._policy import Policy, Stream, hooks_of, settings_type
from .config import ConfigError, parse


class Instance:
    """What a component's instance holds while it lives: the policy and its open streams."""

    def __init__(self, kind: type[Policy[Any]]) -> None:
        self.kind = kind
        self.settings = settings_type(kind)
        self.policy: Policy[Any] | None = None
        self.streams: dict[int, Stream] = {}

    def init(self, config: str) -> None:
        try:
            self.policy = self.kind(parse(self.settings, config))
        except ConfigError as error:
            raise Err(error.errors) from None
        except ValueError as error:
            raise Err([str(error)]) from None
        except BaseException as error:
            _report(error)
            raise


def _report(error: BaseException) -> None:
    """Sends what happened to the policy's log before it becomes a bare trap.

    Not by `traceback`: it looks for the source, and there are no files in a component."""
    lines = [f"{type(error).__name__}: {error}"]
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        lines.append(f"  at {code.co_name} ({code.co_filename.rpartition('/')[2]}:{step.tb_lineno})")
        step = step.tb_next
    log.write(log.Level.ERROR, "\n".join(lines))


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(self: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Denial as denial:
            raise Err(types.Denial(denial.status, denial.code, denial.message, denial.retry_after_ms)) from None
        except BaseException as error:
            _report(error)
            raise

    return run


def exports(kind: type[Policy[Any]]) -> dict[str, type]:
    """The classes to export: one for each hook that the policy has, and its lifecycle."""
    instance = Instance(kind)
    made = {"Lifecycle": type("Lifecycle", (), {"init": lambda self, config: instance.init(config)})}
    for hook in hooks_of(kind):
        functions = _events(instance) if hook == "events" else {_METHODS[hook]: _plain(instance, _METHODS[hook])}
        guarded = {name: _guarded(function) for name, function in functions.items()}
        made[hook.capitalize()] = type(hook.capitalize(), (), guarded)
    return made


_METHODS = {
    "access": "authorize",
    "rewrite": "rewrite",
    "limit": "limits",
    "answer": "answer",
    "route": "route",
    "reply": "reply",
    "audit": "finished",
}


def _plain(instance: Instance, method: str) -> Callable[..., Any]:
    return lambda *arguments: getattr(instance.policy, method)(*arguments)


def _events(instance: Instance) -> dict[str, Callable[..., Any]]:
    events = importlib.import_module("wit_world.exports.events")
    untouched, dropped = events.Action_Pass(), events.Action_Drop()

    def begin(reply: int, summary: Any) -> bool:
        stream = instance.policy.open(summary)  # type: ignore[union-attr]
        if stream is None:
            return False
        instance.streams[reply] = stream
        return True

    def push(reply: int, event: Any) -> Any:
        stream = instance.streams.get(reply)
        made = stream.push(event) if stream else None
        if made is None:
            return untouched
        return events.Action_Replace(made) if made else dropped

    def close(reply: int) -> list[Any]:
        stream = instance.streams.pop(reply, None)
        return stream.close() if stream else []

    return {"open": begin, "push": push, "close": close}

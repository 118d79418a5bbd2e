"""What a policy author writes against, in Python.

A policy is a class with the hooks that it needs, and a dataclass for its settings:

    from dataclasses import dataclass
    from weir_sdk import Denial, Policy, Summary

    @dataclass
    class Settings:
        prefix: str

    class OnlyGpt(Policy[Settings]):
        def authorize(self, summary: Summary) -> None:
            if not summary.model.startswith(self.settings.prefix):
                raise Denial.forbidden("model_not_allowed", "Ask for a model of the GPT family.")

`python -m weir_sdk build only_gpt.py` makes a component of it. What a policy can reach is a module
of its own: `from weir_sdk import call, clock, store`. Import them at the top of a module: what is
imported when the module is loaded is what the component imports, and is all that it can do.

Never here: decisions. `weir_sdk.testing` has the double of the gateway for tests.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import _native  # noqa: F401  first: it decides which bindings the others find
from ._denial import Denial, HostError
from ._policy import Policy, Stream

if TYPE_CHECKING:
    from ._bindings.wit_world.exports.audit import Outcome
    from ._bindings.wit_world.exports.events import (
        Event,
        Event_Finish as FinishEvent,
        Event_Other as OtherEvent,
        Event_Reasoning as ReasoningEvent,
        Event_Text as TextEvent,
        Event_ToolCall as ToolCallEvent,
        Event_Usage as UsageEvent,
        RawEvent,
        TextDelta,
        ToolCallDelta,
    )
    from ._bindings.wit_world.exports.limit import Rule, Unit
    from ._bindings.wit_world.exports.route import Attempt, Candidate
    from ._bindings.wit_world.imports.types import Message, Operation, Response, Summary, Usage

    from ._shapes import Window, attempt, text_event, usable

# Types of hooks are there only in a component that exports the hook, so they are looked up when used.
_TYPES = {
    "Message": ("imports.types", "Message"),
    "Operation": ("imports.types", "Operation"),
    "Response": ("imports.types", "Response"),
    "Summary": ("imports.types", "Summary"),
    "Usage": ("imports.types", "Usage"),
    "Rule": ("exports.limit", "Rule"),
    "Unit": ("exports.limit", "Unit"),
    "Attempt": ("exports.route", "Attempt"),
    "Candidate": ("exports.route", "Candidate"),
    "Outcome": ("exports.audit", "Outcome"),
    "Event": ("exports.events", "Event"),
    "TextEvent": ("exports.events", "Event_Text"),
    "ReasoningEvent": ("exports.events", "Event_Reasoning"),
    "ToolCallEvent": ("exports.events", "Event_ToolCall"),
    "UsageEvent": ("exports.events", "Event_Usage"),
    "FinishEvent": ("exports.events", "Event_Finish"),
    "OtherEvent": ("exports.events", "Event_Other"),
    "TextDelta": ("exports.events", "TextDelta"),
    "ToolCallDelta": ("exports.events", "ToolCallDelta"),
    "RawEvent": ("exports.events", "RawEvent"),
}
_SHAPES = {"Window", "attempt", "text_event", "usable"}

__all__ = ["Denial", "HostError", "Policy", "Stream", *_TYPES, *sorted(_SHAPES)]


def __getattr__(name: str) -> Any:
    if name in _SHAPES:
        return getattr(importlib.import_module("weir_sdk._shapes"), name)
    try:
        module, original = _TYPES[name]
    except KeyError:
        raise AttributeError(f"weir_sdk has no `{name}`") from None
    try:
        return getattr(importlib.import_module(f"wit_world.{module}"), original)
    except ModuleNotFoundError:
        # A hook that this component does not export: its types are names in annotations at most.
        return Any

"""Ask a model through the gateway itself, on the policy's own account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wit_world.imports import models as _raw
from wit_world.imports.types import Message as _Message

from ._denial import asked as _asked

if TYPE_CHECKING:
    from ._bindings.wit_world.imports.models import Completion
    from ._bindings.wit_world.imports.types import Message


def complete(model: str, messages: str | list[Message], max_output_tokens: int) -> Completion:
    """Asks a model that was granted and waits for the whole answer; a text is a user's message."""
    if isinstance(messages, str):
        messages = [_Message("user", messages)]
    return _asked(_raw.complete, model, messages, max_output_tokens)


def count_tokens(model: str, text: str) -> int:
    """How many tokens the text is for that model, by the host's tokenizer."""
    return _raw.count_tokens(model, text)

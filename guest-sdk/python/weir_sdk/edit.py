"""Changes to the request, from `rewrite` only. What the host refuses is raised as `HostError`."""

from __future__ import annotations

import json as _json
from typing import Any

from wit_world.imports import edit as _raw

from ._denial import asked as _asked


def set_model(model: str) -> None:
    """Asks for another model, wherever the dialect keeps its name."""
    _asked(_raw.set_model, model)


def set_header(name: str, value: str) -> None:
    """Sets a header, replacing all of that name. Credentials and hop-by-hop headers are refused."""
    _asked(_raw.set_header, name, value)


def remove_header(name: str) -> None:
    """Removes all headers of that name."""
    _asked(_raw.remove_header, name)


def set_json(pointer: str, value: Any) -> None:
    """Sets the value at an RFC 6901 pointer into the body, making the last step if need be."""
    _asked(_raw.set_json, pointer, _json.dumps(value, ensure_ascii=False))


def remove_json(pointer: str) -> None:
    """Removes the value at an RFC 6901 pointer."""
    _asked(_raw.remove_json, pointer)


def prepend_system(text: str) -> None:
    """Puts a system instruction ahead of the prompt, in whatever dialect it is."""
    _asked(_raw.prepend_system, text)


def set_message_text(index: int, text: str) -> None:
    """Replaces the text of the message at this index of `call.messages()`."""
    _asked(_raw.set_message_text, index, text)


def replace_body(body: bytes) -> None:
    """Replaces the whole body."""
    _asked(_raw.replace_body, body)

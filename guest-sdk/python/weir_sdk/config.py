"""From a policy's configuration to a typed value, with errors that name the setting.

Settings are dataclasses of bool, int, float, str, Literal, Enum, list[...], dict[str, ...],
X | None and further dataclasses. A field without default must be there; an unknown one is an
error. A check of the dataclass itself goes into `__post_init__` and raises ValueError.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import json
import types
import typing
from typing import Any, TypeVar, Union

T = TypeVar("T")


class ConfigError(Exception):
    """The configuration is not good; `errors` has a sentence for each mistake."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def parse(kind: type[T] | None, config: str) -> T | None:
    """Reads JSON text into the type; nothing at all counts as an empty object."""
    try:
        value = json.loads(config) if config.strip() else {}
    except ValueError as error:
        raise ConfigError([f"not JSON: {error}"]) from None
    if kind is None:
        kind = _Nothing  # type: ignore[assignment]
    errors: list[str] = []
    made = _read(kind, value, "", errors)
    if errors:
        raise ConfigError(errors)
    return made


@dataclasses.dataclass
class _Nothing:
    pass


_PLAIN = {bool: "true or false", int: "an integer", float: "a number", str: "text"}


def _read(kind: Any, value: Any, path: str, errors: list[str]) -> Any:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if kind in _PLAIN:
        return _plain(kind, value, path, errors)
    if origin in (Union, types.UnionType):
        return _either(parts, value, path, errors)
    if origin is typing.Literal:
        if value not in parts or isinstance(value, bool) != isinstance(parts[0], bool):
            _wrong(errors, path, "one of " + ", ".join(map(str, parts)), value)
        return value
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        names = {str(one.value): one for one in kind}
        if str(value) not in names:
            _wrong(errors, path, "one of " + ", ".join(names), value)
        return names.get(str(value))
    if origin in (list, tuple, set, frozenset):
        return _list(origin, parts, value, path, errors)
    if origin is dict:
        if not isinstance(value, dict):
            return _wrong(errors, path, "a table", value)
        return {key: _read(parts[1], one, f"{path}.{key}".lstrip("."), errors) for key, one in value.items()}
    if dataclasses.is_dataclass(kind):
        return _table(kind, value, path, errors)
    raise TypeError(f"{path}: settings cannot be of the type {kind}")


def _plain(kind: Any, value: Any, path: str, errors: list[str]) -> Any:
    # A bool is an int to Python, but not to whoever wrote the configuration.
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value if fits else _wrong(errors, path, _PLAIN[kind], value)


def _either(parts: tuple[Any, ...], value: Any, path: str, errors: list[str]) -> Any:
    if value is None and type(None) in parts:
        return None
    kinds = [part for part in parts if part is not type(None)]
    tried: list[str] = []
    for kind in kinds:
        tried = []
        made = _read(kind, value, path, tried)
        if not tried:
            return made
    errors.extend(tried)
    return None


def _list(origin: Any, parts: tuple[Any, ...], value: Any, path: str, errors: list[str]) -> Any:
    if not isinstance(value, list):
        return _wrong(errors, path, "a list", value)
    if origin is tuple and not (len(parts) == 2 and parts[1] is Ellipsis):
        if len(value) != len(parts):
            return _wrong(errors, path, f"a list of {len(parts)}", value)
        return tuple(_read(part, one, f"{path}[{at}]", errors) for at, (part, one) in enumerate(zip(parts, value)))
    return origin(_read(parts[0], one, f"{path}[{at}]", errors) for at, one in enumerate(value))


def _table(kind: Any, value: Any, path: str, errors: list[str]) -> Any:
    if not isinstance(value, dict):
        return _wrong(errors, path, "a table", value)
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    before = len(errors)
    made = {}
    for name, one in value.items():
        where = f"{path}.{name}".lstrip(".")
        if name in fields:
            made[name] = _read(hints[name], one, where, errors)
            continue
        near = difflib.get_close_matches(name, fields, 1)
        there = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(fields) or 'none'}"
        errors.append(f"{where}: no such setting; {there}")
    for name, field in fields.items():
        missing = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if missing and name not in value:
            errors.append(f"{path}.{name}".lstrip(".") + ": must be set")
    if len(errors) > before:
        return None
    try:
        return kind(**made)
    except ValueError as error:
        errors.append(f"{path}: {error}" if path else str(error))
        return None


def _wrong(errors: list[str], path: str, expected: str, value: Any) -> None:
    shown = json.dumps(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    errors.append(f"{path or 'the configuration'}: must be {expected}, not {shown}")

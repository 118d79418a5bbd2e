"""The world's time zones, for a component that has no files.

Read from the package `tzdata` while the component is built, and kept in its memory; a newer `tzdata` comes into
force by building again.
"""

import difflib
import io
from importlib import resources
from zoneinfo import ZoneInfo

import tzdata


def _read() -> dict[str, bytes]:
    root = resources.files(tzdata)
    names = (root / "zones").read_text().split()
    return {name: root.joinpath("zoneinfo", *name.split("/")).read_bytes() for name in names}


_FILES = _read()
_ZONES: dict[str, ZoneInfo] = {}


def zone(name: str) -> ZoneInfo:
    """The zone of that name; `ValueError`, with the nearest name, where there is none."""
    if name not in _ZONES:
        if name not in _FILES:
            near = difflib.get_close_matches(name, _FILES, 1)
            hint = f"; did you mean {near[0]}?" if near else ", such as Europe/Berlin"
            raise ValueError(f"no time zone is called {name!r}{hint}")
        _ZONES[name] = ZoneInfo.from_file(io.BytesIO(_FILES[name]), key=name)
    return _ZONES[name]

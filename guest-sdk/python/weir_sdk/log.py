"""The policy's own log, which the host bounds and tags with the policy's name."""

from wit_world.imports import log as _raw

Level = _raw.Level


def trace(message: str) -> None:
    """Every step, for finding a bug."""
    _raw.write(Level.TRACE, message)


def debug(message: str) -> None:
    """What helps while developing."""
    _raw.write(Level.DEBUG, message)


def info(message: str) -> None:
    """What an operator may want to know."""
    _raw.write(Level.INFO, message)


def warn(message: str) -> None:
    """What an operator should look at."""
    _raw.write(Level.WARN, message)


def error(message: str) -> None:
    """What went wrong."""
    _raw.write(Level.ERROR, message)

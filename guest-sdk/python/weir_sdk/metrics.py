"""The policy's own metrics, exported under the policy's name; labels as keywords."""

from wit_world.imports import metrics as _raw


def count(name: str, by: int = 1, **labels: str) -> None:
    """Adds to a counter."""
    _raw.count(name, by, list(labels.items()))


def observe(name: str, value: float, **labels: str) -> None:
    """Puts a value into a histogram."""
    _raw.observe(name, float(value), list(labels.items()))

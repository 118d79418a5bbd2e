"""The channels of the gateway by their numbers (see `Candidate`); empty where there is none."""

from __future__ import annotations

from wit_world.imports import channels as _raw


def name(channel: int) -> str:
    """The channel's name in the configuration."""
    return _raw.name(channel)


def provider(channel: int) -> str:
    """The provider behind it, for example `openai`."""
    return _raw.provider(channel)


def model(channel: int) -> str:
    """What the channel calls the model of the running call."""
    return _raw.model(channel)


def label(channel: int, name: str) -> str | None:
    """A label of the channel, for example its region."""
    return _raw.label(channel, name)

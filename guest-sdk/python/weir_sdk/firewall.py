"""Keep an address out for a while; the host refuses it before any policy runs."""

from wit_world.imports import firewall as _raw

from ._denial import asked as _asked


def ban(ip: str, for_ms: int, reason: str) -> None:
    """Bans an address for that many milliseconds."""
    _asked(_raw.ban, ip, for_ms, reason)

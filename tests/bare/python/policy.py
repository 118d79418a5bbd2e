"""The policy of tests/bare in Python: componentize-py and the interface, nothing else."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import call as running, clock, store
from wit_world.imports.types import Denial, Summary

ALLOWED = 2
MINUTE_MS = 60_000


class Access(exports.Access):
    def authorize(self, call: Summary) -> None:
        tenant = running.tenant()
        if call.model == "forbidden":
            message = f"`forbidden` is not for {tenant}: ask for another model."
            raise Err(Denial(403, "model_denied", message, None))
        left_ms = MINUTE_MS - clock.now_ms() % MINUTE_MS
        if store.add(tenant, 1, left_ms) > ALLOWED:
            raise Err(Denial(429, "enough", f"{tenant} has made its two calls of this minute.", left_ms))

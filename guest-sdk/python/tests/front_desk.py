"""The hooks of docs/guide that the examples do not show in Python: answer, reply, audit."""

import json
from dataclasses import dataclass, field

from weir_sdk import Outcome, Policy, Response, Summary
from weir_sdk import call, metrics


@dataclass
class Settings:
    models: list[str] = field(default_factory=list)


class FrontDesk(Policy[Settings]):
    def answer(self, summary: Summary) -> Response | None:
        if summary.operation.name != "MODELS" or call.method() != "GET":
            return None
        listed = [{"id": one, "object": "model", "owned_by": "weir"} for one in self.settings.models]
        body = json.dumps({"object": "list", "data": listed}).encode()
        return Response(200, [("content-type", "application/json")], body)

    def reply(self, summary: Summary, response: Response) -> Response | None:
        try:
            body = json.loads(response.body)
        except ValueError:
            return None
        if not isinstance(body, dict) or body.pop("system_fingerprint", None) is None:
            return None                     # nothing to change: the provider's own bytes
        return Response(response.status, response.headers, json.dumps(body).encode())

    def finished(self, outcome: Outcome) -> None:
        if outcome.denied:
            metrics.count("refused", code=outcome.denied)
            return
        metrics.count("cost_micros", outcome.usage.cost_micros, model=outcome.call.model)
        metrics.observe("total_ms", outcome.total_ms)

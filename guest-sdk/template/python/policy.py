"""The policy weir-template; README.md says what it does."""

# weir:if access events
from dataclasses import dataclass, field
# weir:end
# weir:unless access events
from dataclasses import dataclass
# weir:end

# weir:if access rewrite route
from weir_sdk import Denial, Policy, Summary
# weir:end
# weir:unless access rewrite route
from weir_sdk import Policy, Summary
# weir:end
# weir:if limit
from weir_sdk import Rule, Unit, Window, call
# weir:end
# weir:if rewrite
from weir_sdk import HostError, edit
# weir:end
# weir:if answer reply
from weir_sdk import Response
# weir:end
# weir:if route
from weir_sdk import Attempt, Candidate, attempt, channels, usable
# weir:end
# weir:if events
from weir_sdk import Event, Stream, TextEvent, text_event
# weir:end
# weir:if audit
from weir_sdk import Outcome, metrics
# weir:end


@dataclass
class Settings:
    """What may stand under [policy.config]. Errors name the setting."""

    # weir:if access
    #: Models that nobody may use; a `*` at the end stands for anything.
    denied_models: list[str] = field(default_factory=list)
    # weir:end
    # weir:if rewrite
    #: Put ahead of every prompt.
    instruction: str = ""
    # weir:end
    # weir:if limit
    #: For each key; 0 for no limit.
    requests_per_minute: int = 0
    # weir:end
    # weir:if answer
    #: The answer to every call, while it is set.
    notice: str = ""
    # weir:end
    # weir:if route
    #: Only channels with this label `region`.
    region: str = ""
    # weir:end
    # weir:if reply
    #: What the header `x-stamp` of every reply says.
    stamp: str = ""
    # weir:end
    # weir:if events
    #: Words of streamed answers, and what stands in their place.
    replace: dict[str, str] = field(default_factory=dict)
    # weir:end


class WeirTemplate(Policy[Settings]):
    # weir:if access
    def authorize(self, summary: Summary) -> None:
        if any(matches(pattern, summary.model) for pattern in self.settings.denied_models):
            raise Denial.forbidden("model_denied", f"The model `{summary.model}` may not be used here.")

    # weir:end
    # weir:if rewrite
    def rewrite(self, summary: Summary) -> None:
        if not self.settings.instruction:
            return
        try:
            edit.prepend_system(self.settings.instruction)
        except HostError as error:
            raise Denial.bad_request("not_changed", f"The instruction could not be added: {error}") from error

    # weir:end
    # weir:if limit
    def limits(self, summary: Summary) -> list[Rule]:
        if not self.settings.requests_per_minute:
            return []
        return [Rule(f"key:{call.key()}", Unit.REQUESTS, Window.sliding(60), self.settings.requests_per_minute)]

    # weir:end
    # weir:if answer
    def answer(self, summary: Summary) -> Response | None:
        if not self.settings.notice:
            return None
        return Response(503, [("content-type", "text/plain")], self.settings.notice.encode())

    # weir:end
    # weir:if route
    def route(self, summary: Summary, candidates: list[Candidate]) -> list[Attempt]:
        region = self.settings.region
        there = [one for one in candidates if not region or channels.label(one.channel, "region") == region]
        if not there:
            raise Denial(503, "no_channel", f"No channel of the region `{region}` serves this model.")
        # Channels that cannot be used now come last; within each group the highest priority first.
        return [attempt(one.channel) for one in sorted(there, key=lambda one: (not usable(one), -one.priority))]

    # weir:end
    # weir:if reply
    def reply(self, summary: Summary, response: Response) -> Response | None:
        if not self.settings.stamp:
            return None
        response.headers = [*response.headers, ("x-stamp", self.settings.stamp)]
        return response

    # weir:end
    # weir:if events
    def open(self, summary: Summary) -> Stream | None:
        return Replacer(self.settings.replace) if self.settings.replace else None

    # weir:end
    # weir:if audit
    def finished(self, outcome: Outcome) -> None:
        metrics.count("calls_finished", status=str(outcome.status))

    # weir:end
# weir:if events


class Replacer(Stream):
    """One of each streamed answer."""

    def __init__(self, words: dict[str, str]) -> None:
        self.words = words

    def push(self, event: Event) -> list[Event] | None:
        if not isinstance(event, TextEvent):
            return None
        text = event.value.text
        for word, instead in self.words.items():
            text = text.replace(word, instead)
        return None if text == event.value.text else [text_event(text, event.value.choice)]
# weir:end
# weir:if access


def matches(pattern: str, model: str) -> bool:
    return model.startswith(pattern[:-1]) if pattern.endswith("*") else model == pattern
# weir:end

"""The policy of ../README.md in Python."""

from dataclasses import dataclass, field

from weir_sdk import Attempt, Candidate, Denial, Event, Policy, Rule, Stream, Summary, TextEvent, Unit, Window
from weir_sdk import attempt, call, channels, clock, edit, text_event, usable


@dataclass
class Settings:
    open_hour: int = 0
    close_hour: int = 24
    exempt_plan: str = ""
    denied_models: list[str] = field(default_factory=list)
    requests_per_minute: int = 0
    instruction: str = ""
    region: str = ""
    replace: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.open_hour <= 23:
            raise ValueError("open_hour: must be from 0 to 23")
        if not self.open_hour < self.close_hour <= 24:
            raise ValueError("close_hour: must be from open_hour + 1 to 24")


class Guard(Policy[Settings]):
    def authorize(self, summary: Summary) -> None:
        if any(matches(pattern, summary.model) for pattern in self.settings.denied_models):
            raise Denial.forbidden("model_denied", f"The model `{summary.model}` may not be used here.")
        if (self.settings.open_hour, self.settings.close_hour) == (0, 24):
            return
        exempt = self.settings.exempt_plan
        if exempt and call.label("plan") == exempt:
            return
        hour = clock.now_ms() // 3_600_000 % 24
        if not self.settings.open_hour <= hour < self.settings.close_hour:
            wait_hours = (self.settings.open_hour - hour) % 24
            raise Denial(
                403,
                "closed",
                f"Calls are allowed from {self.settings.open_hour} to {self.settings.close_hour} o'clock UTC.",
                retry_after_ms=wait_hours * 3_600_000 - clock.now_ms() % 3_600_000,
            )

    def rewrite(self, summary: Summary) -> None:
        if self.settings.instruction:
            edit.prepend_system(self.settings.instruction)
            edit.set_header("x-guard", "python")

    def limits(self, summary: Summary) -> list[Rule]:
        if not self.settings.requests_per_minute:
            return []
        return [Rule(f"key:{call.key()}", Unit.REQUESTS, Window.sliding(60), self.settings.requests_per_minute)]

    def route(self, summary: Summary, candidates: list[Candidate]) -> list[Attempt]:
        there = [one for one in candidates if self.in_region(one.channel)]
        if not there:
            raise Denial(503, "no_channel", f"No channel of the region `{self.settings.region}` serves this model.")
        # Channels that cannot be used now come last; within each group the highest priority first.
        return [attempt(one.channel) for one in sorted(there, key=lambda one: (not usable(one), -one.priority))]

    def in_region(self, channel: int) -> bool:
        return not self.settings.region or channels.label(channel, "region") == self.settings.region

    def open(self, summary: Summary) -> Stream | None:
        return Replacer(self.settings.replace) if self.settings.replace else None


class Replacer(Stream):
    def __init__(self, words: dict[str, str]) -> None:
        self.words = words

    def push(self, event: Event) -> list[Event] | None:
        if not isinstance(event, TextEvent):
            return None
        text = event.value.text
        for word, instead in self.words.items():
            text = text.replace(word, instead)
        return None if text == event.value.text else [text_event(text, event.value.choice)]


def matches(pattern: str, model: str) -> bool:
    return model.startswith(pattern[:-1]) if pattern.endswith("*") else model == pattern

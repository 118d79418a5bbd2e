"""Access by business hours: time zones with summer time, weekdays, holidays, exempt keys, rules for models."""

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from typing import Literal
from zoneinfo import ZoneInfo

import zones
from weir_sdk import Denial, Policy, Summary
from weir_sdk import call, clock, log

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: How far ahead the next opening is looked for: as far as a denial's `retry_after_ms` reaches.
DAYS_AHEAD = 49
#: An answer that allows is not asked for again for so long; the gateway's own bound may be less.
REMEMBER_MS = 60_000


@dataclass
class Window:
    """From a time to a time, on some days. One that closes before it opens closes on the next day."""

    opens: str
    closes: str
    days: list[str] = field(default_factory=lambda: ["mon-fri"])

    def __post_init__(self) -> None:
        self.on = {day for name in self.days for day in weekdays(name)}
        self.opens_at, self.closes_at = minute("opens", self.opens), minute("closes", self.closes)
        if not self.on:
            raise ValueError("`days` is empty, so this is never open")
        if self.opens_at == self.closes_at or self.opens_at == 24 * 60:
            raise ValueError(f"{self.opens} to {self.closes} is no time at all; a whole day is 00:00 to 24:00")

    def moments(self, day: date, zone: ZoneInfo) -> tuple[int, int]:
        """When it opens on that day and closes again, milliseconds since the epoch."""
        days_later = 1 if self.closes_at <= self.opens_at else 0
        # When clocks go back an hour comes twice: it begins with the first and ends with the second.
        begin = min(moment(day, self.opens_at, zone, fold) for fold in (0, 1))
        end = max(moment(day + timedelta(days_later), self.closes_at, zone, fold) for fold in (0, 1))
        return begin, end


@dataclass
class Rule:
    """Hours of their own for some models."""

    models: list[str]
    hours: list[Window] = field(default_factory=list)
    always: bool = False
    on_holidays: Literal["closed", "open"] = "closed"

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("`models` is empty, so the rule is for no call")
        if self.always == bool(self.hours):
            raise ValueError("needs either `hours` or `always = true`")


@dataclass
class Settings:
    time_zone: str
    hours: list[Window]
    #: A label of keys or tenants that names a time zone of their own.
    time_zone_label: str = ""
    #: `2026-12-24`, or `12-24` for every year.
    holidays: list[str] = field(default_factory=list)
    #: Labels and the values with which a key may call at any time; `*` is any value.
    exempt: dict[str, list[str]] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.hours:
            raise ValueError("hours: is empty, so nothing would ever be open")
        for at, name in enumerate(self.holidays):
            try:
                date.fromisoformat(name if len(name) > 5 else f"2024-{name}")
            except ValueError:
                raise ValueError(f"holidays[{at}]: {name!r} is no date such as 2026-12-24 or 12-24") from None
        try:
            zones.zone(self.time_zone)
        except ValueError as error:
            raise ValueError(f"time_zone: {error}") from None


class BusinessHours(Policy[Settings]):
    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.zone = zones.zone(settings.time_zone)
        self.general = Rule(["*"], settings.hours)
        self.holidays = set(settings.holidays)
        # Until when which rule is open or closed where; made again by every instance.
        self.known: dict[tuple[int, str], tuple[int, int, bool]] = {}

    def authorize(self, summary: Summary) -> None:
        rule = next((one for one in self.settings.rules if fits(one.models, summary.model)), self.general)
        now_ms = clock.now_ms()
        if rule.always:
            return call.remember(REMEMBER_MS)
        zone = self.zone_of_caller()
        is_open, until_ms = self.standing(rule, zone, now_ms)
        if is_open:
            # It holds until the hours end, and so may be remembered although it depends on the time.
            return call.remember(min(REMEMBER_MS, until_ms - now_ms))
        if self.is_exempt():
            return call.remember(REMEMBER_MS)
        raise closed(summary.model, now_ms, until_ms, zone)

    def is_exempt(self) -> bool:
        for label, values in self.settings.exempt.items():
            value = call.label(label)
            if value is not None and ("*" in values or value in values):
                return True
        # What a policy asks a model is part of a call that was let in.
        return call.key().startswith("policy:")

    def zone_of_caller(self) -> ZoneInfo:
        label = self.settings.time_zone_label
        name = call.label(label) if label else None
        if not name:
            return self.zone
        try:
            return zones.zone(name)
        except ValueError as error:
            log.warn(f"the label {label} of {call.tenant()}, {call.key()}: {error}")
            return self.zone

    def standing(self, rule: Rule, zone: ZoneInfo, now_ms: int) -> tuple[bool, int]:
        """Whether the rule is open, and until when that stays so."""
        where = (id(rule), zone.key)
        since_ms, until_ms, is_open = self.known.get(where, (0, 0, False))
        if not since_ms <= now_ms < until_ms:
            is_open, until_ms = self.look_up(rule, zone, now_ms)
            self.known[where] = (now_ms, until_ms, is_open)
        return is_open, until_ms

    def look_up(self, rule: Rule, zone: ZoneInfo, now_ms: int) -> tuple[bool, int]:
        today = local(now_ms, zone).date()
        # What opened yesterday may still be open.
        for ahead in range(-1, DAYS_AHEAD):
            day = today + timedelta(ahead)
            if rule.on_holidays == "closed" and self.is_holiday(day):
                continue
            for begin_ms, end_ms in sorted(one.moments(day, zone) for one in rule.hours if day.weekday() in one.on):
                if begin_ms <= now_ms < end_ms:
                    return True, end_ms
                if now_ms < begin_ms:
                    return False, begin_ms
        return False, now_ms + DAYS_AHEAD * 86_400_000

    def is_holiday(self, day: date) -> bool:
        return day.isoformat() in self.holidays or f"{day:%m-%d}" in self.holidays


def closed(model: str, now_ms: int, until_ms: int, zone: ZoneInfo) -> Denial:
    opens = local(until_ms, zone)
    what = f"The model `{model}`" if model else "This"
    when = f"{DAYS[opens.weekday()].title()} {opens:%Y-%m-%d %H:%M} {opens.tzname()} ({zone.key})"
    message = f"{what} can be called in business hours only; they begin again on {when}."
    return Denial(403, "outside_business_hours", message, retry_after_ms=until_ms - now_ms)


def local(at_ms: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, timezone.utc).astimezone(zone)


def moment(day: date, at: int, zone: ZoneInfo, fold: int) -> int:
    """That many minutes after a local midnight, by the clock on the wall. Of two such moments `fold` says
    which; a time that is left out when clocks go forward is as far behind the change as it would be."""
    day, at = (day + timedelta(1), 0) if at == 24 * 60 else (day, at)
    wall = datetime.combine(day, time(at // 60, at % 60), zone)
    left_out = wall.astimezone(timezone.utc).astimezone(zone).replace(tzinfo=None) != wall.replace(tzinfo=None)
    return int(wall.replace(fold=0 if left_out else fold).timestamp()) * 1000


def weekdays(name: str) -> list[int]:
    """`mon`, or `mon-fri`; over the end of the week too."""
    first, _, last = name.partition("-")
    if first not in DAYS or (last or first) not in DAYS:
        raise ValueError(f"{name!r} is no day such as mon, and no days such as mon-fri")
    begin, end = DAYS.index(first), DAYS.index(last or first)
    return [at % 7 for at in range(begin, (end if end >= begin else end + 7) + 1)]


def minute(what: str, text: str) -> int:
    hour, colon, rest = text.partition(":")
    if colon and len(hour) == len(rest) == 2 and (hour + rest).isdecimal():
        at = int(hour) * 60 + int(rest)
        if int(rest) < 60 and at <= 24 * 60:
            return at
    raise ValueError(f"`{what}` is no time from 00:00 to 24:00: {text!r}")


def fits(patterns: list[str], model: str) -> bool:
    return any(model.startswith(one[:-1]) if one.endswith("*") else model == one for one in patterns)

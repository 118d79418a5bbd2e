from datetime import datetime, timezone

import pytest
from policy import BusinessHours
from weir_sdk import Denial
from weir_sdk.config import ConfigError
from weir_sdk.testing import Call, Host

OFFICE = {"time_zone": "Europe/Berlin", "hours": [{"opens": "08:00", "closes": "18:00"}]}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def opens(config: dict, now: str, call: Call | None = None) -> str | None:
    """None where the call is let in, else when the same call would be."""
    host = Host(BusinessHours, config, now=at(now))
    try:
        host.authorize(call)
    except Denial as denial:
        assert (denial.status, denial.code) == (403, "outside_business_hours")
        return datetime.fromtimestamp((host.now_ms + denial.retry_after_ms) / 1000, timezone.utc).isoformat()[:16]
    return None


def test_summer_time():
    # The same hour of UTC: eight o'clock in summer, seven in winter.
    assert opens(OFFICE, "2026-07-06T06:00Z") is None
    assert opens(OFFICE, "2026-01-05T06:00Z") == "2026-01-05T07:00"
    # On the Friday before the clocks go forward the next opening is an hour earlier than that day's was.
    assert opens(OFFICE, "2026-03-27T18:00Z") == "2026-03-30T06:00"
    assert opens(OFFICE, "2026-10-23T18:00Z") == "2026-10-26T07:00"


def test_the_hour_that_comes_twice_is_open_twice():
    night = {**OFFICE, "hours": [{"days": ["sun"], "opens": "01:00", "closes": "02:30"}]}
    for moment, wanted in [
        ("2026-10-24T22:59Z", "2026-10-24T23:00"),
        ("2026-10-24T23:00Z", None),
        ("2026-10-25T01:29Z", None),
        ("2026-10-25T01:30Z", "2026-11-01T00:00"),
    ]:
        assert opens(night, moment) == wanted, moment


def test_the_hour_that_is_left_out():
    night = {**OFFICE, "hours": [{"days": ["sun"], "opens": "02:30", "closes": "05:00"}]}
    assert opens(night, "2026-03-29T01:00Z") == "2026-03-29T01:30"
    assert opens(night, "2026-03-29T01:30Z") is None
    until = {**OFFICE, "hours": [{"days": ["sun"], "opens": "01:00", "closes": "02:30"}]}
    assert opens(until, "2026-03-29T01:29Z") is None
    assert opens(until, "2026-03-29T01:30Z") == "2026-04-04T23:00"


def test_over_midnight_the_hours_belong_to_the_day_they_begin_on():
    night = {**OFFICE, "hours": [{"days": ["fri"], "opens": "22:00", "closes": "06:00"}], "holidays": ["2026-01-16"]}
    assert opens(night, "2026-01-10T04:59Z") is None
    assert opens(night, "2026-01-10T05:00Z") == "2026-01-23T21:00"
    assert opens(night, "2026-01-09T04:00Z") == "2026-01-09T21:00"


def test_holidays_once_and_every_year():
    closed = {**OFFICE, "holidays": ["12-25", "12-26", "2026-12-28", "02-29"]}
    assert opens(closed, "2026-12-25T10:00Z") == "2026-12-29T07:00"
    assert opens(closed, "2027-12-28T10:00Z") is None
    for_some = {**closed, "rules": [{"models": ["gpt-*"], "hours": OFFICE["hours"], "on_holidays": "open"}]}
    assert opens(for_some, "2026-12-25T10:00Z") is None


def test_nothing_opens_for_long():
    years = {**OFFICE, "holidays": [f"{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29)]}
    assert opens(years, "2026-02-01T10:00Z") == "2026-03-22T10:00"


def test_exempt_keys_and_policies_own_questions():
    config = {**OFFICE, "exempt": {"team": ["oncall", "sre"], "always-open": ["*"]}}
    late = "2026-01-05T20:00Z"
    assert opens(config, late, Call(labels={"team": "sales"})) is not None
    for call in [Call(labels={"team": "sre"}), Call(labels={"always-open": ""}), Call(key="policy:screen")]:
        assert opens(config, late, call) is None


def test_the_first_rule_that_fits_and_the_callers_own_zone():
    config = {
        **OFFICE,
        "time_zone_label": "zone",
        "rules": [{"models": ["gpt-4o-mini"], "always": True}, {"models": ["gpt-4o*"], "hours": [{"opens": "00:00", "closes": "24:00", "days": ["sat-sun"]}]}],
    }
    assert opens(config, "2026-01-05T23:00Z", Call("gpt-4o-mini")) is None
    assert opens(config, "2026-01-05T10:00Z", Call("gpt-4o")) == "2026-01-09T23:00"
    tokyo = Call("o3", labels={"zone": "Asia/Tokyo"})
    assert opens(config, "2026-01-05T23:30Z", tokyo) is None
    assert opens(config, "2026-01-05T10:00Z", tokyo) == "2026-01-05T23:00"
    host = Host(BusinessHours, config, now=at("2026-01-05T10:00Z"))
    host.authorize(Call("o3", labels={"zone": "Mars/Base"}))
    assert "no time zone" in host.seen.logs[0][1]


def test_an_answer_is_remembered_until_the_hours_end():
    host = Host(BusinessHours, OFFICE, now=at("2026-01-05T12:00Z"))
    host.authorize()
    assert host.seen.remember_ms == 60_000
    host.set_clock(at("2026-01-05T16:59:50Z"))
    host.authorize()
    assert host.seen.remember_ms == 10_000


@pytest.mark.parametrize(
    "changed, error",
    [
        ({"time_zone": "Europe/Berlim"}, "time_zone: no time zone is called 'Europe/Berlim'; did you mean Europe/Berlin?"),
        ({"hours": []}, "hours: is empty"),
        ({"hours": [{"opens": "8:00", "closes": "18:00"}]}, "hours[0]: `opens` is no time from 00:00 to 24:00: '8:00'"),
        ({"hours": [{"opens": "08:00", "closes": "24:01"}]}, "hours[0]: `closes` is no time"),
        ({"hours": [{"opens": "08:00", "closes": "08:00"}]}, "hours[0]: 08:00 to 08:00 is no time at all"),
        ({"hours": [{"opens": "08:00", "closes": "9:00", "days": ["monday"]}]}, "hours[0]: 'monday' is no day"),
        ({"holidays": ["2026-13-01"]}, "holidays[0]: '2026-13-01' is no date"),
        ({"rules": [{"models": ["a"]}]}, "rules[0]: needs either `hours` or `always = true`"),
        ({"exmpt": {}}, "exmpt: no such setting; did you mean `exempt`?"),
    ],
)
def test_mistakes_in_the_configuration(changed, error):
    with pytest.raises(ConfigError) as refused:
        Host(BusinessHours, {**OFFICE, **changed})
    assert refused.value.errors[0].startswith(error), refused.value.errors

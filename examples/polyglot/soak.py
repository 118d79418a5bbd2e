#!/usr/bin/env python3
"""Calls every hook of the policy of this folder many times on one instance, and checks each answer.

    soak.py --calls 100000 go=go/guard.wasm c=c/guard.wasm …

What the gateway does not do by itself (it replaces instances), so that a toolchain that leaks or breaks
after some thousand calls is seen. Needs wasmtime: python3 -m pip install wasmtime==48.0.0
Prints, for each language, the bytes of the component, how long it took to be ready, and microseconds for
a round of access, rewrite, limit, route and a stream of one event, Python's own part of the host included.
"""

import argparse
import json
import sys
import time
from pathlib import Path

try:
    import wasmtime
    from wasmtime import component
except ImportError:
    sys.exit("wasmtime is missing: python3 -m pip install wasmtime==48.0.0")

VERSION = "0.2.0"
CONFIG = {
    "open_hour": 8, "close_hour": 18, "exempt_plan": "pro", "denied_models": ["o1*"], "requests_per_minute": 60,
    "instruction": "Be brief.", "region": "eu", "replace": {"secret": "[redacted]"},
}  # fmt: skip
UNUSED = {
    "call": "id dialect method path query tenant client-ip remember header headers json messages body",
    "channels": "name provider model",
    "edit": "set-model remove-header set-json remove-json set-message-text replace-body",
}
NOON_MS = 1_767_614_400_000


def record(**fields):
    made = component.Record()
    for name, value in fields.items():
        setattr(made, name.replace("_", "-"), value)
    return made


class Host:
    """The imports that the policy uses."""

    def __init__(self):
        self.now_ms, self.plan, self.edits = NOON_MS, "free", []

    def link(self, linker):
        def edit(*given):
            self.edits.append(given)

        interfaces = {
            "types": {},
            "call": {"key": lambda store: "key_7", "label": lambda store, name: self.plan if name == "plan" else None},
            "channels": {"label": lambda store, channel, name: "eu" if channel < 3 else "us"},
            "clock": {"now-ms": lambda store: self.now_ms},
            "edit": {"prepend-system": lambda store, text: edit(text), "set-header": lambda store, name, value: edit(name, value)},
            "log": {"write": lambda store, level, text: print(f"[{level}] {text}", file=sys.stderr)},
        }
        # Components of interpreters import every function of an interface, also those that are not called.
        for name, all_functions in UNUSED.items():
            for function in all_functions.split():
                interfaces[name].setdefault(function, lambda *given, function=function: sys.exit(f"{function} was called"))
        with linker.root() as root:
            for name, functions in interfaces.items():
                with root.add_instance(f"weir:policy/{name}@{VERSION}") as interface:
                    for function, run in functions.items():
                        interface.add_func(function, run)


class Guard:
    def __init__(self, engine, made, host):
        self.store = wasmtime.Store(engine)
        linker = component.Linker(engine)
        host.link(linker)
        self.instance = linker.instantiate(self.store, made)
        self.functions = {}

    def call(self, hook, function, *given):
        found = self.functions.get((hook, function))
        if found is None:
            index = self.instance.get_export_index(self.store, f"weir:policy/{hook}@{VERSION}")
            inner = self.instance.get_export_index(self.store, function, index)
            found = self.functions[hook, function] = self.instance.get_func(self.store, inner)
        answer = found(self.store, *given)
        found.post_return(self.store)
        return answer


def candidate(channel, **facts):
    zero = dict.fromkeys(("error-rate", "first-byte-ms", "total-ms", "tokens-per-second"), 0.0)
    made = dict(zero, channel=channel, priority=0, weight=1, samples=0)
    made |= {"in-flight": 0, "usable-keys": 1, "headroom": 1.0, "tripped-ms": 0, "input-price": -1.0, "output-price": -1.0}
    made |= facts
    one = component.Record()
    for name, value in made.items():
        setattr(one, name, value)
    return one


def show(value):
    """A value in plain Python, for comparing and printing."""
    if isinstance(value, component.Variant):
        return {value.tag: show(value.payload)}
    if isinstance(value, component.Record):
        return {name: show(one) for name, one in vars(value).items()}
    if isinstance(value, (list, tuple)):
        return [show(one) for one in value]
    return value


def denied(answer):
    """The code of the denial, None where there is none: wasmtime hands over what is in a result."""
    return getattr(answer, "code", None)


def round_of(guard, host, turn):
    """One call through all hooks; the kind of call changes from turn to turn."""
    summary = record(operation="chat", model=f"gpt-{turn % 7}" if turn % 5 else "o1-pro", streaming=True, input_tokens=10, max_output_tokens=0)
    host.now_ms = NOON_MS + (turn % 24) * 3_600_000
    host.plan = "pro" if turn % 3 == 0 else "free"
    hour = (12 + turn) % 24
    wanted = "model_denied" if turn % 5 == 0 else None if turn % 3 == 0 or 8 <= hour < 18 else "closed"
    seen = denied(guard.call("access", "authorize", summary))
    assert seen == wanted, f"turn {turn}: access answered {seen}, not {wanted}"
    host.edits.clear()
    assert denied(guard.call("rewrite", "rewrite", summary)) is None and len(host.edits) == 2, host.edits
    (rule,) = guard.call("limit", "limits", summary)
    assert (rule.key, rule.unit, rule.limit) == ("key:key_7", "requests", 60), show(rule)
    order = guard.call("route", "route", summary, [candidate(1), candidate(2, priority=5), candidate(3, priority=9)])
    assert [one.channel for one in order] == [2, 1], show(order)
    assert guard.call("events", "open", turn, summary) is True
    event = component.Variant("text", record(choice=0, text=f"the secret {turn} is out"))
    action = guard.call("events", "push", turn, event)
    assert action.tag == "replace" and action.payload[0].payload.text == f"the [redacted] {turn} is out", show(action)
    assert guard.call("events", "close", turn) == []


def soak(language, file, calls):
    config = wasmtime.Config()
    engine = wasmtime.Engine(config)
    begun = time.monotonic()
    made = component.Component.from_file(engine, file)
    compiled = time.monotonic()
    host = Host()
    guard = Guard(engine, made, host)
    bad = guard.call("lifecycle", "init", json.dumps(dict(CONFIG, close_hour=8)))
    assert bad == ["close_hour: must be from open_hour + 1 to 24"], bad
    guard = Guard(engine, made, host)
    first = time.monotonic()
    guard.call("lifecycle", "init", json.dumps(CONFIG))
    round_of(guard, host, 1)
    ready = time.monotonic()
    for turn in range(2, calls // 7 + 2):
        round_of(guard, host, turn)
        if turn % 2000 == 0 and sys.stderr.isatty():
            print(f"{language}: {turn * 7} calls", end="\r", file=sys.stderr)
    took = time.monotonic() - ready
    rounds = calls // 7
    print(f"{language}: {Path(file).stat().st_size} bytes, compiled in {compiled - begun:.2f} s, first round {1000 * (ready - first):.1f} ms, "
          f"{rounds * 7} calls on one instance, {1e6 * took / rounds:.0f} µs a round of 7", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000, help="calls of hooks on the one instance")
    parser.add_argument("components", nargs="+", metavar="LANGUAGE=FILE")
    given = parser.parse_args()
    for one in given.components:
        soak(*one.split("=", 1), given.calls)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The whole gateway under load: CPU microseconds per request, beside nginx.

Rows: nginx as a plain reverse proxy (where it is installed), Weir with an empty chain, Weir with
the default chain of four policies, and that chain once more with every hook asked for every call
(`asked`): without it, permissions and limits let the gateway remember their answers for a minute. Shapes: a plain reply (about 1 KiB asked, 617 bytes answered)
and a stream (64 events of about 200 bytes, the usage, [DONE]).

CPU is user and system time of a gateway's whole process tree, from /proc: on a machine that does
other work too, it moves far less than throughput does. The gateway has core 0 and one worker; the
load (wrk) and the mock upstream share core 1. All gateways stay up, idle but for their turn, and
the turns alternate, so that what is compared was measured seconds apart; ratios are made within
one round, and the median of the rounds is told.

An idle core of a virtual machine is woken by an interrupt that leaves the machine, which costs the
one who wakes it some microseconds. A gateway that is slower than another lets the load's core fall
asleep more often and would be charged for that too, so where the kernel allows it (as root,
/dev/cpu_dma_latency) idle cores wait awake while this runs, for every row alike. `others` is the share of the machine that other
work took: compare numbers of a run only with each other, and distrust them above some per cent.
"""

import argparse
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
GATEWAY_CORE, LOAD_CORE = "0", "1"
CALLER_KEY, UPSTREAM_KEY = "sk-virt-042", "sk-upstream-secret"
CHAT = "/v1/chat/completions"
CONNECTIONS = {"plain": 64, "stream": 32}
# What the project sets itself: (shape, row, held against, at most this ratio).
TARGETS = [("plain", "chain", "empty", 1.20), ("plain", "chain", "nginx", 2.0), ("stream", "chain", "nginx", 1.25)]


def chat(stream, model="gpt-4o-mini"):
    """A chat request of about 1 KiB."""
    sentence = "A gateway adds little to a call, and this bench tells how little that is. "
    call = {
        "model": model,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": sentence * 11}],
        "temperature": 0.7,
        "max_tokens": 256,
    }
    if stream:
        call |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(call)


# What the machine and its processes did, from /proc.


def process_ticks(pid):
    """(parent, user + system time, in ticks, with that of children it has waited for)"""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1]), sum(int(field) for field in fields[11:15])


def tree_seconds(root):
    """User + system time of a process and everything it started."""
    seen = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                seen[int(entry)] = process_ticks(entry)
            except (FileNotFoundError, ProcessLookupError):
                continue

    def within(pid):
        while pid in seen and pid != root:
            pid = seen[pid][0]
        return pid == root

    return sum(ticks for pid, (_, ticks) in seen.items() if within(pid)) / TICKS_PER_S


def machine_seconds():
    """(busy, all), over all cores."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / TICKS_PER_S, sum(fields) / TICKS_PER_S


def keep_idle_cores_awake():
    """A file that keeps them so while it is open; none where that is not allowed."""
    try:
        held = open("/dev/cpu_dma_latency", "wb", buffering=0)
        held.write(struct.pack("i", 0))
        return held
    except OSError:
        print("bench: idle cores may sleep (no /dev/cpu_dma_latency here): slower rows are charged for waking them")
        return None


def resident_mib(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


# The processes: the mock upstream, and the gateways.


class Server:
    """A program that was started here, on one core, and is stopped by its process group."""

    def __init__(self, name, command, core, port, log, env=None):
        self.name, self.port, self.log = name, port, log
        self.process = subprocess.Popen(
            on_core(core, command),
            stdin=subprocess.DEVNULL,
            stdout=open(log, "wb"),
            stderr=subprocess.STDOUT,
            env=os.environ | (env or {}),
            start_new_session=True,
        )

    def ask(self, method, path, body=None, key=CALLER_KEY):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def wait(self, path, seconds=60):
        """Until it answers, whatever that is. Compiling policies for the first time takes a while."""
        until = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < until:
            try:
                self.ask("GET", path)
                return
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
        raise SystemExit(f"bench: {self.name} does not answer:\n{Path(self.log).read_text(errors='replace')[-2000:]}")

    def stop(self):
        for sign, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            if self.process.poll() is not None:
                return
            try:
                os.killpg(self.process.pid, sign)
                self.process.wait(seconds)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def on_core(core, command):
    """On one core, all at the same niceness: a negative one shields a short run from other work."""
    niceness = os.environ.get("BENCH_NICE", "-10" if os.geteuid() == 0 else "0")
    return ["taskset", "-c", core, "nice", "-n", niceness, *command]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_upstream(program, folder):
    port = free_port()
    env = {"UPSTREAM_ADDR": f"127.0.0.1:{port}", "UPSTREAM_KEY": UPSTREAM_KEY}
    return Server("the mock upstream", [program], LOAD_CORE, port, folder / "upstream.log", env)


def start_gateway(name, weir, upstream, folder):
    port, run = free_port(), folder / name
    run.mkdir()
    names = {
        "RUN": run,
        "PORT": port,
        "WORKERS": 1,
        "UPSTREAM": f"127.0.0.1:{upstream.port}",
        "UPSTREAM_KEY": UPSTREAM_KEY,
    }
    template = "nginx.conf" if name == "nginx" else f"weir-{name}.toml"
    text = (HERE / f"{template.replace('asked', 'chain')}.in").read_text()
    if name == "asked":
        text += "\n[runtime]\nremember_max_ms = 0\n"
    for placeholder, value in names.items():
        text = text.replace(f"@{placeholder}@", str(value))
    config = run / template
    config.write_text(text)
    if name == "nginx":
        command = ["nginx", "-p", str(run), "-e", str(run / "nginx-error.log"), "-c", str(config)]
    else:
        command = [weir, "serve", "--config", str(config)]
    return Server(name, command, GATEWAY_CORE, port, run / "output.log")


def check(gateway, upstream):
    """What is measured must be right first."""

    def must(what, holds):
        if not holds:
            raise SystemExit(f"bench: {gateway.name}: {what}; see {gateway.log}")

    before = stats(upstream)
    status, body = gateway.ask("POST", CHAT, chat(False))
    must(f"a plain call got {status} {body[:300]!r}", status == 200 and len(body) == 617)
    status, body = gateway.ask("POST", CHAT, chat(True))
    whole = status == 200 and body.count(b"data: ") == 66 and body.endswith(b"data: [DONE]\n\n")
    must(f"a streamed call got {status} {body[-300:]!r}", whole)
    after = stats(upstream)
    must("calls did not reach the upstream", after["requests"] - before["requests"] == 2)
    must("calls reached the upstream without its key", after["without_key"] == before["without_key"])
    if gateway.name != "nginx":
        status, _ = gateway.ask("POST", CHAT, chat(False), key="sk-wrong")
        must(f"a wrong key got {status}, not 401", status == 401)
    if gateway.name in ("chain", "asked"):
        status, _ = gateway.ask("POST", CHAT, chat(False, "gpt-4-turbo"))
        must(f"a model that is not allowed got {status}, not 403", status == 403)


def stats(upstream):
    return json.loads(upstream.ask("GET", "/stats")[1])


# Measuring.


def load(gateway, shape, seconds, folder):
    connections = CONNECTIONS[shape]
    url = f"http://127.0.0.1:{gateway.port}{CHAT}"
    wrk = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--timeout", "20", "-s", str(HERE / "load.lua"), url]
    env = os.environ | {"LOAD_BODY": str(folder / f"{shape}.json"), "LOAD_KEY": CALLER_KEY}
    done = subprocess.run(on_core(LOAD_CORE, wrk), env=env, capture_output=True, text=True, timeout=seconds + 60)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise SystemExit(f"bench: wrk: {done.stdout} {done.stderr}")
    told = json.loads(lines[-1])
    if told["not_200"] or told["failed"] or not told["requests"]:
        raise SystemExit(f"bench: {gateway.name}, {shape}: the load met errors: {told}; see {gateway.log}")
    return told


def measure(gateway, upstream, shape, a, folder):
    """One turn; again, where other work took more of the machine than `--quiet`: the quietest counts."""
    best = None
    for _ in range(1 + a.retries):
        turn = measure_once(gateway, upstream, shape, a.seconds, folder)
        if best is None or turn["others"] < best["others"]:
            best = turn
        if best["others"] <= a.quiet:
            break
    return best


def measure_once(gateway, upstream, shape, seconds, folder):
    def spent():
        load_seconds = sum(os.times()[2:4]) + tree_seconds(upstream.process.pid)
        return tree_seconds(gateway.process.pid), load_seconds, *machine_seconds()

    gateway0, load0, busy0, all0 = spent()
    told = load(gateway, shape, seconds, folder)
    # The last calls' rows are written to the ledger after their answers; that is work for them too.
    time.sleep(0.4)
    gateway1, load1, busy1, all1 = spent()
    others = (busy1 - busy0) - (load1 - load0) - (gateway1 - gateway0)
    return {
        "row": gateway.name,
        "shape": shape,
        "cpu_us": (gateway1 - gateway0) * 1e6 / told["requests"],
        "rps": told["requests"] / told["seconds"],
        "p50_us": told["p50_us"],
        "p99_us": told["p99_us"],
        "others": others / max(all1 - all0, 1e-9),
        "resident_mib": resident_mib(gateway.process.pid),
    }


def rounds(gateways, upstream, a, folder):
    """Each round every shape and row once, forwards and backwards in turn."""
    turns = []
    for number in range(a.rounds):
        for shape in a.shapes.split(","):
            for gateway in gateways if number % 2 == 0 else gateways[::-1]:
                turn = measure(gateway, upstream, shape, a, folder) | {"round": number}
                turns.append(turn)
                print(
                    f"  round {number + 1}: {turn['row']:6} {shape:6} {turn['cpu_us']:7.1f} us CPU"
                    f"  {turn['rps']:8.0f}/s  others {turn['others']:4.0%}",
                    flush=True,
                )
    return turns


# Telling.


def values(turns, row, shape, field):
    return {turn["round"]: turn[field] for turn in turns if (turn["row"], turn["shape"]) == (row, shape)}


def ratio(turns, shape, row, base):
    """The median over the rounds of one row's CPU to another's; None where one was not measured."""
    mine, theirs = (values(turns, name, shape, "cpu_us") for name in (row, base))
    both = [mine[number] / theirs[number] for number in mine.keys() & theirs.keys()]
    return statistics.median(both) if both else None


def report(turns, names, shapes):
    def text(number):
        return f"{number:.2f}" if number is not None else "-"

    for shape in shapes:
        print(f"\n{shape}: CPU us per request (user + system), median (least-most), {CONNECTIONS[shape]} connections\n")
        print("| row | CPU us | to empty | to nginx | requests/s | p50 us | p99 us | RSS MiB | others |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        for row in names:
            cpu = list(values(turns, row, shape, "cpu_us").values())
            mid = {
                field: statistics.median(values(turns, row, shape, field).values())
                for field in ("rps", "p50_us", "p99_us", "others", "resident_mib")
            }
            print(
                f"| {row} | {statistics.median(cpu):.1f} ({min(cpu):.1f}-{max(cpu):.1f})"
                f" | {text(ratio(turns, shape, row, 'empty'))} | {text(ratio(turns, shape, row, 'nginx'))}"
                f" | {mid['rps']:.0f} | {mid['p50_us']:.0f} | {mid['p99_us']:.0f}"
                f" | {mid['resident_mib']:.0f} | {mid['others']:.0%} |"
            )
    print()
    for shape, row, base, most in TARGETS:
        found = ratio(turns, shape, row, base)
        if found is not None:
            print(f"target: {shape}, {row} to {base}: {found:.2f}, at most {most:.2f}: {'met' if found <= most else 'MISSED'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", required=True, help="the program to measure (run.sh gives it)")
    parser.add_argument("--upstream", required=True, help="the mock upstream (run.sh gives it)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="length of one turn")
    parser.add_argument("--warm", type=int, default=3, help="seconds of load before anything is measured")
    parser.add_argument("--quiet", type=float, default=0.06, help="share of the machine that other work may take")
    parser.add_argument("--retries", type=int, default=1, help="how often a turn that was not quiet is repeated")
    parser.add_argument("--rows", help="of nginx,empty,chain,asked; all by default")
    parser.add_argument("--shapes", default="plain,stream")
    parser.add_argument("--out", help="file to which each turn is added as a line of JSON")
    a = parser.parse_args()
    # So that what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if os.cpu_count() < 2:
        raise SystemExit("bench: two cores are needed: one for the gateway, one for the load")

    names = (a.rows or "nginx,empty,chain,asked").split(",")
    if "nginx" in names and not shutil.which("nginx"):
        names.remove("nginx")
    servers = []
    awake = keep_idle_cores_awake()
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as made:
        folder = Path(made)
        for shape in CONNECTIONS:
            (folder / f"{shape}.json").write_text(chat(shape == "stream"))
        try:
            upstream = start_upstream(a.upstream, folder)
            servers.append(upstream)
            upstream.wait("/stats")
            for name in names:
                servers.append(start_gateway(name, a.weir, upstream, folder))
            gateways = servers[1:]
            for gateway in gateways:
                gateway.wait("/v1/models")
                check(gateway, upstream)
                for shape in CONNECTIONS:
                    load(gateway, shape, a.warm, folder)
            turns = rounds(gateways, upstream, a, folder)
            told = stats(upstream)
        finally:
            if awake:
                awake.close()
            for server in servers[::-1]:
                server.stop()
    if told["without_key"]:
        raise SystemExit(f"bench: {told['without_key']} calls reached the upstream without its key")
    if a.out:
        with open(a.out, "a", encoding="utf-8") as out:
            out.writelines(json.dumps(turn) + "\n" for turn in turns)
    report(turns, names, a.shapes.split(","))


if __name__ == "__main__":
    main()

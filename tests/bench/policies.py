#!/usr/bin/env python3
"""What many versions and many tenants cost, on the whole program.

`swaps`: a policy is swapped again and again under load (wrk): `--uploads` times by a version that nobody has
seen before, checked, compiled, stored and put in force, then `--activations` times by one of five stored
versions. After each swap the version that decides is asked for. No call may fail; resident memory, mappings,
file descriptors, stored versions and compiled files are told on the way and must not grow.

`tenants`: `--tenants` tenants with a policy of their own each (each refuses another word). Tells how long a start
takes with everything compiled, what a tenant adds to the memory, calls a second by all tenants and by one, how
long a change of the configuration takes, and that the instances of idle tenants are given back. Each tenant
must be refused by its own policy and by no other.

`chain`: CPU a call with 0, 1, 2, 4 and 8 policies with one hook each: the hook, the record of its decision and its
part of the ledger. The gateways stay up and take turns.

All run the program that `--weir` names, with the policy `testing-sieve` that `make policies` built. CPU is user and
system time of the gateway and its children.
"""

import argparse
import concurrent.futures
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from run import free_port, tree_seconds

HERE = Path(__file__).resolve().parent
ADMIN_KEY = "weir-bench-admin-key"
MARK = b"sieve-word:"
MIB = 2**20


def sieve(file, word):
    """The sieve that refuses models with this word of at most eight letters in them."""
    wasm = bytearray(Path(file).read_bytes())
    at = wasm.find(MARK)
    if at < 0 or len(word) > 8:
        raise SystemExit(f"bench: {file} has no place for {word}")
    while at >= 0:
        start = at + len(MARK)
        wasm[start : start + 8] = word.ljust(8, "-").encode()
        at = wasm.find(MARK, start)
    return bytes(wasm)


class Gateway:
    """The program, in a folder of its own."""

    def __init__(self, a, folder, settings=""):
        self.folder, self.weir, self.port = Path(folder), a.weir, free_port()
        text = f'listen = "127.0.0.1:{self.port}"\ndata_dir = "data"\nworkers = {a.workers}\ndefault_chain = false\n'
        text += '[log]\nlevel = "warn"\n[ledger]\nqueue_max_rows = 10000000\n' + settings
        text += '\n[[channel]]\nname = "fake"\ndialect = "fake"\n'
        text += '[[tenant]]\nname = "bench"\n[[tenant.key]]\nname = "main"\nsecret = "plain:sk-bench"\n'
        (self.folder / "weir.toml").write_text(text)
        self.process = None

    def start(self):
        """Starts it; returns the seconds until it is ready."""
        began = time.monotonic()
        self.process = subprocess.Popen(
            [self.weir, "serve", "--config", "weir.toml"],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=open(self.folder / "output.log", "ab"),
            stderr=subprocess.STDOUT,
            env=os.environ | {"WEIR_ADMIN_KEY": ADMIN_KEY},
        )
        while self.process.poll() is None and time.monotonic() < began + 300:
            try:
                if self.ask("GET", "/readyz")[0] == 200:
                    return time.monotonic() - began
            except OSError:
                pass
            time.sleep(0.002)
        raise SystemExit(f"bench: it does not start:\n{(self.folder / 'output.log').read_text()[-2000:]}")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

    def ask(self, method, path, body=None, key=ADMIN_KEY, kind="application/json", connection=None):
        mine = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        mine.request(method, path, body, {"authorization": f"Bearer {key}", "content-type": kind})
        reply = mine.getresponse()
        text = reply.read()
        if connection is None:
            mine.close()
        return reply.status, text

    def must(self, method, path, body=None, **more):
        status, text = self.ask(method, path, body, **more)
        if status not in (200, 201):
            raise SystemExit(f"bench: {method} {path}: {status} {text[:500]!r}")
        return json.loads(text)

    def chat(self, key, model, connection=None):
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
        return self.ask("POST", "/v1/chat/completions", body, key, connection=connection)[0]

    def upload(self, path, wasm, query="", connection=None):
        return self.must("PUT", f"{path}/versions{query}", wasm, kind="application/wasm", connection=connection)

    def metric(self, name):
        for line in self.ask("GET", "/metrics")[1].decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        return None

    def looks(self):
        """What it holds, from /proc, its metrics and its folder."""
        proc, data = Path(f"/proc/{self.process.pid}"), self.folder / "data"
        compiled = list((data / "compiled").iterdir())
        return {
            "anon_mib": int(next(line for line in (proc / "status").open() if line.startswith("RssAnon")).split()[1]) / 1024,
            "rss_mib": int((proc / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB,
            "maps": (proc / "maps").read_text().count("\n"),
            "fds": len(list((proc / "fd").iterdir())),
            "threads": len(list((proc / "task").iterdir())),
            "versions_live": self.metric("weir_policy_versions_live"),
            "instances": self.metric("weir_policy_instances"),
            "compiled_files": len(compiled),
            "compiled_mib": sum(file.stat().st_size for file in compiled) / MIB,
            "database_mib": sum(file.stat().st_size for file in data.glob("weir.db*")) / MIB,
        }


def show(looks):
    return "  ".join(f"{name} {value:.1f}" if isinstance(value, float) else f"{name} {value}" for name, value in looks.items())


def begin_load(gateway, calls, seconds, connections):
    (gateway.folder / "calls").write_text("".join(f"{key} {model}\n" for key, model in calls))
    wrk = ["nice", "-n", os.environ.get("BENCH_NICE", "0"), "wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency"]
    wrk += ["--timeout", "20", "-s", str(HERE / "keys.lua"), f"http://127.0.0.1:{gateway.port}/"]
    env = os.environ | {"LOAD_CALLS": str(gateway.folder / "calls")}
    return subprocess.Popen(wrk, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def end_load(load):
    text = load.communicate()[0]
    lines = [line for line in text.splitlines() if line.startswith("{")]
    if not lines:
        raise SystemExit(f"bench: wrk: {text}")
    return json.loads(lines[-1])


def quantiles(seconds):
    seconds = sorted(seconds)
    at = lambda share: seconds[min(len(seconds) - 1, int(len(seconds) * share))] * 1e3
    return f"median {at(0.5):.1f} ms, p99 {at(0.99):.1f} ms, most {at(1):.1f} ms"


# Swaps.


def swaps(a, folder):
    gateway = Gateway(a, folder, a.settings.replace(";", "\n"))
    gateway.start()
    policy = "/admin/v1/policies/mine"
    gateway.must("PUT", policy, {"deadline_ms": 1000})
    gateway.upload(policy, sieve(a.sieve, "first"))
    asking = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=120)
    operator = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=120)
    wrong = 0

    def check(now, before):
        """Whether the version that was put in force decides, and the one before no longer."""
        decides = gateway.chat("sk-bench", f"m-{now}", asking), gateway.chat("sk-bench", f"m-{before}", asking)
        return 0 if decides == (403, 200) else 1

    def phase(name, count, swap):
        nonlocal wrong
        every, took, words, seen = max(count // 10, 1), [], [], []
        load = begin_load(gateway, [("sk-bench", "m-good")], 36000, a.connections)
        time.sleep(1)
        began = time.monotonic()
        for number in range(count):
            before = time.monotonic()
            word = swap(number)
            took.append(time.monotonic() - before)
            if words:
                wrong += check(word, words[-1])
            words.append(word)
            if number % every == every - 1 or number in (0, every // 2):
                seen.append(gateway.looks())
                print(f"  {name} {number + 1}: {show(seen[-1])}", flush=True)
        spent = time.monotonic() - began
        load.send_signal(signal.SIGINT)
        told = end_load(load)
        print(f"{name}: {count} swaps in {spent:.0f} s ({quantiles(took)} each); meanwhile {told['requests']} calls, "
              f"{told['not_200']} not 200, {told['failed']} failed, p99 {told['p99_us'] / 1e3:.1f} ms", flush=True)
        first, last = seen[len(seen) // 2], seen[-1]
        print(f"{name}: from the middle to the end: RSS {last['rss_mib'] - first['rss_mib']:+.1f} MiB "
              f"({last['anon_mib'] - first['anon_mib']:+.1f} of no file), mappings "
              f"{last['maps'] - first['maps']:+d}, descriptors {last['fds'] - first['fds']:+d}", flush=True)
        return told["not_200"] + told["failed"]

    def new(number):
        word = f"n{number:07}"
        gateway.upload(policy, sieve(a.sieve, word), connection=operator)
        return word

    failed = phase("upload", a.uploads, new) if a.uploads else 0
    digests = [(word, gateway.upload(policy, sieve(a.sieve, word))["digest"]) for word in ("s1", "s2", "s3", "s4", "s5")]

    def stored(number):
        word, digest = digests[number % len(digests)]
        gateway.must("POST", f"{policy}/activate", {"digest": digest}, connection=operator)
        return word

    failed += phase("activate", a.activations, stored) if a.activations else 0
    versions = len(gateway.must("GET", policy)["versions"])
    time.sleep(3)
    print(f"at rest: {show(gateway.looks())}  versions stored {versions}")
    before = gateway.looks()["rss_mib"]
    print(f"start after it: {(gateway.stop(), gateway.start())[1]:.2f} s, RSS {gateway.looks()['rss_mib']:.1f} MiB (was {before:.1f})")
    gateway.stop()
    print(f"in all: {a.uploads + len(digests) + a.activations} swaps, {failed} failed calls, "
          f"{wrong} decided by another version than the one in force")
    if failed or wrong:
        raise SystemExit(f"bench: {failed} calls failed, {wrong} were decided by another version than the one in force")


# Tenants.


def word_of(number):
    return f"t{number:04}---"


def make_tenant(gateway, number, wasm):
    """A tenant with a key and a policy; returns the key."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=120)
    name = f"t{number:04}"
    path = f"/admin/v1/tenants/{name}"
    gateway.must("POST", "/admin/v1/tenants", {"id": name}, connection=connection)
    secret = gateway.must("POST", f"{path}/keys", {"name": "k"}, connection=connection)["secret"]
    if wasm:
        gateway.must("PUT", f"{path}/policies/mine", {}, connection=connection)
        gateway.upload(f"{path}/policies/mine", wasm, connection=connection)
    connection.close()
    return secret


def ask_all(gateway, keys, with_policies):
    """Every tenant with its own word, and with the next tenant's; returns how many answers were wrong."""
    wrong, connection = 0, http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=120)
    for number, key in enumerate(keys):
        own = gateway.chat(key, f"m-{word_of(number)}", connection)
        others = gateway.chat(key, f"m-{word_of((number + 1) % len(keys))}", connection)
        wrong += (own, others) != (403 if with_policies else 200, 200)
    return wrong


def throughput(gateway, name, calls, a):
    """Tells how calls fare under load; returns microseconds of CPU a call."""
    end_load(begin_load(gateway, calls, 1, a.connections))
    cpu = tree_seconds(gateway.process.pid)
    told = end_load(begin_load(gateway, calls, a.seconds, a.connections))
    # The last calls' rows are written to the ledger after their answers; that is work for them too.
    time.sleep(0.4)
    cpu = (tree_seconds(gateway.process.pid) - cpu) * 1e6 / told["requests"]
    if told["not_200"] or told["failed"]:
        raise SystemExit(f"bench: {name}: the load met errors: {told}")
    print(f"  {name}: {told['requests'] / told['seconds']:.0f} calls/s, {cpu:.1f} us CPU a call, "
          f"p50 {told['p50_us']:.0f} us, p99 {told['p99_us']:.0f} us", flush=True)
    return cpu


def publishes(gateway, times=15):
    took, connection = [], http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=120)
    for number in range(times):
        began = time.monotonic()
        gateway.must("PATCH", "/admin/v1/tenants/t0000", {"labels": {"n": str(number)}}, connection=connection)
        took.append(time.monotonic() - began)
    return quantiles(took)


def tenants(a, folder):
    figures = {}
    for with_policies in (False, True):
        name = f"{a.tenants} tenants {'with' if with_policies else 'without'} policies"
        run = Path(folder) / ("with" if with_policies else "without")
        run.mkdir()
        gateway = Gateway(a, run, a.settings.replace(";", "\n"))
        gateway.start()
        began, keys = time.monotonic(), []
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            making = [pool.submit(make_tenant, gateway, n, sieve(a.sieve, word_of(n)) if with_policies else None)
                      for n in range(a.tenants)]
            keys = [made.result() for made in making]
        print(f"{name}: made in {time.monotonic() - began:.1f} s", flush=True)
        starts = [(gateway.stop(), gateway.start())[1] for _ in range(a.starts)]
        print(f"  starts, everything compiled: {', '.join(f'{s:.2f}' for s in starts)} s", flush=True)
        fresh = gateway.looks()
        print(f"  fresh: {show(fresh)}", flush=True)
        began = time.monotonic()
        wrong = ask_all(gateway, keys, with_policies)
        print(f"  first two calls of each: {(time.monotonic() - began) * 1e3 / len(keys):.2f} ms a tenant; wrong answers: {wrong}", flush=True)
        if wrong:
            raise SystemExit(f"bench: {wrong} tenants were not decided on by their own policy alone")
        time.sleep(1.5)
        asked = gateway.looks()
        print(f"  after one call each: {show(asked)}", flush=True)
        figures[with_policies] = (statistics.median(starts), fresh["rss_mib"], asked["rss_mib"])
        throughput(gateway, "all tenants in turn", [(key, "m-good") for key in keys], a)
        throughput(gateway, "one tenant", [(keys[0], "m-good")], a)
        throughput(gateway, "all tenants in turn, again", [(key, "m-good") for key in keys], a)
        print(f"  one change of the configuration: {publishes(gateway)}", flush=True)
        if with_policies:
            time.sleep(1.5)
            print(f"  busy: {show(gateway.looks())}", flush=True)
            time.sleep(a.idle)
            print(f"  after {a.idle} s of nothing: {show(gateway.looks())}", flush=True)
            if ask_all(gateway, keys, True):
                raise SystemExit("bench: wrong answers after the pause")
        gateway.stop()
    (s0, f0, c0), (s1, f1, c1) = figures[False], figures[True]
    print(f"start: {s1:.2f} s with {a.tenants} policies, {s0:.2f} s without")
    print(f"memory of a tenant's policy: {(f1 - f0) * 1024 / a.tenants:.0f} KiB loaded, {(c1 - c0) * 1024 / a.tenants:.0f} KiB after its calls")


# Chains.


def chain(a, folder):
    gateways = {}
    for length in (0, 1, 2, 4, 8):
        run = Path(folder) / str(length)
        run.mkdir()
        settings = a.settings.replace(";", "\n")
        for number in range(length):
            (run / f"{number}.wasm").write_bytes(sieve(a.sieve, f"chain{number}"))
            settings += f'\n[[policy]]\nname = "p{number}"\nsource = "file:{number}.wasm"\n'
        gateways[length] = Gateway(a, run, settings)
        gateways[length].start()
    try:
        cpu = {length: [] for length in gateways}
        for number in range(a.rounds):
            for length in list(gateways)[:: 1 if number % 2 == 0 else -1]:
                gateway = gateways[length]
                cpu[length].append(throughput(gateway, f"{length} policies", [("sk-bench", "m-good")], a))
        for length, measured in cpu.items():
            added = [mine - none for mine, none in zip(measured, cpu[0])]
            each = f", {statistics.median(added) / length:.2f} us for each policy" if length else ""
            print(f"{length} policies: {statistics.median(measured):.1f} us CPU a call{each}")
    finally:
        for gateway in gateways.values():
            gateway.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["swaps", "tenants", "chain"])
    parser.add_argument("--weir", required=True, help="the program to measure")
    parser.add_argument("--sieve", required=True, help="testing-sieve.wasm, from the folder `policies` of the build")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--connections", type=int, default=8, help="of the load")
    parser.add_argument("--settings", default="", help="added to the settings file; `;` ends a line")
    parser.add_argument("--uploads", type=int, default=1_000)
    parser.add_argument("--activations", type=int, default=10_000)
    parser.add_argument("--tenants", type=int, default=200)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of load for each rate of calls")
    parser.add_argument("--rounds", type=int, default=5, help="of chains")
    parser.add_argument("--idle", type=int, default=75, help="seconds without calls until instances must be gone")
    a = parser.parse_args()
    a.weir, a.sieve = str(Path(a.weir).resolve()), str(Path(a.sieve).resolve())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        {"swaps": swaps, "tenants": tenants, "chain": chain}[a.what](a, folder)


if __name__ == "__main__":
    main()

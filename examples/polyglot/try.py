#!/usr/bin/env python3
"""Runs the policy of this folder, in each language, on a gateway of its own, and checks what callers see.

    try.py --weir target/debug/weir python=python/guard.wasm c=c/guard.wasm …

Starts the gateway on free ports with a fake provider, uploads the components one after the other,
and makes the same calls under each. Ends with 1 where one answers otherwise. Standard library only.
"""

import argparse
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

SETTINGS = """
policies_dir = "{folder}/policies.d"
[[tenant]]
name = "acme"
[[tenant.key]]
name = "free"
secret = "plain:sk-weir-free-0123456789abcdef0123"
labels = {{ plan = "free" }}
[[tenant.key]]
name = "pro"
secret = "plain:sk-weir-pro-0123456789abcdef01234"
labels = {{ plan = "pro" }}
[[channel]]
name = "us"
dialect = "fake"
priority = 9
labels = {{ region = "us" }}
[[channel]]
name = "eu"
dialect = "fake"
labels = {{ region = "eu" }}
[channel.fake]
text = "the secret is out"
[[policy]]
name = "guard"
source = "file:{folder}/guard.wasm"
[policy.config]
open_hour = {open}
close_hour = {close}
exempt_plan = "pro"
denied_models = ["o1*"]
requests_per_minute = {per_minute}
instruction = "Be brief."
region = "eu"
replace = {{ secret = "[redacted]" }}
"""
KEYS = {"free": "sk-weir-free-0123456789abcdef0123", "pro": "sk-weir-pro-0123456789abcdef01234"}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Gateway:
    def __init__(self, weir: str, folder: Path, first: bytes) -> None:
        self.folder, self.base = folder, f"http://127.0.0.1:{free_port()}"
        (folder / "policies.d").mkdir()
        (folder / "guard.wasm").write_bytes(first)
        # Hours that do not contain this one, nor the next, should the clock move on while this runs.
        hour = time.gmtime().tm_hour
        hours = {"open": 16, "close": 24} if hour < 12 else {"open": 0, "close": 8}
        (folder / "weir.toml").write_text(SETTINGS.format(folder=folder, per_minute=10_000, **hours))
        self.log = (folder / "log").open("wb")
        command = [weir, "serve", "--config", str(folder / "weir.toml"), "--data-dir", str(folder / "data")]
        command += ["--listen", self.base.removeprefix("http://")]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env={**os.environ, "RUST_LOG": "info"})
        self.wait()

    def wait(self) -> None:
        for _ in range(1200):
            if self.process.poll() is not None:
                break
            try:
                if (self.folder / "data/admin-key").exists() and self.admin("GET", "/policies")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        sys.exit(f"the gateway did not start:\n{(self.folder / 'log').read_text()[-3000:]}")

    def admin(self, method: str, path: str, body: bytes | None = None, kind: str = "application/wasm"):
        key = (self.folder / "data/admin-key").read_text().strip()
        return request(method, f"{self.base}/admin/v1{path}", key, body, kind)

    def chat(self, key: str, model: str, **more):
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], **more}
        return request("POST", f"{self.base}/v1/chat/completions", KEYS[key], json.dumps(body).encode())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


def request(method, url, key, body=None, kind="application/json"):
    headers = {"authorization": f"Bearer {key}", "content-type": kind}
    asked = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=120) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def streamed_text(body: str) -> str:
    text = ""
    for line in re.findall(r"^data: (\{.*)$", body, re.M):
        for choice in json.loads(line).get("choices", []):
            text += choice.get("delta", {}).get("content") or ""
    return text


def check(gateway: Gateway, language: str) -> list[str]:
    wrong = []

    def expect(what, seen, wanted):
        if seen != wanted:
            wrong.append(f"{language}: {what}: {seen!r}, not {wanted!r}")

    status, body = gateway.chat("pro", "o1-pro")
    expect("a denied model", (status, "model_denied" in body, "`o1-pro` may not" in body), (403, True, True))
    status, body = gateway.chat("free", "gpt-4o")
    expect("outside the hours", (status, "closed" in body), (403, True))
    status, body = gateway.chat("pro", "gpt-4o")
    expect("the exempt plan", status, 200)
    if status == 200:
        # Only the channel of the region answers so; the fake provider counts a token for each word of
        # the prompt, of which the call has one and the instruction two.
        expect("the channel of the region", "secret is out" in body, True)
        expect("tokens with the instruction", json.loads(body)["usage"]["prompt_tokens"], 3)
    status, body = gateway.chat("pro", "gpt-4o", stream=True)
    expect("a stream", (status, streamed_text(body)), (200, "the [redacted] is out"))
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", default="target/debug/weir", help="the gateway's program")
    parser.add_argument("--calls", type=int, default=0, help="so many more calls under each language")
    parser.add_argument("components", nargs="+", metavar="LANGUAGE=FILE")
    given = parser.parse_args()
    components = [one.split("=", 1) for one in given.components]
    wrong = []
    with tempfile.TemporaryDirectory(prefix="weir-polyglot-") as folder:
        gateway = Gateway(given.weir, Path(folder), Path(components[0][1]).read_bytes())
        try:
            for language, file in components:
                wasm, begun = Path(file).read_bytes(), time.monotonic()
                status, body = gateway.admin("PUT", "/policies/guard/versions?approve=true", wasm)
                if status >= 300:
                    wrong.append(f"{language}: the upload was answered with {status}: {body[:2000]}")
                    continue
                took, begun = time.monotonic() - begun, time.monotonic()
                found = check(gateway, language)
                for _ in range(given.calls):
                    status, body = gateway.chat("pro", "gpt-4o")
                    if status != 200:
                        found.append(f"{language}: a call was answered with {status}: {body[:500]}")
                        break
                wrong += found
                told = hooks_micros(gateway, wasm)
                print(f"{language}: {'as expected' if not found else 'NOT as expected'}; {len(wasm)} bytes, "
                      f"in force after {took:.1f} s; microseconds: {told}")
        finally:
            gateway.stop()
            if wrong or os.environ.get("SHOW_LOG"):
                print((Path(folder) / "log").read_text()[-6000:], file=sys.stderr)
    print("\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


def hooks_micros(gateway: Gateway, wasm: bytes) -> str:
    """What each hook took in the last calls, from the ledger."""
    digest, found = hashlib.sha256(wasm).hexdigest(), {}
    for _ in range(50):
        # Calls reach the ledger a little later than their callers are answered.
        for call in json.loads(gateway.admin("GET", "/calls?limit=4")[1])["data"]:
            for one in json.loads(gateway.admin("GET", f"/calls/{call['id']}")[1]).get("decisions", []):
                if one["policy"] == "guard" and digest.startswith(one["digest"]):
                    found.setdefault(one["hook"], one["micros"])
        if "route" in found:
            break
        time.sleep(0.1)
    return ", ".join(f"{hook} {micros}" for hook, micros in found.items()) or "not told"


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""From an empty folder to a policy that decides on a running gateway, with nothing of Weir but its program.

    from-nothing.py --weir target/debug/weir [rust] [go] [js] [ts] [python] [c]

For each language: `weir policy new`, `build`, the project's own test, `weir policy test`, `push --wait` to a gateway
that this starts (with the built-in provider), a call that the policy decides, a change of the source, `push --wait`
again, and the same call decided anew. Prints how long each step took. With --alone it makes a project for each hook
alone instead, and runs its own test: a hook of the template must not lean on another.

The languages' tools are those of the machine and of `guest-sdk/tools.sh`. Ends with 1 where a step failed, with 2 where
only tools were missing. Standard library only.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

HOOKS = ("access", "rewrite", "limit", "answer", "route", "reply", "events", "audit")
SOURCES = {
    "rust": "src/lib.rs", "go": "policy.go", "js": "policy.js", "ts": "policy.ts", "python": "policy.py", "c": "policy.c",
}  # fmt: skip
KEY = "sk-weir-from-nothing-0123456789abcdef"
ADMIN_KEY = "admin-key-from-nothing"
SETTINGS = f"""
default_chain = false
[[tenant]]
name = "acme"
[[tenant.key]]
name = "main"
secret = "plain:{KEY}"
[[channel]]
name = "fake"
dialect = "fake"
"""
#: A machine that runs other tests too compiles an interpreter slowly.
GATEWAY = {"WEIR_ADMIN_KEY": ADMIN_KEY, "WEIR_RUNTIME_COMPILE_TIMEOUT_MS": "300000"}
#: Seconds that one command may take at most: the first build of a language compiles its libraries.
COMMAND_MAX = 900
MISSING = 2


class Failed(Exception):
    """A step did not do what it should; the text says what it said."""


class Missing(Exception):
    """A tool is missing; the text says which, and how to get it."""


def environment() -> dict[str, str]:
    """The environment with the tools of guest-sdk/tools.sh, where they are."""
    found = dict(os.environ)
    cache = found.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    tools = Path(found.get("WEIR_SDK_TOOLS") or f"{cache}/weir/sdk/lang") / "env.sh"
    if tools.is_file():
        told = subprocess.run(["/bin/sh", "-c", f'. "{tools}" && env -0'], capture_output=True, check=True, env=found)
        found |= dict(one.split("=", 1) for one in told.stdout.decode().split("\0") if "=" in one)
    return found


class Gateway:
    """A gateway of its own in a folder, and the calls that are made to it."""

    def __init__(self, weir: str, folder: Path, env: dict[str, str]) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        (folder / "weir.toml").write_text(f'policies_dir = "{folder}/policies.d"\n{SETTINGS}')
        self.log = (folder / "log").open("wb")
        command = [weir, "serve", "--config", str(folder / "weir.toml"), "--data-dir", str(folder / "data"), "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env={**env, **GATEWAY})
        self.base = self._wait()

    def _wait(self) -> str:
        for _ in range(1200):
            if self.process.poll() is not None:
                break
            try:
                base = "http://" + json.loads((self.folder / "data/listening.json").read_text())["listen"]
                with urllib.request.urlopen(f"{base}/readyz", timeout=10):
                    return base
            except (OSError, ValueError, KeyError):
                time.sleep(0.05)
        raise Failed(f"the gateway did not start:\n{self.said()}")

    def said(self) -> str:
        return (self.folder / "log").read_text()[-3000:]

    def chat(self, model: str) -> tuple[int, str]:
        """The status, and the code of the error."""
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}]}).encode()
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        asked = urllib.request.Request(f"{self.base}/v1/chat/completions", body, headers)
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                return answer.status, ""
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())["error"]["code"]

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def run(command: list[str], folder: Path, env: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=env, text=True, capture_output=True, timeout=COMMAND_MAX)
    if done.returncode == MISSING and "policy" in command:
        raise Missing(done.stderr.strip())
    if done.returncode:
        raise Failed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


def own_test(language: str, env: dict[str, str]) -> list[str]:
    """The command in the project's README."""
    return {
        "rust": ["cargo", "test", "--quiet"],
        "go": ["go", "test", "."],
        "js": ["node", "weir-sdk/src/cli.js", "test", "policy.test.js"],
        "ts": ["node", "weir-sdk/src/cli.js", "test", "policy.test.ts"],
        "python": [env.get("PYTHON", "python3"), "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        "c": ["sh", "weir-sdk/testing/run.sh", "policy.c", "test.c"],
    }[language]


class Steps:
    """The steps of one language, timed."""

    def __init__(self) -> None:
        self.took: dict[str, float] = {}

    def time(self, name: str, do, *arguments):
        begun = time.monotonic()
        answer = do(*arguments)
        self.took[name] = self.took.get(name, 0) + time.monotonic() - begun
        return answer


def expect(what: str, seen, wanted) -> None:
    if seen != wanted:
        raise Failed(f"{what}: {seen!r}, not {wanted!r}")


def from_nothing(language: str, weir: str, place: Path, gateway: Gateway, env: dict[str, str], hooks: str) -> Steps:
    name = f"first-{language}"
    project, steps = place / name, Steps()
    env = {**env, "WEIR_ADMIN_URL": gateway.base, "WEIR_ADMIN_KEY": ADMIN_KEY}
    steps.time("new", run, [weir, "policy", "new", "--lang", language, name, "--hooks", hooks], place, env)
    steps.time("build", run, [weir, "policy", "build"], project, env)
    steps.time("own test", run, own_test(language, env), project, env)
    said = steps.time("cases", run, [weir, "policy", "test", f"{name}.wasm", "cases"], project, env)
    expect("failed cases", "FAILED" in said, False)
    config = json.dumps({"denied_models": [f"{language}-*"]})
    push = [weir, "policy", "push", name, f"{name}.wasm", "--wait", "300"]
    said = steps.time("push", run, [*push, "--create", config], project, env)
    expect("what push says", (f"weir policy rollback {name}" in said, "It decides" in said), (True, True))
    model = f"{language}-1"
    expect("a denied model", steps.time("call", gateway.chat, model), (403, "model_denied"))
    expect("another model", steps.time("call", gateway.chat, "gpt-4o"), (200, ""))
    source = project / SOURCES[language]
    source.write_text(source.read_text().replace("model_denied", "model_retired"))
    steps.time("build + swap", run, [weir, "policy", "push", ".", "--wait", "300"], project, env)
    expect("after the swap", steps.time("call", gateway.chat, model), (403, "model_retired"))
    steps.time("rollback", run, [weir, "policy", "rollback", name], project, env)
    expect("after the rollback", steps.time("call", gateway.chat, model), (403, "model_denied"))
    return steps


def alone(language: str, weir: str, place: Path, env: dict[str, str]) -> Steps:
    steps = Steps()
    for hook in HOOKS:
        name = f"only-{hook}"
        run([weir, "policy", "new", "--lang", language, name, "--hooks", hook], place, env)
        project = place / name
        steps.time(hook, run, own_test(language, env), project, env)
        # Rust would build the SDK again for each folder that it lies in.
        shutil.rmtree(project)
    return steps


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", default=os.environ.get("WEIR_BIN", "weir"), help="the program")
    parser.add_argument("--hooks", default="all", help="the hooks of the policies; access must be one")
    parser.add_argument("--alone", action="store_true", help="each hook alone, natively, and no gateway")
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", help=", ".join(SOURCES))
    given = parser.parse_args()
    weir = shutil.which(given.weir)
    if not weir:
        parser.error(f"{given.weir} is no program")
    weir = str(Path(weir).resolve())
    unknown = set(given.languages) - set(SOURCES)
    if unknown:
        parser.error(f"no language is called {', '.join(unknown)}")
    env, ended, table = environment(), 0, {}
    with tempfile.TemporaryDirectory(prefix="weir-from-nothing-") as folder:
        place = Path(folder).resolve()
        gateway = None if given.alone else Gateway(weir, place / "gateway", env)
        try:
            for language in given.languages or SOURCES:
                try:
                    if gateway is None:
                        table[language] = alone(language, weir, place, env)
                    else:
                        table[language] = from_nothing(language, weir, place, gateway, env, given.hooks)
                except Missing as missing:
                    print(f"{language}: skipped\n{missing}", file=sys.stderr)
                    ended = ended or MISSING
                except (Failed, OSError, subprocess.TimeoutExpired) as failed:
                    print(f"{language}: FAILED: {failed}", file=sys.stderr)
                    if gateway:
                        print(gateway.said(), file=sys.stderr)
                    ended = 1
        finally:
            if gateway:
                gateway.stop()
    show(table)
    return ended


def show(table: dict[str, Steps]) -> None:
    if not table:
        return
    names = list(next(iter(table.values())).took)
    print("| seconds | " + " | ".join(names) + " | all |")
    print("| --- |" + " --- |" * (len(names) + 1))
    for language, steps in table.items():
        took = [steps.took.get(name, 0) for name in names]
        print(f"| {language} | " + " | ".join(f"{one:.1f}" for one in [*took, sum(took)]) + " |")


if __name__ == "__main__":
    sys.exit(main())

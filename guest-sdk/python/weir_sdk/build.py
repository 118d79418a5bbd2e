"""Finds out what a policy needs and calls componentize-py. Runs natively only."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ._policy import hooks_of, policy_of

#: The interfaces that a policy may import; each is a module of this package, `log` always there.
IMPORTS = (
    "call", "channels", "clock", "edit", "firewall", "http", "log", "metrics", "models", "secrets", "store",
)  # fmt: skip
WIT = Path(__file__).parent / "wit"
NEEDED = "componentize-py==0.25.1"


class Trouble(Exception):
    """A sentence for the person at the terminal."""


class Missing(Trouble):
    """A tool is missing; the sentence says how to get it."""


@dataclass
class Found:
    """A policy's source and what it needs."""

    source: Path
    module: str
    name: str
    hooks: list[str]
    imports: list[str]
    #: Folders of the packages that it loaded, beside its own and the standard library's.
    packages: list[Path]


def find(policy: str) -> Found:
    """Loads the policy natively, to see its hooks and what it imports."""
    file, _, name = policy.partition(":")
    source = Path(file).resolve()
    if not source.is_file():
        raise Trouble(f"{file}: no such file")
    if not source.stem.isidentifier() or source.stem in ("weir_sdk", "wit_world"):
        raise Trouble(f"{file}: the file's name must do as the name of a module")
    sys.path.insert(0, str(source.parent))
    before = set(sys.modules)
    # A double in a test, in the same process, may have loaded more than this policy does.
    for loaded in IMPORTS:
        sys.modules.pop(f"weir_sdk.{loaded}", None)
        vars(sys.modules["weir_sdk"]).pop(loaded, None)
    try:
        module = importlib.import_module(source.stem)
        kind = policy_of(module, name or None)
    except ModuleNotFoundError as error:
        raise Trouble(f"{file} imports `{error.name}`, which is not there; {sys.executable} -m pip install what it needs") from error
    except (LookupError, AttributeError) as error:
        raise Trouble(str(error)) from error
    finally:
        sys.path.remove(str(source.parent))
    hooks = hooks_of(kind)
    if not hooks:
        raise Trouble(f"{kind.__name__} overrides no hook of Policy")
    imports = [one for one in IMPORTS if one == "log" or f"weir_sdk.{one}" in sys.modules]
    packages = _packages(set(sys.modules) - before, source.parent)
    return Found(source, source.stem, kind.__name__, hooks, imports, packages)


def _packages(loaded: set[str], own: Path) -> list[Path]:
    """Where the installed packages among these modules are, so that componentize-py finds them too."""
    sdk, stdlib = Path(__file__).parent, Path(sysconfig.get_path("stdlib"))
    found: list[Path] = []
    for name in sorted({name.partition(".")[0] for name in loaded} - sys.stdlib_module_names):
        top = sys.modules.get(name)
        file = Path(getattr(top, "__file__", None) or __file__).resolve()
        # The folder that is on the path is the one above a package, and the one around a single module.
        folder = file.parent.parent if hasattr(top, "__path__") else file.parent
        known = (own.resolve(), sdk.parent.resolve(), stdlib.resolve(), *found)
        if folder not in known and sdk.resolve() not in (folder, *folder.parents):
            found.append(folder)
    return found


def version() -> str:
    """The version of the interface that this SDK builds against."""
    for line in (WIT / "policy.wit").read_text().splitlines():
        if line.startswith("package weir:policy@"):
            return line.removeprefix("package weir:policy@").rstrip(";")
    raise Trouble(f"{WIT}: no package weir:policy there")


def world(hooks: list[str], imports: list[str]) -> str:
    """The world of a policy with these hooks and imports."""
    at = version()
    lines = ["package weir:build;", "world weir-policy {", f"  import weir:policy/types@{at};"]
    lines += [f"  import weir:policy/{one}@{at};" for one in imports]
    lines += [f"  export weir:policy/{one}@{at};" for one in ("lifecycle", *hooks)]
    return "\n".join([*lines, "}", ""])


def tool() -> str:
    """Where componentize-py is: beside this Python, else on the path."""
    beside = Path(sysconfig.get_path("scripts")) / "componentize-py"
    found = str(beside) if beside.is_file() else shutil.which("componentize-py")
    if found:
        return found
    raise Missing(f"componentize-py is missing: {sys.executable} -m pip install {NEEDED}")


def build(found: Found, output: Path | None, more_imports: list[str], *, wasi: bool) -> Path:
    """Makes the component and returns where it is."""
    unknown = [one for one in more_imports if one not in IMPORTS]
    if unknown:
        raise Trouble(f"no import is called {unknown[0]}; there are: {', '.join(IMPORTS)}")
    target = (output or found.source.with_suffix(".wasm")).resolve()
    imports = [one for one in IMPORTS if one in found.imports or one in more_imports]
    with tempfile.TemporaryDirectory(prefix="weir-") as folder:
        place = Path(folder)
        (place / "wit/deps/weir-policy").mkdir(parents=True)
        shutil.copy(WIT / "policy.wit", place / "wit/deps/weir-policy/policy.wit")
        (place / "wit/world.wit").write_text(world(found.hooks, imports))
        (place / "app").mkdir()
        (place / "app/weir_component.py").write_text(_APP.format(module=found.module, name=found.name))
        command = [tool(), "-q", "-d", str(place / "wit"), "-w", "weir-policy", "componentize"]
        command += [] if wasi else ["--stub-wasi"]
        for path in (place / "app", found.source.parent, Path(__file__).parent.parent, *found.packages):
            command += ["-p", str(path)]
        command += ["weir_component", "-o", str(place / "made.wasm")]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise Trouble(f"componentize-py failed:\n{done.stdout}")
        # Beside the target and then renamed, so that a gateway which watches it never sees half a file.
        next_to = target.with_name(target.name + ".new")
        shutil.copy(place / "made.wasm", next_to)
        os.replace(next_to, target)
    return target


_APP = """\
import {module}
from weir_sdk._glue import exports

globals().update(exports({module}.{name}))
"""

"""`python -m weir_sdk build FILE.py`: from a policy to a component."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import build


def main(arguments: list[str] | None = None) -> int:
    """The command line; the result is the exit code."""
    parser = argparse.ArgumentParser(prog="python -m weir_sdk", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("build", help="make a component")
    show = commands.add_parser("show", help="print the hooks and imports that a component would have")
    for command in (make, show):
        command.add_argument("policy", help="FILE.py or FILE.py:CLASS")
    make.add_argument("-o", "--output", type=Path, help="default: FILE.wasm beside the source")
    make.add_argument("--imports", help="more imports than those loaded at the top, comma-separated")
    make.add_argument("--wasi", action="store_true", help="keep WASI (stdout, random, clocks) instead of trapping stubs")
    given = parser.parse_args(arguments)
    try:
        if given.command == "build":
            # Before anything is run: what is missing is said at once.
            build.tool()
        found = build.find(given.policy)
        print(f"hooks: {', '.join(found.hooks)}; imports: {', '.join(found.imports)}")
        if given.command == "build":
            more = [one for one in (given.imports or "").split(",") if one]
            made = build.build(found, given.output, more, wasi=given.wasi)
            print(f"{made}: {made.stat().st_size} bytes")
    except build.Trouble as trouble:
        print(f"weir_sdk: {trouble}", file=sys.stderr)
        return 2 if isinstance(trouble, build.Missing) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

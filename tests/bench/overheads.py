#!/usr/bin/env python3
"""The medians that criterion has just measured, as one table beside what they are meant to be.

Reads what `cargo bench` left in a folder `criterion` (`--criterion`); a bench that is meant to stay under something
says so in its name, `(at most 1 us)`. Prints and never fails: on a busy machine figures are only figures.
"""

import argparse
import json
import re
import time
from pathlib import Path

GOAL = re.compile(r" \(at most ([0-9.]+) us\)")
CALLS = re.compile(r"a call, (\d+|no) decisions?$")
RECORD_MAX_US = 2.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--criterion", required=True, help="the folder `criterion` of the build")
    parser.add_argument("--hours", type=float, default=2.0, help="older results are left out")
    a = parser.parse_args()
    medians = {}
    for file in sorted(Path(a.criterion).glob("*/new/estimates.json"), key=lambda file: file.stat().st_mtime):
        if file.stat().st_mtime > time.time() - a.hours * 3600:
            title = json.loads((file.parent / "benchmark.json").read_text())["title"]
            medians[title] = json.loads(file.read_text())["median"]["point_estimate"] / 1e3
    rows = []
    for title, median in medians.items():
        goal = GOAL.search(title)
        rows.append((GOAL.sub("", title), median, float(goal[1]) if goal else None))
    calls = {int(found[1].replace("no", "0")): us for title, us in medians.items() if (found := CALLS.match(title))}
    for decisions in sorted(calls):
        if decisions and 0 in calls:
            name = f"what {decisions} recorded decision{'s' * (decisions > 1)} add to a call"
            rows.append((name, calls[decisions] - calls[0], RECORD_MAX_US))
    if not rows:
        print("overheads: nothing was measured")
        return
    width = max(len(name) for name, _, _ in rows)
    print(f"{'processor time, median':{width}}  {'us':>8}  meant to be")
    for name, median, goal in rows:
        word = "" if goal is None else f"at most {goal:g}" + ("" if median <= goal else "  MISSED")
        print(f"{name:{width}}  {median:8.3f}  {word}".rstrip())


if __name__ == "__main__":
    main()

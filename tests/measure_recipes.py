"""The time and the lines that the recipes of docs/adding-a-*.md take: ``python -m tests.measure_recipes``."""

import tempfile
import time
from pathlib import Path

from tests.support.recipes import FETCHING, PAGES, commands, copy_checkout, follow, run


def measure(page):
    """Follow a page in a checkout of its own, and print a row for each way that it has."""
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder)
        copy_checkout(checkout)
        written = follow(page, checkout)
        fetching = {name: lines for name, lines in written.items() if name == FETCHING}
        ways = {f"{page}, a program": (fetching, lambda one: FETCHING in one)} if fetching else {}
        ways[page] = (
            {name: lines for name, lines in written.items() if name != FETCHING},
            lambda one: FETCHING not in one,
        )
        for way, (files, belongs) in ways.items():
            seconds = {"tests": 0.0, "run": 0.0}
            for command in filter(belongs, commands(page)):
                begun = time.perf_counter()
                run(command, checkout)
                seconds["tests" if "pytest " in command else "run"] += time.perf_counter() - begun
            tests = f"{seconds['tests']:.0f}" if seconds["tests"] else "–"
            print(f"| {way} | {len(files)} | {sum(files.values())} | {tests} | {seconds['run']:.0f} |", flush=True)


if __name__ == "__main__":
    print("Recipes\n| | files | lines | tests (s) | run (s) |\n|---|---|---|---|---|", flush=True)
    for one in PAGES:
        measure(one)

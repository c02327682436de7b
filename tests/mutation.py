"""Mutation tests of the mathematics: `make test-mutants`.

One sign, bound, order, constant or logical operator of a module is changed, and the tests of that module have to fail.
A mutant that they do not notice has survived: a test is missing, or the change means nothing. No file is changed: each
mutant is loaded by a process of its own, forked from one that has loaded the libraries.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import resource
import signal
import sys
import time
from collections import Counter
from importlib.machinery import SourceFileLoader
from pathlib import Path

from tests.support import ROOT
from tests.support.mutants import KINDS, Mutant, changed, mutants

# The networks and what needs a trained one are left out: their tests are in other rooms, and take minutes.
MODULES = {
    "registration": (
        "detail", "fields", "filters", "frames", "gauss_newton", "group_mean", "half_way", "interpolation",
        "like_to_like", "likeness", "losses", "mean_image", "meeting", "pose", "posed_flow", "refinement",
        "rotation_search", "unfolding", "views", "wavelets",
    ),
    "imaging": ("affine_geometry", "displacements", "resampling", "transform_chain"),
    "scoring": (
        "changed_rows", "comparisons", "evaluation", "hausdorff", "jacobian", "landmarks", "overlap", "pair",
        "pair_metrics", "pose_consistency", "ranking", "resampling", "shown_change", "shown_pairs", "statistics",
    ),
}  # fmt: skip
LIBRARIES = ("pytest", "torch", "numpy", "scipy.ndimage", "scipy.spatial", "scipy.optimize", "nibabel", "pandas")
OPTIONS = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
GRACE = 60  # seconds of the CPU; a mutant that computes for so much longer than all tests take has been noticed


def names() -> list[str]:
    """Return the modules as ``room/module``."""
    return [f"{room}/{module}" for room, modules in MODULES.items() for module in modules]


def source_file(module: str) -> Path:
    return ROOT / "smgicnet" / f"{module}.py"


def files_of_tests(module: str) -> list[str]:
    """Return the test files of a module, its own first: those of its room that import it, or else what imports it."""
    room, _, name = module.partition("/")
    among = sorted((ROOT / "tests" / room).glob("test_*.py"), key=lambda path: (path.stem != f"test_{name}", path))
    users = [path.stem for path in (ROOT / "smgicnet" / room).glob("*.py") if _imports(path, name)]
    direct = [path for path in among if path.stem == f"test_{name}" or _imports(path, name)]
    return [str(path) for path in direct or among if direct or any(_imports(path, user) for user in users)]


def _imports(path: Path, name: str) -> bool:
    return bool(re.search(rf"\b{name}\b[^\n]* import |import [^\n]*\b{name}\b", path.read_text()))


def sample(found: list[Mutant], number: int | None, seed: int) -> list[Mutant]:
    """Return so many mutants, as many of each kind as there are, or all of them."""
    ordered = sorted(found, key=lambda mutant: mutant.rank(seed))
    if number is None:
        return ordered
    by_kind = [[mutant for mutant in ordered if mutant.kind == kind] for kind in KINDS]
    deepest = max(map(len, by_kind), default=0)
    return [kind[place] for place in range(deepest) for kind in by_kind if place < len(kind)][:number]


def in_a_process(files: list[str], mutant: Mutant | None, cpu_s: int) -> tuple[int, float]:
    """Run tests with a mutant, or without one; return the wait status and seconds of the CPU."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 5))
            silence = os.open(os.devnull, os.O_RDWR)
            for stream in range(3):
                os.dup2(silence, stream)
            if mutant:
                _replace(source_file(mutant.module), mutant.number)
            code = int(importlib.import_module("pytest").main([*OPTIONS, *files]))
        finally:
            os._exit(code)
    _, status, usage = os.wait4(pid, 0)
    return status, usage.ru_utime + usage.ru_stime


def _replace(file: Path, number: int) -> None:
    """Let this process load a mutant instead of a module."""
    tree, load = changed(file.read_text(), number), SourceFileLoader.get_code

    def get_code(self: SourceFileLoader, fullname: str) -> object:
        return compile(tree, str(file), "exec") if Path(self.path) == file else load(self, fullname)

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]


def seconds_without(drawn: list[Mutant]) -> int:
    """Return what the tests of all these modules compute without any mutant; they have to pass."""
    files = sorted({file for mutant in drawn for file in files_of_tests(mutant.module)})
    status, seconds = in_a_process(files, None, 3600)
    if status:
        sys.exit(f"These tests fail without any mutant: {' '.join(files)}")
    print(f"{len(files)} files of tests pass in {seconds:.0f} s without any mutant", flush=True)
    return int(seconds)


def result_of(mutant: Mutant, cpu_s: int) -> str:
    """Return ``survived``, or how a mutant was noticed: ``killed`` by a test or ``timeout``."""
    status, _ = in_a_process(files_of_tests(mutant.module), mutant, cpu_s)
    if os.WIFSIGNALED(status):
        return "timeout" if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL) else "killed"
    return "killed" if os.WEXITSTATUS(status) else "survived"


def report(results: dict[Mutant, str]) -> float:
    """Print how many mutants of each kind were noticed and which were not; return the percentage noticed."""
    total, left = Counter(mutant.kind for mutant in results), [m for m, how in results.items() if how == "survived"]
    survived = Counter(mutant.kind for mutant in left)
    print("\n| kind | mutants | noticed |\n|---|---|---|")
    for kind in KINDS:
        print(f"| {kind} | {total[kind]} | {total[kind] - survived[kind]} |")
    percent = 100 * (len(results) - len(left)) / max(len(results), 1)
    timeouts = sum(how == "timeout" for how in results.values())
    print(
        f"\n{len(results) - len(left)} of {len(results)} mutants were noticed, {timeouts} by a timeout: {percent:.0f} %"
    )
    print(*(f"survived: {mutant}" for mutant in left), sep="\n")
    return percent


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", help="such as registration/fields; by default all of the list")
    parser.add_argument("--number", type=int, default=80, help="how many mutants are drawn (80)")
    parser.add_argument("--all", action="store_true", help="every mutant: hours")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (0)")
    parser.add_argument("--at-least", type=float, default=0, help="fail if fewer percent are noticed")
    parser.add_argument("--list", action="store_true", help="print the mutants that are drawn, and run nothing")
    arguments = parser.parse_args()
    if unknown := {*arguments.modules} - {*names()}:
        parser.error(f"no module of the list: {', '.join(sorted(unknown))}; these are: {', '.join(names())}")
    return arguments


def main() -> int:
    arguments = parsed()
    found = [m for name in arguments.modules or names() for m in mutants(name, source_file(name).read_text())]
    drawn = sample(found, None if arguments.all else arguments.number, arguments.seed)
    print(f"{len(drawn)} of {len(found)} mutants", flush=True)
    if arguments.list:
        print(*drawn, sep="\n")
        return 0
    os.chdir(ROOT)
    for library in LIBRARIES:
        importlib.import_module(library)
    results, limit = {}, seconds_without(drawn) + GRACE
    for mutant in drawn:
        begun = time.monotonic()
        results[mutant] = result_of(mutant, limit)
        print(f"{results[mutant]:8} {time.monotonic() - begun:4.0f} s  {mutant}", flush=True)
    return int(report(results) < arguments.at_least)


if __name__ == "__main__":
    sys.exit(main())

"""What a laboratory's commands take: whole processes on one pair of heads or brains, one after the other.

``python -m benchmarks.commands FIXED MOVING OUT``: ``register`` in its qualities and transforms, to a template, with
all forms of results, and ``apply`` of what it wrote; CPU and wall seconds and peak memory, as a Markdown table.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.programs import measured
from smgicnet.core.provenance import hardware

CLI = [sys.executable, "-m", "smgicnet.cli"]


def commands(fixed: Path, moving: Path, out: Path) -> dict[str, list[str]]:
    """The command line of each row, without the program's name."""
    pair = ["register", "--fixed", str(fixed), "--moving", str(moving), "--out"]
    field = ["-t", str(out / "default" / "displacement.nii.gz"), "--to", str(fixed), "--out"]
    applied = ["apply", str(moving), *field]
    rows = {
        f"register --quality {one}": [*pair, str(out / one), "--quality", one] for one in ("fast", "default", "best")
    }
    rows |= {f"register --transform {one}": [*pair, str(out / one), "--transform", one] for one in ("rigid", "affine")}
    to_mni = ["register", "--to", "mni", "--moving", str(moving), "--out", str(out / "mni")]
    every = ["--jacobian", "--format", "itk", "fsl", "h5", "lta"]
    rows["register --to mni"] = to_mni
    rows["register --jacobian --format itk fsl h5 lta"] = [*pair, str(out / "every"), *every]
    rows |= {
        f"apply -n {one}": [*applied, str(out / f"applied-{one}.nii.gz"), "-n", one]
        for one in ("linear", "cubic", "lanczos")
    }
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fixed", type=Path)
    parser.add_argument("moving", type=Path)
    parser.add_argument("out", type=Path, help="a folder for the results")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(
        f"On {hardware()}, {arguments.threads} threads.\n\n| command | CPU s | s | MiB |\n|---|---|---|---|", flush=True
    )
    for name, command in commands(arguments.fixed, arguments.moving, arguments.out).items():
        taken = measured([*CLI, *command], arguments.threads, arguments.out / "log.txt")
        print(f"| `{name}` | {taken['cpu_s']:.0f} | {taken['wall_s']:.0f} | {taken['memory_mib']:.0f} |", flush=True)


if __name__ == "__main__":
    main()

"""How long ``snakemake -n`` takes for large studies: ``python -m benchmarks --parts dag``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from smgicnet.methods import METHODS

ROOT = Path(__file__).parents[1]
PROGRAMS = ("greedy", "fireants", "convexadam", "elastix", "antspyx", "antspyx-quick", "antspyx-default")


def two_cohorts(folder: Path) -> dict:
    """Return the config of two cohorts of 360 with 60 test subjects each, whose files are empty, and ten methods."""
    methods = {kind: {"type": kind} for kind in METHODS if kind != "command"}  # in the arms where they run
    methods |= {f"variant-{n}": {"type": "smgicnet", "label": f"variant {n}"} for n in range(10 - len(methods))}
    rows = ["subject\timage\tlabels\tsplit"]
    for number, split in enumerate(["train"] * 280 + ["val"] * 20 + ["test"] * 60):
        files = [f"s{number:03d}_{kind}.nii.gz" for kind in ("image", "labels")]
        for file in files:
            (folder / file).touch()
        rows.append("\t".join([f"s{number:03d}", *files, split]))
    (folder / "participants.tsv").write_text("\n".join(rows) + "\n")
    dataset = {"source": {"kind": "participants", "path": "participants.tsv"}}
    return {"datasets": {"first": dataset, "second": dataset}, "methods": methods}


def ten_thousand_pairs(_: Path) -> dict:
    """Return the config of 142 test subjects, whose pairs are registered by twelve methods: most are programs."""
    source = {"kind": "phantom", "subjects": {"train": 2, "val": 0, "test": 142}}
    methods = {
        "initial": {"type": "initial", "arms": ["raw"]},
        "plus": {"type": "smgicnet", "label": "plus", "weights": "brain-t1-4mm"},
        "syn": {"type": "syn"},
    }
    methods |= {name: {"type": "command", "program": name} for name in PROGRAMS}
    own = {"type": "command", "command": "x {fixed} {moving} {out}", "transforms": ["t.txt"]}
    methods |= {f"own-{n}": {**own, "label": f"own {n}"} for n in range(12 - len(methods))}
    return {
        "datasets": {"large": {"source": source, "grid": {"shape": [48, 48, 48], "spacing": 4.0}}},
        "methods": methods,
        "evaluation": {"reference": {"method": "plus"}, "robustness": {"pairs": 0}, "keep_fields": False},
    }


STUDIES: dict[str, Callable[[Path], dict]] = {
    "two cohorts of 360, ten methods, 1,770 pairs each": two_cohorts,
    "142 test subjects, twelve methods, 10,011 pairs": ten_thousand_pairs,
}


def planned(study: Callable[[Path], dict]) -> tuple[int, float, float]:
    """Return the number of jobs that a dry run plans, and the seconds and CPU seconds that it takes."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "config.yaml").write_text(yaml.safe_dump(study(Path(name))))
        command = [sys.executable, "-m", "snakemake", "-n", "--configfile", "config.yaml"]
        command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", name]
        start, before = time.perf_counter(), os.times()
        plan = subprocess.run(command, check=True, cwd=name, capture_output=True, text=True)
        seconds, after = time.perf_counter() - start, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    jobs = next(line.split()[-1] for line in reversed(plan.stdout.splitlines()) if line.startswith("total"))
    return int(jobs), seconds, cpu


def bench_dag() -> None:
    """Print what `planned` finds of each of `STUDIES`."""
    print("\nDAG by `snakemake -n`\n| | jobs | s | CPU s |\n|---|---|---|---|")
    for name, study in STUDIES.items():
        jobs, seconds, cpu = planned(study)
        print(f"| {name} | {jobs} | {seconds:.1f} | {cpu:.1f} |", flush=True)

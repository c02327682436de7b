"""What a run will cost, before anything of it runs: jobs, hours, disk. ``smgicnet plan`` prints it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import pandas as pd

from smgicnet.cohort.participants import shards
from smgicnet.cohort.sources import plan_cohort
from smgicnet.commands.dry_run import PlannedJob, dry_run, makespan
from smgicnet.config.blocks import own_settings, stage_block
from smgicnet.config.building import build
from smgicnet.config.completion import load
from smgicnet.core.provenance import hardware, write_text
from smgicnet.jobs.costs import COSTS, Layout, pair_seconds, read_costs
from smgicnet.methods.stage import Stage

log = logging.getLogger(__name__)
# Seconds of work by rule, where it depends on neither method nor grid much. Measured on the default config, but for the
# tools of other authors, which are guesses until they have run.
WORK = {"render_phantom": 1.5, "render_label_map": 4, "extract_scan": 1, "extract_labelled_scan": 1, "preprocess": 0.3}
WORK |= {"extract_brain": 10, "correct_bias": 30, "segment": 300, "audit": 4, "choose_pairs": 1, "plot_pairs": 3}
WORK |= {"plot_scores": 3, "plot_training": 2, "write_page": 2, "fetch_archive": 600, "plot_ablations": 1}
WITH_TORCH = ("render_phantom", "train_level", "register", "choose_pairs", "audit", "align")
GUESSED = ("extract_brain", "segment", "fetch_archive")


@dataclass(frozen=True)
class Starts:
    """Seconds until a job's own work begins: of the programs that load torch, and of the others."""

    torch: float
    other: float


class Costs:
    """Seconds by dataset and method: of past runs where there are any, of a calibration where there are none.

    `measure` calibrates what is missing and writes it to `COSTS`, which the workflow reads too.
    """

    def __init__(self, config: Mapping, results: Path = Path("results")):
        self._config, self._results = config, results
        self.found = {"step_seconds": {}, "pair_seconds": {}, **read_costs(results / Path(COSTS).name)}
        self.measured_now: list[str] = []

    def measure(self) -> None:
        """Fill in what is not known; takes a minute or more for each method that is new."""
        for dataset, block in self._config["datasets"].items():
            for name, method in self._config["methods"].items():
                if "published" in method and not Path(method["published"]["file"]).is_file():
                    continue
                past = self._past_steps(dataset, name), self._past_pair(dataset, name)
                self._fill(dataset, name, method, block["grid"], past)
            if any("affine" in method["arms"] for method in self._config["methods"].values()):
                self._fill_alignment(dataset, block["grid"])
        self.found["hardware"] = hardware()
        write_text(self._results / Path(COSTS).name, json.dumps(self.found, indent=2) + "\n")

    def _fill(self, dataset: str, name: str, method: Mapping, grid: Mapping, past: tuple) -> None:
        steps = self.found["step_seconds"].setdefault(dataset, {})
        pairs = self.found["pair_seconds"].setdefault(dataset, {})
        trained = method["stages"] and not method["weights"]
        known = steps.get(name, []) if past[0] is None else past[0]
        if trained and len(known) != len(method["stages"]):
            from smgicnet.commands import calibration

            self._say(dataset, name)
            known = calibration.step_seconds(method, tuple(grid["shape"]))
        if trained:
            steps[name] = known
        if past[1] is not None:
            pairs[name] = past[1]
        elif name not in pairs:
            from smgicnet.commands import calibration

            self._say(dataset, name)
            pairs[name] = calibration.pair_seconds(method, tuple(grid["shape"]), grid["spacing"])

    def _fill_alignment(self, dataset: str, grid: Mapping) -> None:
        pairs = self.found["pair_seconds"][dataset]
        if "affine" in pairs:
            return
        from smgicnet.commands import calibration
        from smgicnet.preparation.affine import AffineConfig, choose_engine

        self._say(dataset, "affine")
        engine = choose_engine(self._config["affine"]["engine"], conda=False)[0]
        affine = AffineConfig(engine, self._config["affine"]["search_degrees"])
        pairs["affine"] = calibration.alignment_seconds(affine, tuple(grid["shape"]), grid["spacing"])

    def _say(self, dataset: str, name: str) -> None:
        if not self.measured_now:
            log.info("a calibration, for what has not run here yet: minutes, many on large grids without a GPU")
        self.measured_now.append(f"{dataset}/{name}")

    def _past_steps(self, dataset: str, name: str) -> list[float] | None:
        """Of the last training of each stage with the same settings, or None unless there is one of every stage."""
        method, found = self._config["methods"][name], []
        for stage in range(1, len(method["stages"]) + 1):
            settings = own_settings(stage_block(method, stage))
            pattern = f"{dataset}/*/{name}/seed-*/level-{stage}/training.json"
            for path in self._results.glob(pattern):
                record = json.loads(path.read_text())
                if record["iterations"] and _equal_settings(own_settings(record["method"]), settings):
                    found.append(record["seconds"] / record["iterations"])
                    break
        return found if found and len(found) == len(method["stages"]) else None

    def _past_pair(self, dataset: str, name: str) -> float | None:
        """Of all jobs that registered all of their pairs with this method, start included; None if there are none."""
        seconds = pairs = 0
        for path in self._results.glob(f"{dataset}/*/{name}/seed-*/shards/*/registration.json"):
            record, times = json.loads(path.read_text()), path.with_name("benchmark.tsv")
            if record.get("registered") and record["registered"] == record["pairs"] and times.is_file():
                seconds += pd.read_csv(times, sep="\t")["s"].iloc[0]
                pairs += record["pairs"]
        return seconds / pairs if pairs else None


def _equal_settings(one: Mapping, other: Mapping) -> bool:
    """Whether two methods cost the same a step: how often they save and validate is no matter."""

    def cost(settings: Mapping) -> dict:
        training = settings.get("training", {})
        return {**settings, "training": [training.get("batch_size"), training.get("precision", "float32")]}

    return cost(one) == cost(other)


class Estimate:
    """Seconds of every job of a plan."""

    def __init__(self, config: Mapping, costs: Mapping, starts: Starts, minutes: float):
        self._config, self._costs, self._starts = config, costs, starts
        self._cohorts = {
            name: plan_cohort(block, f"results/{name}/cohort") for name, block in config["datasets"].items()
        }
        self._layouts = {
            name: Layout(f"results/{name}/cohort/shards.json", config["evaluation"]["shard_size"])
            for name in self._cohorts
        }
        self._minutes = minutes

    def seconds(self, job: PlannedJob) -> float:
        """Of a job from its start to its end, on its threads or its GPU."""
        start = self._starts.torch if job.rule.startswith(WITH_TORCH) else self._starts.other
        dataset, method = (job.wildcards.get(key) for key in ("dataset", "method"))
        if job.rule == "train_level":
            return start + self._training(dataset, method, int(job.wildcards["level"]))
        if job.rule in ("register_shard", "register_shard_on_cpu", "align_pairs"):
            return start + self.pairs(job) * self._pair(dataset, method or "affine")
        if job.rule in ("register_shown", "register_shown_on_cpu"):
            return start + len(self._config["evaluation"]["figure_pairs"]) * self._pair(dataset, method)
        if job.rule == "align_subject":
            return start + self._pair(dataset, "affine") / 2
        return start + WORK.get(job.rule, 0.5)

    def count(self, dataset: str, split: str) -> int:
        """Subjects of a split."""
        return int((self._cohorts[dataset]["split"] == split).sum())

    def _method(self, name: str) -> tuple[str, Mapping]:
        """A method and its block; a variant costs what the model does that it varies."""
        variants = self._config["ablations"]["variants"]
        block = variants[name]["method"] if name in variants else self._config["methods"][name]
        return (self._config["ablations"]["method"] if name in variants else name), block

    def _pair(self, dataset: str, name: str) -> float:
        grid = self._config["datasets"][dataset]["grid"]
        name = name if name == "affine" else self._method(name)[0]
        return pair_seconds(name, {"pair_seconds": 10}, dataset, grid, self._costs)

    def pairs(self, job: PlannedJob) -> int:
        """Pairs of a job that registers or aligns a part of a cohort's."""
        dataset, name = job.wildcards["dataset"], job.wildcards.get("method", "affine")
        table = self._cohorts[dataset]
        names = table.index[table["split"] == "test"].tolist()
        size = self._layouts[dataset].pairs(name, self._pair(dataset, name), self._minutes)
        return len(shards(names, size)[int(job.wildcards["shard"])])

    def _training(self, dataset: str, name: str, level: int) -> float:
        of, block = self._method(name)
        steps = self._costs["step_seconds"][dataset][of]
        train, validate = self.count(dataset, "train"), self.count(dataset, "val")
        stage = build(Stage, block["stages"][level - 1])
        iterations = stage.length(train * (train - 1), block["training"]["batch_size"])
        validations = iterations // block["training"]["validate_every"] + 1
        once = validate * (validate - 1) / 2 * self._pair(dataset, name)
        return iterations * steps[min(level, len(steps)) - 1] + validations * once


def disk_bytes(config: Mapping, estimate: Estimate, jobs: Sequence[PlannedJob]) -> int:
    """About how much the results take: images, fields, weights, histories, metrics."""
    total = 0
    for job in jobs:
        block = config["datasets"].get(job.wildcards.get("dataset"), None)
        if block is None:
            continue
        voxels = prod(block["grid"]["shape"])
        if job.rule in ("preprocess", "align_subject"):
            total += 3 * voxels
        elif job.rule == "render_phantom":
            total += 8 * prod(block["source"]["shape"])
        elif job.rule in ("extract_brain", "correct_bias", "segment", "render_label_map", "extract_scan"):
            total += 15_000_000  # compressed scans of 1 mm
        elif job.rule == "train_level":
            total += 3_000_000
        elif job.rule.startswith("register_shard"):
            total += 25_000 * estimate.pairs(job)
        elif job.rule.startswith("register_shown"):
            total += 2 * len(config["evaluation"]["figure_pairs"]) * 12 * voxels
        elif job.rule in ("write_page", "write_quality_page"):
            total += 2_000_000
    return total


def measure_starts() -> Starts:
    """How long Python takes to be ready for work, with torch and without."""

    def once(code: str) -> float:
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - begun

    return Starts(once("import smgicnet.jobs.register"), once("import smgicnet.preparation.preprocessing"))


def plan(
    configfile: Path, *, snakefile: Path, cores: int, targets: Sequence[str] = (), job_minutes: float = 20
) -> dict[str, float]:
    """Print what a run of ``targets`` would cost now; returns the totals.

    Keys: ``jobs``, ``seconds`` (wall clock on this machine with so many cores), ``cpu_hours``, ``gpu_hours`` (of jobs
    that ask for a GPU, on the processor where there is none), ``gigabytes``. Raises `InputError` for a config that
    cannot be planned.
    """
    config = load(configfile)
    costs = Costs(config)
    costs.measure()
    jobs = dry_run(configfile, snakefile, cores, targets)
    estimate = Estimate(config, costs.found, measure_starts(), job_minutes)
    rows: dict[str, list[float]] = defaultdict(lambda: [0, 0.0, 0.0, 0.0])
    for job in jobs:
        seconds = estimate.seconds(job)
        row = rows[job.rule]
        row[0] += 1
        row[1] += seconds
        row[3 if job.gpus else 2] += seconds * (1 if job.gpus else min(job.threads, cores))
    on_gpu = sum(row[3] for row in rows.values())
    totals = {
        "jobs": len(jobs),
        "seconds": makespan(jobs, estimate.seconds, cores),
        "cpu_hours": sum(row[2] for row in rows.values()) / 3600,
        "gpu_hours": on_gpu / 3600,
        "gigabytes": disk_bytes(config, estimate, jobs) / 1e9,
    }
    _print(configfile, rows, totals, costs, cores)
    return totals


def _print(configfile: Path, rows: Mapping, totals: Mapping, costs: Costs, cores: int) -> None:
    source = "a calibration" if costs.measured_now else "what was measured before"
    print(f"What {configfile} has still to run, by {source} on {hardware()}:\n")
    if not totals["jobs"]:
        print("nothing: all is there.")
        return
    gpu = "GPU" in hardware() or "NVIDIA" in hardware()
    print(f"{'job':24}{'jobs':>7}{'each':>10}{'CPU hours':>12}{'GPU hours' if gpu else 'GPU hours*':>12}")
    for rule, (count, seconds, cpu, on_gpu) in sorted(rows.items(), key=lambda item: -item[1][1]):
        each = duration(seconds / count) + ("?" if rule in GUESSED else "")
        print(f"{rule:24}{count:>7,}{each:>10}{_hours(cpu / 3600):>12}{_hours(on_gpu / 3600):>12}")
    print(f"{'all':24}{totals['jobs']:>7,}{'':>10}{_hours(totals['cpu_hours']):>12}{_hours(totals['gpu_hours']):>12}\n")
    print(f"on this machine, {cores} cores and one job at a time that wants a GPU: about {duration(totals['seconds'])}")
    print(f"disk: about {totals['gigabytes']:.1f} GB, without what is downloaded")
    if not gpu:
        print("* there is no GPU here: hours of these jobs on this processor, not of a GPU")
    if any(rule in GUESSED for rule in rows):
        print("? not measured here: a guess")
    print(f"measured costs: {COSTS}; the workflow sizes its jobs by them")


def duration(seconds: float) -> str:
    """In words: 40 s, 12 min, 3.5 h, 12 days."""
    for unit, length in (("days", 172_800), ("h", 7200), ("min", 120)):
        if seconds >= length:
            value = seconds / {"days": 86_400, "h": 3600, "min": 60}[unit]
            return f"{value:.1f} {unit}" if value < 10 else f"{value:,.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _hours(hours: float) -> str:
    return "-" if not hours else f"{hours:,.3f}" if hours < 1 else f"{hours:,.1f}" if hours < 100 else f"{hours:,.0f}"

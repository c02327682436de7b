"""The costs of a config's methods on this machine: by past runs where there are any, else by a calibration."""

from __future__ import annotations

import glob
import json
import logging
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from smgicnet.config.blocks import own_settings, stage_block
from smgicnet.core.layout import BENCHMARK, SHARD_RECORD, costs_file
from smgicnet.core.provenance import hardware, write_text
from smgicnet.jobs.study import ALIGNMENTS, Study
from smgicnet.methods import GIVEN, OUTSIDE

log = logging.getLogger(__name__)


class MeasuredCosts:
    """Seconds by dataset and method.

    `measure` calibrates what is missing and writes all to ``results/costs.json``, which a study reads.
    """

    def __init__(self, study: Study):
        self._study = study
        self.found: dict = {"step_seconds": {}, "pair_seconds": {}, **study.measured}
        self.measured_now: list[str] = []

    def measure(self) -> None:
        """Measure the costs that are not known, which takes a minute or more for each new method."""
        for dataset, block in self._study.datasets.items():
            for name, method in self._study.config["methods"].items():
                if name not in self._study.absent:
                    past = self._past_steps(dataset, name), self._past_pair(dataset, name)
                    self._fill(dataset, name, method, block["grid"], past)
            if self._study.aligns:
                self._fill_alignment(dataset, block["grid"])
        self.found |= {"start_seconds": measured_starts(), "hardware": hardware()}
        write_text(costs_file(self._study.results), json.dumps(self.found, indent=2) + "\n")

    def _fill(self, dataset: str, name: str, method: Mapping, grid: Mapping, past: tuple) -> None:
        steps = self.found["step_seconds"].setdefault(dataset, {})
        pairs = self.found["pair_seconds"].setdefault(dataset, {})
        trained = method["stages"] and not method["weights"]
        known = steps.get(name, []) if past[0] is None else past[0]
        if trained and len(known) != len(method["stages"]):
            from smgicnet.commands import calibration  # torch costs seconds

            self._say(dataset, name)
            known = calibration.step_seconds(method, tuple(grid["shape"]))
        if trained:
            steps[name] = known
        if past[1] is not None:
            pairs[name] = past[1]
        elif name not in pairs and method["type"] not in (GIVEN, OUTSIDE):  # these take as long as their schemas say
            from smgicnet.commands import calibration

            self._say(dataset, name)
            pairs[name] = calibration.pair_seconds(method, tuple(grid["shape"]), grid["spacing"])

    def _fill_alignment(self, dataset: str, grid: Mapping) -> None:
        pairs = self.found["pair_seconds"][dataset]
        if ALIGNMENTS in pairs:
            return
        from smgicnet.commands import calibration
        from smgicnet.preparation.affine import AffineConfig

        self._say(dataset, ALIGNMENTS)
        affine = AffineConfig(self._study.affine["engine"], self._study.affine["search_degrees"])
        pairs[ALIGNMENTS] = calibration.alignment_seconds(affine, tuple(grid["shape"]), grid["spacing"])

    def _say(self, dataset: str, name: str) -> None:
        if not self.measured_now:
            log.info("a calibration, for what has not run here yet: minutes, many on large grids without a GPU")
        self.measured_now.append(f"{dataset}/{name}")

    def _past_steps(self, dataset: str, name: str) -> list[float] | None:
        """Of the last training of each stage with the same settings, or None unless there is one of every stage."""
        method, found = self._study.methods[name], []
        runs = self._study.paths(dataset).run("*", name, "*")
        for stage in range(1, len(method["stages"]) + 1):
            settings = own_settings(stage_block(method, stage))
            for path in glob.glob(runs.stage(stage, "record")):
                record = json.loads(Path(path).read_text())
                if record["iterations"] and _equal_settings(
                    own_settings(record.get("block") or record["method"]), settings
                ):
                    found.append(record["seconds"] / record["iterations"])
                    break
        return found if found and len(found) == len(method["stages"]) else None

    def _past_pair(self, dataset: str, name: str) -> float | None:
        """Of all jobs that registered all of their pairs with this method, start included; None if there are none."""
        seconds = pairs = 0.0
        runs = self._study.paths(dataset).run("*", name, "*")
        for path in map(Path, glob.glob(runs.shard("*", SHARD_RECORD))):
            record, times = json.loads(path.read_text()), path.with_name(BENCHMARK)
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


def measured_starts() -> dict[str, float]:
    """Return the seconds until Python is ready for a job: of the programs that load torch, and of the others."""

    def once(code: str) -> float:
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - begun

    return {
        "torch": once("import smgicnet.jobs.register"),
        "other": once("import smgicnet.preparation.preprocessing"),
    }

"""A table of results in files, as the workflow writes it."""

import json
from itertools import permutations

import numpy as np
import pandas as pd

from smgicnet.core.code import source_digest
from smgicnet.core.files import PACKAGE
from smgicnet.jobs.gather import gather_metrics
from smgicnet.jobs.tables import write_table

PAPER = PACKAGE.parent / "config/paper.yaml"
SOURCES = ["publication/tables/table.py", "../config/paper.yaml"]
PEOPLE = ("one", "two", "three", "four")


def write_run(folder):
    """Write the metrics of a method without registration, gathered from one job."""
    random = np.random.default_rng(0)
    common = {"dataset": "embedded", "arm": "raw", "method": "initial", "seed": 0}
    rows = [
        {**common, "fixed": fixed, "moving": moving, "metric": metric, "roi": roi, "value": random.uniform(0.2, 0.4)}
        for fixed, moving in permutations(PEOPLE, 2)
        for metric, roi in (("dice", "mean"), ("folds_percent", ""), ("seconds", ""))
    ]
    shard, record = folder / "shards/0/metrics.csv", folder / "shards/0/registration.json"
    shard.parent.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(shard, index=False)
    record.write_text(json.dumps({"versions": {"python": "3.11"}, "hardware": "2 cores of a test"}))
    files = {"metrics": folder / "metrics.csv.gz", "record": folder / "metrics.json"}
    gather_metrics([shard], [record], **files, changed=[])
    return files


def write_results(results):
    """Write Table 1 of a run below ``results``, the folder of a dataset."""
    files = write_run(results / "raw/initial/seed-0")
    inputs = {"metrics": [str(files["metrics"])], "records": [str(files["record"])], "paper": str(PAPER)}
    outputs = {key: str(results / f"tables/table1.{key}") for key in ("md", "csv", "tex")}
    given = {
        "config": {"methods": {"initial": {"type": "initial", "label": "Initial"}}},
        "code": source_digest(PACKAGE / name for name in SOURCES),
        "sources": SOURCES,
        "labels": {"initial/raw": "Initial"},
    }
    write_table("table1", "embedded", inputs, outputs | {"record": str(results / "tables/table1.json")}, given)

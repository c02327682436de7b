"""What `smgicnet plan` reads, measures and adds up."""

import json

import pandas as pd
import pytest

from smgicnet.commands import calibration
from smgicnet.commands.dry_run import PlannedJob, makespan, read_jobs
from smgicnet.commands.plan import Costs, Estimate, Starts, duration
from smgicnet.config.blocks import own_settings
from smgicnet.config.completion import complete
from tests.helpers import block

DRY_RUN = """
Building DAG of jobs...

[Tue Nov 24 13:53:08 2026]
localrule audit:
    input: config/paper.yaml
    output: results/audit.md, results/audit.json
    jobid: 38
    resources: tmpdir=/tmp

[Tue Nov 24 13:53:08 2026]
rule train_level:
    input: a, b
    output: x
    jobid: 1
    reason: Missing output files: x
    wildcards: dataset=mini, arm=raw, method=smgicnet, seed=1, level=3
    threads: 2
    resources: tmpdir=/tmp, gpu=1, mem_mb=1500

localrule all:
    jobid: 0
    resources: tmpdir=/tmp
Job stats:
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    part = {
        "datasets": {
            "mini": {
                "source": {"kind": "phantom", "subjects": {"train": 4, "val": 2, "test": 5}},
                "grid": {"shape": [16, 32, 16], "spacing": 8},
            }
        },
        "methods": {"initial": {"type": "initial"}, "smgicnet": block() | {"stages": [{"iterations": 100}] * 4}},
    }
    part["methods"]["smgicnet"].pop("weights")
    part["affine"] = {"engine": "ants"}
    return complete(part, "test")


def test_jobs_of_a_dry_run():
    jobs = list(read_jobs(DRY_RUN.splitlines()))
    assert [(job.rule, job.threads, job.gpus) for job in jobs] == [("audit", 1, 0), ("train_level", 2, 1)]
    assert jobs[1].wildcards["level"] == "3"
    assert (jobs[1].inputs, jobs[1].outputs) == (["a", "b"], ["x"])


def planned(rule, inputs, output, threads=1, gpus=0):
    return PlannedJob(rule, {}, threads, gpus, inputs, [output])


def test_jobs_wait_for_their_inputs_cores_and_the_gpu():
    one, two, three = planned("a", [], "a"), planned("b", ["a"], "b"), planned("c", [], "c")
    seconds = {"a": 10, "b": 20, "c": 5}.get
    assert makespan([one, two, three], lambda job: seconds(job.rule), 2) == 30
    assert makespan([one, two, three], lambda job: seconds(job.rule), 1) == 35
    on_gpu = [planned("a", [], "a", gpus=1), planned("b", [], "b", gpus=1), planned("c", [], "c")]
    assert makespan(on_gpu, lambda job: seconds(job.rule), 4) == 30
    wide = [planned("a", [], "a", threads=2), planned("b", [], "b", threads=8)]  # as many as there are
    assert makespan(wide, lambda job: seconds(job.rule), 2) == 30
    assert makespan([], lambda job: 1, 2) == 0


def test_a_job_is_its_parts(config):
    costs = {
        "step_seconds": {"mini": {"smgicnet": [1, 2, 3, 4]}},
        "pair_seconds": {"mini": {"smgicnet": 6, "initial": 1}},
    }
    estimate = Estimate(config, costs, Starts(10, 1), 20)
    of = {"dataset": "mini", "arm": "raw", "method": "smgicnet", "seed": "1"}
    every = config["methods"]["smgicnet"]["training"]["validate_every"]
    validations = 100 // every + 1
    assert estimate.seconds(PlannedJob("train_level", of | {"level": "3"})) == 10 + 300 + 6 * validations
    assert estimate.seconds(PlannedJob("register_shard", of | {"shard": "0"})) == 10 + 10 * 6
    assert estimate.pairs(PlannedJob("register_shard", of | {"shard": "0"})) == 10
    assert estimate.seconds(PlannedJob("gather_metrics", of)) == 1.5


def test_past_runs_are_read(config, tmp_path):
    folder = tmp_path / "results/mini/raw/smgicnet/seed-1"
    method = config["methods"]["smgicnet"]
    for level, seconds in enumerate((10, 20, 30, 40), 1):
        path = folder / f"level-{level}/training.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"iterations": 10, "seconds": seconds, "method": method}))
    shard = folder / "shards/0"
    shard.mkdir(parents=True)
    pd.DataFrame({"s": [30.0]}).to_csv(shard / "benchmark.tsv", sep="\t")
    (shard / "registration.json").write_text(json.dumps({"pairs": 2, "registered": 2}))
    again = folder / "shards/1"  # all but one pair were done before: its time is mostly that of starting
    again.mkdir()
    pd.DataFrame({"s": [20.0]}).to_csv(again / "benchmark.tsv", sep="\t")
    (again / "registration.json").write_text(json.dumps({"pairs": 9, "registered": 1}))
    costs = Costs(config)
    assert costs._past_steps("mini", "smgicnet") == [1, 2, 3, 4]
    assert costs._past_pair("mini", "smgicnet") == 15
    config["methods"]["smgicnet"]["network"]["channels"] = 6  # another network
    assert own_settings(method) == own_settings(config["methods"]["smgicnet"])
    (folder / "level-2/training.json").unlink()
    assert Costs(config)._past_steps("mini", "smgicnet") is None


def test_what_is_not_known_is_measured_once_and_kept(config, tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "ENOUGH", 1e-6)
    costs = Costs(config)
    costs.measure()
    assert set(costs.measured_now) == {"mini/initial", "mini/smgicnet", "mini/affine"}
    kept = json.loads((tmp_path / "results/costs.json").read_text())
    assert len(kept["step_seconds"]["mini"]["smgicnet"]) == 4
    assert kept["pair_seconds"]["mini"].keys() == {"initial", "smgicnet", "affine"}
    assert kept["pair_seconds"]["mini"]["initial"] < kept["pair_seconds"]["mini"]["affine"]
    again = Costs(config)
    again.measure()
    assert again.measured_now == []


def test_durations_in_words():
    assert [duration(s) for s in (4, 90, 600, 5 * 3600, 30 * 86400)] == ["4.0 s", "90 s", "10 min", "5.0 h", "30 days"]

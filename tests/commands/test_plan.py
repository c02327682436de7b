"""What `smgicnet plan` reads, measures and adds up."""

import json
from copy import deepcopy
from types import SimpleNamespace

import pandas as pd
import pytest

from smgicnet.commands import calibration
from smgicnet.commands.dry_run import PlannedJob, makespan, planned_jobs
from smgicnet.commands.measured_costs import MeasuredCosts
from smgicnet.commands.plan import duration, plan
from smgicnet.config.blocks import with_defaults
from smgicnet.config.completion import complete
from smgicnet.core.errors import InputError
from smgicnet.jobs.decisions import decide
from smgicnet.jobs.needs import PAIR_KB, StudyNeeds
from smgicnet.jobs.study import Study
from smgicnet.jobs.study_files import StudyFiles
from smgicnet.methods import smgicnet as smgicnet_method
from tests.support.methods import block


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


def planned(rule, inputs, output, seconds, threads=1, gpus=0):
    return PlannedJob(rule, threads, gpus, seconds, 0, False, tuple(inputs), (output,))


def test_jobs_wait_for_their_inputs_cores_and_the_gpu():
    one, two, three = planned("a", [], "a", 10), planned("b", ["a"], "b", 20), planned("c", [], "c", 5)
    assert makespan([one, two, three], 2) == 30
    assert makespan([one, two, three], 1) == 35
    on_gpu = [planned("a", [], "a", 10, gpus=1), planned("b", [], "b", 20, gpus=1), planned("c", [], "c", 5)]
    assert makespan(on_gpu, 4) == 30
    wide = [planned("a", [], "a", 10, threads=2), planned("b", [], "b", 20, threads=8)]  # as many as there are
    assert makespan(wide, 2) == 30
    assert makespan([], 2) == 0
    # what a long job waits for goes first: else both cores are busy for 6 s, and the long job ends after 17
    head, long = planned("x", [], "x", 1), planned("y", ["x"], "y", 10)
    assert makespan([planned("p", [], "p", 6), planned("q", [], "q", 6), head, long], 2) == 12


SNAKEFILE = """
assert config["job_minutes"] == 7

rule all:
    input: "b"

rule first:
    output: "a"
    threads: 2
    resources: gpu=1, expected_ms=lambda w: 4500, kilobytes=30, guessed=1
    shell: "touch {output}"

rule second:
    input: "a"
    output: "b"
    shell: "touch {output}"
"""


def test_snakemake_is_asked_for_jobs_and_rules_say_what_they_take(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "config.yaml").write_text("{}")
    paths = tmp_path / "config.yaml", tmp_path / "Snakefile"
    jobs = planned_jobs(*paths, 2, [], 7, otherwise=1.5)
    first = PlannedJob("first", 2, 1, 4.5, 30, True, (), ("a",))
    assert sorted(jobs, key=lambda job: job.rule) == [first, PlannedJob("second", 1, 0, 1.5, 0, False, ("a",), ("b",))]
    assert planned_jobs(*paths, 2, ["a"], 7, otherwise=1.5) == [first]
    with pytest.raises(InputError, match="nowhere"):
        planned_jobs(*paths, 2, ["nowhere"], 7, otherwise=1.5)


def test_nothing_is_measured_without_a_workflow(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("{}")
    with pytest.raises(InputError, match=r"Snakefile: no such file\. .* name its Snakefile by --snakefile\.$"):
        plan(config, snakefile=tmp_path / "Snakefile", cores=1)


def test_a_job_is_its_parts(config):
    study = Study(config)
    study.measured = {
        "step_seconds": {"mini": {"smgicnet": [1, 2, 3, 4]}},
        "pair_seconds": {"mini": {"smgicnet": 6, "initial": 1}},
        "start_seconds": {"torch": 10, "other": 1},
    }
    needs = StudyNeeds(StudyFiles(study))
    of = {"dataset": "mini", "arm": "raw", "method": "smgicnet", "seed": "1"}
    validations = 100 // config["methods"]["smgicnet"]["training"]["validate_every"] + 1
    # two people validate: one pair
    assert needs.training_ms(SimpleNamespace(**of, stage="3")) == 1000 * (10 + 300 + 6 * validations)
    assert needs.registering_ms(SimpleNamespace(**of, shard="0")) == 1000 * (10 + 10 * 6)
    assert needs.registering_ms(SimpleNamespace(**of)) == 1000 * (10 + 3 * 6)  # the pairs that figures show
    kept = 2 * 12 * 16 * 32 * 16 // 1000  # a pair's displacements and inverses, both ways, in kB
    assert needs.registering_kb(SimpleNamespace(**of, shard="0")) == 10 * (PAIR_KB + kept)
    config["evaluation"]["keep_fields"] = False
    assert needs.registering_kb(SimpleNamespace(**of, shard="0")) == 10 * PAIR_KB
    assert needs.without_torch(0.5) == 1500


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
    costs = MeasuredCosts(Study(config))
    assert costs._past_steps("mini", "smgicnet") == [1, 2, 3, 4]
    assert costs._past_pair("mini", "smgicnet") == 15
    other = deepcopy(config)
    other["methods"]["smgicnet"]["network"]["channels"] = 6  # another network
    assert MeasuredCosts(Study(other))._past_steps("mini", "smgicnet") is None
    other = deepcopy(config)
    other["methods"]["smgicnet"]["training"]["validate_every"] += 1  # the same work a step
    assert MeasuredCosts(Study(other))._past_steps("mini", "smgicnet") == [1, 2, 3, 4]
    (folder / "level-2/training.json").unlink()
    assert MeasuredCosts(Study(config))._past_steps("mini", "smgicnet") is None


def test_what_is_not_known_is_measured_once_and_kept(config, tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "ENOUGH", 1e-6)
    costs = MeasuredCosts(Study(config, decide(config, conda=False)))
    costs.measure()
    assert set(costs.measured_now) == {"mini/initial", "mini/smgicnet", "mini/affine"}
    kept = json.loads((tmp_path / "results/costs.json").read_text())
    assert len(kept["step_seconds"]["mini"]["smgicnet"]) == 4
    assert kept["pair_seconds"]["mini"].keys() == {"initial", "smgicnet", "affine"}
    assert kept["pair_seconds"]["mini"]["initial"] < kept["pair_seconds"]["mini"]["affine"]
    again = MeasuredCosts(Study(config, decide(config, conda=False)))
    again.measure()
    assert again.measured_now == []


def test_durations_in_words():
    assert [duration(s) for s in (4, 90, 600, 5 * 3600, 30 * 86400)] == ["4.0 s", "90 s", "10 min", "5.0 h", "30 days"]


@pytest.mark.parametrize(
    ("refinement", "expected"),
    [
        ({"iterations": 0}, []),
        ({"iterations": 1, "detail": [{"images": 2, "velocity": 4, "iterations": 1, "learning_rate": 0.2}]}, [2.0]),
    ],
    ids=["network alone", "refined"],
)
def test_a_pair_is_timed_as_it_will_be_registered(monkeypatch, refinement, expected):
    """By weights of 4 mm on a grid of 2 mm: the network on its own grid, and the stages of this method's refinement."""
    stages, shapes = [], []

    def refine_detail(velocity, frame, sources, wanted, naming, report):
        shapes.append(frame.shape)
        stages.extend(stage.images for stage in wanted)
        return velocity

    monkeypatch.setattr(smgicnet_method, "refine_detail", refine_detail)
    monkeypatch.setattr(calibration, "seconds_of", lambda work: work() or 1.0)
    monkeypatch.setattr(calibration, "score_pair", lambda *_: None)
    monkeypatch.setattr(calibration, "CROPPED", 64)
    given = with_defaults({"type": "smgicnet", "weights": "brain-t1-4mm", "refinement": refinement})
    assert calibration.pair_seconds(given, (96, 96, 96), 2.0) == pytest.approx((96 / 64) ** 3)
    assert set(shapes) == {(32, 32, 32)}
    assert sorted(set(stages)) == expected

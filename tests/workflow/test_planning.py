"""The DAG of many pairs: how many jobs and inputs Snakemake plans, and that few inputs tell what is old."""

import re

import nibabel as nib
import numpy as np

from smgicnet.cohort.participants import TRUTH_COLUMNS
from smgicnet.commands.dry_run import planned_jobs
from smgicnet.config.completion import complete
from smgicnet.jobs.study import Study
from tests.support import ROOT, cohorts
from tests.support.miniature import write_config
from tests.support.snakemake import snakemake

GRID = {"shape": [48, 48, 48], "spacing": 4.0}
PROGRAM = {"type": "command", "command": "x {fixed} {moving} {out}", "transforms": ["t.txt"]}
METRICS = "results/d/raw/m/seed-0/metrics.csv.gz"


def content(people, methods):
    source = {"kind": "phantom", "subjects": {"train": 2, "val": 0, "test": people}}
    return {
        "datasets": {"d": {"source": source, "grid": GRID}},
        "methods": {"initial": {"type": "initial"}} | methods,
        "evaluation": {"robustness": {"pairs": 0}, "keep_fields": False},
    }


def test_ten_thousand_pairs_by_twelve_methods_are_few_jobs_of_few_subjects(tmp_path):
    methods = {"syn": {"type": "syn"}} | {f"own-{n}": {**PROGRAM, "label": f"own {n}"} for n in range(9)}
    study = Study(complete(content(142, methods), "test"), results=tmp_path)
    jobs = [pairs for method, _ in study.runs for pairs in study.shards("d", method)]
    assert sum(map(len, jobs)) == len(study.runs) * 10_011 == 12 * 10_011
    assert len(jobs) < 12 * 100
    assert sum(len({name for pair in pairs for name in pair}) for pairs in jobs) < 25_000


def test_a_job_of_pairs_has_one_input_a_subject(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = write_config(tmp_path, content(5, {"own": {**PROGRAM, "label": "own"}}))
    jobs = planned_jobs(tmp_path / config, ROOT / "Snakefile", 2, [METRICS.replace("/m/", "/own/")], 20, otherwise=1)
    named = {rule: [job for job in jobs if job.rule == rule] for rule in {job.rule for job in jobs}}
    assert named.keys() == {"render_phantom", "preprocess", "register_shard_on_cpu", "gather_metrics"}
    assert len(named["preprocess"]) == 5
    (registering,) = named["register_shard_on_cpu"]
    assert len(registering.inputs) == 5
    # whatever of a subject is scored by is known to the record on which the job depends
    (made,) = {len(job.outputs) for job in named["render_phantom"]}
    assert made == 2 + len(TRUTH_COLUMNS)
    assert all(len(job.inputs) == made for job in named["preprocess"])
    assert {job.inputs for job in named["gather_metrics"]} == {registering.outputs[:2]}


def test_another_label_map_is_scored_even_where_a_run_ended_after_it_was_prepared(tmp_path):
    """The image is the same to the byte, and Snakemake takes a small file of the same content for an old one."""
    config = str(cohorts.config(top={"evaluation": {"robustness": {"pairs": 0}}})(tmp_path))
    snakemake(tmp_path, METRICS, "--configfile", config)
    prepared = tmp_path / "results/d/raw/subjects/s3"
    image = (prepared / "image.nii").read_bytes()
    labels = nib.load(tmp_path / "s3-labels.nii.gz")
    data = np.roll(np.asarray(labels.dataobj), 2, axis=0)
    nib.save(nib.Nifti1Image(data, labels.affine), tmp_path / "s3-labels.nii.gz")
    snakemake(tmp_path, str(prepared.relative_to(tmp_path) / "labels.nii"), "--configfile", config)
    assert (prepared / "image.nii").read_bytes() == image
    plan = snakemake(tmp_path, METRICS, "-n", "--configfile", config).stdout
    jobs = re.findall(r"^(\w+) +\d+$", plan.split("Job stats")[1], re.MULTILINE)
    assert set(jobs) == {"register_shard_on_cpu", "gather_metrics", "total"}

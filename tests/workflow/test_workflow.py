"""The workflow, run for real on a miniature cohort: it ends in the table, twice the same, and survives SIGKILL."""

import filecmp
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from zipfile import ZipFile

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from nibabel.affines import apply_affine

from smgicnet import cli
from smgicnet.cohort.sources import plan_cohort
from smgicnet.config.completion import load
from smgicnet.imaging.displacements import apply_field, grid_points, read_itk, sample
from smgicnet.imaging.images import Volume, read_image, read_labels
from smgicnet.preparation.alignments import read_alignments
from smgicnet.preparation.flirt import find_flirt
from smgicnet.scoring.metrics import METRICS
from tests.support import ROOT, compare
from tests.support.miniature import CONFIG, FULL, PUBLISHED, write_config, write_published
from tests.support.published import published_lapirn
from tests.support.published_synthmorph import keras, write_h5
from tests.support.snakemake import snakemake

RUN = Path("results/mini/raw/smgicnet/seed-1")
TABLE1 = ["syn", "icnet", "icnet w.affine", "lapirn w.affine", "smgicnet", "initial", "initial w.affine"]
TABLE1 += ["lapirn-disp"]
RUNS = [*TABLE1, "synthmorph", "synthmorph w.affine"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of the miniature config, which all tests read and none changes: see `own_run`."""
    folder = tmp_path_factory.mktemp("mini")
    write_published(folder)
    snakemake(folder, "--configfile", write_config(folder, FULL))
    return folder


@pytest.fixture
def own_run(finished, tmp_path):
    """A copy of the finished run for a test that goes on with it, or asks Snakemake what another config would do."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture(autouse=True)
def _the_shared_run_stays_as_it_is(request):
    if "finished" not in request.fixturenames:
        yield
        return
    folder = request.getfixturevalue("finished")
    before = files_of(folder)
    yield
    assert files_of(folder) == before, "a test has changed the run that all share: let it ask for own_run"


def files_of(folder):
    """Sizes and times of a run's files, but for Snakemake's own."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).parts[0] != ".snakemake")
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}


def metrics_of(folder, run=RUN):
    return compare.timeless(folder / run / "metrics.csv.gz")


def test_ends_in_the_table_and_the_figure(finished):
    table = finished / "results/mini/tables"
    text = (table / "table1.md").read_text()
    assert "Initial" in text
    assert "SM-GICNet" in text
    assert "0.797" in text  # the paper's
    numbers = pd.read_csv(table / "table1.csv")
    measured = numbers[numbers["source"] == "measured"].set_index(["method", "arm"])
    dice = measured[measured["metric"] == "dice"]
    assert [method + (" w.affine" if arm == "affine" else "") for method, arm in dice.index] == TABLE1
    assert set(dice["n"]) == {6}
    metrics = metrics_of(finished)
    means = metrics[(metrics["metric"] == "dice") & (metrics["roi"] == "mean")]["value"].astype(float)
    assert dice.loc[("smgicnet", "raw"), "mean"] == pytest.approx(means.mean(), rel=1e-5)
    seconds, affine = (measured.loc[measured["metric"] == name, "mean"] for name in ("seconds", "affine_seconds"))
    assert set(affine.index) == {(method, "affine") for method in ("icnet", "lapirn", "initial")}
    assert (seconds[affine.index] > affine).all()
    assert "antspyx" in text
    record = json.loads((table / "table1.json").read_text())
    assert record["config"]["methods"]["smgicnet"]["network"]["channels"] == 4
    assert {"torch", "python"} <= record["versions"][0].keys()
    assert len(record["hardware"]) == 1
    assert record["seeds"]["smgicnet/raw"] == [1]
    assert cli.main(["verify", str(finished / "results")]) == 0
    for form in ("png", "pdf"):
        assert (finished / f"results/mini/figures/registrations.{form}").stat().st_size > 5000


def test_ends_in_table_2_the_comparisons_and_the_audit(finished):
    results = finished / "results"
    assert "SM-GICNet" in (results / "mini/tables/table2.md").read_text()
    numbers = pd.read_csv(results / "mini/tables/comparisons.csv")
    overall = numbers[numbers["roi"] == "mean"]
    assert overall["metric"].value_counts().to_dict() == dict.fromkeys(("dice", "endpoint_error_mm"), len(RUNS) - 1)
    assert (overall["low"] <= overall["difference"]).all()
    assert (overall["difference"] <= overall["high"]).all()
    assert (overall["p_holm"] >= overall["p"]).all()
    assert "Cohen" in (results / "audit.md").read_text()
    figures = ["angles", "comparisons", "dice", "methods", "published", "reciprocal", "robustness", "time"]
    for name in [*figures, "training-raw-smgicnet", "training-affine-lapirn"]:
        for form in ("png", "pdf"):
            assert (results / f"mini/figures/{name}.{form}").stat().st_size > 5000


def test_the_affine_arm_is_one_map_of_the_subjects_as_they_are(own_run):
    """Aligning alone brings the points nearer; the scored field is the alignment itself."""
    error = {}
    for arm in ("raw", "affine"):
        metrics = metrics_of(own_run, f"results/mini/{arm}/initial/seed-0")
        error[arm] = metrics[metrics["metric"] == "endpoint_error_mm"]["value"].astype(float).mean()
    assert error["affine"] < error["raw"]
    alignments = read_alignments(own_run / "results/mini/affine/alignments/0/alignments.json")
    fixed, moving = json.loads((own_run / "results/mini/cohort/shown_pairs.json").read_text())["worst"]
    alignment = alignments[fixed, moving]
    subjects = own_run / "results/mini/raw/subjects"
    one, two = (read_image(subjects / name / "image.nii") for name in (fixed, moving))
    kept = own_run / "results/mini/affine/initial/seed-0/shown"
    snakemake(own_run, str(kept.relative_to(own_run)), "--configfile", str(own_run / "config.yaml"))
    field = read_itk(next(kept.glob(f"fixed-{fixed}_moving-{moving}_displacement.nii.gz")))
    points = grid_points(one.data.shape, one.affine)
    np.testing.assert_allclose(points + field.data, apply_affine(alignment.matrix, points), atol=1e-3)
    warped = read_image(next(kept.glob(f"fixed-{fixed}_moving-{moving}_warped.nii.gz")))
    expected = sample(two, points + field.data)
    assert np.mean(np.abs(warped.data - expected) < 1e-2) > 0.95  # they differ in how they fade out at the border


def test_training_subjects_of_the_affine_arm_lie_on_the_reference(finished):
    arms = finished / "results/mini/raw/subjects", finished / "results/mini/affine/subjects"
    reference = read_image(arms[0] / "sub-001/image.nii")
    overlap, agree = {}, {}
    for arm in arms:
        images = [read_image(arm / f"sub-{number:03d}/image.nii") for number in (1, 2, 3, 4)]
        overlap[arm] = np.mean([np.corrcoef(images[0].data.ravel(), i.data.ravel())[0, 1] for i in images[1:]])
        labels = [read_labels(arm / f"sub-{number:03d}/labels.nii").data for number in (1, 4, 5)]
        agree[arm] = np.mean([(labels[0] == one)[labels[0] > 0].mean() for one in labels[1:]])
    assert overlap[arms[1]] > overlap[arms[0]]
    assert agree[arms[1]] > agree[arms[0]]
    aligned = read_image(arms[1] / "sub-003/image.nii")
    np.testing.assert_allclose(aligned.affine, reference.affine, atol=1e-5)
    assert not (arms[1] / "sub-006").exists()  # a test subject: aligned pair by pair
    report = json.loads((arms[1] / "sub-003/preprocessing.json").read_text())
    assert report["engine"] == "ants"
    assert report["seconds"] > 0


def test_metrics_have_every_pair_direction_and_metric(finished):
    metrics = pd.read_csv(finished / RUN / "metrics.csv.gz", keep_default_na=False)
    assert len(metrics[["fixed", "moving"]].drop_duplicates()) == 6
    there = {
        "dice", "hd95_mm", "parcels_dice", "rois", "folds_percent", "folds_percent_grid", "sd_log_jacobian",
        "ndv_percent", "inverse_consistency_mm", "integration_error_mm", "endpoint_error_mm",
        "endpoint_error_cortex_mm", "endpoint_error_deep_mm", "seconds", "peak_memory_mib",
        "pose_consistency_mm", "pose_consistency_p95_mm",
    }  # fmt: skip
    not_there = {"tre_mm", "affine_seconds", "no_result_percent", "failure_percent"}
    found = set(metrics["metric"])
    assert there <= found <= METRICS.keys() - not_there  # a metric that is added may be there
    assert not metrics.duplicated(["fixed", "moving", "metric", "roi"]).any()


def test_turned_heads_end_in_rows_of_every_run_and_in_table_1(finished):
    results = finished / "results/mini"
    files = sorted(results.rglob("robustness.csv.gz"))
    assert len(files) == len(RUNS)
    changed = pd.concat([pd.read_csv(path, keep_default_na=False) for path in files])
    assert set(zip(changed["change"], changed["severity"])) == {("rotation", 0), ("rotation", 60)}
    pairs = set(zip(changed["fixed"], changed["moving"]))
    assert len(pairs) == 2
    for _, rows in changed.groupby(["method", "arm"]):
        turned = rows[rows["severity"] == 60]
        assert set(zip(turned["fixed"], turned["moving"])) == pairs
        assert set(turned["metric"]) == {
            "dice", "endpoint_error_mm", "pose_consistency_mm", "pose_consistency_p95_mm", "seconds"
        }  # fmt: skip
    # the pair as it lies is scored as it is among all the others
    whole = metrics_of(finished, "results/mini/raw/syn/seed-0").set_index(["fixed", "moving", "metric", "roi"])["value"]
    plain = changed[(changed["method"] == "syn") & (changed["severity"] == 0) & (changed["metric"] != "seconds")]
    for row in plain[plain["roi"].isin(["mean", ""])].itertuples():
        assert float(whole[row.fixed, row.moving, row.metric, row.roi]) == pytest.approx(row.value, rel=1e-6)
    # a method that moves nothing is as far off as the head was moved; an alignment finds some of the turn
    numbers = pd.read_csv(results / "tables/table1.csv")
    pose = numbers[numbers["metric"] == "pose_consistency_mm"].set_index(["method", "arm"])
    assert set(pose["n"]) == {2}
    assert pose.at[("initial", "raw"), "mean"] > 20
    assert pose.at[("initial", "affine"), "mean"] < pose.at[("initial", "raw"), "mean"]
    assert len(list((results / "robustness/subjects").iterdir())) == len({moving for _, moving in pairs})


def test_another_angle_registers_turned_heads_alone(own_run):
    content = json.loads(json.dumps(FULL))
    content["evaluation"]["robustness"]["rotation"] = [60, 120]
    plan = snakemake(own_run, "-n", "--configfile", write_config(own_run, content))
    jobs = plan.stdout.split("Job stats")[1]
    assert re.search(r"change_subject +2\n", jobs)
    assert "align_changed" in jobs
    assert "register_changed" in jobs
    for other in ("train_stage", "preprocess", "align_pairs", "register_shard", "register_shown"):
        assert other not in jobs, other


def test_nothing_is_left_to_do(finished):
    assert "Nothing to be done" in snakemake(finished, "-n", "--configfile", str(finished / "config.yaml")).stdout


@pytest.mark.long
def test_the_same_seed_gives_the_same_bytes_with_any_number_of_cores_and_jobs(finished, tmp_path):
    """The other run had one core; here are more than one thread a job, and trainings beside each other.

    It has no method twice, and none with published weights, which register as the others do.
    """
    content = json.loads(json.dumps(FULL))
    arms = {"initial": ["affine"], "syn": ["raw"], "icnet": ["raw"], "lapirn": ["affine"], "smgicnet": ["raw"]}
    content["methods"] = {name: {**content["methods"][name], "arms": given} for name, given in arms.items()}
    del content["ablations"]
    config = write_config(tmp_path, content)
    without = ["--omit-from", "plot_figure", "write_quality_page"]  # nothing that is compared depends on these
    snakemake(tmp_path, "--cores", "4", "--resources", "gpu=2", "--configfile", config, *without)
    results = tmp_path / "results"
    table = results / "mini/tables/table1.csv"
    rows, others = (compare.timeless(folder / table.relative_to(tmp_path)) for folder in (tmp_path, finished))
    key = ["method", "arm", "metric"]
    shared = others.merge(rows[key].drop_duplicates())[others.columns]
    assert shared.sort_values(key).values.tolist() == rows.sort_values(key).values.tolist()
    shutil.copy(finished / table.relative_to(tmp_path), table)  # the rest of it is of other methods
    assert compare.differences(finished, tmp_path) == []
    assert len(list(results.rglob("metrics.csv.gz"))) == len(arms)
    assert len(list(results.rglob("weights.pt"))) == 4 + 1 + 3
    assert len(list((results / "mini/cohort").rglob("*.nii*"))) == 8 * 4
    for name in ("cohort/participants.tsv", "cohort/pairs.tsv", "cohort/shown_pairs.json"):
        assert filecmp.cmp(finished / "results/mini" / name, results / "mini" / name, shallow=False), name


@pytest.mark.long  # tests/training/test_interruption.py kills trainings in less time
def test_sigkill_in_level_3_and_again(finished, own_run):
    """Killed without warning between two checkpoints; the second start goes on and ends in the same bytes."""
    tmp_path, config = own_run, str(own_run / "config.yaml")
    shutil.rmtree(tmp_path / RUN)
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--snakefile", str(ROOT / "Snakefile")]
    metrics = str(RUN / "metrics.csv.gz")
    command += ["--directory", str(tmp_path), "--configfile", config, "--", metrics]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    checkpoint = tmp_path / RUN / "level-3" / "checkpoint.pt"
    limit = time.monotonic() + 300
    while not checkpoint.is_file() and time.monotonic() < limit and process.poll() is None:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert checkpoint.is_file()
    assert not (tmp_path / RUN / "level-3" / "weights.pt").exists(), "killed too late to show anything"
    snakemake(tmp_path, "--unlock", "--configfile", config)
    snakemake(tmp_path, "--configfile", config, "--", metrics)
    log = (tmp_path / "results/mini/logs/train/raw-smgicnet-seed-1-level-3.log").read_text()
    assert "resuming from" in log
    for level in (3, 4):
        name = RUN / f"level-{level}" / "weights.pt"
        assert filecmp.cmp(tmp_path / name, finished / name, shallow=False), name
    assert metrics_of(tmp_path).equals(metrics_of(finished))
    assert not checkpoint.exists()


def test_a_generated_cohort_is_read_as_ones_own(finished, tmp_path):
    """The written participants.tsv through the other entrance gives the same preprocessed bytes."""
    own = json.loads(json.dumps(CONFIG))
    own["datasets"]["mini"]["source"] = {
        "kind": "participants", "path": str(finished / "results/mini/cohort/participants.tsv"),
    }  # fmt: skip
    config = write_config(tmp_path, own)
    table = plan_cohort(load(config)["datasets"]["mini"], "unused")
    assert table["split"].value_counts().to_dict() == {"train": 3, "val": 2, "test": 3}
    snakemake(tmp_path, "--configfile", config, "--until", "preprocess")
    for name in table.index:
        for kind in ("image.nii", "labels.nii"):
            path = Path("results/mini/raw/subjects") / name / kind
            assert filecmp.cmp(tmp_path / path, finished / path, shallow=False), path


@pytest.mark.parametrize("row", [pytest.param(0, marks=pytest.mark.long, id="train"), pytest.param(7, id="test")])
def test_a_bad_image_stops_before_any_training(finished, tmp_path, row):
    cohort = finished / "results/mini/cohort"
    lines = (cohort / "participants.tsv").read_text().splitlines()
    header = lines[0].split("\t")[:4]
    rows = [line.split("\t")[:4] for line in lines[1:]]
    rows = [[name, str(cohort / image), str(cohort / labels), split] for name, image, labels, split in rows]
    (tmp_path / "cut.nii.gz").write_bytes(Path(rows[row][1]).read_bytes()[:5000])
    rows[row][1] = str(tmp_path / "cut.nii.gz")
    (tmp_path / "own.tsv").write_text("\n".join("\t".join(row) for row in [header, *rows]) + "\n")
    own = json.loads(json.dumps(CONFIG))
    own["datasets"]["mini"]["source"] = {"kind": "participants", "path": str(tmp_path / "own.tsv")}
    done = snakemake(tmp_path, "--configfile", write_config(tmp_path, own), check=False)
    assert done.returncode != 0
    said = done.stdout
    assert "cut.nii.gz: not a readable image, perhaps truncated" in said
    assert "Copy or download it again" in said
    assert not list(tmp_path.rglob("weights.pt"))
    assert not (tmp_path / "results/mini/raw/subjects" / rows[row][0] / "image.nii").exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda c: c["methods"]["smgicnet"]["network"].update(chanels=4), "chanels"),
        (lambda c: c["datasets"]["mini"]["source"].update(kind="participants", path="none.tsv"), "none.tsv"),
    ],
)
def test_a_bad_config_fails_while_the_dag_is_built(tmp_path, change, problem):
    content = json.loads(json.dumps(CONFIG))
    change(content)
    if content["datasets"]["mini"]["source"]["kind"] == "participants":
        content["datasets"]["mini"]["source"] = {"kind": "participants", "path": "none.tsv"}
    done = snakemake(tmp_path, "--configfile", write_config(tmp_path, content), "-n", check=False)
    assert done.returncode != 0
    assert problem in done.stdout
    assert "Traceback" not in done.stdout


def test_changing_one_thing_reruns_only_what_depends_on_it(own_run):
    content = json.loads(json.dumps(FULL))
    content["methods"]["smgicnet"]["stages"][3]["iterations"] = 5
    plan = snakemake(own_run, "-n", "--configfile", write_config(own_run, content))
    said = plan.stdout
    assert "train_stage" in said
    assert "stage=4" in said
    assert not any(f"stage={stage}," in said or f"stage={stage}\n" in said for stage in (1, 2, 3))
    jobs = said.split("Job stats")[1]
    assert not re.search(r"^(preprocess|align\w*) +\d", jobs, re.MULTILINE)
    assert re.search(r"^register_shard +1$", jobs, re.MULTILINE)
    assert re.search(r"train_stage +1\n", jobs)


def test_another_name_in_the_table_trains_nothing(own_run):
    content = json.loads(json.dumps(FULL))
    content["methods"]["smgicnet"]["label"] = "Ours"
    plan = snakemake(own_run, "-n", "--configfile", write_config(own_run, content))
    jobs = plan.stdout.split("Job stats")[1]
    assert "write_table1" in jobs
    assert "train_stage" not in jobs
    assert "register_shard" not in jobs


def test_another_test_subject_renders_and_trains_nothing_else(own_run):
    content = json.loads(json.dumps(FULL))
    content["datasets"]["mini"]["source"]["subjects"]["test"] = 4
    plan = snakemake(own_run, "-n", "--configfile", write_config(own_run, content))
    jobs = plan.stdout.split("Job stats")[1]
    assert re.search(r"render_phantom +1\n", jobs)
    assert re.search(r"preprocess +1\n", jobs)
    assert "train_stage" not in jobs
    assert "align_subject" not in jobs


def test_flagged_subjects_are_left_out_where_the_config_says_so(own_run):
    """A test subject's brain is smaller than the limit; one that trains and one that validates lack an ROI.

    One is left to validate, of whom there is no curve.
    """
    content = json.loads(json.dumps(CONFIG))
    content["datasets"]["mini"]["quality"] = {"exclude": True, "volume_ml": [1550, 2500]}
    targets = ["results/mini/raw/initial/seed-0/metrics.csv.gz", f"{RUN}/level-1/training.json"]
    targets += ["results/mini/cohort/shown_pairs.json"]
    snakemake(own_run, *targets, "--configfile", write_config(own_run, content))
    quality = pd.read_csv(own_run / "results/mini/raw/quality.tsv", sep="\t", index_col="subject")
    left_out = {"sub-002", "sub-005", "sub-008"}
    assert set(quality.index[quality["excluded"]]) == left_out
    assert "below 1,550 ml" in quality.at["sub-008", "reason"]
    metrics = pd.read_csv(own_run / targets[0])
    assert set(metrics["fixed"]) == {"sub-006", "sub-007"}
    assert json.loads((own_run / targets[1]).read_text())["subjects"] == ["sub-001", "sub-003"]
    shown = json.loads((own_run / targets[2]).read_text())
    assert not left_out & {name for pair in shown.values() for name in pair}


@pytest.mark.long  # tests/training/test_distributed.py has its processes in less time
def test_a_job_with_two_gpus_trains_with_two_processes(own_run):
    """There is no GPU here: two processes on processors. A batch of one pair cannot be shared."""
    target = f"{RUN}/level-1/training.json"
    asked = ["--resources", "gpu=2", "--set-resources", "train_stage:gpu=2", "--forcerun", "train_stage"]
    content = json.loads(json.dumps(CONFIG))
    config = write_config(own_run, content)
    done = snakemake(own_run, target, "--configfile", config, *asked, check=False)
    assert done.returncode != 0
    assert "a batch of 1 cannot be shared by 2 processes" in done.stdout
    content["methods"]["smgicnet"]["training"]["batch_size"] = 2
    snakemake(own_run, target, "--configfile", write_config(own_run, content), *asked)
    assert json.loads((own_run / target).read_text())["processes"] == 2
    log = own_run / "results/mini/logs/train/raw-smgicnet-seed-1-level-1.log"
    assert "2 processes on cpu" in log.read_text()


def test_published_weights_run_in_the_pipeline_without_training(own_run):
    torch.save(published_lapirn(), own_run / "LapIRN_diff_fea7.pth")
    assert cli.main(["import-weights", "lapirn", str(own_run / "LapIRN_diff_fea7.pth"), str(own_run / "l.pt")]) == 0
    content = json.loads(json.dumps(CONFIG))
    official = {"type": "lapirn", "label": "LapIRN (official)", "weights": str(own_run / "l.pt"), "arms": ["raw"]}
    content["methods"] = {"lapirn-official": official}
    run = "results/mini/raw/lapirn-official/seed-0"
    done = snakemake(own_run, f"{run}/metrics.csv.gz", "--configfile", write_config(own_run, content))
    assert "train_stage" not in done.stdout
    assert len(metrics_of(own_run, run)[["fixed", "moving"]].drop_duplicates()) == 6


def test_table_3_says_which_weights_are_not_there(finished):
    text = (finished / "results/mini/tables/table3.md").read_text()
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("|")}
    assert "weights not present" in lines["GradICON"]
    assert "weights not present" in lines["GradICON w.affine"]
    numbers = pd.read_csv(finished / "results/mini/tables/table3.csv")
    dice = numbers[(numbers["metric"] == "dice") & (numbers["source"] == "measured")].set_index(["method", "arm"])
    assert list(dice.index) == [("synthmorph", "raw"), ("synthmorph", "affine"), ("smgicnet", "raw")]
    assert (dice["n"] == 6).all()
    assert not list((finished / "results/mini").glob("*/gradicon"))


def test_ablations_train_only_what_they_do_not_share(own_run):
    config = str(own_run / "config.yaml")
    before = {path: path.stat().st_mtime_ns for path in (own_run / RUN).rglob("*") if path.is_file()}
    said = snakemake(own_run, "ablations", "--configfile", config).stdout
    assert re.search(r"train_stage +2\n", said)
    assert before == {path: path.stat().st_mtime_ns for path in (own_run / RUN).rglob("*") if path.is_file()}
    raw = own_run / "results/mini/raw"
    trained = {str(path.parent.relative_to(raw)) for path in raw.glob("smgicnet-*/*/*/weights.pt")}
    assert trained == {"smgicnet-no-gate/seed-1/level-4", "smgicnet-one-level/seed-1/level-1"}
    records = {name: json.loads((raw / name / "training.json").read_text()) for name in trained}
    assert {name for name, record in records.items() if "labels" in record} == {"smgicnet-one-level/seed-1/level-1"}
    assert pd.read_csv(raw / "smgicnet-one-level/seed-1/level-1/history.csv")["labels"].between(0, 1).all()
    rows = pd.read_csv(own_run / "results/mini/tables/ablations.csv").set_index("label")
    assert list(rows.index) == ["SM-GICNet", "without gate", "one level"]
    for name, method in (("without gate", "smgicnet-no-gate"), ("one level", "smgicnet-one-level")):
        metrics = metrics_of(own_run, f"results/mini/raw/{method}/seed-1")
        means = metrics[(metrics["metric"] == "dice") & (metrics["roi"] == "mean")]["value"].astype(float)
        assert rows.at[name, "dice"] == pytest.approx(means.mean(), rel=1e-5)
        assert rows.at[name, "difference"] == pytest.approx(means.mean() - rows.at["SM-GICNet", "dice"], abs=1e-5)
    assert rows.at["without gate", "parameters"] < rows.at["SM-GICNet", "parameters"]
    assert (rows["train_seconds"] > 0).all()
    # the page has them from now on
    snakemake(own_run, "--configfile", config)
    assert "Ablations of SM-GICNet" in (own_run / "results/mini/report/index.html").read_text()


def test_snakemakes_report_has_every_table_and_figure(finished, tmp_path):
    report = tmp_path / "report.zip"
    snakemake(finished, "--report", str(report), "--configfile", str(finished / "config.yaml"))
    with ZipFile(report) as archive:
        page = next(archive.read(name).decode() for name in archive.namelist() if name.endswith("report.html"))
        names = {Path(name).name for name in archive.namelist()}
    assert {"table1.md", "table3.md", "methods.png", "training-raw-smgicnet.png", "audit.md"} <= names
    for words in ("Tables", "Figures", "Training", "Audit of the paper", "authors' weights"):
        assert words in page, words


def test_weights_are_fetched_on_request_and_then_run(tmp_path):
    source = tmp_path / "upstream.h5"
    write_h5(source, keras(2))
    content = json.loads(json.dumps(CONFIG))
    content["methods"]["synthmorph"] = json.loads(json.dumps(PUBLISHED["synthmorph"]))
    content["methods"]["synthmorph"]["published"]["url"] = source.as_uri()
    config = write_config(tmp_path, content)
    plan = snakemake(tmp_path, "-n", "--configfile", config).stdout
    assert "synthmorph/seed-0/shards" not in plan
    said = snakemake(tmp_path, "weights", "--configfile", config).stdout
    assert "resources/weights/brains.h5" in said
    assert filecmp.cmp(tmp_path / "resources/weights/brains.h5", source, shallow=False)
    assert "synthmorph/seed-0/shards" in snakemake(tmp_path, "-n", "--configfile", config).stdout
    source.unlink()  # it is there, and not fetched again
    snakemake(tmp_path, "weights", "--configfile", config)
    content["methods"]["synthmorph"]["published"]["file"] = "resources/weights/other.h5"
    done = snakemake(tmp_path, "weights", "--configfile", write_config(tmp_path, content), check=False)
    assert done.returncode != 0
    assert f"Fetch {source.as_uri()} by hand and save it as resources/weights/other.h5" in done.stdout


def test_flirt_that_is_asked_for_and_missing_stops_before_anything_runs(tmp_path):
    if find_flirt():
        pytest.skip("this machine has FLIRT")
    content = {**FULL, "affine": {"engine": "flirt"}}
    done = snakemake(tmp_path, "--configfile", write_config(tmp_path, content), check=False)
    assert done.returncode != 0
    for word in ("FSLDIR", "--use-conda", "engine: ants"):
        assert word in done.stdout
    assert not (tmp_path / "results").exists()


CONFIGS = sorted(path.name for path in (ROOT / "config").glob("*.yaml") if path.name != "paper.yaml")
LARGE = "oasis.yaml"  # a DAG of thousands of jobs


@pytest.mark.parametrize(
    "config", [name if name != LARGE else pytest.param(name, marks=pytest.mark.long) for name in CONFIGS]
)
def test_every_config_gives_a_dag(config, tmp_path):
    """With the terms of OASIS accepted, and FreeSurfer said to be on other nodes."""
    text = (ROOT / "config" / config).read_text().replace("accept_license: false", "accept_license: true")
    (tmp_path / "config.yaml").write_text(text)
    (tmp_path / "resources/anatomies").mkdir(parents=True)
    for number in range(20):
        (tmp_path / f"resources/anatomies/map-{number:02d}.nii.gz").touch()
    done = snakemake(tmp_path, "-n", "--configfile", str(tmp_path / "config.yaml"), "--config", "unchecked_tools=true")
    assert "write_table1" in done.stdout


def test_train_on_the_command_line_ends_in_the_workflows_weights_and_metrics(finished, tmp_path, capsys, caplog):
    """On a machine without Snakemake, from the prepared subjects alone; twice, the second time it finds all done."""
    folder = tmp_path / "results/mini"
    shutil.copytree(finished / "results/mini/cohort", folder / "cohort")
    shutil.copytree(finished / "results/mini/raw/subjects", folder / "raw/subjects")
    arguments = ["train", str(finished / "config.yaml"), "smgicnet", str(folder)]
    assert cli.main(arguments) == 0
    for level in range(1, 5):
        ours, theirs = (base / RUN / f"level-{level}" for base in (tmp_path, finished))
        assert (ours / "weights.pt").read_bytes() == (theirs / "weights.pt").read_bytes()
        assert sorted(path.name for path in ours.glob("*.*")) == ["history.csv", "training.json", "weights.pt"]
        identity = [json.loads((one / "training.json").read_text()) for one in (ours, theirs)]
        assert all(identity[0][key] == identity[1][key] for key in ("block", "seed", "code", "images", "subjects"))
    expected = metrics_of(finished, str(RUN))
    found = metrics_of(tmp_path, str(RUN)).set_index(["fixed", "moving", "metric", "roi"])["value"]
    expected = expected.set_index(["fixed", "moving", "metric", "roi"])["value"].reindex(found.index)
    same = ~found.index.get_level_values("metric").isin(["seconds", "peak_memory_mib"])
    assert list(found[same]) == list(expected[same])
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("weights.pt")}
    with caplog.at_level(logging.INFO):
        assert cli.main(arguments) == 0
    assert "stage 4 is there" in caplog.text
    assert "dice" in caplog.text
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("weights.pt")}


def test_jobs_run_the_code_of_the_checkout(tmp_path, monkeypatch):
    """Not that of another one that is installed."""
    (tmp_path / "installed/smgicnet").mkdir(parents=True)
    (tmp_path / "installed/smgicnet/__init__.py").write_text("raise ImportError('another checkout')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "installed"))
    snakemake(tmp_path, "results/audit.md", "--configfile", str(ROOT / "config/config.yaml"))
    assert (tmp_path / "results/audit.md").is_file()


def test_register_on_the_command_line(finished, tmp_path, capsys):
    """Two scans of other orientations, spacings and fields of view; results lie in their native spaces."""
    cohort = finished / "results/mini/cohort"
    fixed, moving = (cohort / name / "T1w.nii.gz" for name in ("sub-006", "sub-007"))
    out = tmp_path / "pair"
    weights = finished / RUN / "level-4/weights.pt"
    arguments = ["--fixed", str(fixed), "--moving", str(moving), "--weights", str(weights), "--out", str(out)]
    assert cli.main(["register", *arguments]) == 0
    printed = capsys.readouterr().out
    native, other = read_image(fixed), read_image(moving)
    warped = read_image(out / "warped.nii.gz")
    assert warped.data.shape == native.data.shape
    np.testing.assert_allclose(warped.affine, native.affine, atol=1e-5)
    assert nib.aff2axcodes(warped.affine) == nib.aff2axcodes(native.affine)
    forward, inverse = (read_itk(out / f"{name}.nii.gz") for name in ("displacement", "inverse_displacement"))
    assert forward.data.shape[:3] == native.data.shape
    assert inverse.data.shape[:3] == other.data.shape
    points = grid_points(native.data.shape, native.affine)
    expected = sample(Volume(other.data, other.affine), points + forward.data)
    np.testing.assert_allclose(warped.data, expected, atol=1e-2)
    there_and_back = apply_field(inverse, points + forward.data) - points
    assert np.linalg.norm(there_and_back, axis=-1)[16:-16, 16:-16, 16:-16].mean() < 2.0  # mm, on a grid of 13 mm
    for name in ("warped", "displacement", "inverse_displacement", "registration"):
        assert str(out / name) in printed
    assert json.loads((out / "registration.json").read_text())["seconds"] > 0

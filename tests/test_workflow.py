"""The workflow, run for real on a miniature cohort: it ends in the table, twice the same, and survives SIGKILL."""

import filecmp
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml

from smgicnet import cli
from smgicnet.cohort import plan_cohort
from smgicnet.config import load
from smgicnet.images import Volume, read_image
from smgicnet.transforms_io import apply_field, grid_points, read_itk, sample

ROOT = Path(__file__).parent.parent
RUN = Path("results/mini/raw/smgicnet/seed-1")
CONFIG = {
    "datasets": {
        "mini": {
            "source": {
                "kind": "phantom", "subjects": {"train": 3, "val": 2, "test": 3}, "shape": [60, 70, 60], "spacing": 4,
            },
            "grid": {"shape": [16, 16, 16], "spacing": 13},
        }
    },
    "methods": {
        "initial": {"type": "initial"},
        "smgicnet": {
            "type": "smgicnet",
            "network": {"channels": 4, "blocks": 1},
            "stages": [{"iterations": n, "frozen_iterations": 2, "learning_rate": 1e-3} for n in (6, 6, 40, 4)],
            "training": {"checkpoint_every": 5, "validate_every": 20},
        },
    },
    "evaluation": {"shard_size": 2, "figure_pairs": 2},
}  # fmt: skip


def snakemake(folder, *arguments, check=True):
    """Run Snakemake as a user would, in another working folder and with one core; returns the code and all it said."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--workflow-profile", str(ROOT / "profiles/default"), "--directory", str(folder), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder)
    if check:
        assert done.returncode == 0, done.stdout
    return done


def write_config(folder, content=CONFIG):
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of the miniature config."""
    folder = tmp_path_factory.mktemp("mini")
    snakemake(folder, "--configfile", write_config(folder))
    return folder


def timeless(folder):
    """The metrics of a run without what a clock or the memory decides."""
    metrics = pd.read_csv(folder / RUN / "metrics.csv.gz", keep_default_na=False)
    return metrics[~metrics["metric"].isin(["seconds", "peak_memory_mib"])]


def test_ends_in_the_table_and_the_figure(finished):
    table = finished / "results/mini/tables"
    text = (table / "table1.md").read_text()
    assert "Initial" in text
    assert "SM-GICNet" in text
    assert "0.797" in text  # the paper's
    numbers = pd.read_csv(table / "table1.csv")
    dice = numbers[(numbers["metric"] == "dice") & (numbers["source"] == "measured")].set_index("method")
    assert dice["n"].tolist() == [6, 6]
    metrics = timeless(finished)
    means = metrics[(metrics["metric"] == "dice") & (metrics["roi"] == "mean")]["value"].astype(float)
    assert dice.loc["smgicnet", "mean"] == pytest.approx(means.mean())
    record = json.loads((table / "table1.json").read_text())
    assert record["config"]["methods"]["smgicnet"]["network"]["channels"] == 4
    assert {"torch", "python"} <= record["versions"][0].keys()
    assert len(record["hardware"]) == 1
    for form in ("png", "pdf"):
        assert (finished / f"results/mini/figures/registrations-raw-smgicnet-seed-1.{form}").stat().st_size > 5000


def test_metrics_have_every_pair_direction_and_metric(finished):
    metrics = pd.read_csv(finished / RUN / "metrics.csv.gz", keep_default_na=False)
    assert len(metrics[["fixed", "moving"]].drop_duplicates()) == 6
    assert set(metrics["metric"]) == {
        "dice", "hd95_mm", "rois", "folds_percent", "folds_percent_grid", "sd_log_jacobian", "ndv_percent",
        "inverse_consistency_mm", "integration_error_mm", "endpoint_error_mm", "seconds", "peak_memory_mib",
    }  # fmt: skip
    assert not metrics.duplicated(["fixed", "moving", "metric", "roi"]).any()


def test_nothing_is_left_to_do(finished):
    assert "Nothing to be done" in snakemake(finished, "-n", "--configfile", str(finished / "config.yaml")).stdout


def test_the_same_seed_gives_the_same_table_and_bytes(finished, tmp_path):
    snakemake(tmp_path, "--configfile", write_config(tmp_path))
    assert timeless(tmp_path).equals(timeless(finished))
    for level in range(1, 5):
        name = RUN / f"level-{level}" / "weights.pt"
        assert filecmp.cmp(tmp_path / name, finished / name, shallow=False), name
    cohort = sorted(p.relative_to(finished) for p in (finished / "results/mini/cohort").rglob("*") if p.is_file())
    assert len(cohort) == 8 * 4 + 2
    for name in cohort:
        assert filecmp.cmp(tmp_path / name, finished / name, shallow=False), name


def test_sigkill_in_level_3_and_again(finished, tmp_path):
    """Killed without warning between two checkpoints; the second start goes on and ends in the same bytes."""
    config = write_config(tmp_path)
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(tmp_path), "--configfile", config]
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
    snakemake(tmp_path, "--configfile", config)
    log = (tmp_path / "results/mini/logs/train/raw-smgicnet-seed-1-level-3.log").read_text()
    assert "resuming from" in log
    for level in (3, 4):
        name = RUN / f"level-{level}" / "weights.pt"
        assert filecmp.cmp(tmp_path / name, finished / name, shallow=False), name
    assert timeless(tmp_path).equals(timeless(finished))
    assert not checkpoint.exists()


def test_a_generated_cohort_is_read_as_ones_own(finished, tmp_path):
    """The written participants.tsv through the other entrance gives the same preprocessed bytes."""
    own = json.loads(json.dumps(CONFIG))
    own["datasets"]["mini"]["source"] = {
        "kind": "participants", "path": str(finished / "results/mini/cohort/participants.tsv"),
    }  # fmt: skip
    config = write_config(tmp_path, own)
    table = plan_cohort(load(config)["datasets"]["mini"]["source"], "unused")
    assert table["split"].value_counts().to_dict() == {"train": 3, "val": 2, "test": 3}
    snakemake(tmp_path, "--configfile", config, "--until", "preprocess")
    for name in table.index:
        for kind in ("image.nii", "labels.nii"):
            path = Path("results/mini/raw/subjects") / name / kind
            assert filecmp.cmp(tmp_path / path, finished / path, shallow=False), path


@pytest.mark.parametrize("row", [0, 7], ids=["train", "test"])
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


def test_changing_one_thing_reruns_only_what_depends_on_it(finished):
    content = json.loads(json.dumps(CONFIG))
    content["methods"]["smgicnet"]["stages"][3]["iterations"] = 5
    config = finished / "changed.yaml"
    config.write_text(yaml.safe_dump(content))
    plan = snakemake(finished, "-n", "--configfile", str(config))
    said = plan.stdout
    assert "train_level" in said
    assert "level=4" in said
    assert not any(f"level={level}," in said or f"level={level}\n" in said for level in (1, 2, 3))
    assert "preprocess" not in said.split("Job stats")[1]


def test_another_name_in_the_table_trains_nothing(finished):
    content = json.loads(json.dumps(CONFIG))
    content["methods"]["smgicnet"]["label"] = "Ours"
    config = finished / "renamed.yaml"
    config.write_text(yaml.safe_dump(content))
    plan = snakemake(finished, "-n", "--configfile", str(config))
    jobs = plan.stdout.split("Job stats")[1]
    assert "write_table1" in jobs
    assert "train_level" not in jobs
    assert "register_shard" not in jobs


def test_another_test_subject_renders_and_trains_nothing_else(finished):
    content = json.loads(json.dumps(CONFIG))
    content["datasets"]["mini"]["source"]["subjects"]["test"] = 4
    config = finished / "more.yaml"
    config.write_text(yaml.safe_dump(content))
    plan = snakemake(finished, "-n", "--configfile", str(config))
    jobs = plan.stdout.split("Job stats")[1]
    assert re.search(r"render_phantom +1\n", jobs)
    assert re.search(r"preprocess +1\n", jobs)
    assert "train_level" not in jobs


@pytest.mark.parametrize("config", sorted(p.name for p in (ROOT / "config").glob("*.yaml") if p.name != "paper.yaml"))
def test_every_config_gives_a_dag(config, tmp_path):
    (tmp_path / "resources/anatomies").mkdir(parents=True)
    for number in range(20):
        (tmp_path / f"resources/anatomies/map-{number:02d}.nii.gz").touch()
    done = snakemake(tmp_path, "-n", "--configfile", str(ROOT / "config" / config))
    assert "write_table1" in done.stdout


def test_register_on_the_command_line(finished, capsys):
    """Two scans of other orientations, spacings and fields of view; results lie in their native spaces."""
    cohort = finished / "results/mini/cohort"
    fixed, moving = (cohort / name / "T1w.nii.gz" for name in ("sub-006", "sub-007"))
    out = finished / "pair"
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
    assert np.linalg.norm(there_and_back, axis=-1)[20:-20, 20:-20, 20:-20].mean() < 2.0  # mm, on a grid of 13 mm
    for name in ("warped", "displacement", "inverse_displacement", "registration"):
        assert str(out / name) in printed
    assert json.loads((out / "registration.json").read_text())["seconds"] > 0

"""`smgicnet check`: everything that is wrong at once, and a summary of what is there."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from smgicnet.cohort.files import check_cohort_files
from smgicnet.commands.check import check, main
from smgicnet.imaging.grids import Grid
from tests.support.cohorts import bids, cohort, config, folder_only, save_table
from tests.support.scans import good_labels, truncated, write

DEFAULT = {"header": "agree", "skull_strip": "auto", "segmentation": "given", "labels": "freesurfer"}


def test_summary_of_a_config(tmp_path):
    path = config()(tmp_path)
    report = check(path, jobs=1)
    assert report.problems == ()
    for line in (
        "d (participants)",
        "subjects: 3 train, 0 val, 2 test; 1 test pairs, each registered in both directions",
        "files read: 5 of 5",
        "shapes: 24 x 24 x 24 (5)",
        "spacings in mm: 2 x 2 x 2 (5)",
        "orientations: RAS (5)",
        "label maps: 5 of 5",
        "images: stripped (5)",
        "brain volume: 33 to 33 ml",  # 16 voxels of 2 mm, cubed
        "common grid: 16 x 16 x 16 at 4 mm",
    ):
        assert line in report.text
    assert "Left-Thalamus" in next(line for line in report.text.splitlines() if "ROIs that nobody has" in line)
    assert report.text.splitlines()[-1] == f"ready: snakemake --cores all --configfile {path}"


def test_all_problems_are_said_at_once(tmp_path, capsys):
    rows = cohort(tmp_path)
    rows[0]["subject"] = "../s0"
    rows[1]["image"] = "gone.nii.gz"
    rows[2]["labels"] = "lost.nii.gz"
    truncated(tmp_path / "s3.nii.gz")
    write(tmp_path / "s4-labels.nii.gz", good_labels()[:-1])
    path = save_table(tmp_path, rows)
    report = check(path, jobs=1)
    said = [f"{problem.source}: {problem.problem}" for problem in report.problems]
    for part in (
        "'../s0' is not allowed",
        "gone.nii.gz",
        "lost.nii.gz",
        "s3.nii.gz: not a readable",
        "s4-labels.nii.gz",
    ):
        assert sum(part in one for one in said) == 1, said
    assert report.text.splitlines()[-1] == f"{len(said)} problems" == "5 problems"
    assert main(path, 1) == 1
    assert "5. " in capsys.readouterr().out


def landmarked(folder, texts):
    """Rows of a cohort with these landmarks, a file a subject; "" for none."""
    rows = cohort(folder)
    for number, (row, text) in enumerate(zip(rows, texts, strict=True)):
        row["landmarks"] = f"l{number}.csv" if text else ""
        if text:
            (folder / row["landmarks"]).write_text(text)
    return rows


def test_landmarks_are_opened_and_counted(tmp_path):
    some = "x,y,z\n10,20,30\n12,22,32\n"
    report = check(save_table(tmp_path, landmarked(tmp_path, ["", "", "", some, some])), jobs=1)
    assert report.problems == ()
    assert "landmarks: 2 of 5, 2 to 2 each" in report.text


def test_all_that_is_wrong_with_landmarks_is_said(tmp_path):
    some = "x,y,z\n10,20,30\n12,22,32\n"
    wrong = ["x,y,z\n10,nan,30\n", "x,y,z\n10,20,300\n", some, "x,y,z\n10,20,30\n", ""]
    rows = landmarked(tmp_path, wrong)
    rows[4]["landmarks"] = "gone.csv"
    said = [(problem.source, problem.problem) for problem in check(save_table(tmp_path, rows), jobs=1).problems]
    assert said == [
        (str(tmp_path / "l0.csv"), "line 2: y is 'nan', not a finite number"),
        (str(tmp_path / "l1.csv"), f"landmark 1, at (10, 20, 300) in RAS mm, is outside {tmp_path / 's1.nii.gz'}"),
        (str(tmp_path / "l3.csv"), f"it has 1 landmarks, and {tmp_path / 'l2.csv'} has 2"),
        (str(tmp_path / "gone.csv"), "cannot be read (No such file or directory)"),
    ]


def test_splits_are_not_needed(tmp_path):
    rows = cohort(tmp_path)
    for row in rows:
        del row["split"]
    report = check(save_table(tmp_path, rows), jobs=1)
    assert report.problems == ()
    assert "5, not divided into splits yet" in report.text


def test_bids_folder_with_its_derivatives(tmp_path):
    report = check(folder_only(bids())(tmp_path), jobs=1)
    assert report.problems == ()
    assert "label maps: 4 of 4" in report.text


def test_generated_cohorts_open_no_file(tmp_path):
    report = check(config({"kind": "phantom"})(tmp_path), jobs=1)
    assert report.problems == ()
    assert "are generated when the workflow runs" in report.text


def test_heads_differ_from_brains_and_orientations_are_grouped(tmp_path):
    rows = cohort(tmp_path)
    head = np.random.default_rng(1).uniform(1, 100, (24, 24, 24)).astype(np.float32)
    write(tmp_path / "s1.nii.gz", head, np.diag([-2.0, 2, 2, 1]))
    write(tmp_path / "s1-labels.nii.gz", good_labels(), np.diag([-2.0, 2, 2, 1]))
    report = check(save_table(tmp_path, rows), jobs=1)
    assert report.problems == ()
    assert "orientations: RAS (4), LAS (1)" in report.text
    assert "images: stripped (4), with skull (1)" in report.text


@pytest.mark.parametrize("jobs", [1, 2])
def test_processes_give_the_same(tmp_path, jobs):
    cohort(tmp_path)
    files = {
        f"s{number}": [f"{tmp_path}/s{number}.nii.gz", f"{tmp_path}/s{number}-labels.nii.gz"] for number in range(3)
    }
    nib.save(nib.load(files["s0"][0]), tmp_path / "again.nii")  # uncompressed, another name
    files["s9"] = [f"{tmp_path}/again.nii", ""]
    table = pd.DataFrame.from_dict(files, orient="index", columns=["image", "labels"])
    checks = check_cohort_files(table, DEFAULT, Grid((16, 16, 16), 4.0), jobs)
    assert [one.subject for one in checks] == ["s0", "s1", "s2", "s9"]
    assert [one.brain_ml for one in checks] == [pytest.approx(32.8, abs=0.05)] * 4
    assert [len(one.problems) for one in checks] == [0, 0, 0, 1]
    assert "s0 and s9 have the same image" in checks[3].problems[0].problem


def test_names_cannot_steer_the_terminal(tmp_path):
    rows = cohort(tmp_path)
    rows[0]["image"] = "\x1b[2Jgone.nii.gz"
    text = check(save_table(tmp_path, rows), jobs=1).text
    assert "\x1b" not in text
    assert r"\x1b[2Jgone.nii.gz" in text

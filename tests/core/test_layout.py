"""Where the files of a study lie: what a finished run has under these names is found again."""

from pathlib import Path

import pytest

from smgicnet.core import layout
from smgicnet.core.errors import InputError
from smgicnet.core.layout import DatasetPaths, changed_file, prepared_file, shown_files

DATASET = DatasetPaths.of("oasis")
RUN = DATASET.run("raw", "smgicnet", 1)


def test_files_of_a_study_and_of_a_dataset():
    assert layout.costs_file() == "results/costs.json"
    assert layout.AUDIT["md"] == "results/audit.md"
    assert DATASET.participants == "results/oasis/cohort/participants.tsv"
    assert DATASET.job_sizes == "results/oasis/cohort/shards.json"
    assert DATASET.quality == "results/oasis/raw/quality.tsv"
    assert DATASET.page == "results/oasis/report/index.html"
    assert DATASET.prepared("affine", "sub-1", "image") == "results/oasis/affine/subjects/sub-1/image.nii"
    assert DATASET.alignment(3, "alignments.json") == "results/oasis/affine/alignments/3/alignments.json"
    assert DATASET.table("table1", "record") == "results/oasis/tables/table1.json"
    assert DATASET.figure("dice", "pdf") == "results/oasis/figures/dice.pdf"
    assert DatasetPaths.of("oasis", "elsewhere").pairs == "elsewhere/oasis/cohort/pairs.tsv"


def test_files_of_a_run():
    assert RUN.stage(2, "weights") == "results/oasis/raw/smgicnet/seed-1/level-2/weights.pt"
    assert RUN.stage("{stage}", "record") == "results/oasis/raw/smgicnet/seed-1/level-{stage}/training.json"
    assert RUN.shard(0, layout.SHARD_METRICS) == "results/oasis/raw/smgicnet/seed-1/shards/0/metrics.csv"
    assert RUN.file(layout.METRICS) == "results/oasis/raw/smgicnet/seed-1/metrics.csv.gz"


def test_files_of_a_pair_that_is_shown():
    warped, field = shown_files(RUN.shown, "a", "b")
    assert warped == Path("results/oasis/raw/smgicnet/seed-1/shown/fixed-a_moving-b_warped.nii.gz")
    assert field == Path("results/oasis/raw/smgicnet/seed-1/shown/fixed-a_moving-b_displacement.nii.gz")


def test_files_of_changed_heads():
    folder = DATASET.changed("sub-1")
    image = Path("results/oasis/robustness/subjects/sub-1/rotation-30/image.nii")
    assert changed_file(folder, "rotation-30", "image") == image
    assert changed_file(folder, "rotation-30", "preprocessing") == image.with_name("change.json")
    assert DATASET.changed_alignment(0, "record.json") == "results/oasis/robustness/alignments/0/record.json"
    assert RUN.changed_shard(2, layout.SHARD_METRICS) == "results/oasis/raw/smgicnet/seed-1/robustness/2/metrics.csv"
    assert DATASET.shown_change == "results/oasis/robustness/shown.json"
    warped, _ = shown_files(RUN.file(layout.CHANGED_SHOWN), "sub-2", "sub-1/rotation-30")
    run = Path("results/oasis/raw/smgicnet/seed-1")
    assert warped == run / "robustness/shown/fixed-sub-2_moving-sub-1-rotation-30_warped.nii.gz"
    assert RUN.file(layout.ROBUSTNESS) == "results/oasis/raw/smgicnet/seed-1/robustness.csv.gz"


def test_a_prepared_file_lies_beside_its_record_or_is_missed(tmp_path):
    record = tmp_path / "preprocessing.json"
    with pytest.raises(InputError, match=rf"image\.nii: it is missing.*Delete {record}"):
        prepared_file(record, "image")
    (tmp_path / "image.nii").touch()
    assert prepared_file(record, "image") == tmp_path / "image.nii"

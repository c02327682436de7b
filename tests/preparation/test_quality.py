"""Quality control: what is measured of a subject, and what is said of it."""

import logging

import numpy as np
import pandas as pd
import pytest

from smgicnet.config.building import build
from smgicnet.config.completion import load
from smgicnet.core.errors import InputError
from smgicnet.core.files import PACKAGE
from smgicnet.imaging.images import write_volume
from smgicnet.preparation.label_protocols import roi_names
from smgicnet.preparation.quality import (
    COLUMNS,
    MAX_CUT_PERCENT,
    PERCENTILES,
    QualityConfig,
    assess,
    excluded_subjects,
    measure,
    read_quality,
    write_quality,
)
from tests.support.quality import CONFIG, rows, write_subject

EXCLUDING = QualityConfig(exclude=True, volume_ml=(700, 2500), volume_deviations=5, labels_outside_percent=20)
ALL_ROIS = list(roi_names().values())


def test_measures_are_those_of_the_voxels(tmp_path):
    found = measure(*write_subject(tmp_path, shift=2))
    assert found["brain_ml"] == 1400
    assert found["labelled_ml"] == pytest.approx(8**3 * 64 / 1000, abs=0.05)
    assert found["labels_outside_percent"] == 25  # two of eight layers
    assert found["rois"] == 2
    assert found["rois_missing"] == [name for roi, name in roi_names().items() if roi not in (3, 41)]
    assert (found["source_shape"], found["source_spacing_mm"]) == ("160x256x256", "1.2x0.9375x0.9375")
    assert found["histogram"].sum() == 8**3
    assert found["histogram"][int(0.8 * 32)] == 4**3
    assert dict(zip(PERCENTILES, found["percentiles"]))[50] == pytest.approx(0.4, abs=1e-4)
    assert measure(*write_subject(tmp_path, white=0.3, grey=0.6))["white_to_grey"] == 0.5


def test_without_labels_what_depends_on_them_is_missing(tmp_path):
    found = measure(*write_subject(tmp_path, labelled=False))
    assert (found["labels"], found["labelled_ml"], found["rois"], found["rois_missing"]) == ("", 0, 0, [])
    assert found["labels_outside_percent"] is None
    assert found["white_to_grey"] is None


def test_unusable_files_are_named(tmp_path):
    image, labels, report = write_subject(tmp_path)
    write_volume(labels, np.zeros((8, 8, 8), np.uint8), np.eye(4))
    with pytest.raises(InputError, match=r"labels\.nii: its shape"):
        measure(image, labels, report)
    write_subject(tmp_path)
    report.write_text("{")
    with pytest.raises(InputError, match=r"preprocessing\.json: not a record"):
        measure(image, labels, report)


def test_a_sound_cohort_has_no_flag():
    found = assess(rows(), CONFIG)
    assert not found["flagged"].any()
    assert (found["reason"] == "").all()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"brain_ml": [512.0]}, "a brain of 512 ml is below 700 ml"),
        ({"brain_ml": [2600.4]}, "a brain of 2,600 ml is above 2,500 ml"),
        ({"brain_ml": [1000.0]}, "its 1,000 ml are 12.0 robust SDs below the cohort's median brain, 1,445 ml"),
        ({"brain_ml": [2400.0]}, r"its 2,400 ml are 2\d.\d robust SDs above the cohort's median brain, 1,455 ml"),
        ({"labels_outside_percent": [31.2]}, "31 % of the labels lie outside the brain, more than 20 %"),
        ({"cut_percent": [2.34]}, "2.3 % of the brain is cut off by the grid"),
        ({"rois_missing": [["CSF"]]}, "1 ROI is missing that nearly all others have: CSF"),
        ({"rois_missing": [list("abcde")]}, "5 ROIs are missing that nearly all others have: a, b, c and 2 more"),
        ({"white_to_grey": [0.7]}, r"white matter is darker .*\(ratio 0.70, .* 1.30\): another contrast or inverted"),
    ],
)
def test_each_reason_in_words(changes, sentence):
    found = assess(rows(**changes), CONFIG)
    assert found["flagged"].tolist() == [True] + [False] * 9
    assert pd.Series(found["reason"][0].split("; ")).str.fullmatch(sentence).any()


def test_reasons_add_up():
    found = assess(rows(brain_ml=[512.0], cut_percent=[3.0]), CONFIG)
    assert len(found["reason"][0].split("; ")) == 3


def test_a_small_cohort_is_no_measure():
    for count, flagged in ((4, False), (5, True)):
        assert assess(rows(count, brain_ml=[1000.0]), CONFIG)["flagged"][0] == flagged
        assert assess(rows(count, rois_missing=[["CSF"]]), CONFIG)["flagged"][0] == flagged


def test_equal_brains_may_differ_by_resampling():
    for volume, flagged in ((1500.0, False), (1590.0, True)):
        assert assess(rows(brain_ml=[volume] + [1400.0] * 9), CONFIG)["flagged"].tolist() == [flagged] + [False] * 9


def test_an_roi_that_some_others_lack_is_no_flag():
    """Of 12 subjects 11 are others: ten that have it are more than 90 %, nine are not. Unlabelled ones do not count."""
    for lacking, flagged in ((2, True), (3, False)):
        found = assess(rows(12, rois_missing=[["CSF"]] * lacking), CONFIG)
        assert found["flagged"].tolist() == [flagged] * lacking + [False] * (12 - lacking)
    found = assess(rows(12, rois_missing=[["CSF"]] * 3, rois=[36] * 4 + [0] * 8), CONFIG)
    assert not found["flagged"].any()


def test_a_cohort_of_another_contrast_is_consistent():
    assert not assess(rows(white_to_grey=[0.7] * 10), CONFIG)["flagged"].any()


def test_missing_labels_are_no_flag():
    unlabelled = {"rois": [0], "labels_outside_percent": [None], "white_to_grey": [None], "labelled_ml": [0.0]}
    assert not assess(rows(**unlabelled), CONFIG)["flagged"].any()


def cohort(root, count=6, **first):
    """Files of a written cohort, as lists; ``first``: what is different in the first subject of each split."""
    splits = ["train"] * (count // 2) + ["test"] * (count - count // 2)
    subjects = [f"s{number}" for number in range(count)]
    files = []
    for number, name in enumerate(subjects):
        (root / name).mkdir(parents=True, exist_ok=True)
        files.append(write_subject(root / name, **(first if number % (count // 2) == 0 else {})))
    return subjects, splits, *map(list, zip(*files))


def test_table_and_log(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    written = write_quality(*cohort(tmp_path, foreground_ml=500.0), EXCLUDING, tmp_path / "out" / "quality.tsv")
    read = read_quality(tmp_path / "out" / "quality.tsv")
    pd.testing.assert_frame_equal(read, written, check_dtype=False)
    assert tuple(read) == COLUMNS
    assert read["flagged"].tolist() == read["excluded"].tolist() == [True, False, False] * 2
    assert read["image"][1] == "scans/s1.nii.gz"
    assert "Left-Caudate, Left-Putamen" in read["rois_missing"][0]
    assert excluded_subjects(tmp_path / "out" / "quality.tsv") == {"s0", "s3"}
    assert "implausible brain volume: 2 of 6 subjects" in caplog.messages
    assert f"2 of 6 subjects are flagged: {tmp_path / 'out' / 'quality.tsv'}" in caplog.messages
    assert not any("grid" in message for message in caplog.messages)


def test_flagged_subjects_stay_unless_the_config_excludes(tmp_path):
    table = tmp_path / "quality.tsv"
    written = write_quality(*cohort(tmp_path, count=4, foreground_ml=500.0), CONFIG, table)
    assert written["flagged"].sum() == 2
    assert excluded_subjects(table) == set()


def test_too_few_left_is_an_error_that_says_who_and_why(tmp_path):
    table = tmp_path / "quality.tsv"
    with pytest.raises(InputError, match=r"leaves 1 of 2 train .*s0 \(a brain of 500 ml.*Set quality.exclude: false"):
        write_quality(*cohort(tmp_path, count=4, foreground_ml=500.0), EXCLUDING, table)
    assert excluded_subjects(table) == {"s0", "s2"}


def test_another_table_is_refused(tmp_path):
    for content in (None, "", "subject\tsplit\ns1\ttrain\n"):
        if content is not None:
            (tmp_path / "quality.tsv").write_text(content)
        with pytest.raises(InputError, match="not a table of quality control"):
            read_quality(tmp_path / "quality.tsv")


def test_the_schemas_defaults_build_the_config():
    dataset = load(PACKAGE.parent / "config" / "config.yaml")["datasets"]["embedded"]
    assert build(QualityConfig, dataset["quality"]) == CONFIG


def test_what_is_at_a_limit_is_no_flag():
    at, beyond = CONFIG.labels_outside_percent, CONFIG.labels_outside_percent + 1
    assert assess(rows(labels_outside_percent=[at, beyond]), CONFIG)["flagged"].tolist()[:3] == [False, True, False]
    at, beyond = MAX_CUT_PERCENT, MAX_CUT_PERCENT + 0.1
    assert assess(rows(cut_percent=[at, beyond]), CONFIG)["flagged"].tolist()[:3] == [False, True, False]

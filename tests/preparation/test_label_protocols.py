"""What becomes of ids that a protocol lacks: they are background, and every place that drops them says so."""

from __future__ import annotations

import logging

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from smgicnet.commands.check import check
from smgicnet.commands.score import score_transforms
from smgicnet.core.errors import InputError
from smgicnet.imaging.grids import Grid
from smgicnet.preparation.label_protocols import (
    LABEL_TABLE,
    label_table,
    map_labels,
    roi_names,
    unknown_labels,
    unknown_sentence,
)
from smgicnet.preparation.preprocessing import prepare
from smgicnet.preparation.quality import assess, measure
from tests.support.cohorts import rendered
from tests.support.quality import CONFIG, rows, write_subject
from tests.support.scans import good_labels, write

CORTEX = {"freesurfer": (1000, 2000), "a2009s": (11100, 12100), "aparc.DKT": (1000, 2000)}
PARCELS = {
    "freesurfer": set(range(36)),
    "a2009s": set(range(76)),
    "aparc.DKT": set(range(2, 36)) - {4, 32, 33},  # without bankssts, frontalpole and temporalpole
}


@pytest.mark.parametrize("protocol", PARCELS)
def test_the_protocols_of_freesurfer_share_aseg_and_have_their_own_cortex(protocol):
    table = label_table(protocol).set_index("label")["roi"]
    for first, cortex in zip(CORTEX[protocol], (3, 42), strict=True):
        assert table[table.index >= 1000][table == cortex].index.tolist() == [
            first + k for k in sorted(PARCELS[protocol])
        ]
    aseg = label_table().set_index("label")["roi"]
    pd.testing.assert_series_equal(table[table.index < 1000], aseg[aseg.index < 1000])
    assert set(table.index[table.index > 13000]) == (
        set() if protocol != "a2009s" else {*range(13100, 13176), *range(14100, 14176)}
    )


def destrieux(path, parcels=1):
    """Labels of which a part is of Destrieux' ids, 11101 and on."""
    labels = good_labels().astype(np.int32)
    at = np.argwhere(labels > 0)[:8]
    for number, place in enumerate(at):
        labels[tuple(place)] = 11101 + number % parcels
    write(path, labels)
    return labels


def test_a_score_and_a_preparation_say_it_of_each_file(tmp_path, caplog):
    labels = destrieux(tmp_path / "l.nii.gz", parcels=2)
    write(tmp_path / "other.nii.gz", good_labels())
    write(tmp_path / "i.nii.gz", (labels > 0).astype(np.float32) * np.arange(1, 1 + labels.size).reshape(labels.shape))
    percent = 100 * 8 / (labels > 0).sum()
    with caplog.at_level(logging.WARNING):
        score_transforms(tmp_path / "l.nii.gz", tmp_path / "other.nii.gz", [])
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"{tmp_path}/l.nii.gz: 8 voxels (")
    assert said.endswith("11101, 11102. Ids of 11100 and up are Destrieux': name the protocol a2009s")
    caplog.clear()
    prepared = prepare(tmp_path / "i.nii.gz", tmp_path / "l.nii.gz", Grid((16, 16, 16), 4.0))
    assert prepared.report["labels_unknown"] == {"ids": [11101, 11102], "voxels": 8, "percent": round(percent, 3)}
    assert f"{tmp_path}/l.nii.gz: 8 voxels (" in caplog.text
    known = prepare(tmp_path / "i.nii.gz", tmp_path / "l.nii.gz", Grid((16, 16, 16), 4.0), mapping="a2009s")
    assert known.report["labels_unknown"] is None


def test_quality_flags_more_than_a_percent(tmp_path):
    files = {}
    for name, record in {"known": None, "few": {"percent": 0.9}, "many": {"percent": 12.34}, "old": ...}.items():
        (tmp_path / name).mkdir()
        files[name] = write_subject(tmp_path / name, **({} if record is ... else {"labels_unknown": record}))
    found = {name: measure(*paths)["unknown_percent"] for name, paths in files.items()}
    assert found == {"known": 0, "few": 0.9, "many": 12.34, "old": 0}  # before, records had no such key
    reasons = assess(rows(unknown_percent=[12.34, 0.9]), CONFIG)["reason"]
    assert reasons.tolist() == ["12.3 % of the labels are of ids that the protocol lacks", *[""] * (len(reasons) - 1)]


def test_of_maps_of_whole_heads_the_tissue_outside_the_brain_is_not_said(tmp_path):
    path = rendered(tmp_path)
    for number, extra in ((0, 500), (1, 530), (2, 99)):
        labels = good_labels().astype(np.int32)
        labels[0, 0, :3] = extra
        write(tmp_path / "maps" / f"m{number}.nii.gz", np.roll(labels, number, axis=0))
    lines = [line.strip() for line in check(path, 1).text.splitlines() if "the protocol lacks" in line]
    assert lines == ["ids that the protocol lacks, which count as background: 99 (1)"]


@pytest.mark.parametrize(("voxels", "share"), [(9999, "100"), (423, "4.2"), (1234, "12"), (3, "0.03")])
def test_a_share_is_written_as_people_do(voxels, share):
    assert f"({share} % of the labelled)" in unknown_sentence({9999: voxels}, 10000, "freesurfer")


def test_a_table_of_ones_own_may_make_an_id_background_on_purpose(tmp_path):
    (tmp_path / "own.tsv").write_text("label\troi\tname\n1\t3\tLeft-Cerebral-Cortex\n9\t0\tanything\n")
    assert unknown_labels(np.array([0, 1, 9, 10, 10]), str(tmp_path / "own.tsv")) == {10: 2}


@pytest.mark.parametrize("name", ["lut.txt", "lut", "lut.csv"])
def test_what_is_no_protocol_is_told_what_one_is(tmp_path, name):
    (tmp_path / name).write_text("2 white 1 1 1\n")
    for given in (str(tmp_path / name), "aal.txt"):
        with pytest.raises(InputError) as caught:
            label_table(given)
        assert caught.value.source == given
        for word in (LABEL_TABLE.stem, "a2009s", "aparc.DKT", "seg35", ".tsv with the columns label, roi and name"):
            assert word in caught.value.remedy


def test_ids_that_a_protocol_lacks_are_counted():
    labels = np.array([0, 2, 2, 85, 251, 11101, 11101, 12175])
    assert unknown_labels(labels) == {11101: 2, 12175: 1}
    said = unknown_sentence(unknown_labels(labels), 7, "freesurfer")
    assert said.startswith("3 voxels (43 % of the labelled) have ids that the protocol freesurfer lacks")
    assert "a2009s" in said
    assert unknown_labels(labels, "a2009s") == {}
    assert map_labels(labels, "a2009s").tolist() == [0, 2, 2, 0, 0, 3, 3, 42]
    assert set(label_table("aparc.DKT")["label"]) - set(label_table()["label"]) == set()


def test_check_says_which_ids_count_as_background(tmp_path):
    rng = np.random.default_rng(0)
    for name, data in {"i": rng.random((9, 9, 9)), "l": rng.choice([2, 41, 11111], (9, 9, 9))}.items():
        image = nib.Nifti1Image(data.astype(np.float32), np.eye(4))
        nib.save(image, tmp_path / f"{name}.nii.gz")
    (tmp_path / "p.tsv").write_text("subject\timage\tlabels\ns\ti.nii.gz\tl.nii.gz\n")
    assert "ids that the protocol lacks, which count as background: 11111 (1)" in check(tmp_path / "p.tsv", 1).text


def test_the_table_is_the_identity_on_the_36_rois_and_maps_the_aliases():
    assert len(roi_names()) == 36
    assert label_table()["label"].is_unique
    assert (label_table()["label"][:36] == label_table()["roi"][:36]).all()
    rois = {2: [2, 25], 41: [41, 57], 4: [4, 136], 43: [43, 163], 5: [5, 137], 44: [44, 164], 24: [24]}
    cortex = {3: [3, 1000, 1022, 1035], 42: [42, 2000, 2035]}
    background = {0: [0, 77, 251, 502, 530, 1036, 9999, 99999, -3]}
    for roi, labels in (rois | cortex | background).items():
        assert set(map_labels(np.array([labels]), "freesurfer").ravel().tolist()) == {roi}, roi

"""The pairs shown are chosen by a rule from the overlap before registration."""

import json

import nibabel as nib
import numpy as np
import pytest

from smgicnet.preparation.label_protocols import roi_names
from smgicnet.scoring.shown_pairs import choose_pairs, initial_overlaps, write_shown_pairs

OVERLAPS = {("a", "b"): 0.1, ("a", "c"): 0.5, ("b", "c"): 0.3, ("a", "d"): 0.4}


def test_rules():
    chosen = choose_pairs(OVERLAPS, ["median", "worst", "best"])
    assert chosen == {"median": ("a", "d"), "worst": ("a", "b"), "best": ("a", "c")}
    assert list(chosen) == ["median", "worst", "best"]


def test_a_pair_is_shown_once_and_ties_are_settled_by_name():
    assert choose_pairs({("a", "b"): 0.1}, ["best", "median", "worst"]) == {"best": ("a", "b")}
    assert choose_pairs({("b", "c"): 0.2, ("a", "b"): 0.2}, ["best"]) == {"best": ("a", "b")}


def test_overlap_is_the_mean_over_the_rois_of_both(tmp_path):
    first, second, third = list(roi_names())[:3]
    maps = np.zeros((2, 4, 4, 4))
    maps[0, 0], maps[1, 0, :2] = first, first  # 16 and 8 voxels: Dice 2 * 8 / 24
    maps[0, 1], maps[1, 2] = second, second  # apart: 0
    maps[0, 3] = third  # of one alone
    paths = {}
    for name, data in zip("ab", maps):
        paths[name] = tmp_path / name / "labels.nii"
        paths[name].parent.mkdir()
        nib.save(nib.Nifti1Image(data.astype(np.uint8), np.eye(4)), paths[name])
    assert initial_overlaps(paths, [("a", "b")])["a", "b"] == pytest.approx((2 * 8 / 24) / 2)
    write_shown_pairs(paths, [("a", "b")], ["median"], tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == {"median": ["a", "b"]}

"""The affine arm, from files to files."""

import numpy as np
import pytest

from smgicnet.core.errors import InputError
from smgicnet.core.layout import PREPARED
from smgicnet.imaging.grids import Grid
from smgicnet.jobs.align import align_subject
from smgicnet.preparation.affine import AffineConfig
from smgicnet.preparation.preprocessing import prepare, write_prepared
from tests.support.headers import save

GRID, POSE = Grid((32, 32, 32), 4.0), AffineConfig("pose", 180)


def test_the_form_that_the_config_names_counts_in_the_affine_arm_too(tmp_path):
    data = np.zeros((40, 44, 42), np.float32)
    data[8:30, 10:36, 12:32] = 50 + 100 * np.random.default_rng(1).random((22, 26, 20))
    here, there = np.diag([2.0, 2, 2, 1]), np.diag([2.0, 2, 2, 1])
    there[:3, 3] = 30, -20, 10
    scan = save(tmp_path / "scan.nii", here, there, data=data)
    files = {kind: tmp_path / f"{kind}.nii" for kind in PREPARED}
    raw = prepare(scan, None, GRID, form="qform")
    write_prepared(raw, files)

    def aligned(form):
        return align_subject(scan, None, files["image"], files["image"], GRID, POSE, form=form)

    np.testing.assert_allclose(aligned("qform").image, raw.image, atol=1e-4)
    np.testing.assert_allclose(aligned("qform").affine, raw.affine)
    with pytest.raises(InputError, match="contradicts itself"):
        aligned(None)

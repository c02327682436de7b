"""Fields on a scan's own grid: their folds, and the image that they pull."""

import numpy as np
import pytest
import torch
from nibabel.affines import apply_affine

from smgicnet.commands import native_fields
from smgicnet.commands.native_fields import pulled, volume_change
from smgicnet.imaging.displacements import apply_field, grid_points, sample, write_itk
from smgicnet.imaging.images import Volume
from smgicnet.registration.fields import jacobian_determinant
from tests.support.grids import affine, centred, make_pair

SHAPE = 14, 12, 17
AFFINE = affine((1.5, 2, 0.8), (-1, 1, 1), 20)


def field(order):
    data = np.random.default_rng(0).normal(0, 1.2, (*SHAPE, 3)).astype(np.float32)
    return Volume(np.asarray(data, order=order), AFFINE)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("planes", [4, 32])
def test_the_change_of_volume_is_that_of_the_map_from_voxel_to_voxel(order, planes, monkeypatch):
    monkeypatch.setattr(native_fields, "PLANES", planes)
    displacement = field(order)
    voxels = np.einsum("ij,xyzj->ixyz", np.linalg.inv(AFFINE)[:3, :3], displacement.data)
    expected = jacobian_determinant(torch.from_numpy(np.ascontiguousarray(voxels, np.float32))[None])[0]
    np.testing.assert_allclose(volume_change(displacement), expected.numpy(), rtol=1e-3, atol=1e-4)
    assert 0.05 < (expected <= 0).double().mean() < 0.95


def test_the_change_of_volume_is_that_of_ants(tmp_path):
    ants = pytest.importorskip("ants", reason="antspyx is not installed")
    pair = make_pair("oblique positive and negative", tmp_path)
    path = tmp_path / "warp.nii.gz"
    write_itk(path, pair.displacement, pair.fixed.affine)
    theirs = ants.create_jacobian_determinant_image(ants.image_read(str(pair.files[0])), str(path)).numpy()
    ours = volume_change(Volume(pair.displacement, pair.fixed.affine))
    inner = (slice(2, -2),) * 3
    np.testing.assert_allclose(ours[inner], theirs[inner], atol=5e-3)
    assert np.ptp(ours[inner]) > 0.05


@pytest.mark.parametrize("order", ["C", "F"])
def test_what_is_pulled_is_what_lies_where_the_field_leads(order, monkeypatch):
    monkeypatch.setattr("smgicnet.registration.posed_flow.POINTS", 500)
    shape = 13, 15, 11
    place = centred(shape, affine((2, 1.5, 1.2), (1, -1, 1), -10), apply_affine(AFFINE, np.array(SHAPE) / 2))
    moving = Volume(np.random.default_rng(1).random(shape, np.float32), place)
    displacement = field(order)
    found = pulled(moving, displacement)
    points = apply_field(displacement, grid_points(SHAPE, AFFINE))
    dark = float(
        np.median(np.concatenate([np.moveaxis(moving.data, a, 0)[i].ravel() for a in range(3) for i in (0, -1)]))
    )
    expected = sample(moving, points, fill=dark)
    assert found.shape == SHAPE
    assert (np.abs(found - expected) > 1e-4).mean() < 0.002  # where rounding decides what is inside
    assert (expected != dark).mean() > 0.1

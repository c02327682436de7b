"""Fields on a scan's own grid: their folds, and the image that they pull."""

import numpy as np
import pytest
import torch
from nibabel.affines import apply_affine

from smgicnet.commands import native_fields
from smgicnet.commands.native_fields import folded_percent, pulled
from smgicnet.imaging.displacements import apply_field, grid_points, sample
from smgicnet.imaging.images import Volume
from smgicnet.registration.fields import jacobian_determinant
from tests.support.grids import affine, centred

SHAPE = 14, 12, 17
AFFINE = affine((1.5, 2, 0.8), (-1, 1, 1), 20)


def field(order):
    data = np.random.default_rng(0).normal(0, 1.2, (*SHAPE, 3)).astype(np.float32)
    return Volume(np.asarray(data, order=order), AFFINE)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("planes", [4, 32])
def test_folds_are_those_of_the_map_from_voxel_to_voxel(order, planes, monkeypatch):
    monkeypatch.setattr(native_fields, "PLANES", planes)
    displacement = field(order)
    voxels = np.einsum("ij,xyzj->ixyz", np.linalg.inv(AFFINE)[:3, :3], displacement.data)
    folds = jacobian_determinant(torch.from_numpy(np.ascontiguousarray(voxels, np.float32))[None]) <= 0
    assert folded_percent(displacement) == pytest.approx(100 * float(folds.double().mean()), abs=0.05)
    assert 5 < folded_percent(displacement) < 95


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

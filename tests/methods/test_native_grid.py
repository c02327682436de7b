"""Grids of a network's own: against nibabel's orientation functions, and images and fields there and back."""

import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

from smgicnet.methods.contract import Displacements, Method, NativeGrid
from smgicnet.methods.native_grid import OnNativeGrid, to_native

CODES = ["RAS", "LPS", "LIA", "SPL", "PIR", "ASR", "IRP"]
SHAPE = (10, 12, 14)


def common_affine(spacing):
    """Voxel to world of a common grid: RAS, its centre at the origin."""
    affine = np.diag([spacing] * 3 + [1.0])
    affine[:3, 3] = -spacing * (np.array(SHAPE) - 1) / 2
    return affine


def turned_shape(codes):
    return tuple(SHAPE[next(axis for axis, pair in enumerate(("RL", "AP", "SI")) if c in pair)] for c in codes)


@pytest.mark.parametrize("spacing", [1.5, None])
@pytest.mark.parametrize("codes", CODES)
def test_axes_alone_are_turned_as_nibabel_turns_them(codes, spacing):
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    expected = np.linalg.inv(inv_ornt_aff(turn, SHAPE))
    found = to_native(SHAPE, 1.5, NativeGrid(turned_shape(codes), spacing, codes))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    array = np.random.default_rng(0).random(SHAPE)
    turned = nib.orientations.apply_orientation(array, turn)
    assert turned.shape == turned_shape(codes)
    voxel = np.array([1, 2, 3])
    assert turned[tuple((found.numpy()[:3, :3] @ voxel + found.numpy()[:3, 3]).round().astype(int))] == array[1, 2, 3]


@pytest.mark.parametrize("codes", CODES)
def test_world_affine_of_another_grid(codes):
    grid = NativeGrid((16, 20, 18), 2.0, codes)
    affine = common_affine(1.5) @ np.linalg.inv(to_native(SHAPE, 1.5, grid).numpy())
    assert nib.aff2axcodes(affine) == tuple(codes)
    np.testing.assert_allclose(nib.affines.voxel_sizes(affine), 2.0)
    centre = (np.array(grid.shape) - 1) / 2
    np.testing.assert_allclose(affine[:3, :3] @ centre + affine[:3, 3], 0, atol=1e-12)


@pytest.mark.parametrize("codes", CODES)
def test_without_spacing_the_field_of_view_is_kept(codes):
    grid = NativeGrid((16, 20, 18), None, codes)
    matrix = to_native(SHAPE, 1.5, grid).numpy()
    assert nib.aff2axcodes(common_affine(1.5) @ np.linalg.inv(matrix)) == tuple(codes)
    corners = [matrix[:3, :3] @ (np.array(n) - 0.5) + matrix[:3, 3] for n in ((0, 0, 0), SHAPE)]
    np.testing.assert_allclose(np.minimum(*corners), -0.5, atol=1e-12)
    np.testing.assert_allclose(np.maximum(*corners), np.array(grid.shape) - 0.5, atol=1e-12)


class Translation(Method):
    """Keeps the images that it gets and moves by a constant of its own voxels."""

    def __init__(self, grid, displacement, invertible=True):
        self.grid, self.displacement, self.invertible, self.seen = grid, displacement, invertible, []

    @classmethod
    def from_block(cls, config, stage):
        raise NotImplementedError

    def fields(self, fixed, moving):
        self.seen.append((fixed, moving))
        u = torch.tensor(self.displacement).view(1, 3, 1, 1, 1).expand(1, 3, *fixed.shape[2:])
        return Displacements(u, -u if self.invertible else None)


def blob(shape, affine, centre):
    """A Gaussian of 4 mm at a point of the world."""
    voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    mm = nib.affines.apply_affine(affine, voxels) - centre
    return torch.from_numpy(np.exp(-(mm**2).sum(-1) / 32).astype(np.float32))[None, None]


@pytest.mark.parametrize("spacing", [2.0, None])
@pytest.mark.parametrize("codes", CODES)
def test_images_stand_where_they_stood_in_the_world(codes, spacing):
    grid = NativeGrid((16, 20, 18), spacing, codes)
    method = Translation(grid, [0.0, 0.0, 0.0], invertible=False)
    fixed, moving = (blob(SHAPE, common_affine(1.5), centre) for centre in ((2, 0, -1), (-1, 3, 2)))
    result = OnNativeGrid(method, 1.5).register(fixed, moving)
    assert result.inverse is None
    affine = common_affine(1.5) @ np.linalg.inv(to_native(SHAPE, 1.5, grid).numpy())
    inside = (abs(nib.affines.apply_affine(affine, np.stack(np.indices(grid.shape), -1))) < 6).all(-1)
    for image, centre in zip(method.seen[0], ((2, 0, -1), (-1, 3, 2)), strict=True):
        expected = blob(grid.shape, affine, centre)
        assert image.shape == expected.shape
        np.testing.assert_allclose(image[0, 0][inside], expected[0, 0][inside], atol=0.06)


@pytest.mark.parametrize(("shape", "spacing"), [((16, 20, 18), 2.0), ((16, 20, 18), None), ((4, 5, 3), 2.0)])
@pytest.mark.parametrize("codes", CODES)
def test_a_translation_is_the_same_in_the_world(codes, shape, spacing):
    """Beyond a smaller grid too: there a field keeps its border's value."""
    grid, own = NativeGrid(shape, spacing, codes), [1.0, -2.0, 0.5]
    result = OnNativeGrid(Translation(grid, own), 1.5).register(*torch.rand(2, 1, 1, *SHAPE))
    affine = common_affine(1.5) @ np.linalg.inv(to_native(SHAPE, 1.5, grid).numpy())
    world = torch.from_numpy(affine[:3, :3] @ own).float().view(1, 3, 1, 1, 1).expand(1, 3, *SHAPE)
    torch.testing.assert_close(result.forward * 1.5, world)
    torch.testing.assert_close(result.inverse * 1.5, -world)

"""Fields between voxels and millimetres: flipped, oblique and anisotropic grids; ITK's convention."""

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from smgicnet.errors import InputError
from smgicnet.images import Volume
from smgicnet.transforms_io import (
    apply_field,
    grid_points,
    read_itk,
    sample,
    to_voxels,
    to_world,
    voxel_grid,
    write_itk,
)

SHAPE = (9, 10, 11)


def affine(spacing=(4.0, 4.0, 4.0), flips=(1, 1, 1), angle=0.0, origin=(0.0, 0.0, 0.0)):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", [angle, -angle, angle / 2], degrees=True).as_matrix() @ np.diag(
        np.array(spacing) * flips
    )
    matrix[:3, 3] = origin
    return matrix


def world_map(points):
    """A true affine map between two people's worlds, in RAS mm."""
    turn = Rotation.from_euler("z", 10, degrees=True).as_matrix()
    return points @ turn.T * 1.1 + [5, -7, 3]


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1)])
@pytest.mark.parametrize("angle", [0, 20])
def test_world_and_voxels_are_inverse_and_follow_points(flips, angle):
    fixed = affine(flips=flips, angle=angle, origin=(3, 4, 5))
    moving = affine(spacing=(3, 4, 5), flips=(1, -1, 1), angle=-angle, origin=(-20, 9, 1))
    world = grid_points(SHAPE, fixed)
    displacement = world_map(world) - world
    voxels = to_voxels(displacement, fixed, moving)
    arrived = apply_affine(moving, voxel_grid(SHAPE) + np.moveaxis(voxels, 0, -1))
    np.testing.assert_allclose(arrived, world_map(world), atol=1e-3)
    np.testing.assert_allclose(to_world(voxels, fixed, moving), displacement, atol=1e-3)


def test_a_field_on_a_native_grid_is_the_same_map():
    fixed, moving = affine(origin=(-16, -18, -20)), affine(spacing=(4, 4, 4), angle=5, origin=(-10, -20, -25))
    world = grid_points(SHAPE, fixed)
    voxels = to_voxels(world_map(world) - world, fixed, moving)
    native = Volume(np.zeros((12, 6, 8)), affine(spacing=(1.5, 3, 2), flips=(-1, 1, 1), angle=15, origin=(4, -6, -4)))
    points = grid_points(native.data.shape, native.affine)
    displacement = to_world(voxels, fixed, moving, native)
    inside = apply_affine(np.linalg.inv(fixed), points)
    inside = ((inside >= 0) & (inside <= np.array(SHAPE) - 1)).all(-1)
    assert inside.mean() > 0.5
    np.testing.assert_allclose((points + displacement)[inside], world_map(points)[inside], atol=1e-3)


def test_itk_is_lps_with_a_fourth_axis_and_vector_intent(tmp_path):
    rng = np.random.default_rng(0)
    displacement = rng.normal(size=(*SHAPE, 3)).astype(np.float32)
    write_itk(tmp_path / "u.nii.gz", displacement, affine(flips=(-1, 1, 1)))
    image = nib.load(tmp_path / "u.nii.gz")
    assert image.shape == (*SHAPE, 1, 3)
    assert image.header.get_intent()[0] == "vector"
    stored = np.asarray(image.dataobj)[:, :, :, 0]
    np.testing.assert_array_equal(stored, displacement * np.float32([-1, -1, 1]))
    np.testing.assert_array_equal(read_itk(tmp_path / "u.nii.gz").data, displacement)


def test_other_layouts_are_refused(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4, 3), np.float32), np.eye(4)), tmp_path / "u.nii.gz")
    with pytest.raises(InputError, match=r"u\.nii\.gz: an ITK field has shape"):
        read_itk(tmp_path / "u.nii.gz")
    with pytest.raises(InputError, match="not a readable field"):
        read_itk(tmp_path / "none.nii.gz")


def test_sample_and_apply_field():
    grid = affine(spacing=(2, 2, 2), origin=(-8, -9, -10))
    points = grid_points(SHAPE, grid)
    ramp = Volume(points[..., 0].astype(np.float32), grid)
    inner = points[2:-2, 2:-2, 2:-2] + 0.7
    np.testing.assert_allclose(sample(ramp, inner), inner[..., 0], atol=1e-4)
    assert sample(ramp, inner + 1000).max() == 0
    assert sample(ramp, inner + 1000, fill=-0.65).max() == pytest.approx(-0.65)
    field = Volume((world_map(points) - points).astype(np.float32), grid)
    np.testing.assert_allclose(apply_field(field, inner), world_map(inner), atol=1e-4)


@pytest.mark.parametrize("angle", [0, 15])
def test_ants_applies_our_field(tmp_path, angle):
    """Where antspyx is installed: an image warped by ANTs with our exported field is the one that we warp."""
    ants = pytest.importorskip("ants", reason="antspyx is not installed")
    fixed = Volume(np.zeros((20, 22, 18), np.float32), affine((2, 2.5, 3), (-1, 1, 1), angle, (18, -25, -25)))
    moving_affine = affine((2.2, 2, 2), (1, -1, 1), -angle, (-25, 25, -22))
    rng = np.random.default_rng(0)
    from scipy.ndimage import gaussian_filter

    moving = Volume(gaussian_filter(rng.random((24, 26, 24)), 2).astype(np.float32), moving_affine)
    points = grid_points(fixed.data.shape, fixed.affine)
    displacement = (world_map(points) - points).astype(np.float32)
    for name, volume in {"fixed": fixed, "moving": moving}.items():
        nib.save(nib.Nifti1Image(volume.data, volume.affine), tmp_path / f"{name}.nii.gz")
    write_itk(tmp_path / "u.nii.gz", displacement, fixed.affine)
    theirs = ants.apply_transforms(
        ants.image_read(str(tmp_path / "fixed.nii.gz")), ants.image_read(str(tmp_path / "moving.nii.gz")),
        [str(tmp_path / "u.nii.gz")], interpolator="linear",
    ).numpy()  # fmt: skip
    ours = sample(moving, points + displacement)
    both = (theirs > 0) & (ours > 0)
    assert both.mean() > 0.2
    np.testing.assert_allclose(theirs[both], ours[both], atol=2e-3)

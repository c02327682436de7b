"""Fields between voxels and millimetres: flipped, oblique and anisotropic grids; ITK's convention."""

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from smgicnet.core.errors import InputError
from smgicnet.imaging.displacements import (
    apply_field,
    grid_points,
    read_itk,
    sample,
    to_voxels,
    to_world,
    voxel_grid,
    write_itk,
)
from smgicnet.imaging.images import Volume
from tests.support.grids import PAIRS, affine, make_pair, save, world_map

SHAPE = (9, 10, 11)


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


@pytest.mark.parametrize(
    ("shape", "intent", "value", "matrix", "problem"),
    [
        ((4, 4, 4, 3), 2006, 0, np.eye(4), "an ITK field has shape"),
        ((4, 4, 4, 1, 2), 1007, 0, np.eye(4), "an ITK field has shape"),
        ((4, 4, 4), 0, 0, np.eye(4), "an ITK field has shape"),
        ((4, 4, 4, 1, 3), 0, 0, np.eye(4), r"intent 1007 \(vector, LPS\) or 1006 \(displacement, RAS\), this one 0"),
        ((4, 4, 4, 1, 3), 1007, np.nan, np.eye(4), "NaN or infinite"),
        ((4, 4, 4, 1, 3), 1007, np.inf, np.eye(4), "NaN or infinite"),
        ((4, 4, 4, 1, 3), 1007, 0, np.diag([1, 1, 0, 1]), "affine is not finite and invertible"),
    ],
)
def test_what_is_no_itk_field_is_refused(tmp_path, shape, intent, value, matrix, problem):
    data = np.zeros(shape, np.float32)
    data.flat[5] = value
    image = nib.Nifti1Image(data, np.eye(4))
    image.set_sform(matrix, 1)
    image.header["intent_code"] = intent
    nib.save(image, tmp_path / "u.nii.gz")
    with pytest.raises(InputError, match=rf"u\.nii\.gz: .*{problem}"):
        read_itk(tmp_path / "u.nii.gz")


def test_files_that_are_no_images_are_refused(tmp_path):
    whole = save(tmp_path / "u.nii.gz", np.random.default_rng(0).random((9, 9, 9, 1, 3)), np.eye(4), 1007)
    (tmp_path / "half.nii.gz").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (tmp_path / "text.nii.gz").write_text("no image")
    for name, problem in {
        "half": "not a readable image",
        "text": "not a readable image",
        "none": "no such file",
    }.items():
        with pytest.raises(InputError, match=rf"{name}\.nii\.gz: {problem}"):
            read_itk(tmp_path / f"{name}.nii.gz")


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


@pytest.mark.parametrize("case", PAIRS)
def test_ants_applies_our_field(tmp_path, case):
    """Where antspyx is installed: an image warped by ANTs with our exported field is the one that we warp."""
    ants = pytest.importorskip("ants", reason="antspyx is not installed")
    pair = make_pair(case, tmp_path)
    write_itk(tmp_path / "u.nii.gz", pair.displacement, pair.fixed.affine)
    theirs = ants.apply_transforms(
        *(ants.image_read(str(path)) for path in pair.files), [str(tmp_path / "u.nii.gz")], interpolator="linear"
    ).numpy()
    ours = sample(pair.moving, pair.points + pair.displacement)
    assert ours[pair.inside].std() > 0.2
    np.testing.assert_allclose(theirs[pair.inside], ours[pair.inside], atol=2e-3)

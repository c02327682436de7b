"""Transforms of other tools in a row: what ANTs makes of them is what we make of them."""

import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.affines import apply_affine
from scipy.io import savemat

from smgicnet.core.errors import InputError
from smgicnet.imaging.affine_geometry import writable_grid
from smgicnet.imaging.displacements import grid_points, read_itk, sample, to_voxels, write_itk
from smgicnet.imaging.field_formats import read_geometry, write_fsl, write_learn2reg
from smgicnet.imaging.images import Volume
from smgicnet.imaging.transform_chain import (
    Declaration,
    convert_field,
    displacement_of,
    field_transform,
    read_affine,
    read_transforms,
)
from smgicnet.scoring.overlap import warp_labels
from tests.support.grids import PAIRS, affine, bent, centred, make_pair, save, world_map

POSITIVE = "oblique positive and negative"
FIRST = next(iter(PAIRS))


def import_ants():
    return pytest.importorskip("ants", reason="antspyx is not installed")


def chained(files, pair):
    """Our displacement by transform files, on the fixed grid."""
    return displacement_of(read_transforms(files, *pair.geometries), pair.geometries[0])


def by_ants(files, pair, moving=None, **options):
    """What ANTs makes of the moving image, or of another one in a file."""
    ants = import_ants()
    images = [ants.image_read(str(path)) for path in (pair.files[0], moving or pair.files[1])]
    return ants.apply_transforms(*images, list(map(str, files)), **options).numpy()


def assert_same_image(pair, displacement, theirs, share=0.2):
    """Where the displacement arrives within the moving image."""
    points = pair.points + displacement
    index = apply_affine(np.linalg.inv(pair.moving.affine), points)
    inside = ((index > 0.01) & (index < np.array(pair.moving.data.shape) - 1.01)).all(-1)
    assert inside.mean() > share
    assert theirs[inside].std() > 0.1
    np.testing.assert_allclose(theirs[inside], sample(pair.moving, points)[inside], atol=5e-3)


@pytest.fixture(scope="module", params=[FIRST, POSITIVE])
def registered(request, tmp_path_factory):
    """A pair, and the files of an affine and SyN registration of it by ANTs."""
    ants = import_ants()
    folder = tmp_path_factory.mktemp("registered")
    pair = make_pair(request.param, folder)
    # what is moving is the fixed image, pushed through the true map, so that there is something to find
    back = grid_points(pair.moving.data.shape, pair.moving.affine)
    for _ in range(20):
        back = back - (bent(back) - grid_points(pair.moving.data.shape, pair.moving.affine)) * 0.7
    save(pair.files[1], sample(pair.fixed, back, fill=5).astype(np.float32), pair.moving.affine)
    pair = type(pair)(pair.fixed, sample_again(pair), pair.files, pair.displacement)
    ants.config.set_ants_deterministic(on=False, seed_value=1)
    result = ants.registration(
        *(ants.image_read(str(path)) for path in pair.files), "SyN", outprefix=str(folder / "r"),
        aff_iterations=(50, 20), aff_shrink_factors=(2, 1), aff_smoothing_sigmas=(1, 0), reg_iterations=(10, 5),
    )  # fmt: skip
    return pair, result


def sample_again(pair):
    image = nib.load(pair.files[1])
    return type(pair.moving)(np.asarray(image.dataobj), image.affine)


def test_a_registration_by_ants_is_applied_as_ants_does(registered, tmp_path):
    pair, result = registered
    files = result["fwdtransforms"]
    assert [path.endswith(("1Warp.nii.gz", "0GenericAffine.mat")) for path in files] == [True, True]
    displacement = chained(files, pair)
    assert np.abs(read_itk(files[0]).data).max() > 0.1  # the warp takes part
    assert_same_image(pair, displacement, by_ants(files, pair))
    labels = np.digitize(pair.moving.data, np.quantile(pair.moving.data, [0.2, 0.4, 0.6, 0.8])).astype(np.uint8)
    path = save(tmp_path / "labels.nii.gz", labels, pair.moving.affine)
    theirs = by_ants(files, pair, moving=path, interpolator="nearestNeighbor")
    u = torch.from_numpy(to_voxels(displacement, pair.fixed.affine, pair.moving.affine))[None]
    assert len(np.unique(theirs)) == 5
    assert np.mean(warp_labels(labels, u) == theirs) > 0.999


def test_the_order_is_that_of_ants(registered):
    pair, result = registered
    files = result["fwdtransforms"][::-1]
    assert np.abs(chained(files, pair) - chained(files[::-1], pair)).max() > 0.02
    # by default antspyx takes an affine before a warp for the inverse of a registration, antsApplyTransforms does not
    assert_same_image(pair, chained(files, pair), by_ants(files, pair, whichtoinvert=[False, False]))


def test_the_inverse_of_ants_is_the_inverse_affine_and_the_inverse_field(registered):
    pair, result = registered
    matrix, field = result["invtransforms"]
    turned = type(pair)(pair.moving, pair.fixed, pair.files[::-1], pair.displacement)
    theirs = by_ants([matrix, field], turned, whichtoinvert=[True, False])
    assert_same_image(turned, chained([f"[{matrix},1]", field], turned), theirs)
    np.testing.assert_array_equal(chained([f"[{matrix},0]"], pair), chained([matrix], pair))


@pytest.mark.parametrize("case", PAIRS)
def test_a_field_on_another_grid_is_resampled_as_ants_does(tmp_path, case):
    """Coarser, turned, and smaller than the image: what lies beyond does not move."""
    pair = make_pair(case, tmp_path)
    grid = centred((8, 9, 8), affine((4, 4, 5), (1, -1, 1), 7), (-4, 5, 0))
    points = grid_points((8, 9, 8), grid)
    write_itk(tmp_path / "u.nii.gz", bent(points) - points, grid)
    displacement = chained([tmp_path / "u.nii.gz"], pair)
    still = np.abs(displacement).max(-1) == 0
    assert 0.1 < still.mean() < 0.9
    assert_same_image(pair, displacement, by_ants([tmp_path / "u.nii.gz"], pair))


def test_two_warps_and_affines_in_a_row(tmp_path):
    ants = import_ants()
    pair = make_pair(POSITIVE, tmp_path)
    points = pair.points
    write_itk(tmp_path / "a.nii.gz", 2 * np.sin(points[..., [2, 0, 1]] / 8), pair.fixed.affine)
    write_itk(tmp_path / "b.nii.gz", pair.displacement, pair.fixed.affine)
    rng = np.random.default_rng(1)
    transform = ants.create_ants_transform(
        precision="double", matrix=np.eye(3) + rng.normal(size=(3, 3)) / 20, translation=(1, -2, 1), center=(3, 4, 5)
    )
    ants.write_transform(transform, str(tmp_path / "c.mat"))
    files = [tmp_path / name for name in ("a.nii.gz", "c.mat", "b.nii.gz")]
    assert_same_image(pair, chained(files, pair), by_ants(files, pair))


def test_fsls_warp_may_follow_others(tmp_path):
    pair = make_pair(POSITIVE, tmp_path)
    write_itk(tmp_path / "itk.nii.gz", np.full((*pair.fixed.data.shape, 3), 1.5), pair.fixed.affine)
    write_itk(tmp_path / "u.nii.gz", pair.displacement, pair.fixed.affine)
    write_fsl(tmp_path / "fsl.nii.gz", pair.displacement, *pair.geometries)
    found = chained([tmp_path / "itk.nii.gz", tmp_path / "fsl.nii.gz"], pair)
    expected = chained([tmp_path / "itk.nii.gz", tmp_path / "u.nii.gz"], pair)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    with pytest.raises(InputError, match=r"fsl\.nii\.gz: FSL's warp leads to the moving image"):
        chained([tmp_path / "fsl.nii.gz", tmp_path / "itk.nii.gz"], pair)


def test_learn2regs_field_may_follow_others_and_be_followed_by_none(tmp_path):
    pair = make_pair(POSITIVE, tmp_path)
    write_itk(tmp_path / "itk.nii.gz", np.full((*pair.fixed.data.shape, 3), 1.5), pair.fixed.affine)
    write_itk(tmp_path / "u.nii.gz", pair.displacement, pair.fixed.affine)
    write_learn2reg(tmp_path / "l2r.nii.gz", pair.displacement, *pair.geometries)
    files = [tmp_path / "itk.nii.gz", tmp_path / "l2r.nii.gz"]
    found = displacement_of(read_transforms(files, *pair.geometries, "voxels"), pair.geometries[0])
    np.testing.assert_allclose(found, chained([tmp_path / "itk.nii.gz", tmp_path / "u.nii.gz"], pair), atol=1e-3)
    with pytest.raises(InputError, match=r"l2r\.nii\.gz: Learn2Reg's field leads to the moving image"):
        read_transforms(files[::-1], *pair.geometries, "voxels")


def test_no_transform_is_the_identity(tmp_path):
    assert np.abs(chained([], make_pair(FIRST, tmp_path))).max() == 0


@pytest.mark.parametrize("case", PAIRS)
@pytest.mark.parametrize("other", ["itk", "fsl"])
def test_convert_there_and_back(tmp_path, case, other):
    pair = make_pair(case, tmp_path)
    images = {"fixed": pair.files[0], "moving": pair.files[1]}
    write_itk(tmp_path / "a.nii.gz", pair.displacement, pair.fixed.affine)
    convert_field(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", declared=Declaration("itk"), write_as=other, **images)
    convert_field(tmp_path / "b.nii.gz", tmp_path / "c.nii.gz", declared=Declaration(other), write_as="itk", **images)
    np.testing.assert_allclose(read_itk(tmp_path / "c.nii.gz").data, pair.displacement, atol=1e-4)
    convert_field(
        tmp_path / "b.nii.gz", tmp_path / "d.nii.gz", declared=Declaration(other), write_as="learn2reg", **images
    )
    voxels = np.moveaxis(to_voxels(pair.displacement, pair.fixed.affine, pair.moving.affine), 0, -1)
    np.testing.assert_allclose(nib.load(tmp_path / "d.nii.gz").get_fdata(), voxels, atol=1e-4)


def test_convert_brings_a_field_to_the_fixed_images_grid(tmp_path):
    """World displacements of an affine map are exact when they are interpolated."""
    pair = make_pair(POSITIVE, tmp_path)
    grid = centred((20, 20, 20), affine((4, 5, 4), (1, -1, 1), 7), (1, 2, -3))
    points = grid_points((20, 20, 20), grid)
    write_itk(tmp_path / "u.nii.gz", world_map(points) - points, grid)
    convert_field(
        tmp_path / "u.nii.gz", tmp_path / "v.nii.gz", declared=Declaration("itk"), write_as="itk",
        fixed=pair.files[0], moving=pair.files[1],
    )  # fmt: skip
    found = read_itk(tmp_path / "v.nii.gz")
    assert found.data.shape == (*pair.fixed.data.shape, 3)
    np.testing.assert_allclose(pair.points + found.data, world_map(pair.points), atol=1e-3)


def test_convert_writes_itks_field_of_a_sheared_image_on_a_grid_at_right_angles(tmp_path):
    sheared = np.array([[2.0, 0.4, 0, -9], [0, 2, 0, -8], [0, 0, 2, -7], [0, 0, 0, 1]])
    file = save(tmp_path / "image.nii.gz", np.zeros((9, 8, 7), np.float32), sheared)
    shape, straight = writable_grid((9, 8, 7), sheared)
    assert shape != (9, 8, 7)
    write_itk(tmp_path / "u.nii.gz", np.zeros((*shape, 3), np.float32), straight)
    options = {"declared": Declaration("itk"), "fixed": file, "moving": file, "form": "sform"}
    convert_field(tmp_path / "u.nii.gz", tmp_path / "v.nii.gz", write_as="itk", **options)
    written = nib.load(tmp_path / "v.nii.gz")
    assert written.shape[:3] == shape
    np.testing.assert_allclose(written.affine, straight, atol=1e-5)
    with pytest.raises(InputError, match="axes are sheared"):
        convert_field(tmp_path / "u.nii.gz", tmp_path / "w.nii.gz", write_as="fsl", **options)


def test_convert_says_what_it_cannot_use(tmp_path):
    pair = make_pair(FIRST, tmp_path)
    images = {"fixed": pair.files[0], "moving": pair.files[1]}
    write_itk(tmp_path / "u.nii.gz", pair.displacement, pair.fixed.affine)
    far = pair.fixed.affine.copy()
    far[:3, 3] += 500
    write_itk(tmp_path / "far.nii.gz", pair.displacement, far)
    for name, options, problem in (
        ("u", {"declared": Declaration("fsl")}, r"u\.nii\.gz: FSL's warps have shape"),
        ("u", {"declared": Declaration("itk", absolute=True)}, r"u\.nii\.gz: ITK's fields hold displacements"),
        ("far", {"declared": Declaration("itk")}, r"far\.nii\.gz: it covers nothing of the fixed image"),
        ("u", {"declared": Declaration("itk"), "moving": tmp_path / "none.nii.gz"}, r"none\.nii\.gz: no such file"),
    ):
        with pytest.raises(InputError, match=problem):
            convert_field(tmp_path / f"{name}.nii.gz", tmp_path / "v.nii.gz", write_as="fsl", **(images | options))
    assert not (tmp_path / "v.nii.gz").exists()


def matlab(**content):
    return lambda path: savemat(path, content, format="4")


@pytest.mark.parametrize(
    ("name", "write", "problem"),
    [
        ("flirt.mat", lambda path: path.write_text("1 0 0 0\n0 1 0 0\n0 0 1 0\n"), "not an ITK transform"),
        ("empty.mat", lambda path: path.write_bytes(b""), "not an ITK transform"),
        ("a.mat", matlab(x=np.ones(12)), "it holds x, not one affine"),
        ("a.mat", matlab(AffineTransform_float_2_2=np.ones(6), fixed=np.ones(2)), "AffineTransform_float_2_2, not one"),
        ("a.mat", matlab(Euler3DTransform_double_3_3=np.ones(6), fixed=np.ones(3)), "Euler3DTransform_double_3_3, not"),
        ("a.mat", matlab(AffineTransform_double_3_3=np.ones(12)), "not one affine transform"),
        ("a.mat", matlab(AffineTransform_double_3_3=np.ones(12), fixed=np.ones(3)), "not finite and invertible"),
        (
            "a.mat",
            matlab(AffineTransform_double_3_3=np.full(12, np.nan), fixed=np.ones(3)),
            "not finite and invertible",
        ),
        ("a.h5", lambda path: path.write_bytes(b"\x89HDF"), "not an ITK composite.*antsApplyTransforms -d 3 -r FIXED"),
        ("a.m3z", lambda path: path.write_bytes(b"\0"), "neither a field"),
        ("a.nii.gz", lambda path: path.write_bytes(b"\0"), "not a readable image"),
        ("a.nii.gz", lambda path: save(path, np.zeros((4, 4, 4)), np.eye(4)), r"this one \(4, 4, 4\)"),
        ("a.nii.gz", lambda path: None, "no such file"),
    ],
)
def test_what_is_no_transform_is_refused(tmp_path, name, write, problem):
    image = read_geometry(save(tmp_path / "image.nii.gz", np.zeros((4, 4, 4)), np.eye(4)))
    write(tmp_path / name)
    with pytest.raises(InputError, match=f"{name}: .*{problem}"):
        read_transforms([tmp_path / name], image, image)


def test_a_field_moves_the_points_that_it_covers_and_says_if_these_are_not_all(caplog):
    """A grid reaches half a voxel beyond the centres of its voxels, where the border's displacement counts."""
    field = Volume(np.full((4, 4, 4, 3), 2.0), np.eye(4))
    move = field_transform("field.nii.gz", field)
    edges = np.array([[-0.5, 0, 0], [3.5, 3.5, 3.5], [1, 2, 3]])
    with caplog.at_level("INFO"):
        np.testing.assert_allclose(move(edges), edges + 2)
    assert caplog.text == ""
    beyond = np.array([[-0.6, 0, 0], [0, 0, 3.6]])
    with caplog.at_level("INFO"):
        np.testing.assert_allclose(move(np.vstack([edges, beyond])), np.vstack([edges + 2, beyond]))
    assert "field.nii.gz covers 60.0 % of the points" in caplog.text


def test_affines_alone_are_inverted(tmp_path):
    pair = make_pair(FIRST, tmp_path)
    write_itk(tmp_path / "u.nii.gz", pair.displacement, pair.fixed.affine)
    with pytest.raises(InputError, match=r"u\.nii\.gz: only affine transforms are inverted"):
        chained([f"[{tmp_path / 'u.nii.gz'},1]"], pair)


def test_the_other_name_of_itks_affine(tmp_path):
    """Older ANTs and c3d call it MatrixOffsetTransformBase."""
    parameters = np.array([1, 0.1, 0, -0.1, 1, 0, 0, 0.2, 1.1, 4, -5, 6])
    for name in ("MatrixOffsetTransformBase_double_3_3", "AffineTransform_double_3_3"):
        savemat(tmp_path / f"{name}.mat", {name: parameters[:, None], "fixed": np.ones((3, 1))}, format="4")
    found = [read_affine(path) for path in tmp_path.glob("*.mat")]
    np.testing.assert_array_equal(*found)
    shutil.copy(tmp_path / f"{name}.mat", tmp_path / "without-ending")
    np.testing.assert_array_equal(read_affine(tmp_path / "without-ending"), found[0])

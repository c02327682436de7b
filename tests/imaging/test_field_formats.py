"""Fields for other tools: FSL's warps by fslpy's own code, Learn2Reg's by the challenge's own formula."""

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy.ndimage import map_coordinates

from smgicnet.commands.wording import FORMATS
from smgicnet.core.errors import InputError
from smgicnet.imaging.displacements import sample
from smgicnet.imaging.field_formats import (
    WRITERS,
    Geometry,
    fsl_matrix,
    learn2reg_name,
    read_fsl,
    read_geometry,
    write_field,
    write_fsl,
    write_learn2reg,
)
from tests.support.grids import PAIRS, affine, make_pair, save

FIRST = next(iter(PAIRS))


@pytest.fixture(params=PAIRS)
def pair(request, tmp_path):
    return make_pair(request.param, tmp_path)


def fslpy_images(pair):
    image = pytest.importorskip("fsl.data.image", reason="fslpy is not installed")
    reference, source = (image.Image(str(path)) for path in pair.files)
    return source, reference


def test_fslpy_applies_our_warp(pair, tmp_path):
    """fslpy warps the image, and takes points of the world, as we do."""
    source, reference = fslpy_images(pair)
    from fsl.transform.fnirt import readFnirt
    from fsl.transform.nonlinear import applyDeformation

    write_fsl(tmp_path / "warp.nii.gz", pair.displacement, *pair.geometries)
    assert nib.load(tmp_path / "warp.nii.gz").header["intent_code"] == 2006
    field = readFnirt(str(tmp_path / "warp.nii.gz"), source, reference)
    assert field.relative
    assert field.isNeurological() == (np.linalg.det(pair.fixed.affine[:3, :3]) > 0)
    theirs = applyDeformation(source, field, order=1, mode="constant")
    ours = sample(pair.moving, pair.points + pair.displacement)
    assert ours[pair.inside].std() > 0.2
    np.testing.assert_allclose(theirs[pair.inside], ours[pair.inside], atol=1e-3)
    arrived = field.transform(pair.points.reshape(-1, 3), "world", "world").reshape(pair.points.shape)
    np.testing.assert_allclose(arrived, pair.points + pair.displacement, atol=1e-3)


def test_our_coordinates_are_fslpys(pair):
    for image, geometry in zip(fslpy_images(pair)[::-1], pair.geometries, strict=True):
        np.testing.assert_allclose(fsl_matrix(geometry), image.getAffine("voxel", "fsl"), rtol=1e-5)


@pytest.mark.parametrize("kind", ["relative", "absolute"])
def test_we_read_fslpys_warp(pair, tmp_path, kind):
    source, reference = fslpy_images(pair)
    from fsl.transform.fnirt import toFnirt
    from fsl.transform.nonlinear import DeformationField, convertDeformationType

    data = pair.points + pair.displacement if kind == "absolute" else pair.displacement
    world = DeformationField(
        data, source, reference, header=reference.header, srcSpace="world", refSpace="world", defType=kind
    )
    converted = toFnirt(world)
    assert np.abs(convertDeformationType(converted)).max() > 1
    converted.save(str(tmp_path / "warp.nii.gz"))
    fixed, moving = pair.geometries
    found = read_fsl(tmp_path / "warp.nii.gz", moving, reference=fixed, absolute=kind == "absolute" or None)
    np.testing.assert_allclose(found.affine, pair.fixed.affine, atol=1e-5)
    np.testing.assert_allclose(found.data, pair.displacement, atol=1e-3)
    if kind == "absolute":  # its intent says otherwise, as FSL would read it
        with pytest.raises(InputError, match=r"warp\.nii\.gz: it looks like absolute coordinates.*--abs or --rel"):
            read_fsl(tmp_path / "warp.nii.gz", moving)


def test_fsl_round_trip(pair, tmp_path):
    fixed, moving = pair.geometries
    write_fsl(tmp_path / "warp.nii.gz", pair.displacement, fixed, moving)
    for absolute in (None, False):
        found = read_fsl(tmp_path / "warp.nii.gz", moving, absolute=absolute)
        np.testing.assert_allclose(found.data, pair.displacement, atol=1e-4)
        np.testing.assert_allclose(found.affine, fixed.affine, atol=1e-5)


def test_a_warp_that_does_not_say_where_it_lies_takes_its_references_grid(tmp_path):
    pair = make_pair(FIRST, tmp_path)
    fixed, moving = pair.geometries
    write_fsl(tmp_path / "warp.nii.gz", pair.displacement, fixed, moving)
    image = nib.load(tmp_path / "warp.nii.gz")
    header = image.header.copy()
    header["sform_code"] = header["qform_code"] = 0
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), None, header), tmp_path / "nowhere.nii.gz")
    found = read_fsl(tmp_path / "nowhere.nii.gz", moving, reference=fixed)
    np.testing.assert_allclose(found.data, pair.displacement, atol=1e-4)
    np.testing.assert_array_equal(found.affine, fixed.affine)
    for reference in (None, moving):
        with pytest.raises(InputError, match=r"nowhere\.nii\.gz: its header does not say where it lies"):
            read_fsl(tmp_path / "nowhere.nii.gz", moving, reference=reference)


@pytest.mark.parametrize(
    ("shape", "intent", "value", "problem"),
    [
        ((5, 5, 5, 1, 3), 1007, 0, r"shape \(X, Y, Z, 3\), this one \(5, 5, 5, 1, 3\)"),
        ((5, 5, 5), 0, 0, r"shape \(X, Y, Z, 3\), this one \(5, 5, 5\)"),
        ((5, 5, 5, 3), 0, 0, "intent 2006, this file 0.*--abs or --rel"),
        ((5, 5, 5, 3), 2009, 0, "spline coefficients.*convertwarp"),
        ((5, 5, 5, 3), 2006, np.nan, "NaN or infinite"),
    ],
)
def test_what_is_no_warp_is_refused(tmp_path, shape, intent, value, problem):
    data = np.zeros(shape, np.float32)
    data.flat[7] = value
    path = save(tmp_path / "warp.nii.gz", data, affine(), intent)
    moving = read_geometry(save(tmp_path / "moving.nii.gz", np.zeros((4, 4, 4), np.float32), affine()))
    with pytest.raises(InputError, match=rf"warp\.nii\.gz: .*{problem}"):
        read_fsl(path, moving)
    if intent == 0 and len(shape) == 4:
        assert read_fsl(path, moving, absolute=False).data.shape == (5, 5, 5, 3)


def test_fsl_goes_by_pixdim_and_a_header_that_contradicts_itself_is_refused(tmp_path):
    image = nib.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.diag([2.0, 2, 2, 1]))
    image.header.set_zooms((2, 2, 2.5))
    nib.save(image, tmp_path / "odd.nii.gz")
    with pytest.raises(InputError, match=r"odd\.nii\.gz: .*sform has voxels of 2 x 2 x 2 mm, pixdim says 2 x 2 x 2.5"):
        fsl_matrix(read_geometry(tmp_path / "odd.nii.gz"))


def test_geometry_reads_headers_only(tmp_path):
    path = save(tmp_path / "a.nii.gz", np.zeros((3, 4, 5, 1), np.float32), affine((1, 2, 3)))
    found = read_geometry(path)
    assert found.shape == (3, 4, 5)
    np.testing.assert_allclose(found.pixdim, [1, 2, 3])
    save(tmp_path / "b.nii.gz", np.zeros((3, 4, 5, 2), np.float32), affine())
    (tmp_path / "text.nii.gz").write_text("no image")
    for name, problem in {"b": "a 3D volume is needed", "text": "not a readable image", "none": "no such file"}.items():
        with pytest.raises(InputError, match=rf"{name}\.nii\.gz: {problem}"):
            read_geometry(tmp_path / f"{name}.nii.gz")


def test_learn2reg_warps_as_we_do(pair, tmp_path):
    """The formula is that of the challenge's evaluation.py, with linear interpolation besides."""
    write_learn2reg(tmp_path / "disp.nii.gz", pair.displacement, *pair.geometries)
    image = nib.load(tmp_path / "disp.nii.gz")
    disp_field = image.get_fdata()
    assert disp_field.shape == (*pair.fixed.data.shape, 3)
    assert image.get_data_dtype() == np.float32
    identity = np.meshgrid(*map(np.arange, pair.fixed.data.shape), indexing="ij")
    places = identity + disp_field.transpose(3, 0, 1, 2)
    ours = sample(pair.moving, pair.points + pair.displacement)
    warped = map_coordinates(pair.moving.data, places, order=1)
    np.testing.assert_allclose(warped[pair.inside], ours[pair.inside], atol=1e-3)
    labels = (pair.moving.data > 5).astype(float)
    index = apply_affine(np.linalg.inv(pair.moving.affine), pair.points + pair.displacement)[pair.inside]
    nearest = labels[tuple(np.floor(index + 0.5).astype(int).T)]
    assert np.mean(map_coordinates(labels, places, order=0)[pair.inside] == nearest) > 0.999


@pytest.mark.parametrize(
    ("fixed", "moving", "name"),
    [
        ("OASIS_0395_0000.nii.gz", "OASIS_0396_0000.nii.gz", "disp_0395_0396"),
        ("LungCT_0001_0000.nii.gz", "LungCT_0001_0001.nii.gz", "disp_0001_0001"),
        ("LungCT_0001_0001.nii.gz", "LungCT_0001_0000.nii.gz", "disp_0001_0001_0001_0000"),
        ("a/T1w.nii.gz", "b/sub-02.nii", "disp_T1w_sub-02"),
        ("norm.mgz", "OASIS_0396_0000.nii.gz", "disp_norm_OASIS_0396_0000"),
    ],
)
def test_learn2regs_names(fixed, moving, name):
    assert learn2reg_name(fixed, moving) == f"{name}.nii.gz"


def test_formats_are_those_of_the_command_line_and_write_nifti_alone(tmp_path):
    assert tuple(WRITERS) == FORMATS
    geometry = Geometry(tmp_path / "f.nii.gz", (4, 4, 4), affine(), np.array([4.0, 4, 4]))
    for kind in WRITERS:
        write_field(kind, tmp_path / f"{kind}.nii.gz", np.zeros((4, 4, 4, 3)), geometry, geometry)
        with pytest.raises(InputError, match=r"u\.mgz: fields are written as NIfTI"):
            write_field(kind, tmp_path / "u.mgz", np.zeros((4, 4, 4, 3)), geometry, geometry)
    assert {path.name for path in tmp_path.iterdir()} == {f"{kind}.nii.gz" for kind in WRITERS}

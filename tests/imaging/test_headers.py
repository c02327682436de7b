"""Where voxels lie by their header: one rule for two forms, units, quaternions, shear; what is refused, and how."""

import logging

import ants
import nibabel as nib
import numpy as np
import pytest

from smgicnet.core.errors import InputError
from smgicnet.imaging.affine_geometry import agree, shear_free, writable_grid
from smgicnet.imaging.displacements import read_itk, sample, write_itk
from smgicnet.imaging.headers import open_image
from smgicnet.imaging.images import Volume, on_grid_of, read_image, read_labels, write_volume
from tests.support.headers import SHAPE, oblique, save

LPS = np.diag([-1.0, -1, 1, 1])


def by_itk(path):
    image = ants.image_read(str(path))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = image.direction * np.array(image.spacing), image.origin
    return LPS @ matrix


@pytest.mark.parametrize("units", ["mm", "micron", "meter", "unknown"])
@pytest.mark.parametrize("forms", ["sform", "qform", "both"])
def test_the_world_is_that_of_itk(tmp_path, units, forms):
    matrix = oblique()
    path = save(tmp_path / "i.nii", matrix if forms != "qform" else None, matrix if forms != "sform" else None, units)
    opened = open_image(path)
    np.testing.assert_allclose(opened.affine, by_itk(path), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(opened.pixdim, np.array([1, 1.5, 2]) * {"micron": 1e-3, "meter": 1e3}.get(units, 1))


def test_forms_that_nearly_agree_are_one_and_others_are_refused(tmp_path):
    near, far = oblique(), oblique(angles=(6, -4, 9))
    near[:3, 3] += 0.05
    assert open_image(save(tmp_path / "near.nii", near, oblique())).affine[0, 3] == pytest.approx(5.05)
    path = save(tmp_path / "far.nii", oblique(), far)
    with pytest.raises(
        InputError, match=r"far\.nii: its header contradicts itself: sform \[.*\] and qform \[.*--header"
    ):
        open_image(path)
    np.testing.assert_allclose(open_image(path, "sform").affine, oblique(), atol=1e-5)
    np.testing.assert_allclose(open_image(path, "qform").affine, far, atol=1e-5)


def test_a_header_that_says_nothing_of_left_and_right_is_refused(tmp_path):
    path = save(tmp_path / "none.nii", oblique(), oblique(), codes=(0, 0))
    with pytest.raises(InputError, match="which side is left"):
        open_image(path)
    np.testing.assert_allclose(open_image(path, "sform").affine, oblique(), atol=1e-5)
    nib.save(nib.AnalyzeImage(np.zeros(SHAPE, np.float32), None), tmp_path / "old.img")
    with pytest.raises(InputError, match="Analyze header does not say which side is left"):
        open_image(tmp_path / "old.img")


def test_a_sform_whose_voxels_are_not_those_of_pixdim_is_refused(tmp_path):
    path = save(tmp_path / "i.nii", oblique(), pixdim=[1, 2, 2, 2, 1, 1, 1, 1])
    with pytest.raises(InputError, match=r"sform has voxels of 1 x 1.5 x 2 mm, pixdim says 2 x 2 x 2 mm"):
        open_image(path)
    np.testing.assert_allclose(open_image(path, "sform").affine, oblique())


def test_a_quaternion_that_rounding_made_longer_than_1_is_a_rotation(tmp_path):
    b, c, d = 0.8, 0.6, 0.001
    path = save(tmp_path / "i.nii", None, oblique(), quatern_b=b, quatern_c=c, quatern_d=d)
    np.testing.assert_allclose(open_image(path).affine, by_itk(path), atol=1e-4)


def test_what_is_written_for_a_sheared_image_can_be_read_by_itk(tmp_path):
    matrix = oblique()
    matrix[0, 1] += 0.3
    assert not agree(matrix, shear_free(matrix), SHAPE)
    path = save(tmp_path / "sheared.nii", matrix, pixdim=[1, *np.linalg.norm(matrix[:3, :3], axis=0), 1, 1, 1, 1])
    with pytest.raises(RuntimeError):
        ants.image_read(str(path))
    volume = read_image(path)
    shape, affine = writable_grid(volume.data.shape, volume.affine)
    corners = np.array(np.meshgrid(*([-0.5, n - 0.5] for n in SHAPE))).reshape(3, -1)
    index = (np.linalg.inv(affine) @ matrix @ np.vstack([corners, np.ones(8)]))[:3]
    assert (index.min(axis=1) >= -0.5 - 1e-6).all()
    assert (index.max(axis=1) <= np.array(shape) - 0.5 + 1e-6).all()
    write_itk(tmp_path / "field.nii.gz", np.zeros((*shape, 3), np.float32), affine)
    np.testing.assert_allclose(by_itk(tmp_path / "field.nii.gz"), affine, atol=1e-4)
    write_volume(tmp_path / "again.nii.gz", volume.data, matrix)  # a step's own file keeps the image's grid
    np.testing.assert_allclose(read_image(tmp_path / "again.nii.gz").affine, matrix, atol=1e-5)


def test_axes_at_right_angles_are_the_nearest_ones():
    """The sheared axes are a rotation after a symmetric stretch: a polar decomposition, which is unique."""
    matrix = oblique()
    matrix[0, 1] += 0.3
    straight = shear_free(matrix)
    sizes = np.linalg.norm(matrix[:3, :3], axis=0)
    axes = straight[:3, :3] / sizes
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    stretch = axes.T @ (matrix[:3, :3] / sizes)
    np.testing.assert_allclose(stretch, stretch.T, atol=1e-9)
    assert (np.linalg.eigvalsh(stretch) > 0).all()
    np.testing.assert_array_equal(straight[:, 3], matrix[:, 3])
    assert shear_free(straight) is straight


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (np.zeros(SHAPE, np.complex64), "complex numbers"),
        (np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")]), "colours, not numbers"),
        (np.ones((9, 10, 1), np.float32), "3D volume"),
        (np.ones((9, 10, 2), np.float32), "3D volume"),
        (np.ones((9, 10), np.float32), "3D volume"),
        (np.ones((9, 10, 11, 2), np.float32), "3D volume"),
    ],
)
def test_voxels_that_are_no_3d_image_of_numbers_are_refused(tmp_path, data, problem):
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "i.nii.gz")
    for read in (read_image, read_labels):
        with pytest.raises(InputError, match=problem):
            read(tmp_path / "i.nii.gz")


def test_axes_of_one_voxel_beyond_the_third_are_dropped(tmp_path):
    data = np.random.default_rng(0).integers(0, 9, (*SHAPE, 1, 1)).astype(np.int16)
    nib.save(nib.Nifti1Image(data, oblique()), tmp_path / "i.nii.gz")
    np.testing.assert_array_equal(read_labels(tmp_path / "i.nii.gz").data, data[..., 0, 0])


def test_a_header_that_announces_more_than_its_file_holds_allocates_nothing(tmp_path):
    path = save(tmp_path / "i.nii", oblique(), dim=[3, 30000, 30000, 30000, 1, 1, 1, 1])
    with pytest.raises(InputError, match="truncated or damaged"):
        open_image(path)


def test_nibabels_remarks_are_said_once_with_the_file(tmp_path, caplog, capfd):
    path = save(tmp_path / "remark.nii", oblique(), pixdim=[1, -1, 1.5, 2, 1, 1, 1, 1])
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            read_image(path)
    assert [record.message for record in caplog.records if "pixdim" in record.message] == [caplog.records[0].message]
    assert "remark.nii: " in caplog.records[0].message
    assert "pixdim" not in capfd.readouterr().err


@pytest.mark.parametrize(("intent", "meaning"), [(1007, "lps"), (1006, "ras")])
def test_the_intent_says_in_which_world_vectors_are(tmp_path, intent, meaning):
    """The image that ANTs warps by the field is the one that our reading of it gives."""
    grid = np.diag([2.0, 2, 2, 1])
    rng = np.random.default_rng(0)
    image = Volume(np.cumsum(rng.random((16, 17, 18)), axis=0).astype(np.float32), grid)
    write_volume(tmp_path / "i.nii.gz", image.data, grid)
    vectors = np.broadcast_to(np.float32([3, -2, 1]), (16, 17, 18, 1, 3))
    field = nib.Nifti1Image(vectors, grid)
    field.header["intent_code"] = intent
    nib.save(field, tmp_path / "f.nii.gz")
    read = [ants.image_read(str(tmp_path / "i.nii.gz"))] * 2
    theirs = ants.apply_transforms(*read, [str(tmp_path / "f.nii.gz")]).numpy()
    points = np.stack(np.meshgrid(*(2.0 * np.arange(n) for n in image.data.shape), indexing="ij"), axis=-1)
    found = read_itk(tmp_path / "f.nii.gz").data
    np.testing.assert_allclose(sample(image, points + found)[4:-4, 4:-4, 4:-4], theirs[4:-4, 4:-4, 4:-4], atol=1e-3)
    np.testing.assert_array_equal(read_itk(tmp_path / "f.nii.gz", meaning).data, found)


def test_a_voxel_reaches_half_a_voxel_out_as_in_itk():
    volume = Volume(np.full((4, 4, 4), 5, np.float32), np.eye(4))
    points = np.array([[-0.49, 1, 1], [-0.51, 1, 1], [3.49, 1, 1], [3.51, 1, 1]])[:, None, None]
    assert sample(volume, points, fill=-1).ravel().tolist() == [5, -1, 5, -1]


def test_scaled_integers_are_the_labels_that_they_stand_for(tmp_path):
    labels = np.random.default_rng(0).choice([0, 2, 41, 1022, 2035], SHAPE)
    image = nib.Nifti1Image(labels.astype(np.float32), np.eye(4))
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "l.nii.gz")
    assert not np.array_equal(nib.load(tmp_path / "l.nii.gz").get_fdata(), labels)
    np.testing.assert_array_equal(read_labels(tmp_path / "l.nii.gz").data, labels)
    nib.save(nib.Nifti1Image(labels.astype(np.float32) + 0.01, np.eye(4)), tmp_path / "f.nii.gz")
    with pytest.raises(InputError, match="whole numbers"):
        read_labels(tmp_path / "f.nii.gz")
    nib.save(nib.Nifti1Image(np.full(SHAPE, 2.0**40), np.eye(4)), tmp_path / "b.nii.gz")
    with pytest.raises(InputError, match="32 bits"):
        read_labels(tmp_path / "b.nii.gz")


@pytest.mark.parametrize("codes", ["LIA", "PSR", "ASL", "RAS"])
def test_labels_in_another_axis_order_lie_on_their_image(codes):
    image = Volume(np.random.default_rng(0).random(SHAPE), oblique())
    turned = nib.Nifti1Image(image.data, image.affine).as_reoriented(
        nib.orientations.ornt_transform(
            nib.orientations.io_orientation(image.affine), nib.orientations.axcodes2ornt(tuple(codes))
        )
    )
    found = on_grid_of(image, Volume(np.asarray(turned.dataobj), turned.affine), "i", "l")
    np.testing.assert_array_equal(found.data, image.data)
    with pytest.raises(InputError, match="lie elsewhere"):
        on_grid_of(image, Volume(image.data, oblique(origin=(5, -8, 11))), "i", "l")

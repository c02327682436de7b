"""Registration from Python: the same as on the command line, and nothing is written unless it is asked for."""

import json
import os
from pathlib import Path

import matplotlib as mpl
import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

import smgicnet
from smgicnet import cli
from smgicnet.core.errors import InputError
from smgicnet.imaging.displacements import read_itk
from tests.support import ROOT
from tests.support.heads import TURN, distances, real_brain

NOTEBOOK = ROOT / "docs/register.ipynb"


@pytest.fixture(scope="module")
def found(scans):
    """A pair of images in memory, registered by the network alone."""
    images = [nib.load(scans / f"{name}.nii.gz") for name in ("brain", "moved-brain")]
    in_memory = [nib.Nifti1Image(image.get_fdata(dtype=np.float32), image.affine) for image in images]
    return smgicnet.register(*in_memory, quality="fast")


def test_it_is_what_the_command_line_gives(scans, found, tmp_path):
    given = ["--fixed", scans / "brain.nii.gz", "--moving", scans / "moved-brain.nii.gz", "--out", tmp_path]
    assert cli.main(["register", *map(str, given), "--quality", "fast"]) == 0
    for transform, name in ((found.transform, "displacement"), (found.inverse, "inverse_displacement")):
        np.testing.assert_array_equal(transform.displacement.data, read_itk(tmp_path / f"{name}.nii.gz").data)
    np.testing.assert_array_equal(found.warped.get_fdata(), nib.load(tmp_path / "warped.nii.gz").get_fdata())
    record = json.loads((tmp_path / "registration.json").read_text())
    np.testing.assert_allclose(found.transform.matrix, record["pose"]["matrix"])
    assert found.doubt == record["pose"]["doubt"]
    assert 100 * np.mean(found.jacobian <= 0) == record["folded_percent"]


def test_nothing_is_written(scans, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir(scans))
    result = smgicnet.register(scans / "brain.nii.gz", scans / "moved-brain.nii.gz", transform="rigid")
    assert distances(result.transform.matrix, real_brain()).max() < 0.5
    assert result.picture().axes
    assert (os.listdir(tmp_path), sorted(os.listdir(scans))) == ([], before)


@pytest.mark.parametrize("interpolation", ["linear", "cubic", "lanczos", "nearest", "label"])
def test_an_image_is_pulled_as_apply_pulls_it(scans, found, tmp_path, interpolation):
    moving = scans / "moved-brain.nii.gz"
    if interpolation in ("nearest", "label"):
        image = nib.load(moving)
        regions = (image.get_fdata() // 1500).astype(np.uint8)
        moving = tmp_path / "labels.nii.gz"
        nib.save(nib.Nifti1Image(regions, image.affine), moving)
    ours = found.transform.apply(moving, interpolation)
    found.transform.save(tmp_path / "field.nii.gz")
    given = ["-t", tmp_path / "field.nii.gz", "--to", scans / "brain.nii.gz", "--out", tmp_path / "applied.nii.gz"]
    assert cli.main(["apply", str(moving), *map(str, given), "-n", interpolation]) == 0
    theirs = nib.load(tmp_path / "applied.nii.gz")
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-4)
    difference = np.abs(ours.get_fdata() - theirs.get_fdata())
    assert np.mean(difference > 1e-3 * theirs.get_fdata().max()) < 1e-3  # the field in the file is in single precision


def test_labels_stay_what_they_are(scans, found):
    """Larger ones than single precision holds, in an image in memory whose affine was changed after it was made."""
    scan = nib.load(scans / "moved-brain.nii.gz")
    labels = nib.Nifti1Image(np.where(scan.get_fdata() > 0, 614454277, 0).astype(np.int32), np.eye(4))
    labels.affine[:] = scan.affine
    ours = found.transform.apply(labels, "nearest").get_fdata()
    assert set(np.unique(ours)) == {0, 614454277}
    assert np.mean(ours[real_brain().data > 0] > 0) > 0.9
    with pytest.raises(InputError, match="a label map holds whole numbers"):
        found.transform.apply(nib.Nifti1Image(np.full((9, 9, 9), 0.4, np.float32), np.eye(4)), "label")


def test_points_go_there_and_back_and_beyond_the_grid(found):
    brain = real_brain()
    points = apply_affine(brain.affine, np.argwhere(brain.data > 0)[::50])
    led = found.transform.points(points)
    assert np.linalg.norm(led - apply_affine(TURN, points), axis=1).mean() < 3
    assert np.linalg.norm(found.inverse.points(led) - points, axis=1).mean() < 0.3
    far = np.array([900.0, 0, 0])
    np.testing.assert_allclose(found.transform.points(far), apply_affine(found.transform.matrix, far))


def test_ants_reads_what_is_saved(scans, found, tmp_path):
    ants = pytest.importorskip("ants")
    pair = [ants.image_read(str(scans / f"{name}.nii.gz")) for name in ("brain", "moved-brain")]
    for name in ("whole.h5", "whole.nii.gz"):
        found.transform.save(tmp_path / name)
        theirs = ants.apply_transforms(*pair, [str(tmp_path / name)]).numpy()
        inside = real_brain().data > 0
        assert np.abs(theirs - found.warped.get_fdata())[inside].max() < 1e-2 * theirs.max()
    with pytest.raises(InputError, match=r"whole.txt: a transform is not written so. Let the name end in .nii.gz"):
        found.transform.save(tmp_path / "whole.txt")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"quality": "perfect"}, "perfect"),
        ({"transform": "similarity"}, "similarity"),
        ({"skull_strip": "scissors"}, "scissors"),
        ({"weights": "brain-t2"}, "no such weights file"),
        ({"mask_fixed": "nowhere.nii.gz"}, "nowhere.nii.gz: no such file"),
    ],
)
def test_what_cannot_be_meant_is_refused(scans, change, problem):
    with pytest.raises(InputError, match=problem):
        smgicnet.register(scans / "brain.nii.gz", scans / "moved-brain.nii.gz", **change)
    with pytest.raises(InputError, match="interpolation: 'bilinear'"):
        smgicnet.Transform(None, None).apply("image.nii.gz", "bilinear")


def test_an_unusable_image_in_memory_is_named():
    empty = nib.Nifti1Image(np.zeros((8, 8, 8), np.float32), np.eye(4))
    with pytest.raises(InputError, match="the moving image: all voxels have the same intensity"):
        smgicnet.register("mni", empty)


def test_the_package_offers_what_it_says():
    assert {"register", "Registration", "Transform", "__version__"} <= set(dir(smgicnet))
    with pytest.raises(AttributeError, match="nothing"):
        smgicnet.nothing  # noqa: B018


def test_the_notebook_runs(tmp_path, monkeypatch):
    """Cell by cell, as it stands in the docs; what it saves is left in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 5
    names: dict = {}
    for number, cell in enumerate(cells):
        exec(compile("".join(cell["source"]), f"cell {number + 1}", "exec"), names)
    assert {path.name for path in Path(tmp_path).iterdir()} >= {"to-fsl.h5", "warped.nii.gz"}

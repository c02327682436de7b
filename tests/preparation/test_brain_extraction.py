"""The skull strip by each tool, and N4.

BET and SynthStrip cannot be installed by pip: small programs stand in for them, which test what is handed over and how
the answer is read.
"""

import sys
from importlib.util import find_spec

import nibabel as nib
import numpy as np
import pytest

from smgicnet.core.errors import InputError
from smgicnet.imaging.images import Volume, read_image, write_volume
from smgicnet.preparation.bias_field import correct_bias
from smgicnet.preparation.brain_extraction import extract_brain, is_stripped
from tests.support.heads import real_brain, with_skull

SHAPE = (40, 44, 36)


def head(noise=5.0):
    """A scan of 4 mm in which a brain lies in a skull in noisy air, and the brain's mask."""
    centre, axes = (np.array(SHAPE) - 1) / 2, np.indices(SHAPE).transpose(1, 2, 3, 0)
    radius = np.linalg.norm((axes - centre) / (np.array(SHAPE) / 2), axis=-1)
    rng = np.random.default_rng(0)
    data = np.select([radius < 0.6, radius < 0.7, radius < 0.8], [600.0, 100, 900], 0)
    affine = np.diag([-4.0, 4, 4, 1])  # stored right to left
    affine[:3, 3] = [80, -90, -70]
    return Volume(np.abs(data + noise * rng.standard_normal(SHAPE)).astype(np.float32), affine), radius < 0.6


def test_what_counts_as_stripped():
    scan, brain = head()
    only_brain = np.where(brain, scan.data, 0)
    assert is_stripped(Volume(only_brain, scan.affine))
    assert is_stripped(Volume(np.where(brain, scan.data, -0.65).astype(np.float32), scan.affine))
    assert not is_stripped(scan)
    padded = np.pad(scan.data, 3)  # as some scanners do
    assert not is_stripped(Volume(padded, scan.affine))
    defaced = scan.data.copy()
    defaced[:, 30:, :14] = 0
    assert not is_stripped(Volume(defaced, scan.affine))


@pytest.fixture
def scan(tmp_path):
    volume, brain = head()
    write_volume(tmp_path / "scan.nii.gz", volume.data, volume.affine)
    return tmp_path / "scan.nii.gz", volume, brain


def program(folder, name, body, monkeypatch):
    """A Python program of this name that comes first on the PATH."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport sys\nimport nibabel as nib\nimport numpy as np\n{body}")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


BET = """scan, out = sys.argv[1:3]
assert sys.argv[3:] == ["-R", "-m", "-n"], sys.argv
image = nib.load(scan)
nib.save(nib.Nifti1Image((image.get_fdata() > 300).astype("uint8"), image.affine), out + "_mask.nii.gz")
"""
SYNTHSTRIP = """assert sys.argv[1::2] == ["-i", "-m"], sys.argv
image = nib.load(sys.argv[2])
nib.save(nib.Nifti1Image((image.get_fdata() > 300).astype("uint8"), image.affine), sys.argv[4])
"""


@pytest.mark.parametrize(("tool", "name", "body"), [("bet", "bet", BET), ("synthstrip", "mri_synthstrip", SYNTHSTRIP)])
@pytest.mark.parametrize("ending", [".nii.gz", ".mgz"])
def test_a_program_gets_the_scan_and_its_mask_is_read(scan, tmp_path, monkeypatch, tool, name, body, ending):
    path, volume, _ = scan
    if ending == ".mgz":
        path = tmp_path / "scan.mgz"
        nib.save(nib.MGHImage(volume.data, volume.affine), path)
    program(tmp_path / "bin", name, body, monkeypatch)
    found = extract_brain(path, tool)
    np.testing.assert_array_equal(found.mask.data, volume.data > 300)
    np.testing.assert_array_equal(found.image.data, np.where(volume.data > 300, volume.data, 0))
    np.testing.assert_allclose(found.image.affine, volume.affine)
    assert found.record["tool"] == tool
    assert found.record["brain_ml"] == pytest.approx((volume.data > 300).sum() * 64 / 1000, abs=0.1)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("print('cannot allocate')\nsys.exit(3)", r"ended with status 3, its last words: cannot allocate"),
        ("print('done')", r"wrote no brain_mask\.nii\.gz"),
        (BET.replace("> 300", "> 9999"), "finds no brain"),
    ],
)
def test_a_program_that_fails(scan, tmp_path, monkeypatch, body, problem):
    program(tmp_path / "bin", "bet", body, monkeypatch)
    with pytest.raises(InputError, match=problem):
        extract_brain(scan[0], "bet")


def test_a_program_that_is_not_there(scan, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("FREESURFER_HOME", raising=False)
    with pytest.raises(InputError, match=r"mri_synthstrip.*Install FreeSurfer"):
        extract_brain(scan[0], "synthstrip")


def test_a_given_mask(scan, tmp_path):
    path, volume, brain = scan
    mask = tmp_path / "mask.nii.gz"
    write_volume(mask, brain.astype(np.uint8), volume.affine)
    found = extract_brain(path, "mask", mask_path=mask)
    np.testing.assert_array_equal(found.mask.data, brain)
    assert (found.image.data[~brain] == 0).all()
    write_volume(mask, np.zeros(SHAPE, np.uint8), volume.affine)
    with pytest.raises(InputError, match="the mask is empty"):
        extract_brain(path, "mask", mask_path=mask)
    write_volume(mask, brain[:-1].astype(np.uint8), volume.affine)
    with pytest.raises(InputError, match="shape"):
        extract_brain(path, "mask", mask_path=mask)


def test_the_background_of_a_scan_with_negative_values(scan, tmp_path):
    path, volume, brain = scan
    write_volume(path, volume.data - 200, volume.affine)
    write_volume(tmp_path / "mask.nii.gz", brain.astype(np.uint8), volume.affine)
    found = extract_brain(path, "mask", mask_path=tmp_path / "mask.nii.gz")
    assert (found.image.data[~brain] == (volume.data - 200).min()).all()


def test_auto_leaves_a_stripped_image_as_it_is(scan, tmp_path):
    path, volume, brain = scan
    stripped = np.where(brain, volume.data, 0)
    write_volume(path, stripped, volume.affine)
    found = extract_brain(path, "auto")
    assert found.record["tool"] == "none"
    np.testing.assert_array_equal(found.image.data, stripped)
    np.testing.assert_array_equal(found.mask.data, brain)


@pytest.mark.skipif(find_spec("deepbet") is None, reason="deepbet is not installed")
@pytest.mark.filterwarnings("ignore")  # of torch, at weights of an older version
def test_deepbet_finds_a_real_brain(tmp_path):
    """The MNI152 brain at 4 mm, put into a skull of scalp and noisy air: its own network takes both off again."""
    volume, mask = with_skull(real_brain())
    data, affine = volume.data, volume.affine
    flipped = np.ascontiguousarray(data[::-1])  # the mask has to come back on this grid
    turned = affine @ np.array([[-1, 0, 0, data.shape[0] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    write_volume(tmp_path / "head.nii.gz", flipped, turned)
    assert not is_stripped(read_image(tmp_path / "head.nii.gz"))
    found = extract_brain(tmp_path / "head.nii.gz", "auto", threads=2)
    assert found.record["tool"] == "deepbet"
    np.testing.assert_allclose(found.mask.affine, turned)
    overlap = 2 * (found.mask.data[::-1] * mask).sum() / (found.mask.data.sum() + mask.sum())
    assert overlap > 0.85


@pytest.mark.skipif(find_spec("ants") is None, reason="antspyx is not installed")
@pytest.mark.parametrize("background", [0.0, -50.0])
def test_n4_takes_a_known_bias_field_off(tmp_path, background):
    rng = np.random.default_rng(0)
    axes = np.indices((40, 40, 40)).transpose(1, 2, 3, 0) - 19.5
    brain = np.linalg.norm(axes, axis=-1) < 16
    white = (axes[..., 2] > 0) & brain
    tissue = np.where(white, 700.0, 400.0) + 8 * rng.standard_normal(brain.shape)
    bias = 1 + 0.3 * axes[..., 0] / 20 + 0.15 * (axes[..., 1] / 20) ** 2
    data = np.where(brain, tissue * bias, background).astype(np.float32)
    affine = np.array([[0, -3.0, 0, 5], [2.9, 0, 0.5, 7], [-0.5, 0, 2.9, 9], [0, 0, 0, 1]])  # oblique
    write_volume(tmp_path / "image.nii.gz", data, affine)
    write_volume(tmp_path / "mask.nii.gz", brain.astype(np.uint8), affine)
    found, record = correct_bias(tmp_path / "image.nii.gz", tmp_path / "mask.nii.gz")
    for region in (white, brain & ~white):
        before, after = (values[region].std() / values[region].mean() for values in (data, found.data))
        assert after < before / 2
    assert np.median(found.data[brain]) == pytest.approx(np.median(data[brain]), rel=1e-4)
    assert (found.data[~brain] == np.float32(background)).all()
    np.testing.assert_allclose(found.affine, affine, atol=1e-5)
    assert record["tool"] == "n4"

"""What `smgicnet register` does beside a pair of brains: heads, templates, linear maps, masks, further images."""

import json
import re
from importlib.util import find_spec

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from smgicnet import cli
from smgicnet.cohort.phantom import make_phantom
from smgicnet.imaging.displacements import apply_field, grid_points, read_itk
from smgicnet.imaging.images import Volume, read_image, write_volume
from smgicnet.preparation import brain_extraction
from smgicnet.preparation.preprocessing import resample
from tests.support.heads import distances, real_brain
from tests.support.phantoms import phantom_config

with_deepbet = pytest.mark.skipif(find_spec("deepbet") is None, reason="deepbet is not installed")


def run(folder, out, fixed, moving, *more, status=0):
    given = ["--fixed", folder / f"{fixed}.nii.gz", "--moving", folder / f"{moving}.nii.gz", "--out", out]
    assert cli.main(["register", *map(str, [*given, *more])]) == status
    return json.loads((out / "registration.json").read_text()) if status == 0 else None


@with_deepbet
@pytest.mark.filterwarnings("ignore")  # of torch, at deepbet's weights of an older version
@pytest.mark.parametrize(
    ("fixed", "moving"),
    [
        ("head", "moved-head"),
        pytest.param("brain", "moved-head", marks=pytest.mark.long),
        pytest.param("head", "moved-brain", marks=pytest.mark.long),
    ],
)
def test_heads_are_stripped_and_warped_as_they_came(scans, tmp_path, fixed, moving):
    record = run(scans, tmp_path, fixed, moving, "--quality", "fast")
    for end, name in (("fixed", fixed), ("moving", moving)):
        is_head = name.endswith("head")
        assert (tmp_path / f"{end}_mask.nii.gz").is_file() == is_head
        assert record[end].get("skull_strip", {}).get("tool") == ("deepbet" if is_head else None)
        if is_head:
            mask, scan = nib.load(tmp_path / f"{end}_mask.nii.gz"), read_image(scans / f"{name}.nii.gz")
            np.testing.assert_allclose(mask.affine, scan.affine, atol=1e-4)
            assert mask.shape == scan.data.shape
    assert distances(record["pose"]["matrix"], real_brain()).mean() < 3
    around = read_image(tmp_path / "warped.nii.gz").data[real_brain().data == 0]
    assert (np.mean(around > 0) > 0.5) == moving.endswith("head")  # there are scalp and air


@with_deepbet
def test_a_head_that_is_said_to_be_a_brain_stays_as_it_is(scans, tmp_path):
    record = run(scans, tmp_path, "head", "moved-head", "--quality", "fast", "--stripped")
    assert "skull_strip" not in record["fixed"]
    assert not (tmp_path / "fixed_mask.nii.gz").exists()


def test_without_deepbet_a_head_is_refused_with_what_to_do(scans, tmp_path, capsys, monkeypatch):
    from smgicnet.commands import inputs

    monkeypatch.setattr(inputs.importlib.util, "find_spec", lambda name: None)
    run(scans, tmp_path / "out", "head", "moved-head", status=2)
    said = capsys.readouterr().err
    for word in ("head.nii.gz: it seems to have its skull", "Install deepbet", "--skull-strip", "--stripped"):
        assert word in said
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_strip_that_cannot_be_right_is_refused(scans, tmp_path, capsys, monkeypatch):
    """As that of a head which is turned by 60 degrees against its header, of which deepbet leaves 6 litres."""
    monkeypatch.setitem(brain_extraction.MASKS, "bet", lambda volume, *_: np.ones(volume.data.shape, bool))
    run(scans, tmp_path, "head", "moved-head", "--skull-strip", "bet", status=2)
    assert re.search(r"head.nii.gz: bet finds \d{4,} ml of brain in it, which no brain has", capsys.readouterr().err)
    assert not (tmp_path / "registration.json").exists()


@pytest.mark.parametrize("kind", ["rigid", "affine"])
def test_a_registration_ends_at_a_matrix(scans, tmp_path, kind):
    ants = pytest.importorskip("ants")
    record = run(scans, tmp_path, "brain", "moved-brain", "--transform", kind)
    assert record["transform"] == kind
    assert not [path for path in tmp_path.iterdir() if "displacement" in path.name or "velocity" in path.name]
    matrix = np.array(record["pose"]["matrix"])
    assert distances(matrix, real_brain()).max() < 0.5
    if kind == "rigid":
        np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-6)
    pair = [ants.image_read(str(scans / f"{name}.nii.gz")) for name in ("brain", "moved-brain")]
    theirs = ants.apply_transforms(*pair, [str(tmp_path / "affine.mat")]).numpy()
    ours = read_image(tmp_path / "warped.nii.gz").data
    inside = real_brain().data > 0
    assert np.abs(theirs - ours)[inside].max() < 1e-3 * theirs.max()


def test_freesurfers_matrix_is_read_back_and_does_the_same(scans, tmp_path):
    run(scans, tmp_path, "brain", "moved-brain", "--transform", "affine", "--format", "lta")
    given = ["-t", tmp_path / "affine.lta", "--to", scans / "brain.nii.gz", "--out", tmp_path / "applied.nii.gz"]
    assert cli.main(["apply", str(scans / "moved-brain.nii.gz"), *map(str, given)]) == 0
    one, other = (read_image(tmp_path / f"{name}.nii.gz").data for name in ("warped", "applied"))
    np.testing.assert_allclose(one, other, atol=1e-2 * other.max())
    lines = dict(line.split(" = ", 1) for line in (tmp_path / "affine.lta").read_text().splitlines() if " = " in line)
    middle = apply_affine(real_brain().affine, np.array(real_brain().data.shape) / 2)
    np.testing.assert_allclose([float(one) for one in lines["cras  "].split()], middle)  # of dst, the last: fixed


def test_a_second_registration_leaves_nothing_of_the_first_one(scans, tmp_path):
    run(scans, tmp_path, "brain", "moved-brain", "--quality", "fast", "--jacobian", "--format", "itk", "h5")
    record = run(scans, tmp_path, "brain", "moved-brain", "--transform", "rigid")
    assert "velocity" not in record
    names = {"warped.nii.gz", "affine.mat", "overview.png", "registration.json"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_a_linear_map_has_no_quality(scans, tmp_path, capsys):
    run(scans, tmp_path, "brain", "moved-brain", "--transform", "rigid", "--quality", "best", status=2)
    assert "a rigid one has no quality" in capsys.readouterr().err


def test_the_composite_is_the_whole_map_for_ants_and_here_and_goes_on_beyond_the_grid(scans, tmp_path):
    ants = pytest.importorskip("ants")
    record = run(scans, tmp_path, "brain", "moved-brain", "--quality", "fast", "--format", "itk", "h5")
    pair = [ants.image_read(str(scans / f"{name}.nii.gz")) for name in ("brain", "moved-brain")]
    for ends, inverse in ((pair, ""), (pair[::-1], "inverse_")):
        names = [str(tmp_path / f"{inverse}{name}") for name in ("transform.h5", "displacement.nii.gz")]
        one, other = (ants.apply_transforms(*ends, [name]).numpy() for name in names)
        assert np.abs(one - other).max() < 1e-3 * other.max()
    (tmp_path / "points.csv").write_text("x,y,z\n10,-20,30\n-900,0,0\n")
    given = ["-t", tmp_path / "transform.h5", "--to", scans / "brain.nii.gz", "--out", tmp_path / "led.csv"]
    assert cli.main(["apply", str(tmp_path / "points.csv"), *map(str, given)]) == 0
    led = np.genfromtxt(tmp_path / "led.csv", delimiter=",", skip_header=1)[:, :3]
    field, matrix = read_itk(tmp_path / "displacement.nii.gz"), np.array(record["pose"]["matrix"])
    np.testing.assert_allclose(led[0], apply_field(field, np.array([[10.0, -20, 30]]))[0], atol=1e-2)
    np.testing.assert_allclose(led[1], apply_affine(matrix, [-900.0, 0, 0]), atol=1e-2)


@pytest.mark.parametrize(
    ("name", "space"), [("mni", "MNI152NLin6Asym"), ("MNI152NLin2009cAsym", "MNI152NLin2009cAsym")]
)
def test_a_template_is_named_and_its_space_stands_in_names_and_record(scans, tmp_path, name, space):
    given = ["--to", name, "--moving", scans / "moved-brain.nii.gz", "--out", tmp_path, "--transform", "affine"]
    assert cli.main(["register", *map(str, given), "--jacobian"]) == 0
    record = json.loads((tmp_path / "registration.json").read_text())
    assert record["fixed"]["space"] == space
    for result in ("warped", "jacobian", "log_jacobian"):
        assert (tmp_path / f"{result}_space-{space}.nii.gz").is_file()
    if name == "mni":
        assert distances(record["pose"]["matrix"], real_brain()).max() < 1


def test_another_template_is_refused_with_the_names(scans, tmp_path, capsys):
    given = ["--to", "talairach", "--moving", scans / "brain.nii.gz", "--out", tmp_path / "out"]
    assert cli.main(["register", *map(str, given)]) == 2
    assert "talairach: no such file, and no template of that name" in capsys.readouterr().err


def test_further_images_are_brought_along_from_grids_of_their_own(scans, tmp_path):
    source = read_image(scans / "moved-brain.nii.gz")
    fine = source.affine @ np.diag([0.5, 0.5, 0.5, 1])
    other = Volume(resample(source, fine, tuple(2 * n for n in source.data.shape), order=1) * 2, fine)
    write_volume(tmp_path / "T2.nii.gz", other.data, other.affine)
    run(scans, tmp_path / "out", "brain", "moved-brain", "--transform", "affine", "--also", tmp_path / "T2.nii.gz")
    one, two = (read_image(tmp_path / f"out/{name}.nii.gz") for name in ("warped", "warped_T2"))
    np.testing.assert_allclose(two.affine, one.affine)
    assert np.corrcoef(one.data.ravel(), two.data.ravel())[0, 1] > 0.99
    assert two.data.max() > 1.5 * one.data.max()


# A lesion of one of two twins, whose true map is known.


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Two subjects of one brain at 4 mm, a dark cavity in the moving one, its mask, and the true map of the fixed."""
    folder = tmp_path_factory.mktemp("twins")
    fixed, moving = (make_phantom(n, phantom_config(spacing=3, shape=[70, 80, 70])) for n in (3, 5))
    points = grid_points(fixed.image.data.shape, fixed.image.affine)
    truth = apply_field(moving.from_template, apply_field(fixed.to_template, points))
    middle = apply_affine(moving.image.affine, np.argwhere(moving.labels.data > 0).mean(0)) + np.array([25, 5, 15])
    away = np.linalg.norm(grid_points(moving.image.data.shape, moving.image.affine) - middle, axis=-1)
    hole = (away < 22) & (moving.image.data > 0)
    dark = np.where(hole, np.percentile(moving.image.data[moving.image.data > 0], 2), moving.image.data)
    volumes = {"fixed": fixed.image.data, "moving": dark.astype(np.float32), "lesion": hole.astype(np.uint8)}
    for name, data in volumes.items():
        write_volume(folder / f"{name}.nii.gz", data, (fixed if name == "fixed" else moving).image.affine)
    return folder, fixed.labels.data > 0, points, truth


def test_a_mask_of_a_lesion_makes_the_map_truer(twins, tmp_path):
    folder, brain, points, truth = twins
    error = {}
    for name, more in (("as it is", []), ("masked", ["--mask-moving", folder / "lesion.nii.gz"])):
        record = run(folder, tmp_path / name, "fixed", "moving", "--quality", "fast", "--refine", "20", *more)
        led = points + read_itk(tmp_path / name / "displacement.nii.gz").data
        error[name] = np.linalg.norm(led - truth, axis=-1)[brain].mean()
    assert error["masked"] < 0.95 * error["as it is"], error
    assert record["moving"]["left_out"]["ml"] == pytest.approx(
        27 / 1000 * (read_image(folder / "lesion.nii.gz").data > 0).sum(), rel=1e-3
    )


@pytest.mark.parametrize(
    ("mask", "problem"),
    [
        (lambda brain: np.zeros_like(brain), "the mask is empty"),
        (lambda brain: brain, r"covers \d+ % of the brain, and what it covers is left out"),
        (lambda brain: brain[:-1], "shape"),
        (lambda brain: np.indices(brain.shape).sum(axis=0) < 3, "covers nothing"),
    ],
    ids=["empty", "of what counts", "another grid", "beside the brain"],
)
def test_a_mask_that_cannot_be_meant_is_refused(twins, tmp_path, capsys, mask, problem):
    folder, brain, *_ = twins
    affine = read_image(folder / "fixed.nii.gz").affine
    write_volume(tmp_path / "mask.nii.gz", mask(brain).astype(np.uint8), affine)
    run(folder, tmp_path / "out", "fixed", "moving", "--mask-fixed", tmp_path / "mask.nii.gz", status=2)
    assert re.search(f"mask.nii.gz: .*{problem}", capsys.readouterr().err)
    assert not (tmp_path / "out/registration.json").exists()

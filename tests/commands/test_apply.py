"""``smgicnet apply``: images, series, label maps and points go where ANTs takes them."""

import gzip
import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel.affines import apply_affine

from smgicnet.cli import main
from smgicnet.commands.options import INTERPOLATIONS
from smgicnet.core.provenance import files_digest
from smgicnet.imaging import resampling, transform_chain
from smgicnet.imaging.displacements import write_itk
from smgicnet.imaging.field_formats import write_fsl
from tests.support.grids import PAIRS, bent, make_pair, save

ants = pytest.importorskip("ants", reason="antspyx is not installed")
FIRST = next(iter(PAIRS))
LPS = np.array([-1, -1, 1])


@pytest.fixture(params=PAIRS)
def warped(request, tmp_path):
    """A pair with the file of its displacement."""
    pair = make_pair(request.param, tmp_path)
    write_itk(tmp_path / "warp.nii.gz", pair.displacement, pair.fixed.affine)
    return pair


def apply(folder, *inputs, out, pair, more=()):
    arguments = ["apply", *map(str, inputs), "-t", str(folder / "warp.nii.gz"), "--to", str(pair.files[0])]
    return main([*arguments, "--out", str(out), *map(str, more)])


def by_ants(folder, pair, moving, **options):
    images = [ants.image_read(str(path)) for path in (pair.files[0], moving)]
    return ants.apply_transforms(*images, [str(folder / "warp.nii.gz")], **options).numpy()


def test_the_choices_are_those_that_there_are():
    assert INTERPOLATIONS == resampling.INTERPOLATIONS


@pytest.mark.parametrize(("kind", "name", "within"), [("linear", "linear", 5e-3), ("cubic", "bSpline", 2e-2)])
def test_an_image_is_pulled_as_ants_pulls_it(warped, tmp_path, kind, name, within, capsys):
    out = tmp_path / "out.nii.gz"
    assert apply(tmp_path, warped.files[1], out=out, pair=warped, more=["-n", kind]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    found, theirs = nib.load(out), by_ants(tmp_path, warped, warped.files[1], interpolator=name)
    np.testing.assert_allclose(found.affine, warped.fixed.affine, atol=1e-4)
    assert found.get_data_dtype() == np.float32
    inside = warped.inside
    np.testing.assert_allclose(np.asarray(found.dataobj)[inside], theirs[inside], atol=within)
    assert theirs[inside].std() > 0.1


@pytest.mark.parametrize(("kind", "name"), [("nearest", "nearestNeighbor"), ("label", "genericLabel")])
def test_a_label_map_keeps_its_labels(warped, tmp_path, kind, name):
    labels = np.digitize(warped.moving.data, np.quantile(warped.moving.data, [0.3, 0.6])).astype(np.int32) * 1000
    path = save(tmp_path / "labels.nii.gz", labels, warped.moving.affine)
    assert apply(tmp_path, path, out=tmp_path / "out.nii.gz", pair=warped, more=["-n", kind]) == 0
    found = nib.load(tmp_path / "out.nii.gz")
    assert found.get_data_dtype() == np.int16
    theirs = by_ants(tmp_path, warped, path, interpolator=name)
    assert (np.asarray(found.dataobj) == theirs)[warped.inside].mean() > 0.999
    assert len(np.unique(theirs)) == 3


def test_each_volume_of_a_series_is_pulled_like_an_image(tmp_path):
    pair = make_pair(FIRST, tmp_path)
    write_itk(tmp_path / "warp.nii.gz", pair.displacement, pair.fixed.affine)
    data = np.stack([pair.moving.data, 2 * pair.moving.data + 1, pair.moving.data**2], axis=-1)
    image = nib.Nifti1Image((100 * data).astype(np.int16), pair.moving.affine)
    image.header.set_slope_inter(0.01, 3)
    image.header["pixdim"][4] = 2500
    image.header.set_xyzt_units("mm", "msec")
    nib.save(image, tmp_path / "bold.nii.gz")
    assert apply(tmp_path, tmp_path / "bold.nii.gz", out=tmp_path / "out", pair=pair) == 0
    found = nib.load(tmp_path / "out/bold.nii.gz")
    assert found.shape == (*pair.fixed.data.shape, 3)
    assert found.header.get_zooms()[3] == 2.5
    assert found.header.get_xyzt_units() == ("mm", "sec")
    np.testing.assert_allclose(found.affine, pair.fixed.affine, atol=1e-4)
    for number, volume in enumerate(np.moveaxis(nib.load(tmp_path / "bold.nii.gz").get_fdata(), 3, 0)):
        path = save(tmp_path / "one.nii.gz", volume.astype(np.float32), pair.moving.affine)
        assert apply(tmp_path, path, out=tmp_path / "single.nii.gz", pair=pair) == 0
        single = np.asarray(nib.load(tmp_path / "single.nii.gz").dataobj)
        np.testing.assert_allclose(np.asarray(found.dataobj)[..., number], single, rtol=1e-5)


def test_several_inputs_keep_their_names_in_a_folder_and_mgh_becomes_nifti(tmp_path):
    pair = make_pair(FIRST, tmp_path)
    write_itk(tmp_path / "warp.nii.gz", pair.displacement, pair.fixed.affine)
    nib.save(nib.MGHImage(pair.moving.data, pair.moving.affine.astype(np.float32)), tmp_path / "t1.mgz")
    assert apply(tmp_path, pair.files[1], tmp_path / "t1.mgz", out=tmp_path / "out", pair=pair) == 0
    found = [np.asarray(nib.load(tmp_path / f"out/{name}.nii.gz").dataobj) for name in ("moving", "t1")]
    np.testing.assert_allclose(*found, atol=1e-3)


def test_the_results_of_several_inputs_do_not_go_into_one_file(tmp_path, capsys):
    pair = make_pair(FIRST, tmp_path)
    write_itk(tmp_path / "warp.nii.gz", pair.displacement, pair.fixed.affine)
    other = save(tmp_path / "other.nii.gz", pair.moving.data, pair.moving.affine)
    assert apply(tmp_path, pair.files[1], other, out=tmp_path / "out.nii.gz", pair=pair) == 2
    assert "one file cannot hold the results of several inputs. Give a folder" in capsys.readouterr().err
    assert not (tmp_path / "out.nii.gz").exists()


def test_the_record_of_a_result_says_how_to_make_it_again(tmp_path):
    pair = make_pair(FIRST, tmp_path)
    write_itk(tmp_path / "warp.nii.gz", pair.displacement, pair.fixed.affine)
    out = tmp_path / "results/out.nii.gz"
    assert apply(tmp_path, pair.files[1], out=out, pair=pair, more=["-n", "cubic"]) == 0
    record = json.loads((tmp_path / "results/out.apply.json").read_text())
    again = tmp_path / "again.nii.gz"
    arguments = [record["input"], "-t", *record["transforms"], "--to", record["to"], "-n", record["interpolation"]]
    assert main(["apply", *arguments, "--out", str(again)]) == 0
    assert again.read_bytes() == out.read_bytes()
    used = [pair.files[1], pair.files[0], tmp_path / "warp.nii.gz"]
    assert record["digests"] == {str(one): files_digest([one]) for one in used}
    assert record["versions"]["nibabel"]


def test_a_grid_that_is_moved_in_parts_is_moved_as_one(tmp_path, monkeypatch, caplog):
    """A part of it may lie outside of the field, which is no error as long as another does not."""
    pair = make_pair(FIRST, tmp_path)
    half = pair.displacement[: pair.displacement.shape[0] // 2]
    write_itk(tmp_path / "warp.nii.gz", half, pair.fixed.affine)
    whole, parts = tmp_path / "whole.nii.gz", tmp_path / "parts.nii.gz"
    assert apply(tmp_path, pair.files[1], out=whole, pair=pair) == 0
    monkeypatch.setattr(transform_chain, "POINTS", 100)
    with caplog.at_level("INFO"):
        assert apply(tmp_path, pair.files[1], out=parts, pair=pair) == 0
    assert parts.read_bytes() == whole.read_bytes()
    assert caplog.text.count("% of the points") == 1


def test_points_of_the_fixed_image_go_to_the_moving_one(tmp_path):
    pair = make_pair(FIRST, tmp_path)
    write_itk(tmp_path / "warp.nii.gz", pair.displacement, pair.fixed.affine)
    inner = np.random.default_rng(0).uniform(4, 14, (6, 3))
    points = apply_affine(pair.fixed.affine, inner)
    rows = "".join(f"{n},{z},{x},{y}\n" for n, (x, y, z) in enumerate(points * LPS))
    (tmp_path / "p.csv").write_text(f"# CoordinateSystem = LPS\nlabel,z,x,y\n{rows}")
    triangles = np.array([[0, 1, 2], [3, 4, 5]], np.int32)
    arrays = [
        nib.gifti.GiftiDataArray(data, intent=intent)
        for data, intent in ((points.astype(np.float32), "NIFTI_INTENT_POINTSET"), (triangles, "NIFTI_INTENT_TRIANGLE"))
    ]
    nib.save(nib.gifti.GiftiImage(darrays=arrays), tmp_path / "s.surf.gii")
    assert apply(tmp_path, tmp_path / "p.csv", tmp_path / "s.surf.gii", out=tmp_path / "out", pair=pair) == 0
    text = (tmp_path / "out/p.csv").read_text()
    assert text.startswith("# CoordinateSystem = LPS\nlabel,z,x,y\n0,")
    found = pd.read_csv(tmp_path / "out/p.csv", comment="#")[["x", "y", "z"]].to_numpy() * LPS
    table = pd.DataFrame(points * LPS, columns=list("xyz"))
    theirs = ants.apply_transforms_to_points(3, table, [str(tmp_path / "warp.nii.gz")])[["x", "y", "z"]].to_numpy()
    np.testing.assert_allclose(found, theirs * LPS, atol=1e-3)
    np.testing.assert_allclose(found, bent(points), atol=0.2)  # linear between voxels
    surface = nib.load(tmp_path / "out/s.surf.gii")
    np.testing.assert_allclose(surface.agg_data("pointset"), found, atol=1e-3)
    np.testing.assert_array_equal(surface.agg_data("triangle"), triangles)


def test_fsls_warp_is_of_the_image_that_is_named(tmp_path, capsys):
    pair = make_pair(FIRST, tmp_path)
    write_fsl(tmp_path / "warp.nii.gz", pair.displacement, *pair.geometries)
    (tmp_path / "p.csv").write_text("x,y,z\n1,2,-3\n")
    assert apply(tmp_path, tmp_path / "p.csv", out=tmp_path / "o.csv", pair=pair) == 2
    assert "it depends on the grid of the moving image" in capsys.readouterr().err
    more = ["--moving", pair.files[1]]
    assert apply(tmp_path, tmp_path / "p.csv", out=tmp_path / "o.csv", pair=pair, more=more) == 0
    found = pd.read_csv(tmp_path / "o.csv").to_numpy()
    np.testing.assert_allclose(found, bent(np.array([[1, 2, -3.0]])), atol=0.2)
    assert apply(tmp_path, pair.files[1], out=tmp_path / "o.nii.gz", pair=pair) == 0
    write_itk(tmp_path / "warp.nii.gz", pair.displacement, pair.fixed.affine)
    assert apply(tmp_path, pair.files[1], out=tmp_path / "itk.nii.gz", pair=pair) == 0
    images = [np.asarray(nib.load(tmp_path / name).dataobj) for name in ("o.nii.gz", "itk.nii.gz")]
    np.testing.assert_allclose(*(image[pair.inside] for image in images), atol=5e-3)


def test_bad_input_is_told_and_nothing_is_written(tmp_path, capsys):
    pair = make_pair(FIRST, tmp_path)
    write_itk(tmp_path / "warp.nii.gz", pair.displacement, pair.fixed.affine)
    good = pair.files[1]
    vectors = save(tmp_path / "v.nii.gz", np.zeros((4, 4, 4, 1, 3), np.float32), np.eye(4))
    halves = save(tmp_path / "h.nii.gz", np.full((4, 4, 4), 0.5, np.float32), np.eye(4))
    other = tmp_path / "other/moving.nii.gz"
    other.parent.mkdir()
    other.write_bytes(good.read_bytes())
    surface = tmp_path / "s.surf.gii"
    array = nib.gifti.GiftiDataArray(np.zeros((3, 3), np.float32), intent="NIFTI_INTENT_POINTSET")
    array.meta["VolGeomC_R"] = "5.2"
    nib.save(nib.gifti.GiftiImage(darrays=[array]), surface)
    for inputs, out, more, problem in (
        ([tmp_path / "none.nii.gz"], "o.nii.gz", [], "none.nii.gz: no such file"),
        ([vectors], "o.nii.gz", [], "an image or a series of volumes is needed"),
        ([halves], "o.nii.gz", ["-n", "label"], "a label map holds whole numbers"),
        ([good, other], "o", [], "two of the inputs have the same name"),
        ([good], "o.csv", [], "the result of moving.nii.gz has another form"),
        ([good], good.name, [], "moving.nii.gz"),
        ([surface], "o.surf.gii", [], "FreeSurfer's own coordinates"),
    ):
        before = sorted(tmp_path.rglob("*"))
        assert apply(tmp_path, *inputs, out=tmp_path / out, pair=pair, more=more) == 2, problem
        assert problem in capsys.readouterr().err
        assert sorted(tmp_path.rglob("*")) == before
    truncated = tmp_path / "t.nii.gz"
    noise = np.random.default_rng(0).random((6, 6, 6, 4), np.float32)
    truncated.write_bytes(gzip.compress(nib.Nifti1Image(noise, np.eye(4)).to_bytes())[:-3000])
    assert apply(tmp_path, truncated, out=tmp_path / "o.nii.gz", pair=pair) == 2
    assert "t.nii.gz: not a readable image, perhaps truncated" in capsys.readouterr().err
    assert not (tmp_path / "o.nii.gz").exists()

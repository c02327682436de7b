"""Two scans on the command line: one displacement, in each format that is asked for."""

import contextlib
import json
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from scipy.ndimage import zoom

from smgicnet import cli
from smgicnet.core.errors import InputError
from smgicnet.imaging import headers
from smgicnet.imaging.displacements import grid_points, read_itk, sample, to_voxels
from smgicnet.imaging.field_formats import read_fsl, read_geometry
from smgicnet.imaging.grids import Grid
from smgicnet.imaging.images import read_image, write_volume
from smgicnet.methods.saved_flow import read_flow
from smgicnet.methods.weights import Weights, write_weights
from smgicnet.registration import detail
from tests.support.grids import affine, centred
from tests.support.images import SHAPE
from tests.support.methods import block, build


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """Two scans whose grids differ in shape, spacing and handedness, and a network's weights that say something."""
    folder = tmp_path_factory.mktemp("pair")
    method = build()
    write_weights(
        Weights(block(), len(block()["stages"]), Grid(SHAPE, 8.0), method.network.state_dict()), folder / "w.pt"
    )
    rng = np.random.default_rng(0)
    shapes, flips = ((30, 34, 28), (26, 30, 33)), ((1, 1, 1), (-1, 1, 1))
    files = [folder / "OASIS_0395_0000.nii.gz", folder / "OASIS_0396_0000.nii.gz"]
    for path, shape, flip in zip(files, shapes, flips, strict=True):
        data = np.zeros(shape, np.float32)
        data[4:-4, 4:-4, 4:-4] = zoom(rng.uniform(50, 100, (4, 4, 4)), (np.array(shape) - 8) / 4, order=1)
        write_volume(path, data, centred(shape, affine((4, 3.5, 4), flip, 10), (0, 5, 3)))
    return files, ["--fixed", str(files[0]), "--moving", str(files[1]), "--weights", str(folder / "w.pt")]


def test_one_displacement_in_every_format(arguments, tmp_path, capsys):
    files, given = arguments
    formats = ["--format", "learn2reg", "fsl", "--format", "itk"]
    assert cli.main(["register", *given, "--quality", "fast", "--out", str(tmp_path), *formats]) == 0
    printed = capsys.readouterr().out
    fields = {f"{inverse}displacement{kind}.nii.gz" for inverse in ("", "inverse_") for kind in ("", "_fsl")}
    fields.add("disp_0395_0396.nii.gz")
    found = {path.name for path in tmp_path.iterdir()}
    assert found == fields | {"warped.nii.gz", "velocity.nii.gz", "overview.png", "registration.json"}
    assert all(str(tmp_path / name) in printed for name in found)
    fixed, moving = map(read_geometry, files)
    forward, inverse = (read_itk(tmp_path / f"{name}displacement.nii.gz") for name in ("", "inverse_"))
    assert np.linalg.norm(forward.data, axis=-1).mean() > 0.5
    assert inverse.data.shape[:3] == moving.shape
    for itk, name, source in ((forward, "", moving), (inverse, "inverse_", fixed)):
        fsl = read_fsl(tmp_path / f"{name}displacement_fsl.nii.gz", source)
        np.testing.assert_allclose(fsl.data, itk.data, atol=1e-3)
        np.testing.assert_allclose(fsl.affine, itk.affine, atol=1e-5)
    voxels = nib.load(tmp_path / "disp_0395_0396.nii.gz").get_fdata()
    np.testing.assert_allclose(
        np.moveaxis(voxels, -1, 0), to_voxels(forward.data, fixed.affine, moving.affine), atol=1e-4
    )


def counted_reads(monkeypatch):
    """How often a file's header, its voxels, and weights are read from now on."""
    read = Counter()

    def count(module, name, path_of):
        function = getattr(module, name)

        def counting(*parts, **options):
            read[name, str(path_of(*parts))] += 1
            return function(*parts, **options)

        monkeypatch.setattr(module, name, counting)

    count(headers, "_open_nifti", lambda kind, path: path)
    count(headers, "_values", lambda voxels: voxels.file_like)
    count(Path, "read_bytes", lambda path: path)
    count(torch, "load", lambda file: "weights")
    return read


def test_a_command_reads_each_file_once(arguments, tmp_path, monkeypatch):
    files, given = arguments
    labels = [tmp_path / "fixed_labels.nii.gz", tmp_path / "moving_labels.nii.gz"]
    for path, source in zip(labels, map(read_image, files), strict=True):
        write_volume(path, np.where(source.data > 0, 2, 0).astype(np.uint8), source.affine)
    rows = [f"{name}\t{image}\t{label}\ttest" for name, image, label in zip("ab", files, labels, strict=True)]
    (tmp_path / "participants.tsv").write_text("\n".join(["subject\timage\tlabels\tsplit", *rows]) + "\n")
    source = {"kind": "participants", "path": str(tmp_path / "participants.tsv")}
    dataset = {"source": source, "grid": {"shape": [16, 16, 16], "spacing": 12}}
    content = {"datasets": {"d": dataset}, "methods": {"m": {"type": "initial"}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    field = str(tmp_path / "displacement_fsl.nii.gz")
    label_options = ["--fixed-labels", str(labels[0]), "--moving-labels", str(labels[1])]
    commands = {
        "register": (
            [*given, "--quality", "fast", "--out", str(tmp_path), "--format", "itk", "fsl"],
            {*map(str, files), given[-1]},
        ),
        "convert": ([field, str(tmp_path / "itk.nii.gz"), "--to", "itk", *given[:4]], {*map(str, files), field}),
        "score": ([*label_options, "--transform", field], {*map(str, labels), field}),
        "check": ([str(tmp_path / "config.yaml"), "--jobs", "1"], {*map(str, [*files, *labels])}),
    }
    read = counted_reads(monkeypatch)
    for command, (options, expected) in commands.items():
        read.clear()
        cli.main([command, *options])
        assert expected <= {path for _, path in read}, command
        assert {count for (_, path), count in read.items() if path in {*expected, "weights"}} == {1}, command


def test_ants_warps_with_what_register_wrote_as_register_did(arguments, tmp_path):
    """Where antspyx is installed: the moving image by `displacement.nii.gz` is `warped.nii.gz`; by the inverse, the
    fixed image comes to the moving image's grid."""
    ants = pytest.importorskip("ants", reason="antspyx is not installed")
    files, given = arguments
    assert cli.main(["register", *given, "--quality", "fast", "--out", str(tmp_path)]) == 0
    fixed, moving = (ants.image_read(str(path)) for path in files)

    def by_ants(onto, image, field):
        return ants.apply_transforms(onto, image, [str(tmp_path / field)], interpolator="linear").numpy()

    warped, theirs = read_image(tmp_path / "warped.nii.gz").data, by_ants(fixed, moving, "displacement.nii.gz")
    assert warped.std() > 10
    np.testing.assert_allclose(theirs, warped, atol=0.2)  # of 100
    inverse, other, image = read_itk(tmp_path / "inverse_displacement.nii.gz"), *map(read_image, files)
    points = grid_points(image.data.shape, image.affine) + inverse.data
    theirs = by_ants(moving, fixed, "inverse_displacement.nii.gz")
    np.testing.assert_allclose(theirs, sample(other, points), atol=0.2)


def test_itks_alone_by_default_and_no_other_name(arguments, tmp_path, capsys):
    _, given = arguments
    assert cli.main(["register", *given, "--quality", "fast", "--out", str(tmp_path)]) == 0
    fields = {"displacement.nii.gz", "inverse_displacement.nii.gz"}
    assert {path.name for path in tmp_path.glob("*.nii.gz")} == fields | {"warped.nii.gz", "velocity.nii.gz"}
    with pytest.raises(SystemExit):
        cli.main(["register", *given, "--out", str(tmp_path), "--format", "m3z"])
    assert "invalid choice: 'm3z'" in capsys.readouterr().err


def test_a_header_that_fsl_would_read_otherwise_is_refused_before_the_registration(arguments, tmp_path, capsys):
    files, given = arguments
    image = nib.load(files[0])
    image.header.set_zooms((4, 3.5, 5))
    nib.save(image, tmp_path / "odd.nii.gz")
    given = ["--fixed", str(tmp_path / "odd.nii.gz"), *given[2:], "--out", str(tmp_path / "out")]
    assert cli.main(["register", *given, "--format", "fsl"]) == 2
    assert "odd.nii.gz: its header contradicts itself" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_convert_on_the_command_line(arguments, tmp_path, capsys):
    files, given = arguments
    assert cli.main(["register", *given, "--quality", "fast", "--out", str(tmp_path), "--format", "itk", "fsl"]) == 0
    ends = ["--fixed", str(files[0]), "--moving", str(files[1])]
    names = [str(tmp_path / name) for name in ("displacement_fsl.nii.gz", "out.nii.gz")]
    assert cli.main(["convert", *names, "--from", "fsl", "--to", "itk", *ends]) == 0
    assert str(tmp_path / "out.nii.gz") in capsys.readouterr().out
    found, expected = (read_itk(tmp_path / name).data for name in ("out.nii.gz", "displacement.nii.gz"))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert cli.main(["convert", *names, "--from", "fsl", "--to", "itk", *ends, "--rel"]) == 0
    np.testing.assert_array_equal(read_itk(tmp_path / "out.nii.gz").data, found)
    assert cli.main(["convert", *names, "--from", "fsl", "--to", "itk", *ends, "--abs"]) == 0  # a user is believed
    assert np.abs(read_itk(tmp_path / "out.nii.gz").data - found).max() > 20
    assert cli.main(["convert", *names, "--from", "itk", "--to", "fsl", *ends]) == 2
    assert "displacement_fsl.nii.gz: an ITK field has shape" in capsys.readouterr().err


def test_refinement_on_the_command_line(arguments, tmp_path, capsys):
    _, given = arguments
    fields = []
    for name, more in (("plain", []), ("none", ["--refine", "0"]), ("some", ["--refine", "3"])):
        assert cli.main(["register", *given, "--quality", "fast", *more, "--out", str(tmp_path / name)]) == 0
        fields.append(read_itk(tmp_path / name / "displacement.nii.gz").data)
    assert np.array_equal(fields[0], fields[1])
    assert np.abs(fields[2] - fields[0]).max() > 0.1
    record = json.loads((tmp_path / "some" / "registration.json").read_text())
    assert record["refinement"]["iterations"] == 3
    capsys.readouterr()
    assert cli.main(["register", *given, "--refine", "-1", "--out", str(tmp_path / "negative")]) == 2
    assert "--refine: -1 iterations. Give 0 or more" in capsys.readouterr().err


def test_the_velocity_makes_both_displacements_again(arguments, tmp_path):
    files, given = arguments
    assert cli.main(["register", *given, "--refine", "3", "--jacobian", "--out", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "registration.json").read_text())
    change, logarithm = (read_image(tmp_path / f"{name}.nii.gz").data for name in ("jacobian", "log_jacobian"))
    assert record["folded_percent"] == 100 * (change <= 0).mean()
    np.testing.assert_allclose(logarithm, np.log(np.maximum(change, 1e-3)), atol=1e-6)
    assert 0.02 < change.std() < 2
    assert record["refinement"]["detail"]
    flow = read_flow(tmp_path)
    for one, file, name in zip((flow, flow.inverse), files, ("", "inverse_"), strict=True):
        written, grid = read_itk(tmp_path / f"{name}displacement.nii.gz"), read_image(file)
        made = one.displacement(torch.from_numpy(grid.affine), grid.data.shape)
        assert np.abs(written.data).max() > 1
        np.testing.assert_allclose(made.movedim(0, -1), written.data, atol=1e-3)


def test_a_folder_without_a_velocity_says_so(tmp_path):
    with pytest.raises(InputError, match="it says nothing of a velocity"):
        read_flow(tmp_path)


def test_a_quality_gives_the_same_bytes_twice_and_another_one_others(arguments, tmp_path):
    _, given = arguments
    for name, quality in (("a", "best"), ("b", "best"), ("c", "fast")):
        assert cli.main(["register", *given, "--quality", quality, "--out", str(tmp_path / name)]) == 0
    for file in ("warped.nii.gz", "displacement.nii.gz", "inverse_displacement.nii.gz", "velocity.nii.gz"):
        first, second, other = ((tmp_path / name / file).read_bytes() for name in "abc")
        assert first == second != other


def test_an_interrupted_refinement_leaves_no_file(arguments, tmp_path, monkeypatch):
    _, given = arguments

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(detail, "half_way", interrupted)
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        cli.main(["register", *given, "--out", str(tmp_path)])
    assert not list(tmp_path.iterdir())


def test_a_method_without_refinement_says_so_before_it_reads_the_images(tmp_path, capsys):
    method = build("lapirn")
    write_weights(Weights(block("lapirn"), 3, Grid(SHAPE, 8.0), method.network.state_dict()), tmp_path / "w.pt")
    given = ["--fixed", "gone.nii", "--moving", "gone.nii", "--weights", str(tmp_path / "w.pt"), "--out", str(tmp_path)]
    assert cli.main(["register", *given, "--refine", "5"]) == 2
    assert "w.pt: a lapirn has no instance optimisation. Leave the refinement out" in capsys.readouterr().err
    assert cli.main(["register", *given, "--quality", "best"]) == 2
    assert "w.pt: a lapirn has no instance optimisation. Leave the quality out" in capsys.readouterr().err


def registered(out, fixed, moving, weights):
    """Forward and inverse displacement of a pair, as Volumes in RAS mm."""
    given = ["--fixed", fixed, "--moving", moving, "--weights", weights, "--out", out]
    assert cli.main(["register", *map(str, given)]) == 0
    return tuple(read_itk(out / f"{name}displacement.nii.gz") for name in ("", "inverse_"))


def test_an_image_that_lies_elsewhere_is_sent_elsewhere(arguments, tmp_path):
    """There by as many mm more as it was moved, and back by as many less."""
    (fixed, moving), given = arguments
    image, shift = read_image(moving), np.array([30.0, -20, 10])
    elsewhere = image.affine.copy()
    elsewhere[:3, 3] += shift
    write_volume(tmp_path / "moved.nii.gz", image.data, elsewhere)
    here = registered(tmp_path / "here", fixed, moving, given[-1])
    there = registered(tmp_path / "there", fixed, tmp_path / "moved.nii.gz", given[-1])
    for one, other, sign in zip(here, there, (1, -1), strict=True):
        off = np.abs(other.data - one.data - sign * shift).max(axis=-1)
        assert np.median(off) < 0.01
        assert np.percentile(off, 99) < 1  # rounding moves what lies at an edge


def test_a_method_without_an_inverse_is_run_the_other_way_round(arguments, tmp_path):
    (fixed, moving), _ = arguments
    method, settings = build("icnet"), block("icnet")
    torch.nn.init.normal_(method.network.head.weight, std=20)
    weights = Weights(settings, len(settings["stages"]), Grid(SHAPE, 8.0), method.network.state_dict())
    write_weights(weights, tmp_path / "w.pt")
    forward, inverse = registered(tmp_path / "one", fixed, moving, tmp_path / "w.pt")
    other = registered(tmp_path / "other", moving, fixed, tmp_path / "w.pt")
    np.testing.assert_allclose(inverse.data, other[0].data, atol=1e-3)
    np.testing.assert_allclose(forward.data, other[1].data, atol=1e-3)
    assert np.linalg.norm(forward.data, axis=-1).mean() > 0.5


def test_beyond_the_moving_image_lies_its_background(arguments, tmp_path):
    (fixed, moving), given = arguments
    image = read_image(moving)
    write_volume(tmp_path / "shifted.nii.gz", image.data - 50, image.affine)  # its background is at -50
    registered(tmp_path / "out", fixed, tmp_path / "shifted.nii.gz", given[-1])
    warped = read_image(tmp_path / "out/warped.nii.gz").data
    assert warped.min() == -50
    assert (warped == 0).mean() < 0.01

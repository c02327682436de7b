"""The mean image of a group, from the command line: sharper than its first mean, and not made twice."""

import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from benchmarks.twins import twin
from smgicnet import cli
from smgicnet.cohort.template import load_template
from smgicnet.imaging.images import as_nifti


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Three brains of one anatomy, each in a shape and a pose of its own."""
    folder = tmp_path_factory.mktemp("people")
    paths = [folder / f"person-{number}.nii.gz" for number in (1, 2, 3)]
    for number, path in enumerate(paths):
        image = twin(load_template(), "a brain", number, 4.0).image
        nib.save(as_nifti(image.data, image.affine), path)
    return paths


def make(people, out, *more):
    return cli.main(["template", *map(str, people), "--out", str(out), "--quality", "fast", *more])


def test_velocities_make_it_sharper_and_what_is_done_stays(people, tmp_path, capsys):
    assert make(people, tmp_path, "--rounds", "1", "--spacing", "3") == 0
    assert f"template: {tmp_path / 'template.nii.gz'}" in capsys.readouterr().out
    records = [json.loads((tmp_path / name / "template.json").read_text()) for name in ("0", "1")]
    assert records[1]["sharpness"] > 1.03 * records[0]["sharpness"]
    assert records[1]["people"].keys() == set(map(str, people))
    made = nib.load(tmp_path / "template.nii.gz")
    assert (tmp_path / "template.nii.gz").read_bytes() == (tmp_path / "1/template.nii.gz").read_bytes()
    np.testing.assert_allclose(made.header.get_zooms(), 3)
    filled = made.get_fdata() > 0.3 * made.get_fdata().max()
    assert 900 < filled.sum() * 27 / 1000 < 1900  # ml
    assert not filled[[0, -1]].any()
    with Image.open(tmp_path / "template.png") as picture:
        assert min(picture.size) > 300
    members = sorted(tmp_path.glob("0/members/*/registration.json"))
    before = [path.stat().st_mtime_ns for path in members]
    content = (tmp_path / "template.nii.gz").read_bytes()
    assert len(members) == 3
    assert make(people, tmp_path, "--rounds", "1", "--spacing", "3") == 0
    assert [path.stat().st_mtime_ns for path in members] == before
    assert (tmp_path / "template.nii.gz").read_bytes() == content


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (lambda people: people[:1], "a template of 1 image. Give two images or more"),
        (lambda people: [people[0], people[0]], "person-1: two of the images have this name"),
        (lambda people: [*people[:2], people[0].with_name("nobody.nii.gz")], "nobody.nii.gz: no such file"),
    ],
)
def test_a_group_that_is_none_is_refused(people, tmp_path, capsys, given, problem):
    assert make(given(people), tmp_path) == 2
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "template.nii.gz").exists()

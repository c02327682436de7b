"""The training loop: what learns, schedules, sampling, and that resuming equals never having stopped."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from smgicnet.config.schemas import schema
from smgicnet.core.errors import InputError
from smgicnet.imaging.images import write_volume
from smgicnet.registration.fields import jacobian_determinant, warp
from smgicnet.scoring.overlap import dice
from smgicnet.training.loop import learning_rate, train
from smgicnet.training.sampling import (
    Augmentation,
    ImageSet,
    PairSampler,
    augment_labels,
    change_intensities,
    displacement_of,
    draw_changes,
    smooth,
)
from tests.support.images import SHAPE, blobs
from tests.support.methods import LEARNED, build
from tests.support.trainings import CONFIG, STAGE, STILL, Killed, killer


def state_of(method):
    return {name: value.clone() for name, value in method.network.state_dict().items()}


@pytest.mark.parametrize(("kind", "at"), [("smgicnet", 1), *((kind, at) for kind in LEARNED for at in (2, 4, 5))])
def test_resuming_is_bit_identical(job, kind, at):
    undisturbed = build(kind)
    history = train(undisturbed, replace(job, folder=job.folder / "a"))
    interrupted = replace(job, folder=job.folder / "b")
    with pytest.raises(Killed):
        train(build(kind), interrupted, killer(at))
    resumed = build(kind)
    again = train(resumed, interrupted)
    for name, value in state_of(undisturbed).items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
    timeless = ["step", "total", "similarity", "learning_rate", "validation_dice"]
    assert again[timeless].equals(history[timeless])


def test_a_checkpoint_of_another_job_is_put_aside(job, caplog):
    with pytest.raises(Killed):
        train(build(), job, killer(3))
    other = replace(job, identity={**job.identity, "code": "changed"})
    fresh, expected = build(), build()
    with caplog.at_level(logging.WARNING):
        train(fresh, other)
    assert "put aside" in caplog.text
    assert (job.folder / "checkpoint.other.pt").is_file()
    train(expected, replace(other, folder=job.folder / "new"))
    assert all(torch.equal(a, b) for a, b in zip(state_of(fresh).values(), state_of(expected).values(), strict=True))


def test_a_damaged_checkpoint_is_put_aside(job, caplog):
    job.checkpoint.write_bytes(b"half a file")
    train(build(), job)
    assert "cannot be read" in caplog.text


def test_levels_below_are_frozen_then_learn(job):
    method = build()
    _, earlier = method.stage_parameters()
    initial = [p.detach().clone() for p in earlier]
    seen = []
    train(method, job, lambda step, row: seen.append(all(torch.equal(p, q) for p, q in zip(earlier, initial))))
    assert seen == [True, True, False, False, False, False]


def test_levels_below_learn_at_a_rate_of_their_own(job):
    """Adam's first step is of its rate: that of the newest level at once, that of those below when they begin."""
    method, seen = build(), []
    newest, earlier = method.stage_parameters()

    def values():
        return [torch.cat([p.detach().flatten() for p in part]).clone() for part in (newest, earlier)]

    seen.append(values())
    train(method, job, lambda step, row: seen.append(values()))
    assert (seen[1][0] - seen[0][0]).abs().max().item() == pytest.approx(STAGE.learning_rate, rel=0.01)
    first = STAGE.frozen_iterations
    step = (seen[first + 1][1] - seen[first][1]).abs().max().item()
    assert step == pytest.approx(STAGE.learning_rate * STAGE.earlier_rate, rel=0.01)


def test_history_has_every_term_and_validation(job):
    method = build()
    history = train(method, replace(job, config=replace(CONFIG, validate_every=4)))
    assert len(history) == 6
    assert set(method.weights) <= set(history.columns)
    weighted = sum(method.weights[name] * history[name] for name in method.weights)
    np.testing.assert_allclose(history["total"], weighted, rtol=1e-4)
    assert history["validation_dice"].notna().tolist() == [False, False, False, True, False, True]  # and at the end


@pytest.mark.parametrize("kind", LEARNED)
def test_convolutions_in_bfloat16_lead_nearly_the_same_way(job, kind):
    histories = []
    for precision in ("float32", "bfloat16"):
        config = replace(CONFIG, precision=precision, checkpoint_every=9)
        histories.append(train(build(kind), replace(job, config=config)))
    exact, half = (history["total"].to_numpy() for history in histories)
    assert not np.array_equal(exact, half)
    np.testing.assert_allclose(half, exact, rtol=0.03)


def test_a_parameter_outside_every_stage_is_an_error(job):
    """The released code optimised the level below instead of level 4."""
    method = build()
    method.stage_parameters = lambda: (list(method.network.levels[2].parameters()), [])
    with pytest.raises(RuntimeError, match=r"never learn.*levels\.3"):
        train(method, job)


def test_a_parameter_that_does_not_move_is_an_error(job):
    method = build()
    method.network.levels[3].spare = torch.nn.Linear(2, 2)
    with pytest.raises(RuntimeError, match=r"did not move.*spare"):
        train(method, job)


def test_a_loss_that_is_not_finite_is_an_error(job):
    method = build()
    torch.nn.init.constant_(method.network.levels[0].images[0].weight, float("nan"))
    with pytest.raises(InputError, match="not finite at step 0"):
        train(method, job)


def test_learning_rate_halves_at_60k_and_every_50k():
    stage = replace(STAGE, learning_rate=1e-4)
    rates = [learning_rate(step, stage, CONFIG) for step in (0, 59_999, 60_000, 109_999, 110_000, 160_000)]
    assert rates == pytest.approx([1e-4, 1e-4, 5e-5, 5e-5, 2.5e-5, 1.25e-5])
    assert learning_rate(10**6, stage, replace(CONFIG, decay_after=None)) == 1e-4


def test_epochs_are_ordered_pairs():
    stage = replace(STAGE, iterations=None, epochs=4)
    assert stage.length(PairSampler(269, 1, 0).pairs, 1) == 4 * 72_092 == 288_368
    assert stage.length(72_092, 4) == 72_092


def test_sampler_draws_every_ordered_pair_once_an_epoch():
    sampler = PairSampler(5, 2, seed=3)
    epochs = [[pair for step in range(e * 10, e * 10 + 10) for pair in sampler.batch(step)] for e in range(2)]
    expected = {(a, b) for a in range(5) for b in range(5) if a != b}
    for epoch in epochs:
        assert len(epoch) == 20
        assert set(epoch) == expected
    assert epochs[0] != epochs[1]
    assert PairSampler(5, 2, seed=3).batch(7) == sampler.batch(7)
    assert PairSampler(5, 2, seed=4).batch(7) != sampler.batch(7)


def changes(images, config, seed):
    return draw_changes(len(images), config, torch.Generator().manual_seed(seed))


def applied(images, drawn):
    return change_intensities(warp(images, displacement_of(drawn, SHAPE)), drawn)


def changed(images, config, seed):
    return applied(images, changes(images, config, seed))


EACH = {"rotation": 20, "scale": 0.1, "translation": 0.1, "deformation": 0.02, "gamma": 0.3, "bias": 0.3, "noise": 0.1}


@pytest.mark.parametrize("key", EACH)
def test_augmentation_changes_each_image_in_its_own_way(key):
    images = torch.cat([blobs(1), blobs(1)])
    config = replace(STILL, **{key: EACH[key]})
    assert config.active
    out = changed(images, config, 0)
    assert out.shape == images.shape
    assert not torch.allclose(out[0], images[0], atol=1e-2)
    assert not torch.allclose(out[0], out[1], atol=1e-2)
    assert torch.equal(out, changed(images, config, 0))
    assert not torch.equal(out, changed(images, config, 1))


def test_augmentation_of_some_images_is_that_of_all():
    images, config = torch.cat([blobs(1), blobs(1)]), Augmentation(**EACH, mirror=True)
    alone = applied(images[1:], changes(images, config, 0).of([1], images.device))
    torch.testing.assert_close(alone, changed(images, config, 0)[1:], atol=1e-5, rtol=0)


def test_no_augmentation_leaves_the_images():
    assert not STILL.active
    torch.testing.assert_close(changed(blobs(1), STILL, 0), blobs(1), atol=1e-5, rtol=0)


def test_intensities_change_within_the_brain_alone():
    image = blobs(1)
    image[..., :8] = 0
    out = changed(image, replace(STILL, gamma=0.5, bias=0.5, noise=0.2), 0)
    assert out[..., :7].abs().max() == 0
    assert (out[..., 8:] != image[..., 8:]).all()


def test_intensities_are_raised_to_a_power_and_multiplied():
    image = blobs(1)
    none = changes(image, STILL, 0)
    power = none._replace(gamma=torch.full((1, 1, 1, 1, 1), 2.0).log())
    torch.testing.assert_close(applied(image, power), image**2, atol=1e-5, rtol=0)
    bias = torch.zeros(1, 1, 4, 4, 4)
    bias[..., 0, 0, 0] = 8.0 * torch.tensor(1.5).log()  # order 0: the same factor everywhere
    torch.testing.assert_close(applied(image, none._replace(bias=bias)), 1.5 * image, atol=1e-4, rtol=0)


def test_a_label_map_moves_with_its_image():
    image = (blobs(1) > 0.5).float()
    drawn = changes(image, replace(STILL, rotation=20, translation=0.1, deformation=0.02), 3)
    displacement = displacement_of(drawn, SHAPE)
    moved, labels = warp(image, displacement) > 0.5, augment_labels(image * 17, drawn, displacement)
    assert set(labels.unique().tolist()) == {0, 17}
    assert dice((labels == 17).byte().numpy(), moved.byte().numpy(), [1]) > 0.95
    assert dice((labels == 17).byte().numpy(), image.byte().numpy(), [1]) < 0.8


def test_some_images_are_mirrored_and_their_sides_change_names():
    config = replace(STILL, mirror=True)
    assert config.active
    images = blobs(1).expand(8, -1, -1, -1, -1)
    labels = torch.tensor([2.0, 16, 53, 0]).repeat(SHAPE[0] // 4).view(-1, 1, 1).expand(8, 1, *SHAPE)
    drawn = changes(images, config, 0)
    out = applied(images, drawn)
    renamed = augment_labels(labels, drawn, displacement_of(drawn, SHAPE))
    mirrored = [torch.allclose(one, images[0].flip(1), atol=1e-5) for one in out]
    assert 0 < sum(mirrored) < 8
    for one, moved, flipped in zip(out, renamed, mirrored, strict=True):
        torch.testing.assert_close(one, images[0].flip(1) if flipped else images[0], atol=1e-5, rtol=0)
        assert moved[0, :4, 0, 0].tolist() == ([0, 17, 16, 41] if flipped else [2, 16, 53, 0])


def test_a_smooth_field_has_the_sd_of_its_coefficients_and_no_kinks():
    coefficients = 0.3 * torch.randn(200, 3, 6, 6, 6, generator=torch.Generator().manual_seed(0))
    field = smooth(coefficients, (24, 32, 24))
    assert field.shape == (200, 3, 24, 32, 24)
    assert field.std().item() == pytest.approx(0.3, rel=0.02)
    assert field[..., 6:-6, 8:-8, 6:-6].std().item() == pytest.approx(0.3, rel=0.25)
    assert field.diff(dim=2).diff(dim=2).abs().max() < 0.7 * field.diff(dim=2).abs().max()


def test_the_largest_deformation_hardly_folds():
    largest = schema("parts/training")["properties"]["augmentation"]["properties"]["deformation"]["maximum"]
    drawn = draw_changes(8, replace(STILL, deformation=largest), torch.Generator().manual_seed(0))
    folded = jacobian_determinant(displacement_of(drawn, (48, 48, 48))) <= 0
    assert folded.float().mean() < 0.02


def test_the_deformation_is_in_fractions_of_the_field_of_view_and_in_the_frame_of_the_pose():
    ramp = torch.arange(32.0).view(1, 1, 1, 32, 1).expand(1, 1, *SHAPE) + 100
    deformation = torch.zeros(1, 3, 6, 6, 6)
    deformation[:, 1, 0, 0, 0] = 0.125 * 6**1.5  # order 0: 4 of 32 voxels along the second axis, everywhere
    scaled = torch.cat([2 * torch.eye(3), torch.zeros(3, 1)], dim=1)[None]
    none = changes(ramp, STILL, 0)
    shifted = applied(ramp, none._replace(deformation=deformation))
    torch.testing.assert_close(shifted[:, :, :, 2:20], ramp[:, :, :, 6:24])
    twice = applied(ramp, none._replace(deformation=deformation, poses=scaled))
    assert twice[0, 0, 8, 14, 8] == pytest.approx(100 + 15.5 + 2 * (14 - 15.5 + 4))


def test_augmentation_translation_is_in_fractions_of_the_field_of_view():
    image = torch.zeros(1, 1, *SHAPE)
    image[0, 0, 8, 16, 8] = 1
    config = replace(STILL, translation=0.25)
    out = torch.cat([changed(image, config, seed) for seed in range(40)])
    found = torch.stack([o[0].nonzero().float().mean(0) for o in out if o.any()]) - torch.tensor([8.0, 16, 8])
    assert (found.abs().max(0).values <= torch.tensor([4.6, 8.6, 4.6])).all()
    assert found.abs().max(0).values[1] > 5


LEFT, RIGHT = [10, 12, 17], [49, 51, 53]


def test_labels_reach_the_objective_augmented_with_their_images(job, tmp_path):
    maps = [tmp_path / f"{index}-labels.nii" for index in range(3)]
    for index, path in enumerate(maps):
        write_volume(path, (blobs(index)[0, 0] > 0.5).numpy().astype(np.uint8) * LEFT[index], np.eye(4))
    job = replace(job, config=replace(job.config, augmentation=replace(job.config.augmentation, mirror=True)))
    method, seen, found = build(weights={"labels": 1.0}), [], set()
    objective = method.objective
    method.objective = lambda *batch: seen.append(batch) or objective(*batch)
    history = train(method, replace(job, labels=ImageSet(maps)))
    assert history["labels"].between(0, 1).all()
    for step, (image_a, image_b, labels) in enumerate(seen):
        pair = PairSampler(3, 1, 7).batch(step)[0]
        for image, one, index in zip((image_a, image_b), labels, pair, strict=True):
            assert one.shape == image.shape
            assert one.unique().tolist() in ([0, LEFT[index]], [0, RIGHT[index]])
            found.add(int(one.max()))
            # a moved image is bright where its moved label is, up to the border
            assert dice((image > 0.5).byte().numpy(), (one > 0).byte().numpy(), [1]) > 0.75
    assert found & set(LEFT)
    assert found & set(RIGHT)

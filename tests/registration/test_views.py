"""Test-time augmentation: views of a pair and what their velocities are on the pair's own grid."""

import pytest
import torch

from smgicnet.methods import METHODS
from smgicnet.registration.fields import resize
from smgicnet.registration.losses import similarity_force
from smgicnet.registration.views import Views, mean_velocity
from tests.support.images import blobs
from tests.support.methods import block, build


@pytest.mark.parametrize(("mirror", "shift"), [(True, 0), (False, 2), (True, 1)])
def test_views_agree_where_a_velocity_goes_along_with_the_images(mirror, shift):
    def force(moving, fixed):
        return similarity_force(moving, fixed, 3)

    moving, fixed = blobs(1), blobs(2)
    inside = (..., *[slice(6, -6)] * 3)
    mean = mean_velocity(force, moving, fixed, Views(mirror, shift))
    torch.testing.assert_close(mean[inside], force(moving, fixed)[inside], atol=1e-3, rtol=1e-3)


def test_a_view_of_a_coarser_velocity_is_moved_by_voxels_of_the_images():
    def coarse(moving, fixed):
        return resize(similarity_force(moving, fixed, 3), [n // 2 for n in fixed.shape[2:]])

    moving, fixed = blobs(1), blobs(2)
    expected = resize(coarse(moving, fixed), fixed.shape[2:])
    mean = mean_velocity(coarse, moving, fixed, Views(mirror=False, shift=2))
    inside = (..., *[slice(6, -6)] * 3)
    torch.testing.assert_close(mean[inside], expected[inside], atol=1e-3, rtol=1e-3)


def test_every_view_is_looked_at_once():
    seen = []

    def predict(moving, fixed):
        seen.append(moving)
        return torch.full((1, 3, *moving.shape[2:]), float(len(seen)))

    mean = mean_velocity(predict, blobs(1), blobs(2), Views(mirror=True, shift=1))
    assert len(seen) == 6
    assert torch.equal(seen[0], blobs(1))
    assert torch.equal(seen[1], blobs(1).flip(2))
    torch.testing.assert_close(
        seen[2][..., 2:-2, 2:-2, 2:-2], blobs(1).roll((1, 1, 1), (2, 3, 4))[..., 2:-2, 2:-2, 2:-2]
    )
    assert all(not torch.equal(one, other) for one in seen for other in seen if one is not other)
    torch.testing.assert_close(mean[:, 1:], torch.full_like(mean[:, 1:], 3.5))
    torch.testing.assert_close(mean[:, 0], torch.full_like(mean[:, 0], (1 + 3 + 5 - 2 - 4 - 6) / 6))
    assert torch.equal(
        mean_velocity(predict, blobs(1), blobs(2), Views(mirror=False, shift=0)), torch.full_like(mean, 7)
    )


def test_a_mirrored_pair_gets_the_mirrored_field():
    part = block()
    part["views"]["mirror"] = True
    method = METHODS["smgicnet"].from_block(part, 4)
    method.network.load_state_dict(build().network.state_dict())
    fixed, moving = blobs(1), blobs(2)
    found = method.register(fixed, moving).forward
    mirrored = method.register(fixed.flip(2), moving.flip(2)).forward.flip(2)
    mirrored[:, 0] *= -1
    torch.testing.assert_close(found, mirrored, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(found, build().register(fixed, moving).forward, atol=1e-3)

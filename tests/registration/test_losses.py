"""Loss terms: known values, gradients, symmetry."""

import pytest
import torch
import torch.nn.functional as F

from smgicnet.registration import losses
from smgicnet.registration.fields import compose, exp, identity_grid, warp

SHAPE = (7, 8, 9)


def images(seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(2, 1, *SHAPE, generator=generator, dtype=dtype) for _ in range(2)]


def convolution_ncc(image, other, window, eps=1e-5):
    """The form in common use, five convolutions."""
    kernel = torch.ones(1, 1, *[window] * 3, dtype=image.dtype)
    n = window**3

    def box(x):
        return F.conv3d(x, kernel, padding=window // 2)

    s_i, s_j = box(image), box(other)
    cross = box(image * other) - s_i * s_j / n
    var_i, var_j = box(image**2) - s_i**2 / n, box(other**2) - s_j**2 / n
    return -(cross**2 / (var_i * var_j + eps)).mean()


@pytest.mark.parametrize("window", [3, 5, 9])
def test_ncc_equals_the_convolution_form_and_its_gradient(window):
    a, b = (x.requires_grad_() for x in images())
    ours, reference = losses.local_ncc(a, b, window), convolution_ncc(a, b, window)
    torch.testing.assert_close(ours, reference)
    for mine, theirs in zip(torch.autograd.grad(ours, (a, b)), torch.autograd.grad(reference, (a, b)), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


def test_ncc_gradcheck():
    a, b = (x.requires_grad_() for x in images())
    assert torch.autograd.gradcheck(lambda x, y: losses.local_ncc(x, y, 3), (a, b), fast_mode=True)


def test_ncc_when_only_one_image_learns():
    a, b = images()
    a.requires_grad_()
    losses.local_ncc(a, b, 5).backward()
    alone = a.grad.clone()
    a.grad = None
    losses.local_ncc(a, b.clone().requires_grad_(), 5).backward()
    torch.testing.assert_close(alone, a.grad)


def test_ncc_at_identity_and_under_local_linear_change():
    a, b = images()
    assert losses.local_ncc(a, a, 5).item() == pytest.approx(-1, abs=1e-3)
    assert losses.local_ncc(a, 0.3 - 2 * a, 5).item() < losses.local_ncc(a, b, 5).item() - 0.5
    torch.testing.assert_close(losses.local_ncc(a, b, 5), losses.local_ncc(b, a, 5))


def test_ncc_of_flat_images_is_zero_and_finite():
    flat = torch.zeros(1, 1, *SHAPE, requires_grad=True)
    loss = losses.local_ncc(flat, torch.full_like(flat, 0.7), 5)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(flat.grad).all()


def test_ncc_refuses_an_even_window():
    with pytest.raises(ValueError, match="odd"):
        losses.local_ncc(*images(), 4)


def patches():
    """Flat, empty and saturated blocks beside texture, 96 cubed: running sums lose digits as they grow."""
    generator = torch.Generator().manual_seed(0)
    found = [torch.rand(1, 1, 96, 96, 96, generator=generator) * 0.1 + 0.9 for _ in range(2)]
    for image in found:
        image[..., 30:60, :] = 1
        image[..., 60:80, :] = 0
    return found


@pytest.mark.parametrize(("make", "tolerance"), [(images, 1e-5), (patches, 2e-4)])
def test_ncc_in_single_precision(make, tolerance):
    a, b = make()
    single, double = (
        losses.local_ncc(a.float(), b.float(), 9).item(),
        losses.local_ncc(a.double(), b.double(), 9).item(),
    )
    assert single == pytest.approx(double, abs=tolerance)


def ramp(slope):
    """u = slope * x along the first axis only."""
    grid = identity_grid(SHAPE, dtype=torch.float64)
    u = torch.zeros_like(grid)
    u[:, 0] = slope * grid[:, 0]
    return u


def test_field_terms_of_a_ramp():
    u = ramp(0.2)
    assert losses.diffusion(u).item() == pytest.approx(0.04 / 3)
    assert losses.gradient_inverse_consistency(u).item() == pytest.approx(0.04)
    n = SHAPE[0]
    assert losses.inverse_consistency(u).item() == pytest.approx(0.04 * sum(i * i for i in range(n)) / n)
    shifted = u + 5
    assert losses.gradient_inverse_consistency(shifted).item() == pytest.approx(0.04)
    assert losses.inverse_consistency(torch.zeros_like(u)).item() == 0


def test_consistency_terms_vanish_for_inverse_directions():
    generator = torch.Generator().manual_seed(0)
    v = F.interpolate(
        torch.randn(1, 3, 3, 3, 3, generator=generator, dtype=torch.float64), (16, 16, 16), mode="trilinear"
    )
    both = torch.cat([exp(v), exp(-v)])
    composed = losses.compose_both_orders(both)
    independent = losses.compose_both_orders(torch.cat([exp(v), exp(-v.flip(2))]))
    for term in (losses.inverse_consistency, losses.gradient_inverse_consistency):
        assert term(composed) < 0.1 * term(independent)


def test_both_orders_are_the_two_compositions():
    generator = torch.Generator().manual_seed(0)
    ab, ba = torch.rand(2, 2, 3, *SHAPE, generator=generator)
    composed = losses.compose_both_orders(torch.cat([ab, ba]))
    torch.testing.assert_close(composed, torch.cat([compose(ab, ba), compose(ba, ab)]))


def test_multi_level_term_is_a_quarter_of_the_mse():
    a, b = images()
    torch.testing.assert_close(losses.multi_level_consistency(a, b), F.mse_loss(a, b) / 4)
    assert losses.multi_level_consistency(a, a).item() == 0


@pytest.mark.parametrize("term", [losses.diffusion, losses.inverse_consistency, losses.gradient_inverse_consistency])
def test_gradcheck_of_field_terms(term):
    u = torch.randn(1, 3, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(term, u, fast_mode=True)


def regions(labels, values):
    return torch.cat([labels == value for value in values], dim=1).double()


def test_soft_dice_is_that_of_a_map_of_each_label_warped():
    generator = torch.Generator().manual_seed(0)
    values = [1, 17, 255]
    coarse = torch.randint(4, (3, 2, 4, 4, 4), generator=generator)
    maps = torch.tensor([0, *values])[coarse].repeat_interleave(3, 2).repeat_interleave(3, 3).repeat_interleave(3, 4)
    maps = maps.double()  # (3, 2, 12, 12, 12)
    maps[1, 0][maps[1, 0] == 17] = 0  # a pair whose second label does not count, though warping cannot bring it back
    moving, fixed = maps.split(1, dim=1)
    u = torch.randn(3, 3, 12, 12, 12, generator=generator, dtype=torch.float64) * 3  # beyond the border, too
    u.requires_grad_()
    a, b = warp(regions(moving, values), u).flatten(2), regions(fixed, values).flatten(2)
    dice = 2 * (a * b).sum(2) / (a.sum(2) + b.sum(2))
    expected = 1 - (dice[0].mean() + dice[1, [0, 2]].mean() + dice[2].mean()) / 3
    found = losses.soft_dice(moving, fixed, u)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(term, u)[0] for term in (found, expected)]
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().max() > 0


def test_soft_dice_of_known_maps():
    still = torch.zeros(2, 3, *SHAPE)
    a, b = torch.zeros(2, 2, 1, *SHAPE)
    a[:, :, :4], b[:, :, 2:6] = 3, 3  # half of each
    a[0, :, 6], b[0, :, 6] = 5, 5
    a[1, :, 6] = 7  # which the other has not
    assert losses.soft_dice(a, b, still).item() == pytest.approx(1 - ((0.5 + 1) / 2 + 0.5) / 2)
    gone = still.clone()
    gone[:, 0] = 100  # all is out of the image: what both had counts, and is not met
    assert losses.soft_dice(a, b, gone).item() == 1
    assert losses.soft_dice(torch.zeros_like(a), b, still).item() == 1


def test_antifold_is_zero_until_a_neighbour_is_overtaken():
    u = torch.zeros(1, 3, 4, 4, 4)
    u[:, 0, 2:] = -1.0
    assert losses.antifold(u) == 0
    u[:, 0, 2:] = -1.5  # u_1 - u_2 - 1 = 0.5 across one of three planes, in one of three components
    assert losses.antifold(u) == pytest.approx(0.5**3 / 3 / 3 / 3)


def test_folding_is_the_volume_that_is_turned_over():
    x = torch.arange(8.0).view(1, 1, 8, 1, 1)
    u = torch.zeros(1, 3, 8, 8, 8)
    u[:, :1] = torch.where(x < 4, -3 * x, -12.0)  # J = -2 below 4, -1/2 at 4 and 1 above
    assert losses.folding(u).item() == pytest.approx((4 * 2 + 0.5) / 8)
    assert losses.folding(-u / 4).item() == 0


def test_a_voxel_is_pulled_down_the_similarity():
    """The force is minus the gradient of the loss by a displacement that warps the image."""
    torch.manual_seed(0)
    image, other = (F.interpolate(torch.rand(1, 1, 5, 5, 5), (10, 11, 12), mode="trilinear") for _ in range(2))
    force = losses.similarity_force(image, other, 5)
    assert force.shape == (1, 3, 10, 11, 12)
    assert not force.requires_grad

    def loss(step):
        return losses.local_ncc(warp(image, step * force, padding="border"), other, 5).item()

    assert loss(1e-2) < loss(0) < loss(-1e-2)
    slope = (loss(1e-3) - loss(-1e-3)) / 2e-3
    assert slope == pytest.approx(-force.square().sum().item() / image.numel(), rel=0.1)

"""Loss terms: known values, gradients, symmetry."""

import pytest
import torch
import torch.nn.functional as F

from smgicnet import losses
from smgicnet.fields import compose, exp, identity_grid

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


def test_ncc_in_single_precision_on_a_large_grid():
    """Running sums lose digits as they grow: flat, empty and saturated blocks beside texture, 96 cubed."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(1, 1, 96, 96, 96, generator=generator) * 0.1 + 0.9 for _ in range(2))
    for image in (a, b):
        image[..., 30:60, :] = 1
        image[..., 60:80, :] = 0
    single, double = losses.local_ncc(a, b, 9).item(), losses.local_ncc(a.double(), b.double(), 9).item()
    assert single == pytest.approx(double, abs=2e-4)


def test_ncc_in_single_precision():
    a, b = images()
    single = losses.local_ncc(a.float(), b.float(), 9).item()
    assert single == pytest.approx(losses.local_ncc(a, b, 9).item(), abs=1e-5)


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


def test_soft_dice_of_known_regions():
    a = torch.zeros(2, 4, *SHAPE, dtype=torch.float64)
    b, present = a.clone(), torch.tensor([[True, True, False, True], [False, True, False, False]])
    a[0, 0, :4], b[0, 0, 2:6] = 1, 1  # half of each
    a[:, 1, 0], b[:, 1, 0] = 1, 1
    a[0, 2, 0] = 1  # does not count
    b[0, 3, 0] = 1  # has left the image in warping: 0
    assert losses.soft_dice(a, b, present).item() == pytest.approx(1 - ((0.5 + 1 + 0) / 3 + 1) / 2)
    assert losses.soft_dice(a, b, torch.zeros_like(present)).item() == 1
    rois = torch.rand(2, 3, *SHAPE, dtype=torch.float64).requires_grad_()
    other = torch.rand(2, 3, *SHAPE, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda one: losses.soft_dice(one, other, present[:, :3]), rois)

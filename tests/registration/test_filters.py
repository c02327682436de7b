"""Filters of fields: what they are derivatives of, and what they keep."""

import torch

from smgicnet.registration.fields import forward_differences
from smgicnet.registration.filters import binomial, laplacian


def test_the_laplacian_is_the_derivative_of_the_squared_differences():
    field = torch.rand(1, 3, 4, 5, 6, requires_grad=True)
    sum(d.square().sum() for d in forward_differences(field)).backward()
    torch.testing.assert_close(-2 * laplacian(field.detach()), field.grad)


def test_the_laplacian_twice_is_the_derivative_of_the_squared_laplacian():
    field = torch.rand(1, 3, 4, 5, 6, requires_grad=True)
    bent = laplacian(field)
    bent.square().sum().backward()
    torch.testing.assert_close(2 * laplacian(bent.detach()), field.grad)


def test_blurring_is_binomial_and_keeps_what_is_even():
    point = torch.zeros(1, 1, 5, 5, 5)
    point[..., 2, 2, 2] = 1
    found = binomial(point)[0, 0]
    torch.testing.assert_close(found.sum(), torch.tensor(1.0))
    torch.testing.assert_close(found[2, 2, 1:4], torch.tensor([0.25, 0.5, 0.25]) / 4)
    torch.testing.assert_close(binomial(torch.ones(1, 3, 4, 5, 6)), torch.ones(1, 3, 4, 5, 6))

"""The blocks that the networks share."""

import pytest
import torch

from smgicnet.registration.networks import conv


def leave_nan_in_freed_memory():
    pieces = [torch.full((2**size,), float("nan")) for size in range(3, 18) for _ in range(30)]
    del pieces


@pytest.mark.parametrize(("stride", "shape"), [(1, (2, 2, 2)), (1, (2, 2, 5)), (2, (1, 1, 1)), (2, (5, 5, 1))])
def test_gradients_in_bfloat16_are_of_what_was_computed(stride, shape):
    """On a grid of two voxels oneDNN's weight gradient is of memory that it did not write."""
    layer = conv(16, 16, stride=stride)
    x = torch.randn(1, 16, *shape, generator=torch.Generator().manual_seed(1))
    gradients = []
    for enabled in (False, True):
        layer.zero_grad()
        leave_nan_in_freed_memory()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            layer(x).float().square().sum().backward()
        gradients.append(layer.weight.grad)
    torch.testing.assert_close(*gradients, rtol=0.02, atol=0.02)

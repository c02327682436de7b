"""Instance optimisation: down the loss, by Adam's steps, on a copy."""

import pytest
import torch

from smgicnet.registration.refinement import Refinement, refine

TARGET = torch.tensor([1.0, -2.0, 0.5]).view(1, 3, 1, 1, 1)


def distance(velocity):
    return (velocity - TARGET).square().sum()


def refined(iterations, rate=0.1):
    config = Refinement(iterations=iterations, learning_rate=rate, shrink=1, windows=(5,))
    with torch.no_grad():  # as when a pair is registered
        return refine(torch.zeros(1, 3, 2, 2, 2), distance, config)


def test_it_goes_down_the_loss_to_its_lowest_point():
    assert distance(refined(200)) < 1e-4 * distance(refined(0))


def test_a_step_is_of_the_learning_rate():
    """Adam's first step has that length in each component, towards the target."""
    expected = 0.1 * TARGET.sign().expand(1, 3, 2, 2, 2)
    torch.testing.assert_close(refined(1), expected)
    assert refined(3)[0, 0, 0, 0, 0].item() == pytest.approx(0.3, abs=0.01)


def test_what_is_given_stays_and_what_comes_back_learns_no_more():
    given = torch.zeros(1, 3, 2, 2, 2)
    found = refine(given, distance, Refinement(2, 0.1, 1, (5,)))
    assert given.abs().max() == 0
    assert not found.requires_grad
    assert refine(given, distance, Refinement(0, 0.1, 1, (5,))) is given

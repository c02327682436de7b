"""Instance optimisation: down the loss, by Adam's steps, on a copy."""

from dataclasses import replace

import pytest
import torch

from smgicnet.registration.detail import DetailStage
from smgicnet.registration.refinement import Refinement, RefinementStage, refine

TARGET = torch.tensor([1.0, -2.0, 0.5]).view(1, 3, 1, 1, 1)


def distance(velocity, stage):
    return (velocity - TARGET).square().sum()


def refined(iterations, rate=0.1):
    with torch.no_grad():  # as when a pair is registered
        return refine(torch.zeros(1, 3, 2, 2, 2), distance, one_stage(iterations, rate), (2, 2, 2))


def one_stage(iterations, rate=0.1):
    return Refinement(iterations, 0.3, (RefinementStage(share=1, shrink=1, windows=(5,), learning_rate=rate),))


def test_it_goes_down_the_loss_to_its_lowest_point():
    assert distance(refined(200), None) < 1e-4 * distance(refined(0), None)


def test_a_step_is_of_the_learning_rate():
    """Adam's first step has that length in each component, towards the target."""
    expected = 0.1 * TARGET.sign().expand(1, 3, 2, 2, 2)
    torch.testing.assert_close(refined(1), expected)
    assert refined(3)[0, 0, 0, 0, 0].item() == pytest.approx(0.3, abs=0.01)


def test_what_is_given_stays_and_what_comes_back_learns_no_more():
    given = torch.zeros(1, 3, 2, 2, 2)
    found = refine(given, distance, one_stage(2), (2, 2, 2))
    assert given.abs().max() == 0
    assert not found.requires_grad
    assert refine(given, distance, one_stage(0), (2, 2, 2)) is given


def test_iterations_and_stages_of_detail_refine_each_by_themselves():
    detail = DetailStage(2.0, 4.0, 10, 0.2, 3, 0.05, 0.0)
    assert one_stage(1).refines
    assert replace(one_stage(0), detail=(detail,)).refines
    assert not one_stage(0).refines


def test_stages_share_the_iterations_and_each_has_its_grid():
    seen = []
    stages = tuple(RefinementStage(share, shrink, (3,), 0.1) for share, shrink in ((5, 4), (2, 2), (2, 1)))

    def loss(velocity, stage):
        seen.append((stage.shrink, tuple(velocity.shape[2:])))
        return velocity.square().sum()

    found = refine(torch.ones(1, 3, 4, 4, 4), loss, Refinement(9, 0.3, stages), (16, 8, 8))
    assert seen == [(4, (4, 2, 2))] * 5 + [(2, (8, 4, 4))] * 2 + [(1, (16, 8, 8))] * 2
    assert found.shape[2:] == (16, 8, 8)
    for iterations in range(30):
        assert sum(Refinement(iterations, 0.3, stages).steps) == iterations
    assert Refinement(1, 0.3, stages).steps == [1, 0, 0]

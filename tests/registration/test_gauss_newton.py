"""Steps on the global map: their derivative, and what they reach."""

import numpy as np
import torch

from smgicnet.registration.frames import Frame, Maps, Pair, ball
from smgicnet.registration.gauss_newton import _linearised, improve
from tests.support.turned import affine, farthest, head


def pair_of(matrix):
    frame = Frame((48,) * 3)
    return Pair(frame.volume(head(), 24), frame.volume(head(matrix), 24))


def still(count=1):
    maps = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
    return Maps(maps, maps)


def test_the_jacobian_is_the_derivative_of_the_residual():
    """Against small steps of every one of the twelve parameters; the images are smooth, and so are sampled well."""
    pair, points = pair_of(affine(6, shift=(1, 0, 0))), ball(24, torch.device("cpu"))
    pair = Pair(*(one.with_gradient() for one in pair))
    roots = points.new_full((1, len(points)), len(points) ** -0.5)
    _, _, jacobian = _linearised(pair, still(), points, roots)
    for parameter in range(12):
        generator = torch.zeros(1, 4, 4, dtype=torch.float64)
        generator.view(-1)[parameter] = 0.02

        def residual(sign, generator=generator):
            half = torch.matrix_exp(sign * generator / 2)
            return _linearised(pair, Maps(torch.linalg.inv(half), half), points, roots)[1]

        measured, expected = (residual(1) - residual(-1)) / 0.04, jacobian[:, :, parameter]
        cosine = torch.nn.functional.cosine_similarity(measured, expected, dim=1)
        assert cosine > 0.9, parameter
        assert 0.7 < measured.norm() / expected.norm() < 1.3, parameter


def test_steps_reach_the_map_and_keep_the_best():
    truth, frame = affine(12, scale=(1.05, 0.95, 1.0), shift=(2, 1, 0)), Frame((48,) * 3)
    pair, points = pair_of(truth), ball(24, torch.device("cpu"))
    maps, scores = improve(pair, still(), points, 6)
    assert farthest(frame.voxels(maps.through)[0], np.linalg.inv(truth)) < 0.8
    _, before = improve(pair, still(), points, 0)
    assert scores > before


def test_a_rigid_step_keeps_lengths():
    pair = pair_of(affine(10, scale=(1.1, 0.9, 1.0)))
    maps, _ = improve(pair, still(3), ball(24, torch.device("cpu")), 4, rigid=True)
    stretches = torch.linalg.svdvals(maps.through[:, :3, :3])
    torch.testing.assert_close(stretches, torch.ones_like(stretches))

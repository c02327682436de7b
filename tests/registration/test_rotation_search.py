"""Rotations that are spread evenly, and their square roots."""

import math

import torch
from scipy.spatial.transform import Rotation

from smgicnet.registration.rotation_search import angles, half_turns, rotations


def test_rotations_are_proper_and_come_with_their_inverses():
    turns = rotations(1000)
    identity = torch.eye(3, dtype=torch.float64).expand(1000, 3, 3)
    torch.testing.assert_close(turns @ turns.transpose(1, 2), identity)
    assert (torch.linalg.det(turns) > 0.999).all()
    torch.testing.assert_close(turns[500:] @ turns[:500], identity[:500])


def test_no_pose_is_farther_than_a_step_can_lead():
    """The steepest ascent that follows reaches about 30 degrees."""
    anywhere = torch.from_numpy(Rotation.random(300, random_state=0).as_matrix())
    nearest = torch.stack([angles(turn, rotations(1000)).min() for turn in anywhere])
    assert math.degrees(nearest.max()) < 30
    assert math.degrees(nearest.mean()) < 18


def test_no_two_poses_are_close():
    turns = rotations(1000)[:500]
    apart = torch.stack([angles(turn, turns) for turn in turns]) + 10 * torch.eye(500)
    assert math.degrees(apart.min()) > 20


def test_a_half_turn_is_pi_whatever_is_rounded():
    """The cosine of some is rounded to less than -1."""
    turns = torch.from_numpy(Rotation.random(200, random_state=0).as_matrix())
    half_turn = torch.diag(torch.tensor([1, -1, -1], dtype=torch.float64))
    found = torch.cat([angles(turn, (turn @ half_turn)[None]) for turn in turns])
    torch.testing.assert_close(found, torch.full_like(found, math.pi), atol=1e-6, rtol=0)
    assert all(angles(turn, turn[None]).abs() < 1e-6 for turn in turns)


def test_half_a_turn_twice_is_the_turn():
    turns = rotations(200)
    half = half_turns(turns)
    torch.testing.assert_close(half @ half, turns)
    torch.testing.assert_close(half_turns(turns.transpose(1, 2)), half.transpose(1, 2))

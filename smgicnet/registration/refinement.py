"""Instance optimisation: the velocity that a network predicts, improved on its one pair before it is used.

As Balakrishnan et al. (2019) and the published GradICON and LapIRN evaluations do it; no label is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Refinement:
    """Adam's ``iterations`` (0: none) and ``learning_rate``, in voxels a step, of a velocity on a grid whose voxels are
    ``shrink`` times as large as the image's. The similarity is the local NCC, a mean over ``windows`` in the
    image's voxels."""

    iterations: int
    learning_rate: float
    shrink: int
    windows: tuple[int, ...]


def refine(velocity: Tensor, loss: Callable[[Tensor], Tensor], config: Refinement) -> Tensor:
    """``velocity (1, 3, D, H, W)`` in voxels after the steps of ``config`` down ``loss``, a function of it."""
    if not config.iterations:
        return velocity
    with torch.enable_grad():
        velocity = velocity.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([velocity], lr=config.learning_rate)
        for _ in range(config.iterations):
            optimizer.zero_grad(set_to_none=True)
            loss(velocity).backward()
            optimizer.step()
    return velocity.detach()

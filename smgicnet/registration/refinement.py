"""Instance optimisation: the velocity that a network predicts, improved on its one pair before it is used.

Balakrishnan et al. (2019) and the published evaluations of GradICON and LapIRN do so, too. No label is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Refinement:
    """How a pair's velocity is improved.

    Attributes
    ----------
    iterations : steps of Adam, 0 for no refinement
    learning_rate : the learning rate of Adam, in voxels a step
    shrink : how many times the voxels of the velocity's grid are as large as the image's
    windows : the windows, in voxels of the image, of the local NCC, whose mean is the similarity
    """

    iterations: int
    learning_rate: float
    shrink: int
    windows: tuple[int, ...]


def refine(velocity: Tensor, loss: Callable[[Tensor], Tensor], config: Refinement) -> Tensor:
    """Return ``velocity (1, 3, D, H, W)`` in voxels after the steps that ``config`` asks for down ``loss``."""
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

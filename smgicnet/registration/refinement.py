"""Instance optimisation: the velocity that a network predicts, improved on its one pair before it is used.

Balakrishnan et al. (2019) and the published evaluations of GradICON and LapIRN do so, too. No label is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from smgicnet.registration.detail import BETAS, DetailStage
from smgicnet.registration.fields import resize


@dataclass(frozen=True)
class RefinementStage:
    """Steps with the velocity on one grid.

    Attributes
    ----------
    share : of the iterations, relative to the other stages
    shrink : how many times the voxels of the velocity's grid are as large as the image's
    windows : the windows, in voxels of the image, of the local NCC, whose mean is the similarity
    learning_rate : the learning rate of Adam, in voxels of the velocity's grid a step
    """

    share: float
    shrink: int
    windows: tuple[int, ...]
    learning_rate: float


class Loss(Protocol):
    """The loss that is lowered, by a stage's own settings."""

    def __call__(self, velocity: Tensor, stage: RefinementStage) -> Tensor: ...


@dataclass(frozen=True)
class Refinement:
    """The way in which a pair's velocity is improved.

    Attributes
    ----------
    iterations : steps of Adam in all stages together, 0 for no refinement
    smoothness : the weight of `losses.diffusion` of the velocity, beside a similarity of weight 1
    stages : one after the other, the coarsest first
    detail : further stages, on images finer than the network's grid
    """

    iterations: int
    smoothness: float
    stages: tuple[RefinementStage, ...]
    detail: tuple[DetailStage, ...] = ()

    @property
    def refines(self) -> bool:
        """True where there is anything to do."""
        return bool(self.iterations or self.detail)

    @property
    def steps(self) -> list[int]:
        """The number of iterations of each stage."""
        shares = [stage.share for stage in self.stages]
        ends = [round(self.iterations * sum(shares[:count]) / sum(shares)) for count in range(len(shares) + 1)]
        return [end - start for start, end in pairwise(ends)]


def refine(velocity: Tensor, loss: Loss, config: Refinement, shape: Sequence[int]) -> Tensor:
    """Return ``velocity (1, 3, D, H, W)``, in voxels of its own grid, after the steps that ``config`` asks for.

    They go down ``loss``. ``shape`` is the images'; the result is on the grid of the last stage that has any steps.
    """
    for stage, steps in zip(config.stages, config.steps, strict=True):
        if steps:
            start = resize(velocity, [n // stage.shrink for n in shape])
            velocity = _descend(start, partial(loss, stage=stage), stage.learning_rate, steps)
    return velocity


def _descend(start: Tensor, loss: Callable[[Tensor], Tensor], rate: float, steps: int) -> Tensor:
    """Return what ``steps`` of Adam (Kingma and Ba 2015) make of a tensor, which itself stays.

    They are those of ``torch.optim.Adam``, which imports a compiler for 1.6 s when it is made.
    """
    found = start.detach().clone()
    mean, square = torch.zeros_like(found), torch.zeros_like(found)
    for step in range(1, steps + 1):
        with torch.enable_grad():
            at = found.requires_grad_()
            [gradient] = torch.autograd.grad(loss(at), at)
        found = at.detach()
        mean.lerp_(gradient, 1 - BETAS[0])
        square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        size = (square.sqrt() / (1 - BETAS[1] ** step) ** 0.5).add_(1e-8)
        found.addcdiv_(mean, size, value=-rate / (1 - BETAS[0] ** step))
    return found

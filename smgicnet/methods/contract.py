"""What a registration method is to the rest of the project."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Registration:
    """The result for one pair.

    ``forward (1, 3, D, H, W)`` in voxels pulls the moving image onto the fixed grid: ``moving(x + forward(x))``;
    ``inverse`` pulls the fixed image onto the moving grid; None where a method has no inverse of its own and a user
    registers the other way round. ``seconds`` is the time of the registration alone.
    """

    forward: Tensor
    inverse: Tensor | None
    seconds: float


@dataclass(frozen=True)
class NativeGrid:
    """The grid that a network expects: ``shape`` in voxels, ``spacing`` in mm (None: the field of view of the images is
    stretched to the shape, along each axis by itself), ``orientation`` as nibabel names where the array axes point.
    """

    shape: tuple[int, int, int]
    spacing: float | None
    orientation: str


class Method(ABC):
    """A registration method. Nothing is kept between two pairs: A, then B, then A gives A's field twice."""

    device = torch.device("cpu")

    @classmethod
    @abstractmethod
    def from_config(cls, config: Mapping, stage: int) -> Method:
        """Build from a completed block of the config, as far as training stage ``stage`` (0: untrained method)."""

    @abstractmethod
    def fields(self, fixed: Tensor, moving: Tensor) -> tuple[Tensor, Tensor | None]:
        """Forward and, where there is one, inverse displacement of a pair of images ``(1, 1, D, H, W)`` in [0, 1]."""

    def warm_up(self, fixed: Tensor, moving: Tensor) -> None:  # noqa: B027 (nothing to do is a fair answer)
        """What the first registration of a process would cost besides: it is not to be timed."""

    @torch.no_grad()
    def register(self, fixed: Tensor, moving: Tensor) -> Registration:
        """Register ``moving`` to ``fixed``, both ``(1, 1, D, H, W)``, and time it (device-synchronised)."""
        self._synchronize()
        start = time.perf_counter()
        forward, inverse = self.fields(fixed, moving)
        self._synchronize()
        return Registration(forward, inverse, time.perf_counter() - start)

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class LearnedMethod(Method):
    """A method with a network that is trained in stages by `smgicnet.training.loop`."""

    network: nn.Module
    weights: Mapping[str, float]  # of the terms of the objective; a term of weight 0 is not computed
    # whether the objective does the same whatever the images hold, and neither asks a GPU for a value nor brings it
    # one: then a step can be a CUDA graph
    same_steps = False

    @abstractmethod
    def objective(self, image_a: Tensor, image_b: Tensor) -> dict[str, Tensor]:
        """Unweighted terms for a batch of image pairs, each ``(N, 1, D, H, W)``; keys: the weighted terms.

        Where `uses_labels`, a third argument: the label maps of the first and of the second images, alike.
        """

    @property
    def uses_labels(self) -> bool:
        """Whether the objective has a term of label maps: in training alone, registration never sees any."""
        return "labels" in self.weights

    def stage_parameters(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """The parameters of the newest level, and those of the levels below it.

        Here for a network with a list of ``levels``, one a stage; a network that is trained in one stage has none.
        """
        *earlier, newest = getattr(self.network, "levels", [self.network])
        return list(newest.parameters()), [p for level in earlier for p in level.parameters()]

    def warm_up(self, fixed: Tensor, moving: Tensor) -> None:
        self.register(fixed, moving)  # kernels and caches

    def to(self, device: torch.device | str) -> LearnedMethod:
        """Move the network to ``device``."""
        self.device = torch.device(device)
        self.network.to(self.device)
        return self


class PublishedMethod(Method):
    """A method that runs with the weights its authors publish, in their own format; nothing is trained here.

    Its `fields` work on images of ``grid``, which `smgicnet.methods.native_grid` brings there from the common grid.
    """

    network: nn.Module
    grid: NativeGrid

    @abstractmethod
    def load(self, path: Path) -> None:
        """Read the authors' file, strictly. Raises `InputError` for a missing, damaged or other network's file."""

    def warm_up(self, fixed: Tensor, moving: Tensor) -> None:
        self.register(fixed, moving)

    def to(self, device: torch.device | str) -> PublishedMethod:
        """Move the network to ``device``."""
        self.device = torch.device(device)
        self.network.to(self.device)
        return self

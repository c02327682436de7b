"""The contract that every registration method keeps."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from smgicnet.registration.detail import Report, Source
    from smgicnet.registration.pose import Pose
    from smgicnet.registration.posed_flow import PosedFlow

T = TypeVar("T")
Labels = tuple[np.ndarray, np.ndarray] | None  # of the fixed and the moving image, (D, H, W)


class RegistrationFailed(Exception):
    """A pair of which a method leaves no result that can be used; the message says why, as a sentence."""


class Displacements(NamedTuple):
    """The displacements that a method finds for a pair.

    Attributes
    ----------
    forward, inverse : as in `Registration`
    pose : the global map that is a part of both, of a method that finds it apart from the rest; by default None
    flow : the map between voxels of the images, of a method that finds it by way of the frame of the mean training
        image; by default None
    """

    forward: Tensor
    inverse: Tensor | None
    pose: Pose | None = None
    flow: PosedFlow | None = None


@dataclass(frozen=True)
class Registration:
    """The result for one pair.

    Attributes
    ----------
    forward : ``(1, 3, D, H, W)`` in voxels, pulls the moving image onto the fixed grid: ``moving(x + forward(x))``
    inverse : the same from the fixed image onto the moving grid, None where a method has no inverse of its own and a
        user registers the other way round
    seconds : the time of the registration alone
    pose, flow : as in `Displacements`
    labels : the moving label map on the fixed grid, ``(D, H, W)`` uint8, of a program that gives nothing else;
        ``forward`` is then NaN everywhere
    memory_mib : the peak memory of the process that registered, where it was one of its own
    """

    forward: Tensor
    inverse: Tensor | None
    seconds: float
    pose: Pose | None = None
    flow: PosedFlow | None = None
    labels: np.ndarray | None = None
    memory_mib: float | None = None


@dataclass(frozen=True)
class NativeGrid:
    """The grid that a network expects.

    Attributes
    ----------
    shape : in voxels
    spacing : in mm; None where the images' field of view is stretched to the shape, along each axis by itself
    orientation : where the array axes point, as nibabel names it (``"LPS"``)
    """

    shape: tuple[int, int, int]
    spacing: float | None
    orientation: str


class Method(ABC):
    """A registration method, which keeps nothing between two pairs: A, then B, then A gives A's field twice."""

    device = torch.device("cpu")
    needs_labels = False  # whether a registration sees label maps, as only that of a program from outside may
    can_fail = False  # whether it may leave a pair without a result

    @classmethod
    @abstractmethod
    def from_block(cls, block: Mapping[str, Any], stage: int) -> Method:
        """Build the method of a completed config block up to training stage ``stage``, 0 for one without training."""

    @abstractmethod
    def fields(self, fixed: Tensor, moving: Tensor) -> Displacements:
        """Return the forward and, where there is one, the inverse displacement, ``(1, 3, D, H, W)`` in voxels.

        The images are ``(1, 1, D, H, W)`` in [0, 1].
        """

    def warm_up(self, fixed: Tensor, moving: Tensor) -> None:  # noqa: B027 (nothing to do is a fair answer)
        """Do what only the first registration of a process costs, so that it is not timed."""

    def failure(self, found: Registration, fixed: Tensor, moving: Tensor, spacing: float) -> float | None:
        """Return how probably a registration of images ``(1, 1, D, H, W)`` on voxels of ``spacing`` mm failed.

        None where the method leaves nothing behind by which that could be told.
        """
        return None

    def facts(self) -> dict[str, str]:
        """Return what else than the block, the weights and the code identifies a method: the version of a program."""
        return {}

    def on_spacing(self, spacing: float) -> None:  # noqa: B027
        """Be ready for images of this ``spacing`` in mm; what knows voxels alone takes them as they are."""

    @torch.no_grad()
    def register(self, fixed: Tensor, moving: Tensor, labels: Labels = None) -> Registration:
        """Register ``moving`` to ``fixed``, both ``(1, 1, D, H, W)``, and time it (device-synchronised).

        ``labels`` are for a method that `needs_labels`. Raises `RegistrationFailed` of one that `can_fail`.
        """
        found, seconds = self.timed(partial(self.fields, fixed, moving))
        return Registration(found.forward, found.inverse, seconds, found.pose, found.flow)

    def timed(self, work: Callable[[], T]) -> tuple[T, float]:
        """Return what a piece of work returns and its seconds, device-synchronised."""
        self._synchronize()
        start = time.perf_counter()
        found = work()
        self._synchronize()
        return found, time.perf_counter() - start

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class NetworkMethod(Method):
    """A method that registers by a network, which can be on another device."""

    network: nn.Module

    def warm_up(self, fixed: Tensor, moving: Tensor) -> None:
        self.register(fixed, moving)  # loads kernels and fills caches

    def to(self, device: torch.device | str) -> Self:
        """Move the network to ``device``."""
        self.device = torch.device(device)
        self.network.to(self.device)
        return self


class LearnedMethod(NetworkMethod):
    """A method whose network is trained in stages by `smgicnet.training.loop`."""

    spacing = math.nan  # in mm, of the grid on which it was trained; `smgicnet.methods.weights` knows
    weights: Mapping[str, float]  # each term of the objective has one; a term of weight 0 is not computed
    # A step can be a CUDA graph where the objective does the same whatever the images hold, and neither reads a value
    # from the GPU nor copies one to it.
    same_steps = False

    @abstractmethod
    def objective(
        self, image_a: Tensor, image_b: Tensor, labels: tuple[Tensor, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return the unweighted terms, by the names of `weights`, for a batch of pairs, each ``(N, 1, D, H, W)``.

        ``labels`` are the label maps of the first and of the second images, for a method that `uses_labels`.
        """

    def places(self, image: Callable[[int], Tensor], count: int) -> Tensor | None:
        """Return where each training image lies in the frame in which the network sees every pair.

        Parameters
        ----------
        image : the image of a number below ``count``, ``(1, 1, D, H, W)`` on the method's device

        Returns maps ``(N, 4, 4)`` from voxels of a grid of that frame to the images' own, or None for a network that
        sees images as they lie. A method may keep what it learns of the images in its network.
        """
        return None

    @property
    def uses_labels(self) -> bool:
        """Whether the objective has a term of label maps, which training alone sees and registration never does."""
        return "labels" in self.weights

    def stage_parameters(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Return the parameters of the newest level, and those of the levels below it.

        The network has a list of ``levels``, one a stage; one that is trained in one stage has no such list.
        """
        *earlier, newest = getattr(self.network, "levels", [self.network])
        return list(newest.parameters()), [p for level in earlier for p in level.parameters()]


class FlowMethod(LearnedMethod):
    """A method whose map is a global one and a velocity, so that it can be made on any grid, in both directions."""

    @abstractmethod
    def flow(
        self, fixed: Tensor, moving: Tensor, sources: Sequence[Source], report: Report
    ) -> tuple[PosedFlow, Pose | None]:
        """Return the map between voxels of two images ``(1, 1, D, H, W)`` on the network's grid, and the pose.

        ``sources`` are both in all their detail, and ``report`` is called before each step of a refinement on them.
        """


class PublishedMethod(NetworkMethod):
    """A method that runs with the weights its authors publish, in their own format; nothing is trained here.

    Its `fields` work on images on ``grid``, to which `smgicnet.methods.native_grid` brings them from the common grid.
    """

    grid: NativeGrid

    @abstractmethod
    def load(self, path: Path) -> None:
        """Read the authors' file, strictly. Raises `InputError` for a missing, damaged or other network's file."""

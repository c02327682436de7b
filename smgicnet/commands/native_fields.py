"""A pair of scans registered by a method, with displacements on the scans' own grids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from smgicnet.commands.choices import DEFORMABLE, RIGID
from smgicnet.imaging.displacements import to_world
from smgicnet.imaging.field_formats import Geometry
from smgicnet.imaging.foreground import background_level
from smgicnet.imaging.images import Volume
from smgicnet.methods.contract import FlowMethod, LearnedMethod
from smgicnet.methods.device import image_tensor
from smgicnet.methods.sources import source_of
from smgicnet.preparation.preprocessing import Prepared
from smgicnet.registration.detail import Report, Source, left_out_of
from smgicnet.registration.fields import jacobian_determinant, sample
from smgicnet.registration.pose import ROTATIONS, Pose, find_pose
from smgicnet.registration.posed_flow import PosedFlow, places_of, slabs, straight

# From indices (z, y, x), in whose order voxels lie in a file, to (x, y, z)
REVERSED = np.eye(4)[[2, 1, 0, 3]]
PLANES = 32  # whose determinants are computed at a time


class Pair(NamedTuple):
    """Two scans on the network's grid."""

    fixed: Prepared
    moving: Prepared


@dataclass(frozen=True)
class NativeResult:
    """The result for a pair of scans.

    Attributes
    ----------
    displacements : on the fixed and on the moving scan's own grid, ``(X, Y, Z, 3)`` in RAS mm
    seconds : of the registration alone
    pose : the global map between the network's grids, None of a method without one
    flow : the map between the scans' worlds, RAS mm, of a `FlowMethod`
    """

    displacements: tuple[np.ndarray, np.ndarray]
    seconds: float
    pose: Pose | None
    flow: PosedFlow | None


def register_pair(
    method: LearnedMethod,
    pair: Pair,
    targets: Sequence[Geometry],
    left_out: Sequence[np.ndarray | None] = (None, None),
    transform: str = DEFORMABLE,
) -> NativeResult:
    """Register two scans; displacements lie on ``targets``, the grids of both.

    Parameters
    ----------
    left_out : of either scan what does not count, on the voxels of `Prepared.native`; None for nothing. A method that
        has no velocity sees it as it is filled in.
    transform : one of `choices.TRANSFORMS`, where the registration ends
    """
    images = [image_tensor(one.image, method.device) for one in pair]
    find: Callable[..., tuple[PosedFlow, Pose | None]]
    if transform != DEFORMABLE:
        find = partial(linear_flow, rotations=_rotations(method), rigid=transform == RIGID)
    elif isinstance(method, FlowMethod):
        find = method.flow
    else:
        return _by_fields(method, images, pair, targets)
    sources = [source_of(one, method.device, hole) for one, hole in zip(pair, left_out, strict=True)]
    return _by_flow(method, partial(find, *images, sources), pair, targets)


def _by_fields(
    method: LearnedMethod, images: Sequence[torch.Tensor], pair: Pair, targets: Sequence[Geometry]
) -> NativeResult:
    """Return what a method finds on the network's grid, which has no velocity, on the scans' own grids."""
    result = method.register(*images)
    if result.inverse is None:  # a method without an inverse of its own is run the other way round
        result = replace(result, inverse=method.register(*images[::-1]).forward)
    there, back = (one[0].cpu().numpy() for one in (result.forward, result.inverse) if one is not None)
    grids = [Volume(np.empty(one.shape), one.affine) for one in targets]
    affines = pair.fixed.affine, pair.moving.affine
    fields = to_world(there, *affines, grids[0]), to_world(back, *affines[::-1], grids[1])
    return NativeResult(fields, result.seconds, result.pose, None)


def linear_flow(
    fixed: torch.Tensor, moving: torch.Tensor, sources: Sequence[Source], _: Report, *, rotations: int, rigid: bool
) -> tuple[PosedFlow, Pose]:
    """Return the pose alone, as `FlowMethod.flow` returns the whole map."""
    left_out = left_out_of(sources, fixed.shape[2:])
    pose = find_pose(fixed, moving, rotations, rigid=rigid, left_out=left_out)
    return straight(pose.to_fixed, pose.to_moving), pose


def _rotations(method: LearnedMethod) -> int:
    """Return how many rotations a method searches, of one without a pose as many as by default."""
    config = getattr(method, "pose", None)
    return (config.rotations if config else 0) or ROTATIONS


def _by_flow(
    method: LearnedMethod,
    find: Callable[[Report], tuple[PosedFlow, Pose | None]],
    pair: Pair,
    targets: Sequence[Geometry],
) -> NativeResult:
    """Return the map that ``find`` returns between voxels of the network's grid, on the scans' own grids."""
    with Progress() as progress, torch.no_grad():
        (flow, pose), seconds = method.timed(partial(find, progress))
        flow = flow.within(*(torch.from_numpy(one.affine) for one in pair))
        there, back = (as_in_files(*ends) for ends in zip((flow, flow.inverse), targets, strict=True))
    return NativeResult((there, back), seconds, pose, flow)


def as_in_files(flow: PosedFlow, grid: Geometry) -> np.ndarray:
    """Return the displacement ``(X, Y, Z, 3)`` of a grid's voxels, in memory by planes of z, as in a file."""
    found: np.ndarray = flow.displacement(torch.from_numpy(grid.affine @ REVERSED), grid.shape[::-1]).cpu().numpy()
    return found.T


class Progress:
    """A bar of the refinement's progress, on a terminal."""

    def __enter__(self) -> Progress:
        layout = "{desc} {percentage:3.0f} %|{bar}| {elapsed}, {remaining} left"
        self._bar = tqdm(total=1.0, bar_format=layout, disable=None, leave=False)
        return self

    def __call__(self, done: float, where: str) -> None:
        self._bar.set_description_str(where, refresh=False)
        self._bar.update(done - self._bar.n)

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def volume_change(displacement: Volume) -> np.ndarray:
    """Return the Jacobian determinant ``(X, Y, Z)``, float32, of a displacement ``(X, Y, Z, 3)`` in mm of its own grid.

    It is the volume in the moving image of what is one in the fixed image, negative where the map folds.
    """
    to_voxels = torch.from_numpy(np.linalg.inv(displacement.affine)[2::-1, :3].astype(np.float32))
    moves = torch.from_numpy(displacement.data.T)  # the components (x, y, z) at the voxels (z, y, x)
    found = np.empty(moves.shape[1:], np.float32)
    for first in range(0, len(found), PLANES):
        begin, end = max(first - 1, 0), min(first + PLANES + 1, len(found))
        moved = torch.einsum("ij,jzyx->izyx", to_voxels, moves[:, begin:end])
        found[first : first + PLANES] = jacobian_determinant(moved[None])[0, first - begin :][:PLANES].numpy()
    return found.T


def pulled(volume: Volume, displacement: Volume) -> np.ndarray:
    """Return a volume, float32, at what a displacement ``(X, Y, Z, 3)`` in RAS mm leads to from its own grid.

    It is what `smgicnet.imaging.displacements.sample` returns, by linear interpolation with the volume's background
    around it, in less time and memory.
    """
    to_volume = torch.from_numpy(REVERSED @ np.linalg.inv(volume.affine))  # whose voxels are (z, y, x) as well
    into, dark = to_volume @ torch.from_numpy(displacement.affine @ REVERSED), background_level(volume.data)
    image = image_tensor(volume.data.T, torch.device("cpu"))
    low, high, size = image.min(), image.max(), torch.tensor(image.shape[2:]).view(1, 3, 1)
    moves = torch.from_numpy(displacement.data.T)
    shape = moves.shape[1:]
    found = np.empty(shape, np.float32)
    for rows in slabs(shape):
        places = places_of(into, rows, shape)
        places += torch.einsum("ij,njp->nip", to_volume[:3, :3].to(moves), moves[:, rows].reshape(1, 3, -1))
        values = sample(image, places, padding="border").clamp_(low, high)  # whatever was rounded
        values[((places < -0.5) | (places >= size - 0.5)).any(1, keepdim=True)] = dark
        found[rows] = values.view(found[rows].shape).numpy()
    return found.T

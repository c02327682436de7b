"""What goes wrong with scans and with their registration, made on purpose: changes of an image of a brain and of a map.

Each change takes a severity from 0 to 1 and a random generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.spatial.transform import Rotation

from smgicnet.imaging.displacements import grid_points
from smgicnet.imaging.images import Volume
from smgicnet.registration.fields import resize
from smgicnet.registration.pose import Pose
from smgicnet.registration.posed_flow import PosedFlow

Draw = np.random.Generator


def cut(image: Volume, severity: float, draw: Draw) -> Volume:
    """One end of the field of view is missing: up to two thirds of the brain's extent."""
    axis, end = draw.integers(3), draw.integers(2)
    filled = np.flatnonzero((image.data > 0).any(axis=tuple({0, 1, 2} - {axis})))
    lost = int(severity * 0.67 * len(filled))
    kept = slice(filled[0] + lost, None) if end else slice(None, filled[-1] + 1 - lost)
    affine = image.affine.copy()
    affine[:3, 3] = apply_affine(affine, np.eye(3)[axis] * (kept.start or 0))
    return Volume(np.ascontiguousarray(image.data[(slice(None),) * axis + (kept,)]), affine)


def lesion(image: Volume, severity: float, draw: Draw) -> Volume:
    """Dark spheres of up to 45 mm, one to three of them."""
    data, brain = image.data.copy(), np.argwhere(image.data > 0)
    points, dark = grid_points(image.data.shape, image.affine), np.percentile(image.data[image.data > 0], 3)
    for _ in range(draw.integers(1, 4)):
        centre = apply_affine(image.affine, brain[draw.integers(len(brain))])
        near = np.linalg.norm(points - centre, axis=-1) < 8 + 37 * severity
        data[near & (data > 0)] = dark
    return Volume(data, image.affine)


def noise(image: Volume, severity: float, draw: Draw) -> Volume:
    """Noise of up to the strength of white matter."""
    brain = image.data > 0
    strength = severity * np.percentile(image.data[brain], 90)
    return Volume(np.where(brain, np.abs(image.data + draw.normal(0, strength, brain.shape)), 0), image.affine)


def bias(image: Volume, severity: float, draw: Draw) -> Volume:
    """A gain that differs over the brain by a factor of up to 12."""
    fine = ndimage.zoom(draw.normal(size=(3, 3, 3)), np.array(image.data.shape) / 3, order=3)
    fine = (fine - fine.mean()) / fine.std()
    return Volume(image.data * np.exp(severity * 0.6 * fine), image.affine)


def thick(image: Volume, severity: float, draw: Draw) -> Volume:
    """Slices of up to 14 mm."""
    axis = int(draw.integers(3))
    count = max(2, round((2 + 12 * severity) / image.spacing[axis]))
    whole = image.data.shape[axis] // count * count
    data = np.moveaxis(image.data, axis, 0)[:whole]
    slices = data.reshape(-1, count, *data.shape[1:]).mean(1)
    affine = image.affine.copy()
    affine[:3, 3] = apply_affine(affine, np.eye(3)[axis] * (count - 1) / 2)
    affine[:3, axis] *= count
    return Volume(np.ascontiguousarray(np.moveaxis(slices, 0, axis)), affine)


def strip(image: Volume, severity: float, draw: Draw) -> Volume:
    """A skull strip that lost up to 24 mm of the brain's edge on one side, or kept as much of bright scalp."""
    brain = image.data > 0
    axis, end, reach = draw.integers(3), draw.integers(2), severity * 24
    halves = np.take(np.indices(brain.shape)[axis], range(brain.shape[axis]), axis=axis)
    here = (halves > np.median(np.argwhere(brain)[:, axis])) == bool(end)
    if draw.integers(2):
        depth = ndimage.distance_transform_edt(brain, image.spacing)
        return Volume(np.where(here & (depth <= reach), 0, image.data), image.affine)
    away = ndimage.distance_transform_edt(~brain, image.spacing)
    scalp = np.percentile(image.data[brain], 70) * (1 + 0.3 * draw.normal(size=brain.shape))
    return Volume(np.where(here & ~brain & (away <= reach), np.abs(scalp), image.data), image.affine)


def organ(image: Volume, severity: float, draw: Draw) -> Volume:
    """Something else: lobes of flesh, a brain in pieces, or a part of one blown up to its size."""
    kind = draw.integers(3)
    if kind == 0:
        return _lobes(image, draw)
    if kind == 1:
        return _pieces(image, draw)
    centre = np.argwhere(image.data > 0).mean(0) + draw.uniform(-12, 12, 3)
    zoom = draw.uniform(0.3, 0.5)
    return Volume(ndimage.affine_transform(image.data, np.eye(3) * zoom, centre * (1 - zoom), order=1), image.affine)


def _lobes(image: Volume, draw: Draw) -> Volume:
    points = grid_points(image.data.shape, image.affine)
    points = points - points.reshape(-1, 3).mean(0)
    shape = np.zeros(image.data.shape, bool)
    for _ in range(draw.integers(1, 5)):
        turn = Rotation.random(random_state=int(draw.integers(1 << 31))).as_matrix()
        ball = (points - draw.uniform(-20, 20, 3)) @ turn / draw.uniform(20, 65, 3)
        shape |= (ball**2).sum(-1) < 1
    texture = ndimage.gaussian_filter(draw.normal(size=shape.shape), draw.uniform(0.5, 4))
    flesh = 600 * (1 + draw.uniform(0.05, 0.5) * texture / texture.std())
    return Volume(np.where(shape, np.abs(flesh), 0).astype(np.float32), image.affine)


def _pieces(image: Volume, draw: Draw) -> Volume:
    half = np.array(image.data.shape) // 2
    corners = [
        tuple(slice(a, a + n) for a, n in zip(where, half)) for where in np.ndindex(2, 2, 2) for where in [where * half]
    ]
    data, order = np.zeros_like(image.data), draw.permutation(8)
    for here, other in zip(corners, order):
        flips = tuple(slice(None, None, -1) if draw.integers(2) else slice(None) for _ in range(3))
        data[here] = image.data[corners[other]][flips]
    return Volume(data, image.affine)


def mirrored(image: Volume, severity: float, draw: Draw) -> Volume:
    """The header exchanges left and right."""
    affine = np.diag([-1.0, 1, 1, 1]) @ image.affine
    return Volume(image.data, affine)


IMAGES: dict[str, Callable[[Volume, float, Draw], Volume]] = {
    "cut": cut,
    "lesion": lesion,
    "noise": noise,
    "bias": bias,
    "thick slices": thick,
    "bad strip": strip,
    "wrong organ": organ,
    "mirrored": mirrored,
}


def turned(severity: float, draw: Draw) -> np.ndarray:
    """The world map of a head that lies otherwise: turned by up to 180 degrees, ``(4, 4)``."""
    axis = draw.normal(size=3)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.pi * severity * axis / np.linalg.norm(axis)).as_matrix()
    matrix[:3, 3] = draw.uniform(-30, 30, 3)
    return matrix


def wrong_pose(pose: Pose, shape: tuple[int, ...], severity: float, draw: Draw) -> Pose:
    """A pose that the search did not find right: turned by 10 to 180 degrees, moved, and of another size."""
    axis, centre = draw.normal(size=3), (np.array(shape) - 1) / 2
    turn = Rotation.from_rotvec(np.radians(10 + 170 * severity**2) * axis / np.linalg.norm(axis)).as_matrix()
    matrix = np.eye(4)
    matrix[:3, :3] = turn * np.exp(draw.uniform(-0.15, 0.15))
    matrix[:3, 3] = centre - matrix[:3, :3] @ centre + draw.uniform(-1, 1, 3) * 6 * severity
    to_moving = pose.to_moving.numpy()
    moved = to_moving @ np.linalg.inv(pose.to_fixed.numpy()) @ matrix @ pose.to_fixed.numpy()
    return replace(pose, to_moving=torch.from_numpy(moved))


def wrong_velocity(flow: PosedFlow, severity: float, draw: Draw, spacing: float) -> PosedFlow:
    """A map that a refinement spoilt or did not reach: a part of its velocity, and a smooth one of up to 20 mm."""
    shape = flow.velocity.shape[2:]
    coarse = torch.from_numpy(draw.normal(size=(1, 3, 6, 7, 6))).float()
    smooth = resize(coarse, shape)
    smooth = smooth / smooth.square().sum(1).mean().sqrt() * (2 + 18 * severity) / spacing
    return replace(flow, velocity=flow.velocity * float(draw.uniform(-0.3, 1)) + smooth)

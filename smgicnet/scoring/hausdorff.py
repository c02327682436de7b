"""The 95th percentile Hausdorff distance of every region of two label maps, exactly and fast.

Regions that fit have their surfaces a voxel or two apart, so neighbours are looked at in the order of their distance
until 95 % of a region's surface has found the other. A region that is farther away goes to a k-d tree.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from smgicnet.imaging.foreground import bounding_box

RADIUS = 5  # of the ball of neighbours that are looked at, in voxels of the finest axis
LABELS = 256


def surface(labels: np.ndarray) -> np.ndarray:
    """Return, as bool, the labelled voxels of ``labels (D, H, W)`` with a 6-neighbour of another label or outside."""
    padded = np.pad(labels, 1)
    inner = (slice(1, -1),) * 3
    edge = np.zeros(labels.shape, dtype=bool)
    for axis in range(3):
        for neighbour in (slice(0, -2), slice(2, None)):
            edge |= padded[(*inner[:axis], neighbour, *inner[axis + 1 :])] != labels
    return edge & (labels > 0)


def hausdorff95_mm(a: np.ndarray, b: np.ndarray, among: Sequence[int], spacing: np.ndarray) -> np.ndarray:
    """Return the 95th percentile Hausdorff distance of each label in ``among``, in mm, as MONAI defines it.

    That is the larger of the two directed 95th percentiles (linear interpolation) of surface-to-surface distances;
    other tools pool both directions, which gives smaller values. ``a``, ``b (D, H, W)`` uint8, ``spacing (3,)`` mm.
    Returns ``(len(among),)``, NaN where a map lacks the label.
    """
    counts = np.array([np.bincount(labels.ravel(), minlength=LABELS) for labels in (a, b)])
    both = np.zeros(LABELS, dtype=bool)
    both[list(among)] = True
    both &= (counts > 0).all(axis=0)
    both[0] = False
    if not both.any():
        return np.full(len(among), np.nan)
    box = tuple(slice(first, last + 1) for first, last in bounding_box(a | b))
    surfaces = [np.pad(_surface_labels(labels[box], both), RADIUS) for labels in (a, b)]
    shells = _shells(np.asarray(spacing, dtype=float))
    directed = [_percentile95(x, y, spacing, shells) for x, y in (surfaces, surfaces[::-1])]
    return np.where(both, np.maximum(*directed), np.nan)[list(among)]


def _surface_labels(labels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """``labels`` on the surfaces of the wanted ones, 0 elsewhere."""
    return np.where(surface(labels) & wanted[labels], labels, 0)


def _shells(spacing: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Distance in mm and offsets ``(n, 3)`` in voxels of all neighbours within the ball, nearest first."""
    limit = RADIUS * spacing.min()
    reach = [np.arange(-n, n + 1) for n in (limit / spacing).astype(int)]
    offsets = np.stack(np.meshgrid(*reach, indexing="ij"), axis=-1).reshape(-1, 3)
    distances = np.linalg.norm(offsets * spacing, axis=1)
    order = np.argsort(distances, kind="stable")
    order = order[distances[order] <= limit]
    ends = np.flatnonzero(np.diff(distances[order]) > 1e-9 * limit) + 1
    return [(float(distances[one[0]]), offsets[one]) for one in np.split(order, ends)]


def _percentile95(
    points: np.ndarray, others: np.ndarray, spacing: np.ndarray, shells: Sequence[tuple[float, np.ndarray]]
) -> np.ndarray:
    """For each label the 95th percentile of the distances from its voxels in ``points`` to those in ``others``.

    Both are ``(D, H, W)`` uint8, labels on surfaces, with `RADIUS` voxels of 0 around; the result is ``(LABELS,)``.
    """
    flat, strides = others.ravel(), np.array([points.shape[1] * points.shape[2], points.shape[2], 1])
    voxels = np.flatnonzero(points)
    labels = points.ravel()[voxels]
    ranks = 0.95 * np.maximum(np.bincount(labels, minlength=LABELS) - 1, 0)
    wanted = np.array([np.floor(ranks), np.ceil(ranks)]).astype(int)  # of the sorted distances, from 0
    values = np.full(wanted.shape, np.nan)
    found = np.zeros(LABELS, dtype=int)  # how many of a label's voxels have their distance: its smallest ones
    for distance, offsets in shells:
        hit = np.zeros(voxels.size, dtype=bool)
        for step in offsets @ strides:
            hit |= flat.take(voxels + step) == labels
        before, found = found, found + np.bincount(labels[hit], minlength=LABELS)
        values[(before <= wanted) & (wanted < found)] = distance
        left = ~hit & (found <= wanted[1])[labels]
        voxels, labels = voxels[left], labels[left]
        if not voxels.size:
            break
    for label in np.unique(labels):
        tree = cKDTree(_positions(np.flatnonzero(flat == label), points.shape, spacing))
        farther, _ = tree.query(_positions(voxels[labels == label], points.shape, spacing))
        farther.sort()
        open_ones = np.isnan(values[:, label])
        values[open_ones, label] = farther[wanted[open_ones, label] - found[label]]
    return values[0] + (ranks - wanted[0]) * (values[1] - values[0])


def _positions(voxels: np.ndarray, shape: tuple[int, ...], spacing: np.ndarray) -> np.ndarray:
    """Flat indices as ``(n, 3)`` in mm."""
    return np.column_stack(np.unravel_index(voxels, shape)) * spacing

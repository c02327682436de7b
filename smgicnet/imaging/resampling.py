"""The values of an image between its voxels, by the interpolations of antsApplyTransforms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
from scipy import ndimage

POINTS = 1 << 20  # that are interpolated at a time
RADIUS = 3  # of Lanczos' window, in voxels, as in ANTs

Values = Callable[[np.ndarray, np.ndarray], np.ndarray]  # of what was prepared of an image, at indices (3, N)


def interpolated(
    data: np.ndarray, places: np.ndarray, kind: str, fill: float = 0, to_voxels: np.ndarray | None = None
) -> np.ndarray:
    """Return an image ``(X, Y, Z)`` at ``places`` ``(3, N)``.

    Parameters
    ----------
    kind : ``linear``; ``cubic``, by B-splines; ``lanczos``, a windowed sinc over six voxels along each axis; and for
        label maps ``nearest``, or ``label``, the label with the largest share of the voxels around, whose borders are
        smoother
    fill : the value beyond the image; a voxel reaches half a voxel out from its centre, at the border as well
    to_voxels : the affine map ``(4, 4)`` from places to voxel indices; None for places that are indices

    Returns ``(N,)``, of ``data``'s type for label maps and float32 for images.
    """
    of_labels = kind in OF_LABELS
    found = np.empty(places.shape[1], data.dtype if of_labels else np.float32)
    prepared = _PREPARED[kind](data) if kind in _PREPARED else data
    size = np.array(data.shape)[:, None]
    for first in range(0, places.shape[1], POINTS):
        part = places[:, first : first + POINTS]
        if to_voxels is not None:
            part = to_voxels[:3, :3] @ part + to_voxels[:3, 3:]
        values = _KINDS[kind](prepared, part)
        values[((part < -0.5) | (part >= size - 0.5)).any(axis=0)] = fill
        found[first : first + POINTS] = values
    return found


def _spline(order: int, mode: str) -> Values:
    def values(coefficients: np.ndarray, index: np.ndarray) -> np.ndarray:
        found: np.ndarray = ndimage.map_coordinates(
            coefficients, index, output=np.float32, order=order, mode=mode, prefilter=False
        )
        return found

    return values


def _nearest(data: np.ndarray, index: np.ndarray) -> np.ndarray:
    voxels = np.floor(index + 0.5).astype(np.intp)
    return _at(data, voxels)


def _largest_share(data: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return the label to which the weights of linear interpolation add up to most; of two alike the smaller one."""
    low = np.floor(index)
    fraction = index - low
    corners = list(product((0, 1), repeat=3))
    labels = np.stack([_at(data, low.astype(np.intp) + np.array(corner)[:, None]) for corner in corners])
    sides = np.stack([1 - fraction, fraction])
    weights = np.stack([np.prod([sides[side, axis] for axis, side in enumerate(corner)], axis=0) for corner in corners])
    shares = np.stack([np.where(labels == one, weights, 0).sum(axis=0) for one in labels])
    best = shares >= shares.max(axis=0) - 1e-9
    found: np.ndarray = np.min(labels, axis=0, where=best, initial=data.max())
    return found


def _lanczos(padded: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return the values of an image that was padded by `RADIUS` with what lies at its border."""
    size = np.array(padded.shape)[:, None] - 2 * RADIUS
    low = np.clip(np.floor(index), -1, size - 1).astype(np.intp)  # what lies further out is filled in later
    away = (index - low)[..., None] - np.arange(1 - RADIUS, RADIUS + 1)
    taps = np.sinc(away) * np.sinc(away / RADIUS)
    taps = np.moveaxis(taps / taps.sum(axis=-1, keepdims=True), -1, 1).copy()
    first, values = np.ravel_multi_index(tuple(low + 1), padded.shape), padded.ravel()
    found = np.zeros(index.shape[1])
    for x, y in product(range(2 * RADIUS), repeat=2):
        begin = first + np.ravel_multi_index((x, y, 0), padded.shape)
        found += taps[0, x] * taps[1, y] * sum(taps[2, z] * values.take(begin + z) for z in range(2 * RADIUS))
    return found


def _at(data: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    """Return the values at voxels ``(3, N)``; beyond the border its value holds."""
    limited = np.clip(voxels, 0, np.array(data.shape)[:, None] - 1)
    values: np.ndarray = data[tuple(limited)]
    return values


_PREPARED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "cubic": partial(ndimage.spline_filter, order=3, mode="mirror"),
    "lanczos": partial(np.pad, pad_width=RADIUS, mode="edge"),
}
_KINDS: dict[str, Values] = {
    "linear": _spline(1, "nearest"),
    "cubic": _spline(3, "mirror"),
    "lanczos": _lanczos,
    "nearest": _nearest,
    "label": _largest_share,
}
OF_LABELS = ("nearest", "label")
INTERPOLATIONS = tuple(_KINDS)

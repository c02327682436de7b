"""The brain in a skull-stripped image, and its background.

SciPy is imported where it is used: Snakemake imports modules that import this one in an environment that lacks it.
"""

from __future__ import annotations

import numpy as np

FOREGROUND_FRACTION = 0.05  # the brain is brighter than the background by this part of the robust intensity range
NEAR_FRACTION = 0.02  # a background within the brain's range has values this near, as a part of that range
SIDE_SHARE = 0.01  # darker voxels than the background are no noise beyond this part of all voxels
FULL_BOX = 0.98  # a box or its faces are of one kind where this part of them is
TAIL = 0.01  # the part of the brain's voxels that is left out at each side of its box


def background_level(data: np.ndarray) -> float:
    """Return the background's intensity, the median over the volume's six faces (0 for most stripped brains)."""
    return float(np.median(_faces(data)))


def _faces(data: np.ndarray) -> np.ndarray:
    """Return the intensities of all voxels of the volume's six faces."""
    # np.take would copy a Fortran-ordered volume.
    return np.concatenate([np.moveaxis(data, axis, 0)[index].ravel() for axis in range(3) for index in (0, -1)])


def foreground(data: np.ndarray) -> np.ndarray:
    """Return the brain of a skull-stripped image ``(X, Y, Z)`` as a mask, whatever value surrounds it.

    Where the background has the darkest value, the brain is the largest component clearly above it. Where it lies
    within the brain's range (a z-scored brain on 0), the brain is all that the background does not reach from the
    volume's faces. A brighter margin around a dark background, of an image that was padded, is no brain. The mask is
    empty where nothing is brighter than the background.
    """
    inner = _without_margin(data)
    mask = np.zeros(data.shape, bool)
    mask[inner] = _foreground(data[inner])
    return mask


def _foreground(data: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    above = data - background_level(data)
    if is_inside_range(above):
        surrounding = np.abs(above) <= NEAR_FRACTION * np.percentile(np.abs(above), 99.9)
        components, _ = ndimage.label(
            np.pad(surrounding, 1, constant_values=True)
        )  # the margin joins all that is outside
        mask = (components != components[0, 0, 0])[1:-1, 1:-1, 1:-1]
    else:
        mask = above > FOREGROUND_FRACTION * np.percentile(above, 99.9)
    if not mask.any():
        return mask
    box = tuple(slice(low, high + 1) for low, high in bounding_box(mask))
    components, count = ndimage.label(mask[box])
    if count > 1:
        mask[box] = components == 1 + np.argmax(np.bincount(components.ravel())[1:])
    return mask


def is_inside_range(above: np.ndarray) -> bool:
    """Return whether intensities, ``above`` their background, lie on both sides of it beyond noise and ringing."""
    if above.min() >= 0:
        return False
    clear = FOREGROUND_FRACTION * np.percentile(np.abs(above), 99.9)
    return bool(min(np.mean(above < -clear), np.mean(above > clear)) > SIDE_SHARE)


def _without_margin(data: np.ndarray) -> tuple[slice, ...]:
    """Return the volume's box without a margin of one value that was added around its background, which is darker.

    The volume within such a margin fills its own box, and nearly all of the box's faces have the darkest value.
    """
    box = tuple(slice(0, n) for n in data.shape)
    while True:
        inner = data[box]
        level = background_level(inner)
        other = inner != level
        if level == inner.min() or not other.any():
            return box
        spans = bounding_box(other)
        found = tuple(slice(low, high + 1) for low, high in spans)
        filled = other[found].mean()
        faces = _faces(inner[found])
        background = np.mean(faces == inner.min()) > FULL_BOX
        if filled < FULL_BOX or not background or found == box or min(other[found].shape) < 3:
            return box
        box = tuple(slice(one.start + low, one.start + high + 1) for one, (low, high) in zip(box, spans))


def bounding_box(mask: np.ndarray) -> np.ndarray:
    """Return the first and the last index of the mask along each axis, ``(3, 2)``."""
    spans = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    return np.array([[span[0], span[-1]] for span in spans])


def brain_centre(mask: np.ndarray) -> np.ndarray:
    """Return the centre ``(3,)`` in voxels of the box that leaves `TAIL` of the mask outside at each of its six sides.

    The fluid in the neck below a brain would pull the centre of the whole box down.
    """
    centre = []
    for axis in range(3):
        share = np.cumsum(mask.sum(axis=tuple(a for a in range(3) if a != axis))) / mask.sum()
        centre.append((np.searchsorted(share, TAIL, side="right") + np.searchsorted(share, 1 - TAIL)) / 2)
    return np.array(centre)

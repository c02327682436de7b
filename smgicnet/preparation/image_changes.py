"""Changes of a head's image, as another scanner might see it: cut, thick slices, noise, another contrast, a lesion.

Each function takes the image of a brain ``(D, H, W)`` in [0, 1] with RAS axes and 0 around it, its label map of
FreeSurfer's ids (None where there is none), the voxel size in mm, a severity and a random generator, and returns an
image in [0, 1]. Nothing moves: the label map stays that of the image, what it no longer shows included.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from smgicnet.core.errors import InputError

ImageChange = Callable[[np.ndarray, np.ndarray | None, float, float, np.random.Generator], np.ndarray]
WHITE = (2, 41, 16, 7, 46)
FLUID = (4, 5, 14, 15, 24, 43, 44)
DEEP = (10, 11, 12, 26, 49, 50, 51, 58)
IRON = (13, 28, 52, 60)
# brightness of white matter, of cortex and the like, of deep nuclei, of iron-rich nuclei and of fluid
T2 = (0.45, 0.62, 0.55, 0.40, 1.0)
FLAIR = (0.70, 0.92, 0.85, 0.70, 0.20)
TEXTURE = 0.5  # how much of an image's own deviations from its tissues' means another contrast keeps
DARK = 0.15  # the brightness of a lesion and of bone
BONE_MM, SCALP_MM = 6.0, 12.0  # distances from the brain at which bone and scalp end
BRIGHTEST = 99.5  # the percentile of a brain that becomes 1


def crop_top(
    image: np.ndarray, labels: np.ndarray | None, spacing: float, percent: float, random: np.random.Generator
) -> np.ndarray:
    """Return the image without the uppermost ``percent`` of the brain's height."""
    return _cut(image, 2, percent, from_end=True)


def crop_bottom(
    image: np.ndarray, labels: np.ndarray | None, spacing: float, percent: float, random: np.random.Generator
) -> np.ndarray:
    """Return the image without the lowest ``percent`` of the brain's height."""
    return _cut(image, 2, percent, from_end=False)


def crop_side(
    image: np.ndarray, labels: np.ndarray | None, spacing: float, percent: float, random: np.random.Generator
) -> np.ndarray:
    """Return the image without ``percent`` of the brain's width, at the left or at the right."""
    return _cut(image, 0, percent, from_end=bool(random.uniform() < 0.5))


def _cut(image: np.ndarray, axis: int, percent: float, *, from_end: bool) -> np.ndarray:
    others = tuple(one for one in range(3) if one != axis)
    filled = np.flatnonzero((image > 0).any(axis=others))
    low, high = filled[0], filled[-1] + 1
    width = round((high - low) * percent / 100)
    gone = slice(high - width, None) if from_end else slice(0, low + width)
    found = image.copy()
    found[(*(slice(None),) * axis, gone)] = 0
    return found


def slices(
    image: np.ndarray, labels: np.ndarray | None, spacing: float, thickness: float, random: np.random.Generator
) -> np.ndarray:
    """Return the image as axial slices of a ``thickness`` in mm have it: the mean over each, linear in between."""
    height = image.shape[2]
    edges = np.arange(0, height * spacing + thickness, thickness) / spacing
    sums = np.concatenate([np.zeros((*image.shape[:2], 1)), np.cumsum(image, axis=2, dtype=float)], axis=2)
    at_edges = _along(sums, np.minimum(edges, height))
    means = np.diff(at_edges, axis=2) / np.maximum(np.diff(np.minimum(edges, height)), 1e-9)
    middles = (edges[1:] + edges[:-1]) / 2
    places = np.interp(np.arange(height) + 0.5, middles, np.arange(len(middles)))
    return np.where(image > 0, _along(means, places), 0).astype(np.float32)


def _along(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return values ``(X, Y, n)`` at places along the last axis, linear in between."""
    low = np.clip(np.floor(places).astype(int), 0, values.shape[2] - 2)
    part = np.clip(places - low, 0, 1)
    return values[..., low] * (1 - part) + values[..., low + 1] * part


def bias(
    image: np.ndarray, labels: np.ndarray | None, spacing: float, strength: float, random: np.random.Generator
) -> np.ndarray:
    """Return the image times the exponential of a random quadratic that reaches from -strength to strength in it."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in image.shape), indexing="ij")
    terms = [*axes, *(a * b for k, a in enumerate(axes) for b in axes[k:])]
    field = sum(weight * term for weight, term in zip(random.normal(size=len(terms)), terms, strict=True))
    low, high = field[image > 0].min(), field[image > 0].max()
    return _scaled(image * np.exp(strength * (2 * (field - low) / (high - low) - 1)))


def noise(
    image: np.ndarray, labels: np.ndarray | None, spacing: float, sd: float, random: np.random.Generator
) -> np.ndarray:
    """Return the image with Rician noise of this SD in the brain, in parts of its white matter."""
    real, imaginary = sd * random.normal(size=(2, *image.shape))
    return _scaled(np.where(image > 0, np.hypot(image + real, imaginary), 0))


def t2(
    image: np.ndarray, labels: np.ndarray | None, spacing: float, share: float, random: np.random.Generator
) -> np.ndarray:
    """Return the image with a ``share`` of T2's contrast."""
    return (1 - share) * image + share * _contrast(image, labels, T2)


def flair(
    image: np.ndarray, labels: np.ndarray | None, spacing: float, share: float, random: np.random.Generator
) -> np.ndarray:
    """Return the image with a ``share`` of FLAIR's contrast."""
    return (1 - share) * image + share * _contrast(image, labels, FLAIR)


def inverted(
    image: np.ndarray, labels: np.ndarray | None, spacing: float, share: float, random: np.random.Generator
) -> np.ndarray:
    """Return the image with a ``share`` of its negative, in the brain."""
    return np.where(image > 0, (1 - share) * image + share * (1.05 - image), 0).astype(np.float32)


def _contrast(image: np.ndarray, labels: np.ndarray | None, brightness: tuple[float, ...]) -> np.ndarray:
    """Return an image whose tissues have other means. Raises `InputError` without a label map."""
    from scipy.ndimage import gaussian_filter

    if labels is None:
        raise InputError("evaluation.robustness", "another contrast needs label maps", "Leave out `t2` and `flair`")
    kinds = np.ones(labels.shape, dtype=int)  # cortex and the like
    for number, ids in ((0, WHITE), (2, DEEP), (3, IRON), (4, FLUID)):
        kinds[np.isin(labels, ids)] = number
    inside = image > 0
    known = [image[(labels > 0) & inside & (kinds == one)] for one in (1, 4)]
    between = np.mean([values.mean() if values.size else 0.0 for values in known])  # cortex and fluid
    unnamed = inside & (labels == 0)  # such as the corpus callosum, or fluid around the brain
    kinds[unnamed] = np.where(image[unnamed] < between, 4, 0)
    of_each = [image[inside & (kinds == one)] for one in range(5)]
    own = np.array([values.mean() if values.size else 0 for values in of_each])
    smooth = gaussian_filter(np.array(brightness)[kinds], 0.5)
    found = smooth + TEXTURE * (image - gaussian_filter(own[kinds], 0.5))
    return np.where(inside, np.clip(found, 0.02, 1), 0).astype(np.float32)


def lesion(
    image: np.ndarray, labels: np.ndarray | None, spacing: float, millilitres: float, random: np.random.Generator
) -> np.ndarray:
    """Return the image with a dark ball of this volume about a random place in the brain, in white matter if known."""
    inside = image > 0
    middle = inside & np.isin(labels, WHITE[:2]) if labels is not None else inside
    places = np.argwhere(middle if middle.any() else inside)
    centre = places[random.integers(len(places))]
    radius = (1000 * millilitres * 3 / (4 * np.pi)) ** (1 / 3) / spacing
    away = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(np.indices(image.shape), centre, strict=True)))
    share = np.clip(radius - away + 0.5, 0, 1)
    return np.where(inside, (1 - share) * image + share * DARK, 0).astype(np.float32)


def skull(
    image: np.ndarray, labels: np.ndarray | None, spacing: float, brightness: float, random: np.random.Generator
) -> np.ndarray:
    """Return the image with what a strip has left on: dark bone around the brain, and around that a bright scalp."""
    from scipy.ndimage import distance_transform_edt

    away = distance_transform_edt(image <= 0, sampling=spacing)
    found = image.copy()
    found[(away > 0) & (away <= BONE_MM)] = DARK * brightness
    found[(away > BONE_MM) & (away <= SCALP_MM)] = brightness
    return found


def _scaled(image: np.ndarray) -> np.ndarray:
    """Return an image whose brightest half percent of brain is 1, as preprocessing scales it."""
    brightest = np.percentile(image[image > 0], BRIGHTEST)
    return np.clip(image / brightest, 0, 1).astype(np.float32)

"""The affine stage of ANTs (Avants et al. 2011) after a search over rotations, and how ANTs is run here.

``ants`` takes seconds to import, and not every environment holds it, so that it is imported where it is used.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.spatial.transform import Rotation

from smgicnet.core.errors import InputError
from smgicnet.imaging.images import Volume, read_image
from smgicnet.imaging.itk_affine import LPS, read_itk_affine

if TYPE_CHECKING:
    from ants import ANTsImage

SEED = 1
ITERATIONS = (1000, 500, 250, 100)  # antsRegistrationSyN.sh has the same, coarse to fine
LARGE = 100  # voxels along each axis, beyond which the finest level takes 3/4 of the time and gains less than 0.01 mm
SEARCH_STEP = 30.0  # degrees; the affine stage recovers brains that are turned by about this much (docs/baselines.md)
SEARCH_POINTS = 24  # along the fixed image's longest side, which is 8 mm for a brain, as in FLIRT's search
SMALLEST_SIDE = 12  # voxels of a pyramid's coarsest level; a window of radius 4 is 9 wide
_THREAD_VARIABLE = "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"


def import_ants(threads: int = 1) -> ModuleType:
    """Import the package ``ants`` with that many threads for ITK. One thread gives the same bytes twice, more do not.

    ITK reads the number once in a process. Raises ``RuntimeError`` if ants is there with another number already.
    """
    if "ants" in sys.modules and os.environ.get(_THREAD_VARIABLE) != str(threads):
        raise RuntimeError(f"ants was imported with {_THREAD_VARIABLE}={os.environ.get(_THREAD_VARIABLE)}")
    os.environ[_THREAD_VARIABLE] = str(threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the plotting packages that it imports warn
        import ants
    return ants


def align_by_ants(fixed: Path, moving: Path, degrees: float, folder: Path) -> np.ndarray:
    """Align two image files after a search over rotations up to ``degrees``.

    Returns the matrix of `preparation.affine`'s convention. Raises `InputError` where ANTs finds no alignment.
    """
    volumes = [read_image(path) for path in (fixed, moving)]
    target, source = (_to_ants(volume) for volume in volumes)
    iterations = ITERATIONS
    if min(volumes[0].data.shape) > LARGE:
        iterations = (*iterations[:-1], 0)
    try:
        found = find_affine(target, source, folder, degrees=degrees, iterations=iterations, seed=SEED)
    except RuntimeError as error:
        raise InputError(
            f"{moving} to {fixed}", f"ANTs found no alignment ({error})", "Check that both images show a brain"
        ) from error
    return LPS @ read_itk_affine(found) @ LPS


def _to_ants(volume: Volume) -> ANTsImage:
    """Return a volume as ANTs' image, in ITK's world, LPS mm."""
    affine = LPS @ volume.affine
    return import_ants().from_numpy(
        volume.data,
        origin=tuple(affine[:3, 3]),
        spacing=tuple(volume.spacing),
        direction=affine[:3, :3] / volume.spacing,
    )


def find_affine(
    fixed: ANTsImage, moving: ANTsImage, folder: Path, *, degrees: float, iterations: Sequence[int], seed: int
) -> Path:
    """Find the affine transform, ITK's file in ``folder``, that pulls ``moving`` onto ``fixed``.

    The centres of mass and the best rotation up to ``degrees`` (`search_rotation`) are the start of ANTs' affine stage,
    which has 12 degrees of freedom and Mattes mutual information of 32 bins on a regular quarter of the voxels.
    ``iterations`` are those of its `pyramid`. Raises ``RuntimeError`` when ITK gives up.
    """
    ants = sys.modules["ants"]  # the maker of the images imported it with a number of threads
    start = search_rotation(fixed, moving, degrees)
    initial = folder / "initial.mat"
    # ITK turns and stretches about the centre. About a far one, rotation and translation could hardly be told apart.
    centre = _centre(fixed.numpy(), _itk_affine(fixed))
    translation = apply_affine(start, centre) - centre
    transform = ants.create_ants_transform(
        precision="double", matrix=start[:3, :3], translation=translation, center=centre
    )  # fmt: skip
    ants.write_transform(transform, str(initial))
    kept = pyramid(iterations, fixed)
    coarseness = tuple(reversed(range(len(kept))))
    result = run_ants(
        fixed, moving, "Affine", folder / "affine", seed=seed, initial_transform=[str(initial)],
        aff_iterations=kept, aff_shrink_factors=tuple(2**level for level in coarseness),
        aff_smoothing_sigmas=coarseness, aff_random_sampling_rate=0.25,
    )  # fmt: skip
    return Path(result["fwdtransforms"][0])


def run_ants(
    fixed: ANTsImage, moving: ANTsImage, kind: str, prefix: Path, *, seed: int, **options: object
) -> dict[str, Any]:
    """Run ``ants.registration`` of one ``kind`` with a fixed seed; its files begin with ``prefix``.

    It works in double precision, as antsRegistrationSyN.sh does by default, which is twice as fast as single precision.
    """
    ants = sys.modules["ants"]
    ants.config.set_ants_deterministic(on=False, seed_value=seed)  # on=True would refuse everything but its own recipes
    return ants.registration(fixed, moving, kind, outprefix=str(prefix), singleprecision=False, **options)


def pyramid(iterations: Sequence[int], image: ANTsImage) -> tuple[int, ...]:
    """Return the iterations, from coarse to fine, without the levels below `SMALLEST_SIDE` voxels.

    Each level has half the next one's resolution, and the finest is always kept. ITK shrinks thick slices less than the
    axes within them, and so does this count.
    """
    side = np.min(np.multiply(image.shape, image.spacing)) / min(image.spacing)
    kept = [count for level, count in enumerate(reversed(iterations)) if level == 0 or side / 2**level >= SMALLEST_SIDE]
    return tuple(reversed(kept))


def search_rotation(fixed: ANTsImage, moving: ANTsImage, degrees: float) -> np.ndarray:
    """Find the rigid map ``(4, 4)`` in ITK's world from fixed to moving under which both images correlate best.

    It takes one centre of mass to the other. Its rotation is one of a grid of Euler angles, at most `SEARCH_STEP`
    apart and up to ``degrees`` about each axis; with 0 there is no search. ANTs' own ``affine_initializer`` takes five
    times as long and, as it turns about two axes only, finds fewer poses.
    """
    fixed_data, to_fixed = fixed.numpy(), _itk_affine(fixed)
    moving_data, to_moving = moving.numpy(), _itk_affine(moving)
    centre_f, centre_m = _centre(fixed_data, to_fixed), _centre(moving_data, to_moving)
    step = np.max(np.multiply(fixed.shape, fixed.spacing)) / SEARCH_POINTS
    # Both images are smoothed to the step. The fixed one is sampled at every step, the moving one at the mapped points.
    every = tuple(slice(n // 2, None, n) for n in (max(1, round(step / size)) for size in fixed.spacing))
    values = ndimage.gaussian_filter(fixed_data, step / 2 / np.array(fixed.spacing))[every].ravel()
    moving_data = ndimage.gaussian_filter(moving_data, step / 2 / np.array(moving.spacing))
    index = np.indices(fixed_data.shape)[(slice(None), *every)].reshape(3, -1)
    points = (apply_affine(to_fixed, index.T) - centre_f).T
    to_index = np.linalg.inv(to_moving)

    def correlation(rotation: np.ndarray) -> float:
        arrived = to_index[:3, :3] @ rotation @ points + apply_affine(to_index, centre_m)[:, None]
        warped = ndimage.map_coordinates(moving_data, arrived, order=1)
        return np.corrcoef(values, warped)[0, 1] if warped.any() else -1.0

    angles = np.linspace(-degrees, degrees, 2 * int(np.ceil(degrees / SEARCH_STEP)) + 1)
    rotations = Rotation.from_euler("xyz", list(product(angles, repeat=3)), degrees=True).as_matrix()
    best = max(rotations, key=correlation)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = best, centre_m - best @ centre_f
    return matrix


def _itk_affine(image: ANTsImage) -> np.ndarray:
    """Return the map ``(4, 4)`` from voxel index to ITK's world."""
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = image.direction * np.array(image.spacing), image.origin
    return affine


def _centre(data: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Return the centre of mass in the world of ``affine``."""
    return apply_affine(affine, ndimage.center_of_mass(data))

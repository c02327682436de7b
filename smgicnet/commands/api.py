"""Registration from Python: nothing is written unless it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nibabel.affines import apply_affine

from smgicnet.commands.apply import Target
from smgicnet.commands.choices import DEFORMABLE
from smgicnet.commands.inputs import Input, known
from smgicnet.commands.registering import Registered, Settings, register_scans
from smgicnet.core.errors import InputError
from smgicnet.core.files import require_writable
from smgicnet.core.shipped import DEFAULT, find_weights
from smgicnet.imaging.displacements import apply_field, grid_points, write_itk
from smgicnet.imaging.field_formats import Geometry
from smgicnet.imaging.foreground import background_level
from smgicnet.imaging.images import Scan, Volume, as_nifti, label_scan_of, read_label_scan, read_scan, scan_of
from smgicnet.imaging.itk_files import write_itk_affine, write_itk_composite
from smgicnet.imaging.resampling import INTERPOLATIONS, OF_LABELS
from smgicnet.imaging.templates import find_template
from smgicnet.methods.weights import weights_content, weights_of

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image
    from nibabel.spatialimages import SpatialImage

    from smgicnet.methods.verdict import Verdict

NOTEBOOK_DPI = 130


@dataclass(frozen=True, repr=False)
class Transform:
    """A map from the world of one image, RAS mm, to that of another, from which images are pulled.

    Attributes
    ----------
    displacement : of the voxels of the first image, ``(X, Y, Z, 3)`` in RAS mm
    matrix : ``(4, 4)``, its affine part, which holds beyond that grid; None for a map without one
    """

    displacement: Volume
    matrix: np.ndarray | None

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.displacement.data.shape[:3]))
        return f"<Transform of a grid of {shape}>"

    def points(self, points: np.ndarray) -> np.ndarray:
        """Return where points ``(..., 3)`` of the first image lie in the other one, both in RAS mm."""
        points = np.asarray(points, dtype=np.float64)
        index = apply_affine(np.linalg.inv(self.displacement.affine), points)
        size = np.array(self.displacement.data.shape[:3])
        inside = ((index >= -0.5) & (index < size - 0.5)).all(axis=-1, keepdims=True)
        beyond = points if self.matrix is None else apply_affine(self.matrix, points)
        moved = apply_field(self.displacement, np.atleast_2d(points)).reshape(points.shape)
        return np.where(inside, moved, beyond)

    def apply(self, image: str | Path | SpatialImage, interpolation: str = "linear") -> Nifti1Image:
        """Return an image of the second world on the grid of the first image.

        ``interpolation`` is one of `smgicnet.imaging.resampling.INTERPOLATIONS`; ``nearest`` and ``label`` are for
        label maps. Raises `InputError` for another one, and for an unusable image.
        """
        if interpolation not in INTERPOLATIONS:
            raise InputError("interpolation", repr(interpolation), f"Give one of {', '.join(INTERPOLATIONS)}")
        if interpolation in OF_LABELS:
            from_file = isinstance(image, str | Path)
            volume = (read_label_scan(image) if from_file else label_scan_of(image, "the image")).volume
            fill = 0.0
        else:
            volume = _read(image, "the image").volume
            fill = background_level(volume.data)
        field = self.displacement
        places = grid_points(field.data.shape[:3], field.affine) + field.data
        grid = Geometry(Path("the fixed image"), field.data.shape[:3], field.affine, field.spacing)
        target = Target(grid, places.reshape(-1, 3).T)
        return as_nifti(target.pulled(volume.data, volume.affine, interpolation, fill), field.affine)

    def save(self, path: str | Path) -> None:
        """Write the map for ANTs: a field (``.nii.gz``), ITK's composite (``.h5``), or its affine part (``.mat``).

        Raises `InputError` for another ending, and for the affine part of a map without one.
        """
        path = Path(path)
        require_writable(path)
        if path.name.endswith((".nii", ".nii.gz")):
            write_itk(path, self.displacement.data, self.displacement.affine, fast=True)
        elif path.suffix == ".h5":
            write_itk_composite(path, self.displacement, self.matrix)
        elif path.suffix == ".mat":
            if self.matrix is None:
                raise InputError(path, "this map has no affine part", "Let the name end in .nii.gz or .h5")
            write_itk_affine(path, self.matrix)
        else:
            raise InputError(path, "a transform is not written so", "Let the name end in .nii.gz, .h5 or .mat")


@dataclass(frozen=True, repr=False)
class Registration:
    """A pair that was registered.

    Attributes
    ----------
    found : all that is known of it
    """

    found: Registered

    @property
    def transform(self) -> Transform:
        """The map from the fixed to the moving image, by which images are pulled onto the fixed grid."""
        return Transform(*self.found.ways[0])

    @property
    def inverse(self) -> Transform:
        """The map from the moving to the fixed image."""
        return Transform(*self.found.ways[1])

    @cached_property
    def warped(self) -> Nifti1Image:
        """The moving image, as it came, on the fixed image's grid."""
        return as_nifti(self.found.warped(), self.found.displacement.affine)

    @property
    def jacobian(self) -> np.ndarray:
        """The Jacobian determinant ``(X, Y, Z)`` on the fixed image's grid, above 1 where the moving one is larger."""
        return self.found.change

    @property
    def doubt(self) -> str | None:
        """The reason why the pose may be wrong; None where nothing speaks against it."""
        return self.found.doubt

    @property
    def verdict(self) -> Verdict | None:
        """The verdict on its success, with its probability and the expected error; None where it ends at a matrix."""
        return self.found.verdict

    def picture(self) -> Any:
        """Return a figure of matplotlib's with both images and the warped one in three planes."""
        return self.found.picture()

    def __repr__(self) -> str:
        moving, fixed = (Path(one.scan.path).name for one in self.found.inputs[::-1])
        judged = f", {self.verdict}" if self.verdict else ""
        return f"<Registration of {moving} to {fixed}{judged}>"

    def _repr_png_(self) -> bytes:
        """Return what a notebook shows."""
        content = BytesIO()
        self.picture().savefig(content, format="png", dpi=NOTEBOOK_DPI)
        return content.getvalue()


def register(
    fixed: str | Path | SpatialImage,
    moving: str | Path | SpatialImage,
    *,
    quality: str | None = None,
    transform: str = DEFORMABLE,
    skull_strip: str = "auto",
    contrast: str = "auto",
    mask_fixed: str | Path | None = None,
    mask_moving: str | Path | None = None,
    weights: str | Path = DEFAULT,
) -> Registration:
    """Register two scans of heads or brains, in any orientation, spacing and pose.

    Parameters
    ----------
    fixed, moving : files, images of nibabel's, or names of templates, as ``"mni"``
    quality : ``"fast"``, ``"default"`` or ``"best"``
    transform : ``"rigid"``, ``"affine"`` or ``"deformable"``, where the registration ends
    skull_strip : ``"auto"``, ``"deepbet"``, ``"bet"``, ``"synthstrip"`` or ``"none"``
    contrast : ``"auto"``, which sees an image of another contrast as T1 would show it, or ``"keep"``
    mask_fixed, mask_moving : masks on the images' grids of what does not count, as lesions and cavities
    weights : a weights file, or the name of weights that come with the package

    Raises `smgicnet.core.errors.InputError` for what cannot be used, with what to do about it.
    """
    path = find_weights(weights)
    masks = (mask_fixed and Path(mask_fixed), mask_moving and Path(mask_moving))
    settings = Settings(
        quality=quality, transform=transform, skull_strip=skull_strip, contrast=contrast, left_out=masks
    )
    scans = [_image_of(fixed, "the fixed image"), _image_of(moving, "the moving image")]
    return Registration(register_scans(scans, weights_of(weights_content(path), path), path, settings))


def _image_of(given: str | Path | SpatialImage, name: str) -> Scan | Input:
    """Return an image that a user names or has."""
    if not isinstance(given, str | Path):
        return scan_of(given, name)
    template = find_template(given)
    return known(read_scan(template.path), template.space)


def _read(image: str | Path | SpatialImage, name: str) -> Scan:
    return read_scan(image) if isinstance(image, str | Path) else scan_of(image, name)

"""Pairs of images whose grids differ in shape, spacing, axes and obliquity, and a true map between their worlds."""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from smgicnet.imaging.displacements import grid_points
from smgicnet.imaging.field_formats import Geometry, read_geometry
from smgicnet.imaging.images import Volume

# by what a fixed and a moving affine have: the signs of their determinants, and whether they are oblique
PAIRS = {
    "negative and negative": ((-1, 1, 1), (1, -1, 1), 0),
    "oblique negative and negative": ((-1, 1, 1), (1, -1, 1), 15),
    "oblique positive and positive": ((1, 1, 1), (-1, -1, 1), 15),
    "oblique positive and negative": ((1, -1, -1), (1, 1, -1), 20),
    "oblique negative and positive": ((-1, -1, -1), (1, 1, 1), -20),
}


def affine(spacing=(4.0, 4.0, 4.0), flips=(1, 1, 1), angle=0.0, origin=(0.0, 0.0, 0.0)):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", [angle, -angle, angle / 2], degrees=True).as_matrix() @ np.diag(
        np.array(spacing) * flips
    )
    matrix[:3, 3] = origin
    return matrix


def world_map(points):
    """A true affine map between two people's worlds, in RAS mm."""
    turn = Rotation.from_euler("z", 10, degrees=True).as_matrix()
    return points @ turn.T * 1.1 + [5, -7, 3]


def bent(points):
    """`world_map`, and a smooth deformation that no affine map is."""
    return world_map(points) + 2 * np.sin(points[..., [1, 2, 0]] / 9)


@dataclass(frozen=True)
class Pair:
    """Two images in files, and the displacement (RAS mm, on the fixed grid) of `bent`."""

    fixed: Volume
    moving: Volume
    files: tuple[Path, Path]
    displacement: np.ndarray

    @property
    def points(self):
        return grid_points(self.fixed.data.shape, self.fixed.affine)

    @property
    def geometries(self) -> tuple[Geometry, Geometry]:
        return tuple(read_geometry(path) for path in self.files)

    @property
    def inside(self):
        """Where the displacement arrives within the moving grid, at least a hundredth of a voxel from its border."""
        index = apply_affine(np.linalg.inv(self.moving.affine), self.points + self.displacement)
        found = ((index > 0.01) & (index < np.array(self.moving.data.shape) - 1.01)).all(-1)
        assert found.mean() > 0.2
        return found


def centred(shape, matrix, centre):
    """``matrix`` with the middle of its grid at ``centre`` in the world."""
    moved = matrix.copy()
    moved[:3, 3] += np.array(centre) - apply_affine(matrix, (np.array(shape) - 1) / 2)
    return moved


def make_pair(case, folder) -> Pair:
    fixed_flips, moving_flips, angle = PAIRS[case]
    shapes = (20, 22, 18), (24, 26, 25)
    fixed = centred(shapes[0], affine((2, 2.5, 3), fixed_flips, angle), (1, 2, -3))
    moving = centred(shapes[1], affine((2.2, 2, 1.8), moving_flips, -angle), world_map(np.array([1, 2, -3.0])))
    rng = np.random.default_rng(0)
    volumes = [
        Volume(gaussian_filter(rng.random(shape), 1.5).astype(np.float32) * 10, matrix)
        for shape, matrix in zip(shapes, (fixed, moving), strict=True)
    ]
    files = folder / "fixed.nii.gz", folder / "moving.nii.gz"
    for path, volume in zip(files, volumes, strict=True):
        save(path, volume.data, volume.affine)
    points = grid_points(shapes[0], fixed)
    return Pair(*volumes, files, (bent(points) - points).astype(np.float32))


def save(path, data, matrix, intent=0):
    image = nib.Nifti1Image(data, matrix)
    image.set_qform(matrix, 1)
    image.header["intent_code"] = intent
    nib.save(image, path)
    return path

"""FreeSurfer's linear transforms, ``.lta``: read and written between the worlds of two volumes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from nibabel.affines import from_matvec, voxel_sizes

from smgicnet.core.errors import InputError
from smgicnet.core.files import atomic_path
from smgicnet.imaging.displacements import AS_FIELD
from smgicnet.imaging.field_formats import Geometry
from smgicnet.imaging.transform_files import numbers_of, usable

KINDS = (0, 1)  # from voxel to voxel, and from RAS to RAS


def read_lta(path: Path) -> np.ndarray:
    """Read FreeSurfer's linear transform from its ``src`` to its ``dst`` volume.

    Returns the matrix ``(4, 4)`` from the world of ``dst`` to that of ``src``, scanner RAS mm, by which the moving
    image, ``src``, is pulled onto the fixed one. Raises `InputError` for another file, for several transforms, and for
    one between other coordinates than voxels or RAS.
    """
    try:
        lines = [line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(path, f"not an LTA ({error})", AS_FIELD) from error
    values = {key.strip(): value.strip() for key, sign, value in (line.partition("=") for line in lines) if sign}
    kind, count = (values.get(key, "") for key in ("type", "nxforms"))
    if count != "1" or kind not in map(str, KINDS):
        problem = f"it holds {count or 'no'} transforms, of type {kind or 'unknown'}; one of type 0 or 1 is read"
        raise InputError(path, problem, "Convert it: `lta_convert --inlta THIS --outlta OUT --ltavox2vox`")
    rows = [numbers for line in lines if len(numbers := numbers_of(line)) == 4 and "=" not in line]
    matrix = usable(path, np.array(rows[:4]).reshape(-1, 4)) if len(rows) == 4 else None
    if matrix is None:
        raise InputError(path, "it does not hold a matrix of four rows", AS_FIELD)
    if kind == "0":
        src, dst = _volumes(path, lines)
        matrix = dst @ matrix @ np.linalg.inv(src)
    return np.linalg.inv(matrix)


def _volumes(path: Path, lines: list[str]) -> Iterator[np.ndarray]:
    """Return the affines of an LTA's ``src`` and ``dst`` volumes, from voxels to scanner RAS mm."""
    starts = [lines.index(f"{name} volume info") if f"{name} volume info" in lines else -1 for name in ("src", "dst")]
    for start in starts:
        said = {
            key.strip(): numbers_of(value) for key, _, value in (line.partition("=") for line in lines[start + 1 :][:8])
        }
        sizes = [len(said.get(key, ())) for key in ("valid", "volume", "voxelsize", "xras", "yras", "zras", "cras")]
        if start < 0 or sizes != [1, 3, 3, 3, 3, 3, 3] or said["valid"] != [1]:
            raise InputError(path, "it does not say where the voxels of its volumes lie", "Write it again")
        axes = np.array([said["xras"], said["yras"], said["zras"]]).T * said["voxelsize"]
        yield usable(path, from_matvec(axes, np.array(said["cras"]) - axes @ said["volume"] / 2))


def write_lta(path: Path, matrix: np.ndarray, fixed: Geometry, moving: Geometry) -> None:
    """Write a matrix ``(4, 4)`` from the fixed to the moving world, RAS mm, as FreeSurfer's from the moving image.

    The file's ``src`` is the moving and its ``dst`` the fixed volume, and it leads from RAS to RAS (type 1), as that of
    ``mri_robust_register`` and ``mri_coreg``.
    """
    rows = [" ".join(f"{value:.15e}" for value in row) for row in np.linalg.inv(matrix)]
    lines = ["type      = 1", "nxforms   = 1", "mean      = 0.0000 0.0000 0.0000", "sigma     = 1.0000", "1 4 4", *rows]
    for name, grid in (("src", moving), ("dst", fixed)):
        lines += [f"{name} volume info", *_volume_lines(grid)]
    with atomic_path(path) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _volume_lines(grid: Geometry) -> list[str]:
    """Return what an LTA says of a volume: where the axes lead, and the world's place of its middle."""
    sizes = voxel_sizes(grid.affine)
    axes = grid.affine[:3, :3] / sizes
    middle = grid.affine[:3, :3] @ (np.array(grid.shape) / 2) + grid.affine[:3, 3]
    told = {"xras": axes[:, 0], "yras": axes[:, 1], "zras": axes[:, 2], "cras": middle}
    lines = ["valid = 1  # volume info valid", f"filename = {grid.path}", f"volume = {' '.join(map(str, grid.shape))}"]
    lines.append(f"voxelsize = {' '.join(f'{size:.15e}' for size in sizes)}")
    return lines + [f"{key}   = {' '.join(f'{value:.15e}' for value in values)}" for key, values in told.items()]

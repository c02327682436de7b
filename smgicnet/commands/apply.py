"""The command that brings images, label maps, series and points along with transforms of any tool."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smgicnet.core.errors import InputError
from smgicnet.core.files import require_distinct, require_writable
from smgicnet.core.provenance import files_digest, write_record
from smgicnet.imaging.displacements import ENDINGS, grid_points
from smgicnet.imaging.field_formats import Geometry, read_geometry, stem_of, written_geometry
from smgicnet.imaging.foreground import background_level
from smgicnet.imaging.headers import OpenedImage, open_image
from smgicnet.imaging.images import read_label_scan, write_volume
from smgicnet.imaging.landmarks import read_landmarks, write_moved
from smgicnet.imaging.resampling import OF_LABELS, interpolated
from smgicnet.imaging.series import volume_count, volumes, write_series
from smgicnet.imaging.surfaces import read_surface, write_surface
from smgicnet.imaging.transform_chain import named_files, read_transforms, through

log = logging.getLogger(__name__)
_POINTS, _SURFACE = (".csv", ".fcsv"), ".gii"
_NAMES = re.compile(r"(\.nii|\.mgz|\.mgh)(\.gz)?$")


@dataclass(frozen=True)
class Target:
    """The place of results: the grid of the fixed image, and the places of its voxels in the moving world.

    Attributes
    ----------
    grid : the fixed image's, or `smgicnet.imaging.affine_geometry.writable_grid` of a sheared one
    places : ``(3, N)`` in RAS mm, for the voxels in the order of the array
    """

    grid: Geometry
    places: np.ndarray

    def pulled(self, data: np.ndarray, affine: np.ndarray, kind: str, fill: float) -> np.ndarray:
        """Return a volume ``(X, Y, Z)`` on this grid."""
        return interpolated(data, self.places, kind, fill, np.linalg.inv(affine)).reshape(self.grid.shape)


def apply_transforms(
    inputs: Sequence[Path],
    transforms: Sequence[str | Path],
    to: Path,
    out: Path,
    *,
    interpolation: str = "linear",
    moving: Path | None = None,
    meaning: str | None = None,
    form: str | None = None,
) -> list[Path]:
    """Bring images onto the grid of ``to``, and points the other way, by transforms in antsApplyTransforms' order.

    Parameters
    ----------
    inputs : images of one volume or several (NIfTI, MGH), which are pulled onto the fixed grid in one interpolation;
        and points of the fixed image (a CSV or ``.fcsv`` of `smgicnet.imaging.landmarks`, a GIfTI surface), which go
        to the moving image
    transforms : those of `smgicnet.imaging.transform_chain.read_transforms`
    to : the fixed image, of which the header is read
    out : the result of one input, or a folder for those of several, under the inputs' names
    interpolation : one of `smgicnet.imaging.resampling.INTERPOLATIONS`
    moving : the image that transforms of FSL or Learn2Reg were made for; by default the first image among ``inputs``
    meaning : one of `smgicnet.imaging.headers.MEANINGS`, for fields that do not say what their vectors are
    form : which place a header that names two stands for, see `open_image`

    Beyond an image is its background. Beside each result lies its record, ``NAME.apply.json``: the arguments, the
    digests of all files and the versions. Returns the files of the results. Raises `InputError` for files that cannot
    be used or written: before anything is written, but for voxels, which are looked at image by image.
    """
    files = _result_files(inputs, out)
    require_distinct(files, [*inputs, *named_files(transforms), to])
    records = [result.with_name(f"{stem_of(result)}.apply.json") for result in files]
    for path in (*files, *records):
        require_writable(path)
    images = {path: open_image(path, form) for path in inputs if _is_image(path)}
    for opened in images.values():
        volume_count(opened)
    fixed = read_geometry(to, form)
    source = read_geometry(moving, form) if moving else _grid_of(next(iter(images.values()), None))
    chain = read_transforms(transforms, fixed, source, meaning)
    points = {path: _points_of(path) for path in inputs if path not in images}
    grid = written_geometry(fixed)
    target = Target(grid, through(chain, grid_points(grid.shape, grid.affine)).reshape(-1, 3).T) if images else None
    beside = [to, *named_files(transforms), *([moving] if moving else [])]
    facts = {"transforms": [str(one) for one in transforms], "to": str(to), "moving": moving and str(moving)}
    facts |= {"interpolation": interpolation, "as": meaning, "header": form or "agree"}
    for path, result, record in zip(inputs, files, records, strict=True):
        if path in points:
            _write_points(path, through(chain, points[path]), result)
        elif target is not None:
            _write_image(images[path], target, interpolation, form, result)
        digests = {str(one): files_digest([one]) for one in (path, *beside)}
        write_record(record, input=str(path), **facts, digests=digests)
        log.info("%s: %s", result, interpolation if path in images else "points, from the fixed to the moving image")
    return files


def _result_files(inputs: Sequence[Path], out: Path) -> list[Path]:
    """Return the file of each result; those of MGH images are NIfTI."""
    for path in inputs:
        if not path.is_file():
            raise InputError(path, "no such file", "Correct its path or restore the file")
    into_one = len(inputs) == 1 and not out.is_dir() and out.suffix != ""
    if len(inputs) > 1 and out.name.endswith((*ENDINGS, *_POINTS, _SURFACE)) and not out.is_dir():
        raise InputError(out, "one file cannot hold the results of several inputs", "Give a folder")
    files = [out] if into_one else [out / _NAMES.sub(".nii.gz", path.name) for path in inputs]
    if len(set(files)) < len(files):
        raise InputError(out, "two of the inputs have the same name, and so would their results", "Rename one of them")
    for path, result in zip(inputs, files, strict=True):
        endings = ENDINGS if _is_image(path) else (path.suffix,)
        if not result.name.endswith(endings):
            problem = f"the result of {path.name} has another form"
            raise InputError(result, problem, f"Let its name end in {' or '.join(endings)}")
    return files


def _is_image(path: Path) -> bool:
    return path.suffix.lower() not in (*_POINTS, _SURFACE)


def _grid_of(opened: OpenedImage | None) -> Geometry | None:
    """Return the grid of an image or of the volumes of a series."""
    return None if opened is None else Geometry(opened.path, opened.shape[:3], opened.affine, opened.pixdim)


def _points_of(path: Path) -> np.ndarray:
    return read_surface(path) if path.suffix.lower() == _SURFACE else read_landmarks(path).points


def _write_points(path: Path, points: np.ndarray, result: Path) -> None:
    if path.suffix.lower() == _SURFACE:
        write_surface(path, points, result)
    else:
        write_moved(read_landmarks(path), points, result)


def _write_image(opened: OpenedImage, target: Target, kind: str, form: str | None, result: Path) -> None:
    """Write an image or a series on the grid of the target."""
    affine, count = target.grid.affine, volume_count(opened)
    if kind in OF_LABELS:
        labels = read_label_scan(opened.path, form).volume.data
        sizes = {one: np.iinfo(one) for one in (np.uint8, np.int16, np.int32)}
        low, high = labels.min(), labels.max()
        stored = next(one for one, size in sizes.items() if size.min <= low and high <= size.max)
        write_volume(result, target.pulled(labels, opened.affine, kind, 0).astype(stored), affine, fast=True)
        return
    pulled = (target.pulled(data, opened.affine, kind, background_level(data)) for data in volumes(opened))
    if count == 1:
        write_volume(result, next(pulled), affine, fast=True)
    else:
        write_series(result, pulled, count, affine, opened.step)

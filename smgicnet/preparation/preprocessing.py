"""The way of a scan to the common grid: orientation, crop or pad, resampling, intensity, and no registration.

SciPy and nibabel are imported where they are used: Snakemake imports this module in an environment that has neither
(envs/snakemake.yaml).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smgicnet.core.errors import InputError
from smgicnet.core.files import atomic_path
from smgicnet.core.provenance import files_digest
from smgicnet.imaging.foreground import bounding_box, brain_centre
from smgicnet.imaging.grids import Grid
from smgicnet.imaging.images import Scan, Volume, on_grid_of, read_label_scan, read_scan, write_volume
from smgicnet.preparation.intensities import Intensities, match_histogram, on_dark_background, scale_intensity
from smgicnet.preparation.label_protocols import label_file, map_labels, roi_names, unknown_labels, unknown_sentence
from smgicnet.preparation.parcels import map_parcels

log = logging.getLogger(__name__)
MIN_STEPS = 4  # voxels of the common grid that a brain has to span along each axis
MAX_CUT_PERCENT = 5.0  # so much of the brain may lie beyond the common grid


def to_canonical(volume: Volume) -> Volume:
    """Permute and flip the axes to the closest to RAS; every voxel keeps its place in the world."""
    import nibabel as nib

    image = nib.as_closest_canonical(nib.Nifti1Image(volume.data, volume.affine))
    return Volume(np.asarray(image.dataobj), image.affine)


def common_affine(volume: Volume, centre: np.ndarray, grid: Grid) -> np.ndarray:
    """Return the affine of the common grid, whose axes are the world's, RAS.

    Its centre is ``centre (3,)``, in the image's voxels. The header's rotation counts, so that a head lies alike on the
    common grid however its slices were tilted.
    """
    affine = np.diag([grid.spacing] * 3 + [1.0])
    affine[:3, 3] = volume.affine[:3, :3] @ centre + volume.affine[:3, 3]
    affine[:3, 3] -= grid.spacing * (np.array(grid.shape) - 1) / 2
    return affine


def resample(volume: Volume, affine: np.ndarray, shape: tuple[int, ...], *, order: int, fill: float = 0) -> np.ndarray:
    """Resample ``volume`` to another grid: crop, pad, zoom and affine in one interpolation.

    ``order`` 1 (images) smooths first where the new voxels are larger, against aliasing; ``order`` 0 is for labels.
    A voxel reaches half a voxel out from its centre, at the volume's border too, as in ITK; beyond it is ``fill``.
    """
    from scipy import ndimage

    to_source = np.linalg.inv(volume.affine) @ affine
    data = volume.data
    if order > 0:
        step = np.linalg.norm(to_source[:3, :3], axis=1)  # the size of a new voxel along each axis of the source
        data = ndimage.gaussian_filter(data, np.maximum(0, (step - 1) / 2), mode="nearest")
    found = ndimage.affine_transform(
        data, to_source[:3, :3], to_source[:3, 3], output_shape=shape, order=order, mode="nearest"
    )
    found[~_within(to_source, shape, volume.data.shape)] = fill
    return found


def _within(to_source: np.ndarray, shape: tuple[int, ...], source: tuple[int, ...]) -> np.ndarray:
    """Return the mask of a grid's voxels, ``shape``, that lie in a voxel of the volume of shape ``source``."""
    inside = np.ones(shape, bool)
    steps = [
        np.arange(n, dtype=np.float64).reshape([-1 if a == axis else 1 for a in range(3)])
        for axis, n in enumerate(shape)
    ]
    for row, size in zip(to_source[:3], source):
        index = row[3] + sum(factor * step for factor, step in zip(row, steps))
        inside &= (index >= -0.5) & (index < size - 0.5)
    return inside


def read_intensities(path: str | Path) -> Intensities:
    """Read the `Intensities` of a skull-stripped image. Raises `InputError` if it is unusable."""
    scan = read_scan(path)
    return Intensities.of(scan.volume.data, _brain(scan))


def _brain(scan: Scan) -> np.ndarray:
    if not scan.brain.any():
        raise InputError(scan.path, "nothing is brighter than its background", "Give a skull-stripped T1 image")
    return scan.brain


@dataclass(frozen=True)
class Prepared:
    """One subject on the common grid.

    Attributes
    ----------
    image : ``(D, H, W)`` float32 in [0, 1]
    labels : ``(D, H, W)`` uint8, None without a label map
    parcels : ``(D, H, W)`` uint8 codes of `smgicnet.preparation.parcels.parcel_names`, None without a label map
    affine : ``(4, 4)``, voxel index to the scan's world, RAS mm
    report : what was done, as JSON can hold it
    native : the scan in RAS axes before it was resampled and scaled from the report's ``intensity_range``
    """

    image: np.ndarray
    labels: np.ndarray | None
    parcels: np.ndarray | None
    affine: np.ndarray
    report: dict[str, Any]
    native: Volume


def prepare(
    image: str | Path | Scan,
    labels: str | Path | Scan | None,
    grid: Grid,
    placement: np.ndarray | None = None,
    *,
    mapping: str = "freesurfer",
    reference: Intensities | None = None,
    form: str | None = None,
) -> Prepared:
    """Do all steps for one subject, with one interpolation.

    Parameters
    ----------
    image, labels : their files, or what has been read from these
    placement : ``(4, 4)``, voxels of the common grid to the scan's world, RAS mm; by default centred on the brain
    mapping : the label map's protocol, see `label_file`
    reference : intensities that the image's histogram is matched to
    form : which place a header that names two stands for, see `smgicnet.imaging.headers.open_image`

    Raises `InputError` for an unusable image or label map.
    """
    scan = image if isinstance(image, Scan) else read_scan(image, form)
    volume = to_canonical(scan.volume)
    mask = to_canonical(Volume(_brain(scan).view(np.uint8), scan.volume.affine)).data.astype(bool)
    _check_extent(scan.path, volume, mask, grid)
    affine = common_affine(volume, brain_centre(mask), grid) if placement is None else placement
    cut = 100 - 100 * _covered(volume, mask, affine, grid)
    if cut > MAX_CUT_PERCENT:
        raise _cut_off(scan.path, _extent(volume, mask), cut, aligned=placement is not None)
    matched, intensities = _matched(volume, mask, reference)
    low, high = intensities.range
    resampled = resample(matched, affine, grid.shape, order=1, fill=low)
    rois, parcels, missing, unknown, labels_path = None, None, None, None, None
    if labels:
        label_scan = labels if isinstance(labels, Scan) else read_label_scan(labels, form)
        labels_path = str(label_scan.path)
        rois, parcels, unknown = _prepare_labels(scan, label_scan, affine, grid, mapping)
        missing = [name for roi, name in roi_names().items() if not (rois == roi).any()]
    report = {
        "image": str(scan.path),
        "labels": labels_path,
        **_described(scan.volume, volume, mask),
        "cut_percent": round(float(cut), 3),
        "intensity_range": [low, high],
        "histogram_matched": reference is not None,
        "grid_shape": list(grid.shape),
        "grid_spacing_mm": grid.spacing,
        "rois_missing": missing,
        "labels_unknown": unknown,
        "parcels": None if parcels is None else int(np.count_nonzero(np.bincount(parcels.ravel())[1:])),
    }
    return Prepared(scale_intensity(resampled, low, high), rois, parcels, affine, report, matched)


def _matched(volume: Volume, mask: np.ndarray, reference: Intensities | None) -> tuple[Volume, Intensities]:
    """Return a volume on a dark background, matched to a reference where there is one, and its intensities."""
    dark = on_dark_background(volume, mask)
    intensities = Intensities.of(dark.data, mask)
    if reference is None:
        return dark, intensities
    return Volume(match_histogram(dark.data, intensities, reference), dark.affine), reference


def _described(original: Volume, volume: Volume, mask: np.ndarray) -> dict[str, Any]:
    """Return what a report says of a scan; ``volume`` and ``mask`` are those of `to_canonical`."""
    from nibabel import aff2axcodes

    return {
        "source_shape": list(original.data.shape),
        "source_spacing_mm": original.spacing.round(4).tolist(),
        "source_orientation": "".join(aff2axcodes(original.affine)),
        "bounding_box": bounding_box(mask).tolist(),
        "foreground_ml": round(float(mask.sum() * np.prod(volume.spacing) / 1000), 1),
    }


def _extent(volume: Volume, mask: np.ndarray) -> np.ndarray:
    """Return the lengths ``(3,)`` of the mask's box along each axis, in mm."""
    box = bounding_box(mask)
    return (box[:, 1] - box[:, 0] + 1) * volume.spacing


def _cut_off(path: str | Path, extent: np.ndarray, cut: float, *, aligned: bool) -> InputError:
    """Return the error for a brain of which ``cut`` percent lie beyond the common grid."""
    remedy = "Enlarge grid.shape or grid.spacing, or check the skull strip"
    if aligned:
        remedy = "Its affine alignment has failed: look at its preprocessed image, or set another affine.engine"
    spans = extent.round().astype(int).tolist()
    return InputError(
        path, f"its foreground spans {spans} mm and {cut:.0f} % of it lies beyond the common grid", remedy
    )


def _check_extent(path: str | Path, volume: Volume, mask: np.ndarray, grid: Grid) -> None:
    """Raise `InputError` for a brain too thin to be registered, as by a few slices or a header in another unit."""
    extent = _extent(volume, mask)
    if extent.min() < MIN_STEPS * grid.spacing:
        told = " x ".join(f"{length:.3g}" for length in extent)
        raise InputError(
            path,
            f"its foreground spans {told} mm, and {MIN_STEPS * grid.spacing:g} mm along each axis are needed",
            "Give a whole brain, and check the voxel sizes in the header",
        )


def _covered(volume: Volume, mask: np.ndarray, affine: np.ndarray, grid: Grid) -> float:
    """Return the fraction of the mask that lies inside the common grid."""
    to_grid = np.linalg.inv(affine) @ volume.affine

    def inside(voxels: np.ndarray) -> np.ndarray:
        index = voxels @ to_grid[:3, :3].T + to_grid[:3, 3]
        return ((index > -0.5) & (index < np.array(grid.shape) - 0.5)).all(axis=1)

    corners = np.stack(np.meshgrid(*bounding_box(mask)), axis=-1).reshape(-1, 3)
    return 1.0 if inside(corners).all() else float(inside(np.argwhere(mask)).mean())


def _prepare_labels(
    image: Scan, labels: Scan, affine: np.ndarray, grid: Grid, mapping: str
) -> tuple[np.ndarray, np.ndarray, dict[str, Any] | None]:
    """Return ROIs and parcels on the common grid, and what the report says of ids that the protocol lacks."""
    volume = on_grid_of(image.volume, labels.volume, image.path, labels.path)
    mapped = map_labels(volume.data, mapping)
    if not mapped.any():
        raise InputError(
            labels.path,
            f"none of the 36 ROIs is in it by {label_file(mapping).name}",
            "Name its protocol, or a table of your own, in preprocessing.labels",
        )
    parcels = map_parcels(volume.data, mapping)
    resampled, fine = (
        resample(to_canonical(Volume(one, volume.affine)), affine, grid.shape, order=0) for one in (mapped, parcels)
    )
    if not resampled.any():
        raise InputError(
            labels.path,
            "no ROI is left on the common grid",
            "Check that the labels lie on the brain, or refine the grid",
        )
    unknown, said = unknown_labels(volume.data, mapping), None
    if unknown:
        labelled = int((volume.data != 0).sum())
        log.warning("%s: %s", labels.path, unknown_sentence(unknown, labelled, mapping))
        voxels = sum(unknown.values())
        said = {"ids": list(unknown), "voxels": voxels, "percent": round(100 * voxels / labelled, 3)}
    return resampled, fine, said


def write_prepared(
    prepared: Prepared,
    paths: Mapping[str, str | Path],
    *,
    steps: Iterable[str | Path] = (),
    truth: Sequence[str | Path] = (),
) -> None:
    """Write a subject's image, its labels and parcels (all zero where there are none) and the record of it all.

    ``paths`` are by the keys of `smgicnet.core.layout.PREPARED`; ``steps`` are the files (JSON) that record earlier
    steps. The record has a digest of each file, and of ``truth``, the subject's true transforms where these are made:
    whoever depends on any of them depends on the record.
    """
    write_volume(paths["image"], prepared.image, prepared.affine, unit=True)
    for kind, regions in (("labels", prepared.labels), ("parcels", prepared.parcels)):
        none = np.zeros(prepared.image.shape, np.uint8)
        write_volume(paths[kind], none if regions is None else regions, prepared.affine)
    digests = {kind: files_digest([paths[kind]]) for kind in ("image", "labels", "parcels")}
    digests |= {"truth": files_digest(truth)} if truth else {}
    done = [json.loads(Path(path).read_text(encoding="utf-8")) for path in steps]
    with atomic_path(paths["preprocessing"]) as part:
        part.write_text(json.dumps({**prepared.report, "steps": done, "digests": digests}, indent=2) + "\n")

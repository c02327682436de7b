"""From a scan to the common grid: orientation, crop or pad, resampling, intensity. No registration of any kind.

SciPy and nibabel are imported where they are used: Snakemake imports this module in an environment that has neither
(envs/snakemake.yaml).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smgicnet.core.errors import InputError
from smgicnet.core.files import atomic_path
from smgicnet.imaging.foreground import background_level, bounding_box, brain_centre, foreground, is_inside_range
from smgicnet.imaging.grids import Grid
from smgicnet.imaging.images import Volume, on_grid_of, read_image, read_labels, write_volume
from smgicnet.preparation.label_protocols import label_file, map_labels, roi_names, unknown_labels, unknown_sentence

log = logging.getLogger(__name__)
DARK_MARGIN = 0.35  # of the brain's robust range: how far below its darkest voxels a T1 image's zero lies, roughly
MIN_STEPS = 4  # voxels of the common grid that a brain has to span along each axis
PERCENTILES = (0.5, 99.5)  # of the foreground
_QUANTILES = np.concatenate([[0, 0.5], np.arange(1, 100), [99.5, 100]])
MAX_CUT_PERCENT = 5.0


def to_canonical(volume: Volume) -> Volume:
    """Permute and flip the axes to the closest to RAS; the world stays where it is."""
    import nibabel as nib

    image = nib.as_closest_canonical(nib.Nifti1Image(volume.data, volume.affine))
    return Volume(np.asarray(image.dataobj), image.affine)


def common_affine(volume: Volume, centre: np.ndarray, grid: Grid) -> np.ndarray:
    """Affine of the common grid, its centre on ``centre (3,)`` in the image's voxels, its axes along the world's, RAS.

    So the header's rotation counts: a head lies alike on the common grid however its slices were tilted.
    """
    affine = np.diag([grid.spacing] * 3 + [1.0])
    affine[:3, 3] = volume.affine[:3, :3] @ centre + volume.affine[:3, 3]
    affine[:3, 3] -= grid.spacing * (np.array(grid.shape) - 1) / 2
    return affine


def resample(volume: Volume, affine: np.ndarray, shape: tuple[int, ...], *, order: int, fill: float = 0) -> np.ndarray:
    """``volume`` at the voxels of another grid: crop, pad, zoom and affine in one interpolation.

    ``order`` 1 (images) smooths first where the new voxels are larger, against aliasing; ``order`` 0 is for labels.
    A voxel reaches half a voxel out from its centre, at the volume's border too, as in ITK;
    beyond is ``fill``.
    """
    from scipy import ndimage

    to_source = np.linalg.inv(volume.affine) @ affine
    data = volume.data
    if order > 0:
        step = np.linalg.norm(to_source[:3, :3], axis=1)  # of a new voxel, along each axis of the source
        data = ndimage.gaussian_filter(data, np.maximum(0, (step - 1) / 2), mode="nearest")
    found = ndimage.affine_transform(
        data, to_source[:3, :3], to_source[:3, 3], output_shape=shape, order=order, mode="nearest"
    )
    found[~_within(to_source, shape, volume.data.shape)] = fill
    return found


def _within(to_source: np.ndarray, shape: tuple[int, ...], source: tuple[int, ...]) -> np.ndarray:
    """Which voxels of a grid ``shape`` fall into a voxel of the volume of shape ``source``."""
    inside = np.ones(shape, bool)
    steps = [
        np.arange(n, dtype=np.float64).reshape([-1 if a == axis else 1 for a in range(3)])
        for axis, n in enumerate(shape)
    ]
    for row, size in zip(to_source[:3], source):
        index = row[3] + sum(factor * step for factor, step in zip(row, steps))
        inside &= (index >= -0.5) & (index < size - 0.5)
    return inside


def scale_intensity(data: np.ndarray, low: float, high: float) -> np.ndarray:
    """``[low, high]`` to [0, 1], clipped."""
    return np.clip((data - low) / (high - low), 0, 1).astype(np.float32)


@dataclass(frozen=True)
class Intensities:
    """What scaling and histogram matching go by: the ``background`` and ``quantiles`` (0 to 100 %) of the brain."""

    background: float
    quantiles: np.ndarray

    @classmethod
    def of(cls, data: np.ndarray, mask: np.ndarray) -> Intensities:
        return cls(background_level(data), np.percentile(data[mask], _QUANTILES))

    @property
    def range(self) -> tuple[float, float]:
        """What becomes 0 and 1: robust, and not above the background."""
        low, high = np.interp(PERCENTILES, _QUANTILES, self.quantiles)
        return min(self.background, float(low)), float(high)


def read_intensities(path: str | Path) -> Intensities:
    """`Intensities` of a skull-stripped image, to which others are matched. Raises `InputError` if it is unusable."""
    volume = read_image(path)
    return Intensities.of(volume.data, _brain(volume, path))


def match_histogram(data: np.ndarray, own: Intensities, reference: Intensities) -> np.ndarray:
    """``data`` with the brain's quantiles brought to the reference's, background to background."""
    source, unique = np.unique([own.background, *own.quantiles], return_index=True)
    target = np.maximum.accumulate(np.array([reference.background, *reference.quantiles])[unique])
    return np.interp(data, source, target).astype(np.float32)


def _brain(volume: Volume, path: str | Path) -> np.ndarray:
    mask = foreground(volume.data)
    if not mask.any():
        raise InputError(path, "nothing is brighter than its background", "Give a skull-stripped T1 image")
    return mask


@dataclass(frozen=True)
class Prepared:
    """One subject on the common grid: ``image`` float32 in [0, 1], ``labels`` uint8 or None, what was done."""

    image: np.ndarray
    labels: np.ndarray | None
    affine: np.ndarray
    report: dict


def prepare(
    image_path: str | Path,
    labels_path: str | Path | None,
    grid: Grid,
    placement: np.ndarray | None = None,
    *,
    mapping: str = "freesurfer",
    reference: Intensities | None = None,
    form: str | None = None,
) -> Prepared:
    """All steps for one subject, with one interpolation.

    Parameters
    ----------
    placement : ``(4, 4)``, voxels of the common grid to the scan's world, RAS mm; by default centred on the brain
    mapping : the label map's protocol, see `label_file`
    reference : intensities that the image's histogram is matched to
    form : which place a header that names two stands for, see `smgicnet.imaging.headers.open_image`

    Raises `InputError` for an unusable image or label map.
    """
    from nibabel import aff2axcodes

    original = read_image(image_path, form)
    volume = to_canonical(original)
    mask = _brain(volume, image_path)
    box = bounding_box(mask)
    _check_extent(image_path, volume, box, grid)
    affine = common_affine(volume, brain_centre(mask), grid) if placement is None else placement
    cut = 100 - 100 * _covered(volume, mask, affine, grid)
    if cut > MAX_CUT_PERCENT:
        extent = ((box[:, 1] - box[:, 0] + 1) * volume.spacing).round().astype(int).tolist()
        raise InputError(
            image_path,
            f"its foreground spans {extent} mm and {cut:.0f} % of it lies beyond the common grid",
            "Enlarge grid.shape or grid.spacing, or check the skull strip"
            if placement is None
            else "Its affine alignment has failed: look at its preprocessed image, or set another affine.engine",
        )
    volume = on_dark_background(volume, mask)
    intensities = Intensities.of(volume.data, mask)
    if reference:
        volume = Volume(match_histogram(volume.data, intensities, reference), volume.affine)
        intensities = reference
    low, high = intensities.range
    resampled = resample(volume, affine, grid.shape, order=1, fill=low)
    labels, missing, unknown = None, None, None
    if labels_path:
        labels, unknown = _prepare_labels(original, image_path, labels_path, affine, grid, mapping, form)
        missing = [name for roi, name in roi_names().items() if not (labels == roi).any()]
    report = {
        "image": str(image_path),
        "labels": str(labels_path) if labels_path else None,
        "source_shape": list(original.data.shape),
        "source_spacing_mm": original.spacing.round(4).tolist(),
        "source_orientation": "".join(aff2axcodes(original.affine)),
        "bounding_box": box.tolist(),
        "foreground_ml": round(float(mask.sum() * np.prod(volume.spacing) / 1000), 1),
        "cut_percent": round(float(cut), 3),
        "intensity_range": [low, high],
        "histogram_matched": reference is not None,
        "grid_shape": list(grid.shape),
        "grid_spacing_mm": grid.spacing,
        "rois_missing": missing,
        "labels_unknown": unknown,
    }
    return Prepared(scale_intensity(resampled, low, high), labels, affine, report)


def _check_extent(path: str | Path, volume: Volume, box: np.ndarray, grid: Grid) -> None:
    """Raise `InputError` for what is too thin to be registered, a few slices, or a header in another unit."""
    extent = (box[:, 1] - box[:, 0] + 1) * volume.spacing
    if extent.min() < MIN_STEPS * grid.spacing:
        told = " x ".join(f"{length:.3g}" for length in extent)
        raise InputError(
            path,
            f"its foreground spans {told} mm, and {MIN_STEPS * grid.spacing:g} mm along each axis are needed",
            "Give a whole brain, and check the voxel sizes in the header",
        )


def on_dark_background(volume: Volume, mask: np.ndarray) -> Volume:
    """The volume as it is where its background is dark; else with a dark one outside ``mask``.

    A z-scored brain that lies on 0 would have a background as bright as its grey matter, which no network has seen.
    Where its zero was is lost: in the MNI152 brain and the default cohort it is 0.6 of the brain's range below the
    darkest voxels, in brains with much fluid around them it is 0.05 below; `DARK_MARGIN` lies between.
    """
    if not is_inside_range(volume.data - background_level(volume.data)):
        return volume
    low, high = np.percentile(volume.data[mask], PERCENTILES)
    low -= DARK_MARGIN * (high - low)
    return Volume(np.where(mask, volume.data, low).astype(np.float32), volume.affine)


def _covered(volume: Volume, mask: np.ndarray, affine: np.ndarray, grid: Grid) -> float:
    """Fraction of the mask that lies inside the common grid."""
    to_grid = np.linalg.inv(affine) @ volume.affine
    index = np.argwhere(mask) @ to_grid[:3, :3].T + to_grid[:3, 3]
    return float(((index > -0.5) & (index < np.array(grid.shape) - 0.5)).all(axis=1).mean())


def _prepare_labels(
    image: Volume,
    image_path: str | Path,
    labels_path: str | Path,
    affine: np.ndarray,
    grid: Grid,
    mapping: str,
    form: str | None,
) -> tuple[np.ndarray, dict | None]:
    """The labels on the common grid, and what is said of ids that the protocol lacks."""
    labels = on_grid_of(image, read_labels(labels_path, form), image_path, labels_path)
    mapped = map_labels(labels.data, mapping)
    if not mapped.any():
        raise InputError(
            labels_path,
            f"none of the 36 ROIs is in it by {label_file(mapping).name}",
            "Name its protocol, or a table of your own, in preprocessing.labels",
        )
    resampled = resample(to_canonical(Volume(mapped, labels.affine)), affine, grid.shape, order=0)
    if not resampled.any():
        raise InputError(
            labels_path,
            "no ROI is left on the common grid",
            "Check that the labels lie on the brain, or refine the grid",
        )
    unknown, said = unknown_labels(labels.data, mapping), None
    if unknown:
        labelled = int((labels.data != 0).sum())
        log.warning("%s: %s", labels_path, unknown_sentence(unknown, labelled, mapping))
        voxels = sum(unknown.values())
        said = {"ids": list(unknown), "voxels": voxels, "percent": round(100 * voxels / labelled, 3)}
    return resampled, said


def write_prepared(
    prepared: Prepared,
    image_path: str | Path,
    labels_path: str | Path,
    report_path: str | Path,
    *,
    steps: Iterable[str | Path] = (),
) -> None:
    """Write a subject's image, labels (all zero where there are none) and the record of what was done.

    ``steps`` are the records (JSON) of what was done before.
    """
    labels = prepared.labels if prepared.labels is not None else np.zeros(prepared.image.shape, np.uint8)
    write_volume(image_path, prepared.image, prepared.affine, unit=True)
    write_volume(labels_path, labels, prepared.affine)
    report = {**prepared.report, "steps": [json.loads(Path(path).read_text(encoding="utf-8")) for path in steps]}
    with atomic_path(report_path) as part:
        part.write_text(json.dumps(report, indent=2) + "\n")

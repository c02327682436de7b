"""From a scan to the common grid: orientation, crop or pad, resampling, intensity. No registration of any kind.

SciPy and nibabel are imported where they are used: Snakemake imports this module for the label tables alone, in each of
its processes and in an environment that has neither (envs/snakemake.yaml).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from smgicnet.errors import InputError
from smgicnet.images import Volume, atomic_path, check_same_grid, read_image, read_labels, write_volume

_PACKAGE = Path(__file__).parent
# an installed package carries the tables; in a checkout they stand in config/
_TABLES = _PACKAGE / "labels" if (_PACKAGE / "labels").is_dir() else _PACKAGE.parent / "config" / "labels"
LABEL_TABLE = _TABLES / "freesurfer.tsv"
FOREGROUND_FRACTION = 0.05  # of the robust intensity range above the background
PERCENTILES = (0.5, 99.5)  # of the foreground
_QUANTILES = np.concatenate([[0, 0.5], np.arange(1, 100), [99.5, 100]])
MAX_CUT_PERCENT = 5.0
TAIL = 0.01  # of the brain's voxels


@dataclass(frozen=True)
class Grid:
    """The common grid: ``shape`` in voxels, isotropic ``spacing`` in mm."""

    shape: tuple[int, ...]
    spacing: float


def to_canonical(volume: Volume) -> Volume:
    """Permute and flip the axes to the closest to RAS; the world stays where it is."""
    import nibabel as nib

    image = nib.as_closest_canonical(nib.Nifti1Image(volume.data, volume.affine))
    return Volume(np.asarray(image.dataobj), image.affine)


def background_level(data: np.ndarray) -> float:
    """The intensity of the background: the median over the volume's six faces (0 for most stripped brains)."""
    # np.take would copy a Fortran-ordered volume
    faces = [np.moveaxis(data, axis, 0)[index].ravel() for axis in range(3) for index in (0, -1)]
    return float(np.median(np.concatenate(faces)))


def foreground(data: np.ndarray) -> np.ndarray:
    """The brain of a skull-stripped image: the largest component clearly above the background, as a mask."""
    from scipy import ndimage

    above = data - background_level(data)
    mask = above > FOREGROUND_FRACTION * np.percentile(above, 99.9)
    components, count = ndimage.label(mask)
    if count > 1:
        mask = components == 1 + np.argmax(np.bincount(components.ravel())[1:])
    return mask


def bounding_box(mask: np.ndarray) -> np.ndarray:
    """``(3, 2)``: first and last index of the mask along each axis."""
    spans = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    return np.array([[span[0], span[-1]] for span in spans])


def brain_centre(mask: np.ndarray) -> np.ndarray:
    """``(3,)``: centre, in voxels, of the box that leaves `TAIL` of the mask outside at each of its six sides.

    What hangs below a brain, cerebrospinal fluid in the neck above all, would pull the centre of the whole box down.
    """
    centre = []
    for axis in range(3):
        share = np.cumsum(mask.sum(axis=tuple(a for a in range(3) if a != axis))) / mask.sum()
        centre.append((np.searchsorted(share, TAIL, side="right") + np.searchsorted(share, 1 - TAIL)) / 2)
    return np.array(centre)


def common_affine(volume: Volume, centre: np.ndarray, grid: Grid) -> np.ndarray:
    """Affine of the common grid, its centre on ``centre (3,)`` in the image's voxels, its axes along the image's."""
    linear = volume.affine[:3, :3] / volume.spacing * grid.spacing
    world = volume.affine[:3, :3] @ centre + volume.affine[:3, 3]
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = world - linear @ ((np.array(grid.shape) - 1) / 2)
    return affine


def resample(volume: Volume, affine: np.ndarray, shape: tuple[int, ...], *, order: int, fill: float = 0) -> np.ndarray:
    """``volume`` at the voxels of another grid: crop, pad, zoom and affine in one interpolation.

    ``order`` 1 (images) smooths first where the new voxels are larger, against aliasing; ``order`` 0 is for labels.
    """
    from scipy import ndimage

    to_source = np.linalg.inv(volume.affine) @ affine
    data = volume.data
    if order > 0:
        step = np.linalg.norm(to_source[:3, :3], axis=0)
        data = ndimage.gaussian_filter(data, np.maximum(0, (step - 1) / 2), mode="nearest")
    return ndimage.affine_transform(
        data, to_source[:3, :3], to_source[:3, 3], output_shape=shape, order=order, mode="constant", cval=fill
    )


def scale_intensity(data: np.ndarray, low: float, high: float) -> np.ndarray:
    """``[low, high]`` to [0, 1], clipped."""
    return np.clip((data - low) / (high - low), 0, 1).astype(np.float32)


def label_file(mapping: str) -> Path:
    """The table of a label protocol: ``"freesurfer"``, ``"seg35"`` (neurite-OASIS), or the path of one's own."""
    return Path(mapping) if mapping.endswith(".tsv") else _TABLES / f"{mapping}.tsv"


@cache
def label_table(mapping: str = "freesurfer") -> pd.DataFrame:
    """A table of ``config/labels/``: source ``label``, target ``roi`` (FreeSurfer id) and its ``name``.

    Raises `InputError` for a table that is missing or maps a label twice or to none of the 36 ROIs.
    """
    path = label_file(mapping)
    if not path.is_file():
        known = sorted(one.stem for one in _TABLES.glob("*.tsv"))
        raise InputError(path, "no such table of labels", f"Use one of {known}, or the path of a .tsv")
    try:
        table = pd.read_csv(path, sep="\t", dtype={"label": int, "roi": int})[["label", "roi", "name"]]
    except (ValueError, KeyError) as error:
        raise InputError(path, f"not a table of labels ({error})", "Give the columns label, roi and name") from error
    unknown = [] if path == LABEL_TABLE else sorted(set(table["roi"]) - roi_names().keys())
    if unknown or table["label"].duplicated().any():
        problem = f"{unknown} are none of the 36 ROIs" if unknown else "a label is mapped twice"
        raise InputError(path, problem, f"Map each label once, to a roi of {LABEL_TABLE.name}")
    return table


@cache
def roi_names() -> dict[int, str]:
    """FreeSurfer id to name of the 36 ROIs, in anatomical order."""
    table = label_table()
    return dict(zip(table["roi"], table["name"]))


def map_labels(labels: np.ndarray, mapping: str = "freesurfer") -> np.ndarray:
    """Source labels to the 36 ROIs, uint8; what is not listed becomes 0."""
    table = label_table(mapping)
    values, inverse = np.unique(labels, return_inverse=True)
    targets = dict(zip(table["label"], table["roi"]))
    return np.array([targets.get(int(v), 0) for v in values], dtype=np.uint8)[inverse].reshape(labels.shape)


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
) -> Prepared:
    """All steps for one subject, with one interpolation.

    Parameters
    ----------
    placement : ``(4, 4)``, voxels of the common grid to the scan's world, RAS mm; by default centred on the brain
    mapping : the label map's protocol, see `label_file`
    reference : intensities that the image's histogram is matched to

    Raises `InputError` for an unusable image or label map.
    """
    from nibabel import aff2axcodes

    original = read_image(image_path)
    volume = to_canonical(original)
    mask = _brain(volume, image_path)
    box = bounding_box(mask)
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
    intensities = Intensities.of(volume.data, mask)
    if reference:
        volume = Volume(match_histogram(volume.data, intensities, reference), volume.affine)
        intensities = reference
    low, high = intensities.range
    resampled = resample(volume, affine, grid.shape, order=1, fill=low)
    labels, missing = None, None
    if labels_path:
        labels = _prepare_labels(original, image_path, labels_path, affine, grid, mapping)
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
    }
    return Prepared(scale_intensity(resampled, low, high), labels, affine, report)


def _covered(volume: Volume, mask: np.ndarray, affine: np.ndarray, grid: Grid) -> float:
    """Fraction of the mask that lies inside the common grid."""
    to_grid = np.linalg.inv(affine) @ volume.affine
    index = np.argwhere(mask) @ to_grid[:3, :3].T + to_grid[:3, 3]
    return float(((index > -0.5) & (index < np.array(grid.shape) - 0.5)).all(axis=1).mean())


def _prepare_labels(
    image: Volume, image_path: str | Path, labels_path: str | Path, affine: np.ndarray, grid: Grid, mapping: str
) -> np.ndarray:
    labels = read_labels(labels_path)
    check_same_grid(image, labels, image_path, labels_path)
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
    return resampled


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

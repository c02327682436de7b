"""Synthetic T1-like images of subjects whose true transforms are known, from the embedded brain or from others.

All transforms here act on world points in RAS mm and pull back: ``subject(x) = template(T(x))``, ``T = phi_v o A``.
Two subjects of one template, twins, have a known map between them; those of different templates have none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.spatial.transform import Rotation

from smgicnet.cohort.rendering import RenderConfig, render, streams, to_classes, to_labels
from smgicnet.cohort.template import Template, load_template
from smgicnet.core.errors import InputError
from smgicnet.imaging.displacements import apply_field, grid_points
from smgicnet.imaging.images import Volume, reoriented

FIELD_SPACING = 3.0  # mm; linear interpolation of the default velocities then errs by less than 0.1 mm
FIELD_MARGIN = 40.0  # mm around the template's brain, in which the velocity falls to 0
SPARSE = 11  # of so many of a brain's voxels one is looked at for its box
IMAGE_MARGIN = 10.0  # mm of background around a brain to which the image is cut


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
    shape: tuple[int, ...] | None
    spacing: float
    rotation: float
    scale: float
    translation: float
    deformation: float
    velocity: tuple[VelocityScale, ...]
    orientations: tuple[str, ...]
    render: RenderConfig


@dataclass(frozen=True)
class SubjectTransform:
    """``T = phi_v o A`` and its inverse ``A^-1 o exp(-v)``: ``affine (4, 4)`` is A, ``forward`` and ``inverse`` are the
    displacement fields of exp(v) and exp(-v) in RAS mm on one template-space grid."""

    affine: np.ndarray
    forward: Volume
    inverse: Volume

    def to_template(self, points: np.ndarray) -> np.ndarray:
        """Map subject points ``(..., 3)`` to template points: T."""
        return apply_field(self.forward, apply_affine(self.affine, points))

    def from_template(self, points: np.ndarray) -> np.ndarray:
        """Map template points ``(..., 3)`` to subject points: T^-1."""
        return apply_affine(np.linalg.inv(self.affine), apply_field(self.inverse, points))


def draw_transform(template: Template, rng: np.random.Generator, config: PhantomConfig) -> SubjectTransform:
    """Draw a random `SubjectTransform`. Raises `InputError`, naming the keys, when its nonlinear part folds."""
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
    """``image`` float32 and ``labels`` (FreeSurfer's ids) in one stored orientation; the true T and T^-1 as
    displacement fields ``(X, Y, Z, 3)`` float32 in RAS mm: ``to_template`` on a subject-space grid, ``from_template``
    on a template-space one (read them with `apply_field`)."""

    image: Volume
    labels: Volume
    to_template: Volume
    from_template: Volume


def make_phantom(index: int, config: PhantomConfig, template: Template | None = None) -> PhantomSubject:
    """Make the subject ``index`` of a ``template``, by default the embedded one.

    It is the same bytes for the same seed, index, config and template. Raises `InputError` when the brain does not fit
    into the image or the deformation folds.
    """
    shape_rng, render_rng, storage_rng = streams(config.seed, index, 3)
    template = template or load_template()
    transform = draw_transform(template, shape_rng, config)
    shape, affine = _field_of_view(template, transform, config)
    regions = template.lookup(transform.to_template(grid_points(shape, affine)))
    if any(np.take(regions, end, axis).any() for axis in range(3) for end in (0, -1)):
        raise InputError(
            f"source.shape {list(shape)}",
            "a subject's brain does not fit into the image",
            "Enlarge source.shape or source.spacing, or set source.shape: null, which cuts each image to its brain",
        )
    image = render(to_classes(regions), template.tissues, render_rng, config.render)
    codes = config.orientations[storage_rng.integers(len(config.orientations))]
    to_template, from_template = _true_fields(transform, shape, affine)
    return PhantomSubject(
        reoriented(Volume(image, affine), codes),
        reoriented(Volume(to_labels(regions), affine), codes),
        to_template,
        from_template,
    )


def _field_of_view(
    template: Template, transform: SubjectTransform, config: PhantomConfig
) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape and affine of a subject's image, with the world's axes: of the config's shape around the template's centre,
    or else of the subject's own brain with `IMAGE_MARGIN` around it."""
    affine = np.diag([config.spacing, config.spacing, config.spacing, 1.0])
    if config.shape is not None:
        affine[:3, 3] = template.centre - config.spacing * (np.array(config.shape) - 1) / 2
        return config.shape, affine
    some = np.argwhere(template.regions > 0)[::SPARSE]
    brain = transform.from_template(apply_affine(template.affine, some))
    low, high = brain.min(axis=0) - IMAGE_MARGIN, brain.max(axis=0) + IMAGE_MARGIN
    affine[:3, 3] = low
    return tuple(int(n) + 1 for n in np.ceil((high - low) / config.spacing)), affine


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

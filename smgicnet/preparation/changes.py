"""Changes of heads, as a study of robustness makes them: of where a head lies, and of how a scanner saw it.

To add one, write its function and its entry in `CHANGES`, and the severities under ``evaluation.robustness`` in
config/schemas/config.schema.yaml: files, jobs, rows of metrics and figures take it from there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from smgicnet.preparation import image_changes


def rotation(degrees: float, random: np.random.Generator) -> np.ndarray:
    """Return a turn by ``degrees`` about a random axis through the origin, ``(4, 4)``."""
    from scipy.spatial.transform import Rotation  # not where the workflow is planned, which draws nothing

    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.radians(degrees) * _direction(random)).as_matrix()
    return matrix


def translation(millimetres: float, random: np.random.Generator) -> np.ndarray:
    """Return a shift by ``millimetres`` in a random direction, ``(4, 4)``."""
    matrix = np.eye(4)
    matrix[:3, 3] = millimetres * _direction(random)
    return matrix


def scale(percent: float, random: np.random.Generator) -> np.ndarray:
    """Return what makes a head larger or smaller by ``percent`` along every axis, ``(4, 4)``."""
    factor = 1 + percent / 100
    return np.diag([*[factor if random.uniform() < 0.5 else 1 / factor] * 3, 1])


@dataclass(frozen=True)
class Change:
    """A kind of change.

    ``name``: short, with the unit of its severity. ``label``: what its severity is, on an axis. ``place``: a function
    of a severity and a random generator that returns the map (4, 4) of a head about the centre of its brain, in mm;
    None for one that leaves it where it lies. ``image``: one of `smgicnet.preparation.image_changes`, or None.
    """

    name: str
    label: str
    place: Callable[[float, np.random.Generator], np.ndarray] | None = None
    image: image_changes.ImageChange | None = None


CHANGES = {
    "rotation": Change("turned (°)", "The head is turned by (degrees)", rotation),
    "translation": Change("shifted (mm)", "The head is shifted by (mm)", translation),
    "scale": Change("scaled (%)", "The head is larger or smaller by (%)", scale),
    "crop-top": Change("cut, top (%)", "Cut off at the top (% of the brain)", image=image_changes.crop_top),
    "crop-bottom": Change("cut, bottom (%)", "Cut off at the bottom (% of the brain)", image=image_changes.crop_bottom),
    "crop-side": Change("cut, side (%)", "Cut off at a side (% of the brain)", image=image_changes.crop_side),
    "slices": Change("slices (mm)", "Thickness of slices (mm)", image=image_changes.slices),
    "bias": Change("bias field", "Bias field (± log of intensity)", image=image_changes.bias),
    "noise": Change("noise", "Noise (SD, of white matter)", image=image_changes.noise),
    "t2": Change("T2", "From T1 (0) to T2 (1)", image=image_changes.t2),
    "flair": Change("FLAIR", "From T1 (0) to FLAIR (1)", image=image_changes.flair),
    "inverted": Change("negative", "From T1 (0) to its negative (1)", image=image_changes.inverted),
    "lesion": Change("lesion (ml)", "A dark lesion of (ml)", image=image_changes.lesion),
    "skull": Change("skull", "Skull and scalp left on (brightness)", image=image_changes.skull),
}


@dataclass(frozen=True)
class Variant:
    """One change of heads.

    ``change``: a key of `CHANGES`. ``severity``: how much of it, in the change's unit.
    """

    change: str
    severity: float

    @property
    def name(self) -> str:
        """Its name in files: ``rotation-30``."""
        return f"{self.change}-{self.severity:g}"

    def of(self, subject: str) -> str:
        """Return the name of a subject's head with this change; no subject has a slash in its name."""
        return f"{subject}/{self.name}"


@dataclass(frozen=True)
class Changes:
    """The changes of heads in a study.

    ``variants``: each of them is made of every head. ``shift``: the longest shift beside a change of place, in mm.
    ``seed``: of all that is drawn.
    """

    variants: tuple[Variant, ...]
    shift: float
    seed: int

    def to_own(self, variant: Variant, subject: str, centre: np.ndarray) -> np.ndarray:
        """Return the map ``(4, 4)`` from the world in which the changed head lies to the subject's own, RAS mm.

        The head is changed about ``centre (3,)`` of its brain, and then shifted by a vector that is uniform in the ball
        of radius ``shift``; one that is seen otherwise stays where it lies. What is drawn depends on seed, subject and
        variant alone: with other subjects or severities beside it a head is changed as before.
        """
        place = CHANGES[variant.change].place
        if place is None:
            return np.eye(4)
        random, around = self._random(variant, subject), np.eye(4)
        around[:3, 3] = centre
        changed = around @ place(variant.severity, random) @ np.linalg.inv(around)
        changed[:3, 3] += self.shift * random.uniform() ** (1 / 3) * _direction(random)
        return np.linalg.inv(changed)

    def seen(
        self, variant: Variant, subject: str, image: np.ndarray, labels: np.ndarray | None, spacing: float
    ) -> np.ndarray:
        """Return the image ``(D, H, W)`` in [0, 1] of a head as the variant has it seen, on voxels of that many mm."""
        change = CHANGES[variant.change].image
        if change is None:
            return image
        return change(image, labels, spacing, variant.severity, self._random(variant, subject))

    def _random(self, variant: Variant, subject: str) -> np.random.Generator:
        words = hashlib.sha256(f"{subject}\t{variant.name}".encode()).digest()
        return np.random.default_rng([self.seed, *words])


def _direction(random: np.random.Generator) -> np.ndarray:
    """Return a unit vector ``(3,)``, uniform over all directions."""
    vector = random.normal(size=3)
    return vector / np.linalg.norm(vector)

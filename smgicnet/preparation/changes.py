"""Changes of where a head lies, as a study of robustness makes them: how they are drawn, and the map that undoes them.

To add one, write a function of its severity and a random generator, its entry in `CHANGES`, and the severities under
``evaluation.robustness`` in config/schemas/config.schema.yaml: files, jobs and rows of metrics take it from there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


def rotation(degrees: float, random: np.random.Generator) -> np.ndarray:
    """Return a turn by ``degrees`` about a random axis through the origin, ``(4, 4)``."""
    from scipy.spatial.transform import Rotation  # not where the workflow is planned, which draws nothing

    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.radians(degrees) * _direction(random)).as_matrix()
    return matrix


# functions of a severity and a random generator: the map (4, 4) of a head about the centre of its brain, in mm
CHANGES: dict[str, Callable[[float, np.random.Generator], np.ndarray]] = {"rotation": rotation}


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
        """The name of a subject's head with this change, among those of subjects, which have no such character."""
        return f"{subject}/{self.name}"


@dataclass(frozen=True)
class Changes:
    """How the heads of a study are changed.

    ``variants``: each of them is made of every head. ``shift``: the longest shift beside it, in mm. ``seed``: of all
    that is drawn.
    """

    variants: tuple[Variant, ...]
    shift: float
    seed: int

    def to_own(self, variant: Variant, subject: str, centre: np.ndarray) -> np.ndarray:
        """Return the map ``(4, 4)`` from the world in which the changed head lies to the subject's own, RAS mm.

        The head is changed about ``centre (3,)`` of its brain, and then shifted by a vector that is uniform in the ball
        of radius ``shift``. What is drawn depends on seed, subject and variant alone: with other subjects or severities
        beside it a head is changed as before.
        """
        words = hashlib.sha256(f"{subject}\t{variant.name}".encode()).digest()
        random = np.random.default_rng([self.seed, *words])
        around = np.eye(4)
        around[:3, 3] = centre
        changed = around @ CHANGES[variant.change](variant.severity, random) @ np.linalg.inv(around)
        changed[:3, 3] += self.shift * random.uniform() ** (1 / 3) * _direction(random)
        return np.linalg.inv(changed)


def _direction(random: np.random.Generator) -> np.ndarray:
    """Return a unit vector ``(3,)``, uniform over all directions."""
    vector = random.normal(size=3)
    return vector / np.linalg.norm(vector)

"""Affine alignments of pairs, as an engine has found them, in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smgicnet.core.errors import InputError
from smgicnet.core.files import atomic_path


@dataclass(frozen=True)
class Alignment:
    """The affine alignment of a pair.

    Attributes
    ----------
    matrix : ``(4, 4)``, from the fixed world to the moving world, RAS mm
    seconds : the wall time, with the reading of both files, as FLIRT cannot be timed without it
    """

    matrix: np.ndarray
    seconds: float


def voxel_matrix(matrix: np.ndarray, fixed_affine: np.ndarray, moving_affine: np.ndarray) -> np.ndarray:
    """Return an alignment's matrix as a map from fixed to moving voxel indices; all matrices are ``(4, 4)``."""
    return np.linalg.inv(moving_affine) @ matrix @ fixed_affine


def world_matrix(matrix: np.ndarray, fixed_affine: np.ndarray, moving_affine: np.ndarray) -> np.ndarray:
    """Return a map from fixed to moving voxel indices as an alignment's matrix, the inverse of `voxel_matrix`."""
    world: np.ndarray = moving_affine @ matrix @ np.linalg.inv(fixed_affine)
    return world


def write_alignments(path: str | Path, alignments: Mapping[tuple[str, str], Alignment], **facts: object) -> None:
    """Write alignments by (fixed, moving) as JSON, atomically and in full precision, with ``facts`` beside them."""
    rows = [
        {"fixed": fixed, "moving": moving, "seconds": found.seconds, "matrix": found.matrix.tolist()}
        for (fixed, moving), found in alignments.items()
    ]
    with atomic_path(path) as part:
        part.write_text(json.dumps({**facts, "alignments": rows}, indent=1) + "\n")


def read_alignments(path: str | Path) -> dict[tuple[str, str], Alignment]:
    """Read what `write_alignments` wrote. Raises `InputError` when it is missing or damaged."""
    try:
        rows = json.loads(Path(path).read_text())["alignments"]
        return {(r["fixed"], r["moving"]): Alignment(np.array(r["matrix"], dtype=float), r["seconds"]) for r in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(path, f"not a readable file of alignments ({error})", "Delete it and align again") from error

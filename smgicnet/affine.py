"""Affine pre-registration by one of two engines, FSL's FLIRT or ANTs.

There is one convention inside: a matrix ``(4, 4)`` from world to world in RAS mm that pulls back: it maps a point of
the fixed image's world to the moving image's. FSL's convention ends in `smgicnet.flirt`, ITK's in
`smgicnet.ants_affine`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from smgicnet.errors import InputError
from smgicnet.flirt import REMEDY, align_by_flirt, find_flirt, flirt_version, require_flirt
from smgicnet.images import atomic_path


@dataclass(frozen=True)
class AffineConfig:
    """``engine`` is ``flirt`` or ``ants``, as `choose_engine` resolves it; rotations are searched up to
    ``search_degrees`` about each axis, to either side."""

    engine: str
    search_degrees: float


@dataclass(frozen=True)
class Alignment:
    """``matrix (4, 4)`` from the fixed world to the moving world, RAS mm. ``seconds`` is the wall time of the
    alignment, reading both files included, as FLIRT cannot be timed without it."""

    matrix: np.ndarray
    seconds: float


def choose_engine(engine: str, *, conda: bool) -> tuple[str, str]:
    """``auto``, ``flirt`` or ``ants`` resolved to ``flirt`` or ``ants``, and the reason as a sentence.

    With ``conda`` the workflow's environment ``envs/fsl.yaml`` brings FLIRT.
    Raises `InputError` when ``flirt`` is asked for by name and none runs.
    """
    if engine == "ants":
        return "ants", "ANTs, as affine.engine asks for it."
    if conda:
        return "flirt", "FLIRT, as envs/fsl.yaml brings it."
    if program := find_flirt():
        return "flirt", f"FLIRT, found as {program}."
    if engine == "flirt":
        raise InputError("affine.engine", "it is flirt, and neither FSLDIR nor the PATH has one that runs", REMEDY)
    return "ants", "ANTs, as neither FSLDIR nor the PATH has a FLIRT that runs."


def engine_version(engine: str) -> str:
    """Name and version of an engine (``flirt`` or ``ants``). Raises `InputError` when FLIRT does not run."""
    if engine == "ants":
        return f"ANTs (antspyx {metadata.version('antspyx')})"
    return flirt_version(require_flirt())


def align(fixed: Path, moving: Path, config: AffineConfig) -> Alignment:
    """Align ``moving`` to ``fixed``, two images of brains; both engines take one thread and give the same bytes again.

    ``flirt``: 12 degrees of freedom, correlation ratio. ``ants``: `smgicnet.ants_affine.find_affine`.
    Raises `InputError`, naming the files, when the engine fails.
    """
    if config.engine == "flirt":
        engine = partial(align_by_flirt, require_flirt())
    else:
        from smgicnet.ants_affine import align_by_ants, import_ants

        import_ants()  # as looking for the program above, no part of an alignment
        engine = align_by_ants
    start = time.perf_counter()
    with TemporaryDirectory() as folder:
        matrix = engine(fixed, moving, config.search_degrees, Path(folder))
    return Alignment(matrix, time.perf_counter() - start)


def voxel_matrix(matrix: np.ndarray, fixed_affine: np.ndarray, moving_affine: np.ndarray) -> np.ndarray:
    """The same map from fixed voxel indices to moving voxel indices; all are ``(4, 4)``."""
    return np.linalg.inv(moving_affine) @ matrix @ fixed_affine


def write_alignments(path: str | Path, alignments: Mapping[tuple[str, str], Alignment], **facts: object) -> None:
    """Write alignments by (fixed, moving) as JSON, atomically and in full precision; ``facts`` stand beside them."""
    rows = [
        {"fixed": fixed, "moving": moving, "seconds": found.seconds, "matrix": found.matrix.tolist()}
        for (fixed, moving), found in alignments.items()
    ]
    with atomic_path(path) as part:
        part.write_text(json.dumps({**facts, "alignments": rows}, indent=1) + "\n")


def read_alignments(path: str | Path) -> dict[tuple[str, str], Alignment]:
    """What `write_alignments` wrote. Raises `InputError` when it is missing or damaged."""
    try:
        rows = json.loads(Path(path).read_text())["alignments"]
        return {(r["fixed"], r["moving"]): Alignment(np.array(r["matrix"], dtype=float), r["seconds"]) for r in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(path, f"not a readable file of alignments ({error})", "Delete it and align again") from error

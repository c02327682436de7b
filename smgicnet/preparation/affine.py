"""Affine pre-registration by one of three engines: FSL's FLIRT, ANTs, or the search of `smgicnet.registration.pose`.

There is one convention inside: a matrix ``(4, 4)`` from world to world in RAS mm that pulls back, so that it maps a
point of the fixed image's world to the moving image's. FSL's convention ends in `smgicnet.preparation.flirt`, ITK's in
`smgicnet.preparation.ants_affine`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import smgicnet
from smgicnet.core.errors import InputError
from smgicnet.preparation.alignments import Alignment
from smgicnet.preparation.flirt import REMEDY, align_by_flirt, find_flirt, flirt_version, require_flirt

Engine = Callable[[Path, Path, float, Path], np.ndarray]  # from fixed, moving, degrees and a folder to the matrix


@dataclass(frozen=True)
class AffineConfig:
    """Settings of the alignment of a pair.

    Attributes
    ----------
    engine : ``flirt``, ``ants`` or ``pose``, as `choose_engine` resolves it
    search_degrees : the largest angle of the search over rotations, about each axis and to either side; ``pose``
        searches all of them
    """

    engine: str
    search_degrees: float


def choose_engine(engine: str, *, conda: bool) -> tuple[str, str]:
    """Resolve ``auto``, ``flirt``, ``ants`` or ``pose`` to one of the last three, with the reason as a sentence.

    With ``conda`` the workflow's environment ``envs/fsl.yaml`` brings FLIRT. Raises `InputError` when ``flirt`` is
    asked for by name and none runs.
    """
    if engine == "ants":
        return "ants", "ANTs, as affine.engine asks for it."
    if engine == "pose":
        return "pose", "The pose search of this program, as affine.engine asks for it."
    if conda:
        return "flirt", "FLIRT, as envs/fsl.yaml brings it."
    if program := find_flirt():
        return "flirt", f"FLIRT, found as {program}."
    if engine == "flirt":
        raise InputError("affine.engine", "it is flirt, and neither FSLDIR nor the PATH has one that runs", REMEDY)
    return "ants", "ANTs, as neither FSLDIR nor the PATH has a FLIRT that runs."


def engine_version(engine: str) -> str:
    """Return name and version of an engine. Raises `InputError` when FLIRT does not run."""
    if engine == "pose":
        return f"pose search (smgicnet {smgicnet.__version__})"
    if engine == "ants":
        return f"ANTs (antspyx {metadata.version('antspyx')})"
    program = require_flirt()
    version = flirt_version(program)
    if version is None:
        raise InputError(program, "it ran a moment ago and does no longer", REMEDY)
    return version


def align(fixed: Path, moving: Path, config: AffineConfig) -> Alignment:
    """Align ``moving`` to ``fixed``, two images of brains; each engine takes one thread and gives the same bytes again.

    FLIRT has 12 degrees of freedom and the correlation ratio; `smgicnet.preparation.ants_affine.find_affine` describes
    ANTs, `smgicnet.registration.pose.find_pose` the pose search, which takes both images to have one grid. Raises
    `InputError`, naming the files, when the engine fails.
    """
    if config.engine == "flirt":
        engine: Engine = partial(align_by_flirt, require_flirt())
    elif config.engine == "pose":
        from smgicnet.preparation.pose_affine import align_by_pose as engine  # torch is slow to import, too
    else:
        from smgicnet.preparation.ants_affine import align_by_ants, import_ants

        import_ants()  # the import is no part of an alignment, and neither is the search for the program above
        engine = align_by_ants
    start = time.perf_counter()
    with TemporaryDirectory() as folder:
        matrix = engine(fixed, moving, config.search_degrees, Path(folder))
    return Alignment(matrix, time.perf_counter() - start)

"""FSL's FLIRT (Jenkinson and Smith 2001), run through fslpy with 12 degrees of freedom and the correlation ratio."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np

from smgicnet.core.errors import InputError

REMEDY = "Install FSL and set FSLDIR, run Snakemake with --use-conda, or set affine.engine: ants"


def find_flirt() -> Path | None:
    """Return FLIRT of the conda environment, of ``FSLDIR`` or on the ``PATH``, None unless one runs."""
    places = ("bin", "share/fsl/bin") if os.environ.get("FSLDIR") else ()
    candidates = [Path(os.environ["FSLDIR"], place, "flirt") for place in places]
    if os.environ.get("CONDA_PREFIX"):  # the workflow's own goes before the user's
        candidates.insert(0, Path(os.environ["CONDA_PREFIX"], "bin", "flirt"))
    if on_path := shutil.which("flirt"):
        candidates.append(Path(on_path).absolute())
    return next((program for program in candidates if flirt_version(program) is not None), None)


def flirt_version(program: Path) -> str | None:
    """Return what ``flirt -version`` says, None when it does not run."""
    try:
        answer = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.returncode != 0:
        return None
    release = Path(os.environ.get("FSLDIR", ""), "etc", "fslversion")  # FLIRT's own number rarely changes
    fsl = f", FSL {release.read_text().strip()}" if release.is_file() else ""
    return answer.stdout.strip() + fsl


def require_flirt() -> Path:
    """Return `find_flirt`'s program. Raises `InputError` with the remedies where there is none."""
    program = find_flirt()
    if program is None:
        raise InputError("flirt", "neither FSLDIR nor the PATH has one that runs", REMEDY)
    return program


def align_by_flirt(program: Path, fixed: Path, moving: Path, degrees: float, folder: Path) -> np.ndarray:
    """Align two image files by ``program``; rotations up to ``degrees``.

    Returns the matrix of `smgicnet.preparation.affine`'s convention.
    """
    from fsl.utils import run
    from fsl.utils.path import PathError
    from fsl.wrappers import flirt

    # fslpy looks into FSLDIR alone, and would not find a program on the PATH or in FSLDIR/share.
    run.FSL_PREFIX = str(program.parent)
    os.environ.setdefault("FSLOUTPUTTYPE", "NIFTI_GZ")  # FSL's programs want it, even those that write no image
    found = folder / "flirt.mat"
    search = {f"searchr{axis}": (-degrees, degrees) for axis in "xyz"}
    try:
        answer = flirt(
            str(moving), str(fixed), omat=str(found), dof=12, cost="corratio", searchcost="corratio", **search,
            submit=None, stderr=True, exitcode=True, log={"tee": False},
        )  # fmt: skip
        _, message, status = answer.stdout
    except (AssertionError, OSError, PathError) as error:  # fslpy's own checks of the files and the program
        message, status = str(error), 1
    if status or not found.is_file():
        raise InputError(
            f"{moving} to {fixed}",
            f"FLIRT failed with status {status}: {message.strip()}",
            "Check that both images show a brain, or set affine.engine: ants",
        )
    return read_flirt(found, fixed, moving)


def read_flirt(path: Path, fixed: Path, moving: Path) -> np.ndarray:
    """Read FLIRT's matrix from ``moving`` (``-in``) to ``fixed`` (``-ref``) in this project's convention, ``(4, 4)``.

    FLIRT's own matrix maps scaled voxels, whose first axis is flipped where an image's affine has a positive
    determinant.
    """
    from fsl.data.image import Image
    from fsl.transform.flirt import fromFlirt, readFlirt

    source, reference = (Image(str(image)) for image in (moving, fixed))
    return np.linalg.inv(fromFlirt(readFlirt(str(path)), source, reference, from_="world", to="world"))

"""Label maps of scans that have none, by an installed FreeSurfer (recon-all, mri_synthseg) or FastSurfer."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from smgicnet.core.errors import InputError
from smgicnet.imaging.images import Volume, read_image, read_labels, write_volume
from smgicnet.preparation.preprocessing import resample
from smgicnet.preparation.tools import program, run_tool

log = logging.getLogger(__name__)


def segment(
    image_path: str | Path,
    tool: str,
    *,
    subject: str,
    folder: str | Path,
    threads: int = 1,
    form: str | None = None,
) -> tuple[Volume, dict[str, Any]]:
    """Return FreeSurfer labels (int32) of a scan on its own grid, and a record.

    Parameters
    ----------
    tool : ``recon-all`` (aseg), ``synthseg`` or ``fastsurfer``
    folder : the tool's subjects folder; an unfinished run on ``subject`` in it goes on, and a finished one is used
    form : that of `smgicnet.imaging.headers.open_image`

    Raises `InputError` for an unusable scan, a tool that is missing or fails, or a result without labels.
    """
    start = time.perf_counter()
    volume = read_image(image_path, form)
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if form:  # the tool has a rule of its own for headers whose forms differ
        given, image_path = image_path, folder / f"{subject}-scan.nii.gz"
        write_volume(image_path, volume.data, volume.affine)
        log.info("%s: %s has the place of its %s alone", image_path, given, form)
    command, result = COMMANDS[tool](Path(image_path).absolute(), subject, folder, threads)
    if not _is_finished(tool, result):
        log.info("%s: %s; this may take long", subject, " ".join(command))
        run_tool(command, result, {"OMP_NUM_THREADS": str(threads)})
    found = read_labels(result)
    # These tools answer on a grid of their own, of 1 mm. Its nearest neighbours are found by the headers' worlds.
    labels = resample(found, volume.affine, volume.data.shape, order=0).astype(np.int32)
    if not labels.any():
        raise InputError(result, f"{tool} found no labels on {image_path}", "Look at the scan and at the tool's log")
    record: dict[str, Any] = {"tool": tool, "command": command, "seconds": round(time.perf_counter() - start, 1)}
    build = Path(os.environ.get("FREESURFER_HOME", "."), "build-stamp.txt")
    if tool != "fastsurfer" and build.is_file():
        record["version"] = build.read_text().strip()
    return Volume(labels, volume.affine), record


def _is_finished(tool: str, result: Path) -> bool:
    """Return whether an earlier run has made the result, which recon-all writes long before its end."""
    done = result.parent.parent / "scripts/recon-all.done"
    return result.is_file() and (tool != "recon-all" or done.is_file())


def _recon_all(image: Path, subject: str, folder: Path, threads: int) -> tuple[list[str], Path]:
    begun = (folder / subject).is_dir()  # it goes on with a subject only when no input is given again
    source = [] if begun else ["-i", str(image)]
    command = [program("recon-all"), "-sd", str(folder), "-s", subject, *source, "-all"]
    return [*command, "-openmp", str(threads)], folder / subject / "mri/aseg.mgz"


def _synthseg(image: Path, subject: str, folder: Path, threads: int) -> tuple[list[str], Path]:
    result = folder / f"{subject}.nii.gz"
    command = [program("synthseg"), "--i", str(image), "--o", str(result), "--threads", str(threads)]
    return command, result


def _fastsurfer(image: Path, subject: str, folder: Path, threads: int) -> tuple[list[str], Path]:
    command = [program("fastsurfer"), "--t1", str(image), "--sid", subject, "--sd", str(folder), "--seg_only"]
    return [*command, "--threads", str(threads)], folder / subject / "mri/aparc.DKTatlas+aseg.deep.mgz"


COMMANDS = {"recon-all": _recon_all, "synthseg": _synthseg, "fastsurfer": _fastsurfer}

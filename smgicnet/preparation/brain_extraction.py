"""The skull strip, which finds a scan's brain and its mask on the scan's own grid by one of several tools."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from smgicnet.core.errors import InputError
from smgicnet.imaging.foreground import background_level, foreground
from smgicnet.imaging.images import Scan, Volume, axcodes, on_grid_of, read_labels, read_scan, reoriented, write_volume
from smgicnet.preparation.tools import program, run_tool

log = logging.getLogger(__name__)
CONSTANT_FRACTION = 0.9  # so many voxels around a stripped brain have one value, fewer around a padded or defaced head
LARGEST_ML = 2200  # no brain is larger, with the fluid around it
PLAUSIBLE_ML = (300, 3000)  # volumes of a brain beyond which a warning is logged
Command = Callable[[str, str, str], list[str]]  # from a program, a scan and a prefix of results to its command line


@dataclass(frozen=True)
class Extraction:
    """A stripped brain, on the scan's grid.

    Attributes
    ----------
    image : float32, with the background outside the mask
    mask : uint8, 1 in the brain
    record : what was done, as JSON can hold it
    """

    image: Volume
    mask: Volume
    record: dict[str, Any]


def is_stripped(volume: Volume, brain: np.ndarray | None = None) -> bool:
    """Return whether an image shows a brain alone; ``brain`` is its `foreground`, where that is known.

    The surroundings of a stripped brain have one value, while air around a head has noise. Where air was set to one
    value as well, a head is larger than any brain.
    """
    mask = foreground(volume.data) if brain is None else brain
    around = volume.data[~mask]
    if not around.size or np.mean(around == background_level(volume.data)) < CONSTANT_FRACTION:
        return False
    return float(mask.sum() * abs(np.linalg.det(volume.affine[:3, :3])) / 1000) < LARGEST_ML


def extract_brain(
    image: str | Path | Scan,
    tool: str,
    *,
    mask_path: str | Path | None = None,
    threads: int = 1,
    form: str | None = None,
) -> Extraction:
    """Strip the skull of a scan.

    Parameters
    ----------
    image : a file, or what has been read from it
    tool : ``auto`` (an image with a constant background stays as it is, another goes to deepbet), ``deepbet``
        (Fisch et al. 2024), ``bet`` (Smith 2002), ``synthstrip`` (Hoopes et al. 2022), or ``mask``
    mask_path : the mask for ``mask``, on the scan's grid, in any axis order
    form : that of `smgicnet.imaging.headers.open_image`

    Outside the mask the result is 0, or the scan's minimum if that is negative. Raises `InputError` for an unusable
    scan or mask, a tool that is missing or fails, or an empty result.
    """
    start = time.perf_counter()
    scan = image if isinstance(image, Scan) else read_scan(image, form)
    volume, image_path = scan.volume, scan.path
    ran = tool
    if tool == "auto":
        ran = "none" if is_stripped(volume, scan.brain) else "deepbet"
    if ran == "none":
        mask = scan.brain
        brain = volume.data
    else:
        if ran == "mask" and mask_path is not None:
            mask = _by_mask(volume, image_path, mask_path, form)
        else:
            mask = MASKS[ran](volume, image_path, threads)
        brain = np.where(mask, volume.data, min(float(volume.data.min()), 0.0)).astype(np.float32)
    if not mask.any():
        raise InputError(image_path, f"{ran} finds no brain in it", "Look at the scan, or choose another skull_strip")
    brain_ml = float(mask.sum() * abs(np.linalg.det(volume.affine[:3, :3])) / 1000)
    if not PLAUSIBLE_ML[0] < brain_ml < PLAUSIBLE_ML[1]:
        log.warning("%s: the brain by %s has %.0f ml", image_path, ran, brain_ml)
    record = {
        "asked": tool,
        "tool": ran,
        "brain_ml": round(brain_ml, 1),
        "seconds": round(time.perf_counter() - start, 2),
    }
    log.info("%s: %.0f ml of brain by %s", image_path, brain_ml, ran)
    return Extraction(Volume(brain, volume.affine), Volume(mask.astype(np.uint8), volume.affine), record)


def _by_deepbet(volume: Volume, image_path: str | Path, threads: int) -> np.ndarray:
    import torch
    from deepbet.bet import BrainExtraction

    torch.set_num_threads(threads)
    canonical = nib.as_closest_canonical(nib.Nifti1Image(volume.data, volume.affine))
    try:
        _, mask, _ = BrainExtraction().run(canonical)
    except (AssertionError, ValueError) as error:  # deepbet raises them where it finds no brain
        raise InputError(
            image_path, f"deepbet finds no brain in it ({error})", "Look at the scan, or choose another skull_strip"
        ) from error
    return reoriented(Volume(np.asarray(mask.dataobj), canonical.affine), axcodes(volume.affine)).data > 0


def _by_bet(volume: Volume, image_path: str | Path, threads: int) -> np.ndarray:
    return _by_program("bet", lambda exe, scan, out: [exe, scan, out, "-R", "-m", "-n"], "brain_mask", volume)


def _by_synthstrip(volume: Volume, image_path: str | Path, threads: int) -> np.ndarray:
    return _by_program("synthstrip", lambda exe, scan, out: [exe, "-i", scan, "-m", f"{out}.nii.gz"], "brain", volume)


def _by_program(tool: str, command: Command, result: str, volume: Volume) -> np.ndarray:
    """Run a program on a NIfTI copy of the scan, whatever its format was, and read the mask that it writes."""
    executable = program(tool)
    with tempfile.TemporaryDirectory() as folder:
        scan = Path(folder) / "scan.nii.gz"
        write_volume(scan, volume.data, volume.affine)
        mask_path = Path(folder) / f"{result}.nii.gz"
        run_tool(command(executable, str(scan), str(Path(folder) / "brain")), mask_path, {"FSLOUTPUTTYPE": "NIFTI_GZ"})
        return on_grid_of(volume, read_labels(mask_path), scan, mask_path).data > 0


def _by_mask(volume: Volume, image_path: str | Path, mask_path: str | Path, form: str | None) -> np.ndarray:
    mask = on_grid_of(volume, read_labels(mask_path, form), image_path, mask_path)
    if not mask.data.any():
        raise InputError(mask_path, "the mask is empty", "Give a mask of the brain, or choose another skull_strip")
    return mask.data > 0


MASKS = {"deepbet": _by_deepbet, "bet": _by_bet, "synthstrip": _by_synthstrip}

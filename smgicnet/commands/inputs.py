"""The two images of a registration: the scan as it came, which is warped, and its brain alone, which is registered."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from smgicnet.core.errors import InputError
from smgicnet.imaging.images import Scan, Volume
from smgicnet.imaging.templates import FILES as TEMPLATES
from smgicnet.preparation.brain_extraction import LARGEST_ML, PLAUSIBLE_ML, extract_brain, is_stripped
from smgicnet.preparation.left_out import filled, read_left_out

_REMEDY = (
    "Install deepbet (`pip install connected-components-3d fastremap fill-voids`, then `pip install --no-deps "
    "deepbet`), name another tool with --skull-strip, or strip the skull, for instance with `mri_synthstrip -i HEAD "
    "-o BRAIN.nii.gz`; where it is a brain all the same, say --stripped"
)
_OTHERWISE = (
    "Look at where its header says that it lies, name another tool with --skull-strip, or strip the skull by hand and "
    "say --stripped"
)


@dataclass(frozen=True)
class Input:
    """One of the two images.

    Attributes
    ----------
    scan : as it came
    brain : its brain alone; what is left out of it is filled in from around
    mask : ``(X, Y, Z)`` uint8 on the scan's grid, the brain that was found in a head; None where nothing was stripped
    left_out : ``(X, Y, Z)`` on the scan's grid, what does not count; None for nothing
    record : what was done, as JSON can hold it
    """

    scan: Scan
    brain: Scan
    mask: Volume | None = None
    left_out: np.ndarray | None = None
    record: dict[str, Any] = field(default_factory=dict)


def make_input(
    given: Scan | Input, strip: str = "auto", left_out: Path | None = None, form: str | None = None
) -> Input:
    """Return a scan and its brain.

    Parameters
    ----------
    given : the scan, or with its brain, if that is known
    strip : one of `choices.STRIPPING`: ``auto`` strips what is no brain yet, by deepbet; ``none`` takes a scan as it is
    left_out : a mask on the scan's grid of what does not count
    form : that of `smgicnet.imaging.headers.open_image`, for the mask

    Raises `InputError` for an unusable mask, and where the skull can or could not be stripped.
    """
    scan, found = (given.scan, given) if isinstance(given, Input) else (given, Input(given, given))
    wanted = strip not in ("auto", "none") or (strip == "auto" and not is_stripped(scan.volume, scan.brain))
    if wanted and found is not given:
        found = _stripped(scan, "deepbet" if strip == "auto" else strip)
    if left_out is None:
        return found
    hole = read_left_out(left_out, found.brain, form)
    volume = Volume(filled(found.brain.volume.data, found.brain.brain, hole), scan.volume.affine)
    millilitres = float(hole.sum() * abs(np.linalg.det(volume.affine[:3, :3])) / 1000)
    record = {**found.record, "left_out": {"mask": str(left_out), "ml": round(millilitres, 2)}}
    return replace(found, brain=replace(scan, volume=volume), left_out=hole, record=record)


def known(scan: Scan, space: str) -> Scan | Input:
    """Return a scan, with its brain where it is the package's template of a ``space``: those are brains."""
    return Input(scan, scan) if space in TEMPLATES else scan


def _stripped(scan: Scan, tool: str) -> Input:
    if tool == "deepbet" and importlib.util.find_spec("deepbet") is None:
        raise InputError(scan.path, "it seems to have its skull, and deepbet, which strips it, is not here", _REMEDY)
    extraction = extract_brain(scan, tool, threads=torch.get_num_threads())
    found = extraction.record["brain_ml"]
    if not PLAUSIBLE_ML[0] < found < LARGEST_ML:
        problem = f"{tool} finds {found:.0f} ml of brain in it, which no brain has: it expects a head that is upright"
        raise InputError(scan.path, problem, _OTHERWISE)
    return Input(
        scan, replace(scan, volume=extraction.image), extraction.mask, record={"skull_strip": extraction.record}
    )

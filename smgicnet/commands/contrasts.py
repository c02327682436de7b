"""Scans of another contrast than T1, which a registration sees as T1 would show them; what is warped is the scan."""

from __future__ import annotations

import logging
from dataclasses import replace

import torch

from smgicnet.commands.inputs import Input
from smgicnet.imaging.images import Volume
from smgicnet.methods.contract import LearnedMethod
from smgicnet.methods.device import image_tensor
from smgicnet.methods.sources import source_of
from smgicnet.methods.tissues import shipped_tissues
from smgicnet.preparation.intensities import scale_intensity
from smgicnet.preparation.preprocessing import Grid, Prepared, prepare
from smgicnet.registration.contrast import MATTER, contrast_of

log = logging.getLogger(__name__)


def as_t1(one: Input, prepared: Prepared, method: LearnedMethod, grid: Grid) -> tuple[Input, Prepared]:
    """Return an input, and its brain on the network's grid, with the intensities of T1 where it has others.

    A method that has no mean training image, in whose frame a brain's tissues are looked for, takes all as they are.
    """
    mean = getattr(method, "mean_image", None)
    if mean is None:
        return one, prepared
    image, prior = image_tensor(prepared.image, method.device), shipped_tissues(method.device).matter
    source, rotations = source_of(prepared, method.device), method.pose.rotations
    contrast = contrast_of(image, source, mean, prior, rotations)
    if not contrast.differs:
        return one, prepared
    volume, limits = one.brain.volume, prepared.report["intensity_range"]
    scaled = torch.from_numpy(scale_intensity(volume.data, *limits)) * torch.from_numpy(one.brain.brain)
    brain = replace(one.brain, volume=Volume(contrast.of(scaled).numpy(), volume.affine))
    _, grey, white = contrast.centres
    brighter = "grey matter than its white matter" if grey > white else "fluid than its grey matter"
    log.info(
        "%s is no T1 image, with a brighter %s: it is registered as T1 would show it, and warped as it is",
        one.scan.path,
        brighter,
    )
    low, high = limits
    centres = {name: low + centre * (high - low) for name, centre in zip(MATTER, contrast.centres, strict=True)}
    likeness = {"likeness_before": round(contrast.before, 4), "likeness": round(contrast.likeness, 4)}
    record = {**one.record, "contrast": {"intensities": centres, **likeness}}
    return replace(one, brain=brain, record=record), prepare(brain, None, grid)

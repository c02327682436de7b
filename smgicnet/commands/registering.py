"""Two scans registered in memory, for the command line and for Python alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from smgicnet.commands.choices import CONTRASTS, DEFORMABLE, STRIPPING, TRANSFORMS
from smgicnet.commands.contrasts import as_t1
from smgicnet.commands.inputs import Input, make_input
from smgicnet.commands.native_fields import NativeResult, Pair, pulled, register_pair, volume_change
from smgicnet.config.qualities import DEFAULT_QUALITY, qualities
from smgicnet.core.errors import InputError
from smgicnet.imaging.field_formats import Geometry, header_geometry, written_geometry
from smgicnet.imaging.images import Scan, Volume
from smgicnet.methods.device import to_device
from smgicnet.methods.sources import source_of
from smgicnet.methods.tissues import shipped_tissues
from smgicnet.methods.verdict import Verdict, judge
from smgicnet.methods.weights import Weights
from smgicnet.preparation.alignments import world_matrix
from smgicnet.preparation.preprocessing import Prepared, prepare, to_canonical
from smgicnet.publication.figures.overview import Shown, overview_figure
from smgicnet.registration.evidence import gather

FASTEST = "fast"  # the quality that is the network alone


@dataclass(frozen=True)
class Settings:
    """The settings by which a pair is registered.

    Attributes
    ----------
    quality : one of `smgicnet.config.qualities.qualities`; by default ``"default"``, or the network alone of a method
        without a refinement
    refine : iterations of instance optimisation on the network's grid, instead of the quality's
    transform : one of `smgicnet.commands.choices.TRANSFORMS`, where the registration ends
    skull_strip : one of `smgicnet.commands.choices.STRIPPING`
    contrast : one of `smgicnet.commands.choices.CONTRASTS`
    left_out : masks, on the grids of the fixed and of the moving scan, of what does not count
    form : which place a header that names two stands for, see `smgicnet.imaging.headers.open_image`
    """

    quality: str | None = None
    refine: int | None = None
    transform: str = DEFORMABLE
    skull_strip: str = "auto"
    contrast: str = "auto"
    left_out: tuple[Path | None, Path | None] = (None, None)
    form: str | None = None


@dataclass(frozen=True)
class Registered:
    """The result for a pair.

    Attributes
    ----------
    inputs : the fixed and the moving scan, with their brains
    pair : both brains on the network's grid
    targets : where the displacements lie, the scans' own grids, or `writable_grid` of sheared ones
    result : the displacements, and what they were made from
    judged : whether it can be judged: both images met in the frame of the mean training image
    refined : whether the method's velocity was improved on this pair
    """

    inputs: tuple[Input, Input]
    pair: Pair
    targets: tuple[Geometry, Geometry]
    result: NativeResult
    judged: bool
    refined: bool

    @property
    def displacement(self) -> Volume:
        """The displacement of the fixed scan's voxels to the moving scan, ``(X, Y, Z, 3)`` in RAS mm."""
        return Volume(self.result.displacements[0], self.targets[0].affine)

    @property
    def inverse(self) -> Volume:
        """The displacement of the moving scan's voxels to the fixed scan, ``(X, Y, Z, 3)`` in RAS mm."""
        return Volume(self.result.displacements[1], self.targets[1].affine)

    @cached_property
    def change(self) -> np.ndarray:
        """The Jacobian determinant of the displacement, ``(X, Y, Z)``."""
        return volume_change(self.displacement)

    @property
    def matrix(self) -> np.ndarray | None:
        """The affine part, ``(4, 4)`` from the fixed to the moving world, RAS mm; None of a method without one."""
        pose = self.result.pose
        return pose and world_matrix(pose.matrix.numpy(), self.pair.fixed.affine, self.pair.moving.affine)

    @property
    def ways(self) -> tuple[tuple[Volume, np.ndarray | None], ...]:
        """The displacement with the affine part, from the fixed to the moving scan and the other way round."""
        matrix = self.matrix
        back = None if matrix is None else np.linalg.inv(matrix)
        return (self.displacement, matrix), (self.inverse, back)

    @cached_property
    def verdict(self) -> Verdict | None:
        """The verdict on its success.

        It is None where the registration ends at a matrix, and for a method without a pose and a velocity in the frame
        of the mean training image.
        """
        return judge(self.evidence) if self.evidence else None

    @cached_property
    def evidence(self) -> dict[str, float] | None:
        """The evidence of `smgicnet.registration.evidence.gather`, None where there is no `verdict`."""
        flow, pose = self.result.flow, self.result.pose
        if not self.judged or flow is None or pose is None:
            return None
        device = flow.velocity.device
        holes = map(_canonical, self.inputs)
        sources = [source_of(one, device, hole) for one, hole in zip(self.pair, holes, strict=True)]
        flow = flow.within(*(torch.linalg.inv(torch.from_numpy(one.affine)) for one in self.pair))
        with torch.no_grad():
            network = shipped_tissues(device).network
            spacing = self.pair.fixed.report["grid_spacing_mm"]
            return gather(flow, pose, sources, network, spacing, refined=self.refined)

    @property
    def doubt(self) -> str | None:
        """The reason why the pose may be wrong; None where nothing speaks against it."""
        doubt = self.result.pose and self.result.pose.doubt
        return f"{doubt}: an image may be cut, or show something else" if doubt else None

    def warped(self, volume: Volume | None = None) -> np.ndarray:
        """Return an image of the moving person, by default the moving scan, on the fixed scan's grid."""
        return pulled(volume or self.inputs[1].scan.volume, self.displacement)

    def facts(self) -> dict[str, Any]:
        """Return the facts of the pair for its record; ``matrix`` leads from the fixed to the moving world, RAS mm."""
        fixed, moving = ({**one.report, **source.record} for one, source in zip(self.pair, self.inputs, strict=True))
        found = {"fixed": fixed, "moving": moving, "seconds": round(self.result.seconds, 3)}
        found["folded_percent"] = 100 * float((self.change <= 0).mean())
        pose, matrix = self.result.pose, self.matrix
        if pose is not None and matrix is not None:
            correlations = {"correlation": round(pose.score, 4), "runner_up": round(pose.runner_up, 4)}
            found["pose"] = {"matrix": matrix.tolist(), **correlations, "doubt": self.doubt}
        if self.verdict and self.evidence:
            seen = {name: round(value, 4) for name, value in self.evidence.items()}
            found["verdict"] = {**self.verdict.facts(), "evidence": seen}
        return found

    def picture(self, *, with_verdict: bool = True) -> Figure:
        """Return both scans and the warped one in three planes, with their differences, and the verdict below."""
        shown = [_shown(*one) for one in zip(self.inputs, self.pair, strict=True)]
        box = np.array(self.pair.fixed.report["bounding_box"])
        note = str(self.verdict) if with_verdict and self.verdict else ""
        return overview_figure(shown[0], shown[1], self.displacement, box, note)


def register_scans(scans: Sequence[Scan | Input], trained: Weights, path: Path, settings: Settings) -> Registered:
    """Register the second of two scans to the first.

    Parameters
    ----------
    scans : each as it was read, or with its brain, if that is known
    trained : the weights, which were read from ``path``

    Raises `InputError` for scans, masks or settings that cannot be used; nothing has been computed then, but for the
    skull strip.
    """
    registering = refining(trained, path, settings)
    headers = [(one.scan if isinstance(one, Input) else one).header for one in scans]
    targets = [written_geometry(header_geometry(header)) for header in headers]
    fixed, moving = (
        make_input(scan, settings.skull_strip, mask, settings.form)
        for scan, mask in zip(scans, settings.left_out, strict=True)
    )
    pair = Pair(*(prepare(one.brain, None, trained.grid) for one in (fixed, moving)))
    method = to_device(trained.build(registering))
    if settings.contrast == "auto":
        changed = (as_t1(*one, method, trained.grid) for one in zip((fixed, moving), pair, strict=True))
        (fixed, moving), (of_fixed, of_moving) = zip(*changed, strict=True)
        pair = Pair(of_fixed, of_moving)
    left_out = [_canonical(one) for one in (fixed, moving)]
    result = register_pair(method, pair, targets, left_out, settings.transform)
    judged = settings.transform == DEFORMABLE and getattr(method, "mean_image", None) is not None
    refinement = getattr(method, "refinement", None)
    refined = refinement is not None and refinement.refines
    return Registered((fixed, moving), pair, (targets[0], targets[1]), result, judged, refined)


def refining(trained: Weights, path: Path, settings: Settings) -> dict[str, Any]:
    """Return the parts of the method's block that differ from those of its weights file.

    Raises `InputError` for settings that there are not, and for a quality or iterations that the method does not have.
    """
    quality, iterations = settings.quality, settings.refine
    known = {"quality": (None, *qualities()), "transform": TRANSFORMS, "skull_strip": STRIPPING}
    known["contrast"] = CONTRASTS
    for name, values in known.items():
        if getattr(settings, name) not in values:
            raise InputError(name, repr(getattr(settings, name)), f"Give one of {', '.join(filter(None, values))}")
    if iterations is not None and iterations < 0:
        raise InputError("--refine", f"{iterations} iterations", "Give 0 or more")
    if settings.transform != DEFORMABLE:
        if iterations is None and quality is None:
            return {}
        beside = "quality" if iterations is None else "refinement"
        raise InputError("--transform", f"a {settings.transform} one has no {beside}", f"Leave the {beside} out")
    if "refinement" not in trained.block:
        if iterations is None and quality in (None, FASTEST):
            return {}
        beside = "quality" if iterations is None else "refinement"
        raise InputError(path, f"a {trained.block['type']} has no instance optimisation", f"Leave the {beside} out")
    refinement = qualities()[quality or DEFAULT_QUALITY]
    return {"refinement": refinement if iterations is None else {**refinement, "iterations": iterations}}


def _canonical(one: Input) -> np.ndarray | None:
    """Return what is left out of a scan in the axis order of `Prepared.native`."""
    if one.left_out is None:
        return None
    return to_canonical(Volume(one.left_out.astype(np.uint8), one.scan.volume.affine)).data


def _shown(one: Input, prepared: Prepared) -> Shown:
    """Return a scan as it is shown: as it came, with the outline of a brain that was stripped, or as T1 shows it."""
    low, high = prepared.report["intensity_range"]
    if "contrast" in one.record or (one.mask is None and one.left_out is None):
        return Shown(prepared.native, low, high)
    return Shown(to_canonical(one.scan.volume), low, high, one.mask and to_canonical(one.mask))

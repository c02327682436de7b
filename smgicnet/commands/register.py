"""The command that registers two scans of one's own, from files to files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from smgicnet.commands.native_fields import Pair, pulled, register_pair, volume_change
from smgicnet.commands.saved_flow import flow_facts, write_flow
from smgicnet.config.qualities import DEFAULT_QUALITY, qualities
from smgicnet.core.errors import InputError
from smgicnet.core.files import require_distinct, require_room
from smgicnet.core.provenance import contents_digest, write_record
from smgicnet.imaging.field_formats import (
    Geometry,
    fsl_matrix,
    header_geometry,
    learn2reg_name,
    write_field,
    written_geometry,
)
from smgicnet.imaging.images import Scan, Volume, read_scan, write_volume
from smgicnet.methods import METHODS
from smgicnet.methods.contract import FlowMethod
from smgicnet.methods.device import to_device
from smgicnet.methods.weights import Weights, weights_content, weights_of
from smgicnet.preparation.alignments import world_matrix
from smgicnet.preparation.brain_extraction import require_stripped
from smgicnet.preparation.preprocessing import prepare
from smgicnet.publication.figures.canvas import save
from smgicnet.publication.figures.overview import Shown, overview_figure
from smgicnet.registration.pose import Pose

log = logging.getLogger(__name__)
SCREEN_DPI = 200  # of a picture that is looked at, and not printed
LEAST = 1e-3  # the smallest determinant whose logarithm is taken
FASTEST = "fast"  # the quality that is the network alone


def register_images(
    fixed_path: Path,
    moving_path: Path,
    weights: Path,
    out: Path,
    formats: Sequence[str] = ("itk",),
    quality: str | None = None,
    *,
    refine: int | None = None,
    form: str | None = None,
    stripped: bool = False,
    jacobian: bool = False,
) -> dict[str, Path]:
    """Register two skull-stripped scans in any orientation, spacing and field of view; results in native space.

    Parameters
    ----------
    out : a folder, for ``warped.nii.gz`` (the moving image on the fixed image's grid), the displacement on the same
        grid and the inverse displacement on the moving image's grid in each of ``formats``
        (`field_formats.WRITERS`), the ``velocity.nii.gz`` of a method that has one (`saved_flow`), a picture,
        ``overview.png``, and ``registration.json``. For an image whose axes are sheared the grid is
        `smgicnet.imaging.affine_geometry.writable_grid`, which ITK can read.
    quality : one of `smgicnet.config.qualities.qualities`, by default ``"default"``, or the network alone of a method
        without a refinement
    refine : iterations of instance optimisation on the network's grid, instead of the quality's
    form : which place a header that names two stands for, see `smgicnet.imaging.headers.open_image`
    stripped : whether both are brains, whatever they look like
    jacobian : whether the determinant of the displacement is written too, ``jacobian.nii.gz``, on the fixed image's
        grid, and its natural logarithm, ``log_jacobian.nii.gz``, of at least `LEAST`

    Returns the files' paths. Raises `InputError` for unusable images or weights, for an image with its skull, and for
    results that cannot be written or would replace an input; nothing has been computed then.
    """
    inputs = fixed_path, moving_path
    content = weights_content(weights)
    trained = weights_of(content, weights)
    registering = _refining(trained, weights, quality, refine)
    with_flow = issubclass(METHODS[trained.block["type"]], FlowMethod)
    more = [*["velocity"] * with_flow, *["jacobian", "log_jacobian"] * jacobian]
    files = _result_files(out, formats, inputs, more)
    require_distinct(files.values(), [*inputs, weights])
    scans = [read_scan(path, form) for path in inputs]
    _require_usable(scans, formats, stripped)
    pair = Pair(*(prepare(scan, None, trained.grid) for scan in scans))
    require_room(out, 0)
    targets = [written_geometry(header_geometry(scan.header)) for scan in scans]
    result = register_pair(to_device(trained.build(registering)), pair, targets)
    there = Volume(result.displacements[0], targets[0].affine)
    write_volume(files["warped"], pulled(scans[1].volume, there), there.affine, fast=True)
    for kind in formats:
        _write_fields(kind, [files[name] for name in _field_names(kind, inputs)], result.displacements, targets)
    if result.flow:
        write_flow(files["velocity"], result.flow)
    change = volume_change(there)
    if jacobian:
        write_volume(files["jacobian"], change, there.affine, fast=True)
        write_volume(files["log_jacobian"], np.log(np.maximum(change, LEAST)), there.affine, fast=True)
    save(_picture(pair, there), [files["overview"]], dpi=SCREEN_DPI)
    write_record(
        files["record"],
        fixed=pair.fixed.report,
        moving=pair.moving.report,
        header=form or "agree",
        weights=str(weights),
        **registering,
        weights_digest=contents_digest([content]),
        seconds=round(result.seconds, 3),
        folded_percent=100 * float((change <= 0).mean()),
        **({"velocity": flow_facts(result.flow)} if result.flow else {}),
        **_pose_facts(result.pose, pair, files["overview"]),
    )
    return files


def _require_usable(scans: Sequence[Scan], formats: Sequence[str], stripped: bool) -> None:
    """Raise `InputError` for a scan that could not be registered, or whose results could not be written."""
    if "fsl" in formats:
        for scan in scans:
            fsl_matrix(header_geometry(scan.header))
    if not stripped:
        for scan in scans:
            require_stripped(scan)


def _pose_facts(pose: Pose | None, pair: Pair, picture: Path) -> dict[str, Any]:
    """Return what the record says of the global map, and warn where it is in doubt.

    ``matrix`` leads from the fixed to the moving world, in RAS mm.
    """
    if pose is None:
        return {}
    doubt = pose.doubt
    if doubt:
        doubt += f": an image may be cut, or show something else. Look at {picture}"
        log.warning("The pose is in doubt: %s", doubt)
    matrix = world_matrix(pose.matrix.numpy(), pair.fixed.affine, pair.moving.affine)
    correlations = {"correlation": round(pose.score, 4), "runner_up": round(pose.runner_up, 4)}
    return {"pose": {"matrix": matrix.tolist(), **correlations, "doubt": doubt}}


def _picture(pair: Pair, displacement: Volume) -> Figure:
    """Return the picture of a pair, whose ``displacement`` lies on the fixed scan's grid."""
    shown = [Shown(one.native, *one.report["intensity_range"]) for one in pair]
    return overview_figure(shown[0], shown[1], displacement, np.array(pair.fixed.report["bounding_box"]))


def _result_files(out: Path, formats: Sequence[str], inputs: Sequence[Path], more: Sequence[str]) -> dict[str, Path]:
    """Return the file of each result in the folder ``out``, by the result's name; ``more`` are names of images."""
    fields = [name for kind in formats for name in _field_names(kind, inputs)]
    files = {name: out / f"{name}.nii.gz" for name in ("warped", *fields, *more)}
    return files | {"overview": out / "overview.png", "record": out / "registration.json"}


def _refining(trained: Weights, path: Path, quality: str | None, iterations: int | None) -> dict[str, Any]:
    """Return the parts of the method's block that differ from those of its weights file, for a quality.

    ``iterations`` on the network's grid replace those of the quality.
    """
    if iterations is not None and iterations < 0:
        raise InputError("--refine", f"{iterations} iterations", "Give 0 or more")
    if "refinement" not in trained.block:
        if iterations is None and quality in (None, FASTEST):
            return {}
        beside = "quality" if iterations is None else "refinement"
        raise InputError(path, f"a {trained.block['type']} has no instance optimisation", f"Leave the {beside} out")
    refinement = qualities()[quality or DEFAULT_QUALITY]
    return {"refinement": refinement if iterations is None else {**refinement, "iterations": iterations}}


def _field_names(kind: str, inputs: Sequence[Path]) -> list[str]:
    """Return the names of a pair's displacement and its inverse in one format; each format has its own.

    ITK's is plain ``displacement``. Learn2Reg's has the challenge's name and no inverse, as a submission holds one
    field a pair.
    """
    if kind == "learn2reg":
        return [learn2reg_name(*inputs).removesuffix(".nii.gz")]
    suffix = "" if kind == "itk" else f"_{kind}"
    return [f"{name}{suffix}" for name in ("displacement", "inverse_displacement")]


def _write_fields(
    kind: str, paths: Sequence[Path], displacements: Sequence[np.ndarray], geometries: Sequence[Geometry]
) -> None:
    """Write a pair's displacement, and its inverse where ``paths`` has a second file."""
    for path, displacement, ends in zip(paths, displacements, (geometries, geometries[::-1])):
        write_field(kind, path, displacement, *ends)

"""The command that registers two scans of one's own, from files to files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from smgicnet.core.errors import InputError
from smgicnet.core.files import require_distinct, require_room
from smgicnet.core.provenance import contents_digest, write_record
from smgicnet.imaging.displacements import grid_points, sample, to_world
from smgicnet.imaging.field_formats import (
    Geometry,
    fsl_matrix,
    header_geometry,
    learn2reg_name,
    write_field,
    written_geometry,
)
from smgicnet.imaging.foreground import background_level
from smgicnet.imaging.images import Scan, Volume, read_scan, write_volume
from smgicnet.methods.contract import LearnedMethod, Registration
from smgicnet.methods.device import image_tensor, to_device
from smgicnet.methods.weights import Weights, weights_content, weights_of
from smgicnet.preparation.alignments import world_matrix
from smgicnet.preparation.brain_extraction import require_stripped
from smgicnet.preparation.preprocessing import Prepared, prepare
from smgicnet.publication.figures.overview import overview_figure
from smgicnet.publication.figures.plotting import save
from smgicnet.registration.pose import Pose

log = logging.getLogger(__name__)


def register_images(
    fixed_path: Path,
    moving_path: Path,
    weights: Path,
    out: Path,
    formats: Sequence[str] = ("itk",),
    refine: int | None = None,
    *,
    form: str | None = None,
    stripped: bool = False,
) -> dict[str, Path]:
    """Register two skull-stripped scans in any orientation, spacing and field of view; results in native space.

    Parameters
    ----------
    out : a folder, for ``warped.nii.gz`` (the moving image on the fixed image's grid), the displacement on the same
        grid and the inverse displacement on the moving image's grid in each of ``formats``
        (`field_formats.WRITERS`), a picture, ``overview.png``, and ``registration.json``. For an image whose
        axes are sheared the grid is `smgicnet.imaging.affine_geometry.writable_grid`, which ITK can read.
    refine : iterations of instance optimisation, instead of those of the weights' config
    form : which place a header that names two stands for, see `smgicnet.imaging.headers.open_image`
    stripped : whether both are brains, whatever they look like

    Returns the files' paths. Raises `InputError` for unusable images or weights, for an image with its skull, and for
    results that cannot be written or would replace an input; nothing has been computed then.
    """
    inputs = fixed_path, moving_path
    files = _result_files(out, formats, inputs)
    require_distinct(files.values(), [*inputs, weights])
    content = weights_content(weights)
    trained = weights_of(content, weights)
    registering = _refining(trained, weights, refine)
    scans = [read_scan(path, form) for path in inputs]
    _require_usable(scans, formats, stripped)
    fixed, moving = (prepare(scan, None, trained.grid) for scan in scans)
    require_room(out, 0)
    result = _register(trained.build(registering), fixed, moving)
    targets = [written_geometry(header_geometry(scan.header)) for scan in scans]
    there, back = (one[0].cpu().numpy() for one in (result.forward, result.inverse) if one is not None)
    displacements = [_to_native(there, fixed, moving, targets[0]), _to_native(back, moving, fixed, targets[1])]
    pictures = _warped(scans[0].volume, scans[1].volume, displacements[0], targets[0])
    write_volume(files["warped"], pictures.warped.astype(np.float32), targets[0].affine)
    for kind in formats:
        _write_fields(kind, [files[name] for name in _field_names(kind, inputs)], displacements, targets)
    save(overview_figure(pictures.fixed, pictures.moving, pictures.warped), [files["overview"]])
    write_record(
        files["record"],
        fixed=fixed.report,
        moving=moving.report,
        header=form or "agree",
        weights=str(weights),
        **registering,
        weights_digest=contents_digest([content]),
        seconds=round(result.seconds, 3),
        **_pose_facts(result.pose, fixed, moving, files["overview"]),
    )
    return files


def _require_usable(scans: Sequence[Scan], formats: Sequence[str], stripped: bool) -> None:
    """Raise `InputError` for a scan that could not be registered, or whose results could not be written."""
    if "fsl" in formats:
        for scan in scans:
            fsl_matrix(header_geometry(scan.header))
    if not stripped:
        for scan in scans:
            require_stripped(scan.volume, scan.path)


def _register(method: LearnedMethod, fixed: Prepared, moving: Prepared) -> Registration:
    """Return the registration between the common grids, with an inverse whatever the method."""
    method = to_device(method)
    target, source = (image_tensor(one.image, method.device) for one in (fixed, moving))
    result = method.register(target, source)
    if result.inverse is None:  # a method without an inverse of its own is run the other way round
        result = replace(result, inverse=method.register(source, target).forward)
    return result


def _pose_facts(pose: Pose | None, fixed: Prepared, moving: Prepared, picture: Path) -> dict[str, Any]:
    """Return what the record says of the global map, and warn where it is in doubt.

    ``matrix`` leads from the fixed to the moving world, in RAS mm.
    """
    if pose is None:
        return {}
    doubt = pose.doubt
    if doubt:
        doubt += f": an image may be cut, or show something else. Look at {picture}"
        log.warning("The pose is in doubt: %s", doubt)
    matrix = world_matrix(pose.matrix.numpy(), fixed.affine, moving.affine)
    correlations = {"correlation": round(pose.score, 4), "runner_up": round(pose.runner_up, 4)}
    return {"pose": {"matrix": matrix.tolist(), **correlations, "doubt": doubt}}


def _to_native(displacement: np.ndarray, fixed: Prepared, moving: Prepared, target: Geometry) -> np.ndarray:
    """Return a displacement between common grids on a native grid, ``(X, Y, Z, 3)`` in RAS mm."""
    return to_world(displacement, fixed.affine, moving.affine, Volume(np.empty(target.shape), target.affine))


@dataclass(frozen=True)
class Pictures:
    """The images of a pair on the grid on which its results lie.

    Attributes
    ----------
    fixed : the fixed image
    moving : the moving image as it lies by its header
    warped : the moving image after the registration
    """

    fixed: Volume
    moving: np.ndarray
    warped: np.ndarray


def _warped(fixed: Volume, moving: Volume, displacement: np.ndarray, target: Geometry) -> Pictures:
    """Sample a pair's images on the grid ``target``, on which ``displacement (X, Y, Z, 3)`` in RAS mm lies."""
    points, background = grid_points(target.shape, target.affine), background_level(moving.data)
    warped = sample(moving, points + displacement, fill=background)
    as_it_lies = sample(moving, points, fill=background)
    if target.shape != fixed.data.shape:
        fixed = Volume(sample(fixed, points, fill=background_level(fixed.data)), target.affine)
    return Pictures(fixed, as_it_lies, warped)


def _result_files(out: Path, formats: Sequence[str], inputs: Sequence[Path]) -> dict[str, Path]:
    """Return the file of each result in the folder ``out``, by the result's name."""
    fields = [name for kind in formats for name in _field_names(kind, inputs)]
    files = {name: out / f"{name}.nii.gz" for name in ("warped", *fields)}
    return files | {"overview": out / "overview.png", "record": out / "registration.json"}


def _refining(trained: Weights, path: Path, iterations: int | None) -> dict[str, Any]:
    """Return the parts of the method's block that differ from those of its weights file."""
    if iterations is None:
        return {}
    if iterations < 0:
        raise InputError("--refine", f"{iterations} iterations", "Give 0 or more")
    if "refinement" not in trained.block:
        remedy = "Leave the refinement out"
        raise InputError(path, f"a {trained.block['type']} has no instance optimisation", remedy)
    return {"refinement": {**trained.block["refinement"], "iterations": iterations}}


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

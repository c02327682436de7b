"""Registration of two scans of one's own, from files to files: what the command line calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from smgicnet.core.errors import InputError
from smgicnet.core.files import require_distinct, require_room
from smgicnet.core.provenance import files_digest, write_record
from smgicnet.imaging.displacements import grid_points, sample, to_world
from smgicnet.imaging.field_formats import (
    Geometry,
    fsl_matrix,
    learn2reg_name,
    read_geometry,
    write_field,
    written_geometry,
)
from smgicnet.imaging.foreground import background_level
from smgicnet.imaging.images import Volume, read_image, write_volume
from smgicnet.methods.device import image_tensor, to_device
from smgicnet.methods.weights import Weights, read_weights
from smgicnet.preparation.brain_extraction import require_stripped
from smgicnet.preparation.preprocessing import prepare
from smgicnet.publication.figures.overview import overview_figure
from smgicnet.publication.figures.plotting import save


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
    stripped : both are brains, whatever they look like

    Returns the files' paths. Raises `InputError` for unusable images or weights, for an image with its skull, and for
    results that cannot be written or would replace an input; nothing has been computed then.
    """
    inputs = fixed_path, moving_path
    files = _result_files(out, formats, inputs)
    require_distinct(files.values(), [*inputs, weights])
    trained = read_weights(weights)
    registering = _refining(trained, weights, refine)
    scans = [read_image(path, form) for path in inputs]
    geometries = [read_geometry(path, form) for path in inputs]
    if "fsl" in formats:
        for geometry in geometries:
            fsl_matrix(geometry)  # raises now what it would raise after the registration
    if not stripped:
        for scan, path in zip(scans, inputs):
            require_stripped(scan, path)
    fixed, moving = (prepare(path, None, trained.grid, form=form) for path in inputs)
    require_room(out, 0)
    method = to_device(trained.build(registering))
    images = [image_tensor(p.image, method.device) for p in (fixed, moving)]
    result = method.register(*images)
    # a method without an inverse of its own is run the other way round
    back = result.inverse if result.inverse is not None else method.register(*images[::-1]).forward
    targets = [written_geometry(geometry) for geometry in geometries]
    displacements = [
        to_world(u[0].cpu().numpy(), *ends, target)
        for u, ends, target in zip(
            (result.forward, back),
            ((fixed.affine, moving.affine), (moving.affine, fixed.affine)),
            (Volume(np.empty(target.shape), target.affine) for target in targets),
        )
    ]
    native_fixed, native_moving = scans
    points, background = grid_points(targets[0].shape, targets[0].affine), background_level(native_moving.data)
    warped = sample(native_moving, points + displacements[0], fill=background)
    write_volume(files["warped"], warped.astype(np.float32), targets[0].affine)
    for kind in formats:
        _write_fields(kind, [files[name] for name in _field_names(kind, inputs)], displacements, targets)
    as_it_lies = sample(native_moving, points, fill=background)
    if targets[0].shape != native_fixed.data.shape:
        straight = sample(native_fixed, points, fill=background_level(native_fixed.data))
        native_fixed = Volume(straight, targets[0].affine)
    save(overview_figure(native_fixed, as_it_lies, warped), [files["overview"]])
    write_record(
        files["record"],
        fixed=fixed.report,
        moving=moving.report,
        header=form or "agree",
        weights=str(weights),
        **registering,
        weights_digest=files_digest([weights]),
        seconds=round(result.seconds, 3),
    )
    return files


def _result_files(out: Path, formats: Sequence[str], inputs: Sequence[Path]) -> dict[str, Path]:
    """The name of each result, and its file in the folder ``out``."""
    fields = [name for kind in formats for name in _field_names(kind, inputs)]
    files = {name: out / f"{name}.nii.gz" for name in ("warped", *fields)}
    return files | {"overview": out / "overview.png", "record": out / "registration.json"}


def _refining(trained: Weights, path: Path, iterations: int | None) -> dict:
    """What of the method's block is another than in its weights file."""
    if iterations is None:
        return {}
    if iterations < 0:
        raise InputError("--refine", f"{iterations} iterations", "Give 0 or more")
    if "refinement" not in trained.method:
        remedy = "Leave the refinement out"
        raise InputError(path, f"a {trained.method['type']} has no instance optimisation", remedy)
    return {"refinement": {**trained.method["refinement"], "iterations": iterations}}


def _field_names(kind: str, inputs: Sequence[Path]) -> list[str]:
    """Names of a pair's displacement and its inverse in one format, other ones for each format.

    ITK's is plain ``displacement``. Learn2Reg's has the challenge's name, and no inverse: a submission holds one field
    a pair.
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

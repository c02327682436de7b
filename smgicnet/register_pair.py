"""Registration of two scans of one's own, from files to files: what the command line calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from smgicnet.device import image_tensor, to_device
from smgicnet.errors import InputError
from smgicnet.field_formats import Geometry, fsl_matrix, learn2reg_name, read_geometry, write_field
from smgicnet.images import read_image, write_volume
from smgicnet.overview import overview_figure
from smgicnet.plotting import save
from smgicnet.preprocessing import background_level, prepare
from smgicnet.provenance import files_digest, write_record
from smgicnet.transforms_io import grid_points, sample, to_world
from smgicnet.weights import Weights, read_weights


def register_images(
    fixed_path: Path,
    moving_path: Path,
    weights: Path,
    out: Path,
    formats: Sequence[str] = ("itk",),
    refine: int | None = None,
) -> dict[str, Path]:
    """Register two skull-stripped scans in any orientation, spacing and field of view; results in native space.

    Writes to ``out``: ``warped.nii.gz`` (the moving image on the fixed image's grid), the displacement on the same grid
    and the inverse displacement on the moving image's grid in each of ``formats`` (`smgicnet.field_formats.WRITERS`), a
    picture, ``overview.png``, and ``registration.json``. ``refine``: iterations of instance optimisation, instead of
    those of the weights' config. Returns their paths. Raises `InputError` for unusable images or weights.
    """
    trained = read_weights(weights)
    registering = _refining(trained, weights, refine)
    fixed, moving = (prepare(path, None, trained.grid) for path in (fixed_path, moving_path))
    native_fixed, native_moving = read_image(fixed_path), read_image(moving_path)
    geometries = [read_geometry(path) for path in (fixed_path, moving_path)]
    if "fsl" in formats:
        for geometry in geometries:
            fsl_matrix(geometry)  # raises now what it would raise after the registration
    method = to_device(trained.build(registering))
    images = [image_tensor(p.image, method.device) for p in (fixed, moving)]
    result = method.register(*images)
    # a method without an inverse of its own is run the other way round
    back = result.inverse if result.inverse is not None else method.register(*images[::-1]).forward
    forward, inverse = (u[0].cpu().numpy() for u in (result.forward, back))
    displacement = to_world(forward, fixed.affine, moving.affine, native_fixed)
    inverse_displacement = to_world(inverse, moving.affine, fixed.affine, native_moving)
    points, background = grid_points(native_fixed.data.shape, native_fixed.affine), background_level(native_moving.data)
    warped = sample(native_moving, points + displacement, fill=background)
    files = {"warped": out / "warped.nii.gz"}
    write_volume(files["warped"], warped.astype(np.float32), native_fixed.affine)
    for kind in formats:
        files |= _write_fields(kind, out, (displacement, inverse_displacement), geometries)
    files |= {"overview": out / "overview.png", "record": out / "registration.json"}
    as_it_lies = sample(native_moving, points, fill=background)
    save(overview_figure(native_fixed, as_it_lies, warped), [files["overview"]])
    write_record(
        files["record"],
        fixed=fixed.report,
        moving=moving.report,
        weights=str(weights),
        **registering,
        weights_digest=files_digest([weights]),
        seconds=round(result.seconds, 3),
    )
    return files


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


def _write_fields(
    kind: str, out: Path, displacements: Sequence[np.ndarray], geometries: Sequence[Geometry]
) -> dict[str, Path]:
    """Write a pair's displacement and its inverse in one format; their paths, a name of its own for each format.

    ITK's is plain ``displacement.nii.gz``. Learn2Reg's has the challenge's name, and no inverse: a submission holds
    one field a pair.
    """
    if kind == "learn2reg":
        paths = [out / learn2reg_name(*(geometry.path for geometry in geometries))]
    else:
        suffix = "" if kind == "itk" else f"_{kind}"
        paths = [out / f"{name}{suffix}.nii.gz" for name in ("displacement", "inverse_displacement")]
    for path, displacement, ends in zip(paths, displacements, (geometries, geometries[::-1])):
        write_field(kind, path, displacement, *ends)
    return {path.name.removesuffix(".nii.gz"): path for path in paths}

"""The command that registers two scans of one's own, from files to files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smgicnet.commands.choices import DEFORMABLE
from smgicnet.commands.inputs import known
from smgicnet.commands.registering import Registered, Settings, refining, register_scans
from smgicnet.core.errors import InputError
from smgicnet.core.files import require_distinct, require_room
from smgicnet.core.provenance import contents_digest, write_record
from smgicnet.imaging.field_formats import (
    Geometry,
    fsl_matrix,
    header_geometry,
    learn2reg_name,
    stem_of,
    write_field,
    written_geometry,
)
from smgicnet.imaging.images import Scan, read_scan, write_volume
from smgicnet.imaging.itk_files import write_itk_affine, write_itk_composite
from smgicnet.imaging.lta import write_lta
from smgicnet.methods import METHODS
from smgicnet.methods.contract import FlowMethod
from smgicnet.methods.saved_flow import flow_facts, write_flow
from smgicnet.methods.verdict import Verdict
from smgicnet.methods.weights import Weights, weights_content, weights_of
from smgicnet.publication.figures.canvas import save
from smgicnet.publication.figures.overview import SCREEN_DPI

log = logging.getLogger(__name__)
LEAST = 1e-3  # the smallest determinant whose logarithm is taken
COMPOSITE = "h5"  # the format of ITK's composite transforms
LTA = "lta"  # that of FreeSurfer's linear ones
_NO_IMAGES = {
    "affine": "affine.mat",
    "affine_lta": "affine.lta",
    "transform": "transform.h5",
    "inverse_transform": "inverse_transform.h5",
}
_ALWAYS_NAMED = (  # alike in every folder
    *("displacement", "inverse_displacement", "displacement_fsl", "inverse_displacement_fsl", "velocity"),
    *("jacobian", "log_jacobian", *_NO_IMAGES),
)


def register_images(
    fixed_path: Path,
    moving_path: Path,
    weights: Path,
    out: Path,
    settings: Settings | None = None,
    *,
    formats: Sequence[str] | None = None,
    also: Sequence[Path] = (),
    jacobian: bool = False,
    space: str = "",
) -> tuple[dict[str, Path], Verdict | None]:
    """Register two scans, heads or brains, in any orientation, spacing and field of view; results in native space.

    Parameters
    ----------
    out : a folder, for ``warped.nii.gz`` (the moving image on the fixed image's grid), the displacement on the same
        grid and the inverse displacement on the moving image's grid in each of ``formats``, the ``affine.mat`` of a
        method that finds the pose apart, the ``velocity.nii.gz`` of one that has one (`saved_flow`), the masks of heads
        that were stripped, a picture, ``overview.png``, and ``registration.json``. For an image whose axes are sheared
        the grid is `smgicnet.imaging.affine_geometry.writable_grid`, which ITK can read.
    settings : how they are registered; by default as `Settings` says
    formats : those of `smgicnet.imaging.field_formats.WRITERS`; ``"h5"``, ITK's composite of field and affine map;
        ``"lta"``, the affine part as FreeSurfer's; by default ``("itk",)``, none for a transform that ends at a matrix
    also : further images of the moving person, which are brought along
    jacobian : whether the determinant of the displacement is written too, ``jacobian.nii.gz``, on the fixed image's
        grid, and its natural logarithm, ``log_jacobian.nii.gz``, of at least `LEAST`
    space : the name of the space in which the fixed image lies, for the names of images that lie there

    Returns the files' paths, and the verdict, None where there is none. Raises `InputError` for unusable images or
    weights, and for results that cannot be written or would replace an input; nothing has been computed then, but for
    the skull strip.
    """
    settings = settings or Settings()
    if formats is None:
        formats = ("itk",) if settings.transform == DEFORMABLE else ()
    inputs = [fixed_path, moving_path, *also, *filter(None, settings.left_out)]
    content = weights_content(weights)
    trained = weights_of(content, weights)
    registering = refining(trained, weights, settings)
    files = _result_files(out, _names(trained, settings, formats, inputs[:2], also, jacobian=jacobian), space)
    require_distinct(files.values(), [*inputs, weights])
    scans = [read_scan(path, settings.form) for path in (fixed_path, moving_path)]
    others = [read_scan(path, settings.form) for path in also]
    _require_formats(formats, [header_geometry(scan.header) for scan in scans])
    require_room(out, 0)
    log.info("Registering %s to %s: results will be in %s", moving_path, fixed_path, out)
    found = register_scans([known(scans[0], space), scans[1]], trained, weights, settings)
    for name in {*_ALWAYS_NAMED} - files.keys():
        _result_files(out, [name], space)[name].unlink(missing_ok=True)  # of an earlier registration
    _write(found, files, formats, [fixed_path, moving_path])
    _write_images(found, files, dict(zip(also, others, strict=True)))
    save(found.picture(), [files["overview"]], dpi=SCREEN_DPI)
    files = {name: path for name, path in files.items() if not name.endswith("_mask") or path.is_file()}
    facts = {"weights": str(weights), **registering, "weights_digest": contents_digest([content])}
    _write_record(files, found, settings, facts, space)
    return files, found.verdict


def _names(
    trained: Weights,
    settings: Settings,
    formats: Sequence[str],
    pair: Sequence[Path],
    also: Sequence[Path],
    *,
    jacobian: bool,
) -> list[str]:
    """Return the names of the results but for the picture and the record, without endings.

    Raises `InputError` where two results would have one name.
    """
    kind = METHODS[trained.block["type"]]
    linear = settings.transform != DEFORMABLE
    names = ["warped", *map(_carried, also)]
    names += [name for one in formats for name in _field_names(one, pair)]
    with_affine = linear or bool(trained.block.get("pose", {}).get("rotations"))
    if LTA in formats and not with_affine:
        problem = f"the {trained.block['type']} of these weights finds no affine map apart"
        raise InputError("--format lta", problem, "Leave lta out")
    names += ["affine"] * with_affine
    names += ["velocity"] * (issubclass(kind, FlowMethod) and not linear)
    names += ["jacobian", "log_jacobian"] * jacobian
    if len(set(names)) < len(names):
        raise InputError("--also", "two of the images have the same name, and so would their results", "Rename one")
    return [*names, "fixed_mask", "moving_mask"]


def _carried(path: Path) -> str:
    """Return the name of a further image that is brought along."""
    return f"warped_{stem_of(path)}"


def _require_formats(formats: Sequence[str], grids: Sequence[Geometry]) -> None:
    """Raise `InputError` for grids on which a format cannot hold a field."""
    for grid in grids:
        if "fsl" in formats:
            fsl_matrix(grid)
        if "learn2reg" in formats and written_geometry(grid).shape != grid.shape:
            raise InputError(
                grid.path, "its axes are sheared, which Learn2Reg's fields cannot hold", "Resample it first"
            )


def _result_files(out: Path, names: Sequence[str], space: str) -> dict[str, Path]:
    """Return the file of each result in the folder ``out``; images on a template's grid have its name."""
    there = f"_space-{space}" if space else ""
    files = {}
    for name in names:
        lies = there if name.startswith(("warped", "jacobian", "log_jacobian", "fixed_mask")) else ""
        files[name] = out / _NO_IMAGES.get(name, f"{name}{lies}.nii.gz")
    return files | {"overview": out / "overview.png", "record": out / "registration.json"}


def _field_names(kind: str, inputs: Sequence[Path]) -> list[str]:
    """Return the names of a pair's displacement and its inverse in one format; each format has its own.

    ITK's is plain ``displacement``, its composite ``transform``; FreeSurfer's is the affine part alone. Learn2Reg's has
    the challenge's name and no inverse, as a submission holds one field a pair.
    """
    if kind == "learn2reg":
        return [learn2reg_name(inputs[0], inputs[1]).removesuffix(".nii.gz")]
    if kind in (COMPOSITE, LTA):
        return ["transform", "inverse_transform"] if kind == COMPOSITE else ["affine_lta"]
    suffix = "" if kind == "itk" else f"_{kind}"
    return [f"{name}{suffix}" for name in ("displacement", "inverse_displacement")]


def _write(found: Registered, files: dict[str, Path], formats: Sequence[str], pair: Sequence[Path]) -> None:
    """Write the map in all its forms."""
    matrix, flow = found.matrix, found.result.flow
    for kind in formats:
        paths = [files[name] for name in _field_names(kind, pair)]
        ends_of = found.targets, found.targets[::-1]
        for path, (displacement, linear), ends in zip(paths, found.ways, ends_of):
            if kind == COMPOSITE:
                write_itk_composite(path, displacement, linear)
            elif kind == LTA and linear is not None:
                write_lta(path, linear, *ends)
            else:
                write_field(kind, path, displacement.data, *ends)
    if "affine" in files and matrix is not None:
        write_itk_affine(files["affine"], matrix)
    if "velocity" in files and flow:
        write_flow(files["velocity"], flow)


def _write_images(found: Registered, files: dict[str, Path], also: dict[Path, Scan]) -> None:
    """Write what lies on the fixed image's grid, and the masks of heads that were stripped."""
    affine = found.targets[0].affine
    write_volume(files["warped"], found.warped(), affine, fast=True)
    for path, scan in also.items():
        write_volume(files[_carried(path)], found.warped(scan.volume), affine, fast=True)
    if "jacobian" in files:
        write_volume(files["jacobian"], found.change, affine, fast=True)
        write_volume(files["log_jacobian"], np.log(np.maximum(found.change, LEAST)), affine, fast=True)
    for name, one in zip(("fixed_mask", "moving_mask"), found.inputs, strict=True):
        files[name].unlink(missing_ok=True)
        if one.mask is not None:
            write_volume(files[name], one.mask.data, one.mask.affine, fast=True)


def _write_record(
    files: dict[str, Path], found: Registered, settings: Settings, facts: dict[str, Any], space: str
) -> None:
    """Write the record, and warn where the pose is in doubt."""
    of_pair = found.facts()
    if space:
        of_pair["fixed"]["space"] = space
    if found.doubt:
        of_pair["pose"]["doubt"] = f"{found.doubt}. Look at {files['overview']}"
        log.warning("The pose is in doubt: %s", of_pair["pose"]["doubt"])
    flow = found.result.flow
    velocity = {"velocity": flow_facts(flow)} if flow and "velocity" in files else {}
    settled = {"header": settings.form or "agree", "transform": settings.transform}
    write_record(files["record"], **of_pair, **settled, **facts, **velocity)

"""The command that makes the mean image of a group."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from smgicnet.commands.inputs import make_input
from smgicnet.commands.registering import Settings, refining
from smgicnet.core.errors import InputError
from smgicnet.core.files import require_distinct, require_room
from smgicnet.core.layout import TEMPLATE, TEMPLATE_RECORD
from smgicnet.core.provenance import files_digest, write_record
from smgicnet.imaging.field_formats import stem_of
from smgicnet.imaging.images import read_image, read_scan, write_volume
from smgicnet.jobs.template import (
    Registrar,
    average_template,
    bring_template,
    is_brought,
    require_people,
    start_template,
)
from smgicnet.publication.figures.canvas import save
from smgicnet.publication.figures.template_figure import template_figure

log = logging.getLogger(__name__)
FINEST = 1.0  # mm, of a template's voxels by default, or the scans' own where these are larger


def make_template(
    images: Sequence[Path],
    out: Path,
    weights: Path,
    settings: Settings,
    *,
    rounds: int,
    spacing: float | None,
) -> dict[str, Path]:
    """Make the mean image of a group of people, heads or brains, without bias to any of them.

    ``out`` is a folder, for ``template.nii.gz``, ``template.png``, a picture of the first and the last mean, and a
    folder of each round with the maps from its template to each person; what is there already, of the same files and
    settings, stays. Returns the files' paths. Raises `InputError` for unusable images and weights.
    """
    if rounds < 0 or (spacing is not None and not 0.2 <= spacing <= 8):
        raise InputError("--rounds, --spacing", "a number out of range", "Give 0 rounds or more, voxels of 0.2 to 8 mm")
    require_people(images, out)
    names = [stem_of(path) for path in images]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(twice, "two of the images have this name, and so would their results", "Rename one")
    files = {"template": out / TEMPLATE, "record": out / TEMPLATE_RECORD, "picture": out / "template.png"}
    require_distinct(files.values(), [*images, weights])
    require_room(out, 0)
    registrar = Registrar(weights, {})
    registrar = Registrar(weights, refining(registrar.trained, weights, settings))
    brains = [
        _brain(path, out / "brains" / f"{name}.nii.gz", settings) for path, name in zip(images, names, strict=True)
    ]
    voxels = spacing or max(FINEST, min(min(read_image(path).spacing) for path in brains))
    log.info("%d people, %d rounds, voxels of %.2g mm", len(images), rounds, voxels)
    here = out / "0"
    start_template(brains, registrar, voxels, here)
    for number in range(1, rounds + 1):
        folders = [here / "members" / name for name in names]
        for brain, folder in tqdm(list(zip(brains, folders, strict=True)), desc=f"round {number}", disable=None):
            if not is_brought(here / TEMPLATE, brain, registrar, folder):
                bring_template(here / TEMPLATE, brain, registrar, folder)
        average_template(here / TEMPLATE, brains, folders, registrar, out / str(number))
        here = out / str(number)
    for name, path in (("template", TEMPLATE), ("record", TEMPLATE_RECORD)):
        files[name].write_bytes((here / path).read_bytes())
    ends = [read_image(folder / TEMPLATE) for folder in (out / "0", here)]
    save(template_figure(*ends), [files["picture"]])
    return files


def _brain(path: Path, stripped: Path, settings: Settings) -> Path:
    """Return the file of a person's brain: the scan's own, or that of the brain in a head, once it is stripped."""
    scan = read_scan(path, settings.form)
    said = stripped.with_name(f"{stripped.name}.json")
    made_from = {"head": files_digest([path]), "tool": settings.skull_strip}
    if stripped.is_file() and said.is_file() and json.loads(said.read_text())["made_from"] == made_from:
        return stripped
    found = make_input(scan, settings.skull_strip)
    if found.mask is None:
        return path
    volume = found.brain.volume
    write_volume(stripped, volume.data, volume.affine, fast=True)
    write_record(said, made_from=made_from, **found.record)
    return stripped

"""A BIDS App: every T1w image of a dataset registered to a template, with derivatives by the standard's names."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from smgicnet import __version__
from smgicnet.cohort.bids import require_content
from smgicnet.cohort.bids_images import BidsImage, bids_images, readable_people, subjects_without
from smgicnet.commands.choices import DEFORMABLE, ROUNDS
from smgicnet.commands.inputs import Input, known, make_input
from smgicnet.commands.registering import Registered, Settings, refining, register_scans
from smgicnet.commands.template import make_template
from smgicnet.core.errors import InputError
from smgicnet.core.files import require_distinct, require_room
from smgicnet.core.layout import TEMPLATE
from smgicnet.core.provenance import contents_digest, write_record, write_text
from smgicnet.imaging.images import Volume, read_scan, write_volume
from smgicnet.imaging.itk_files import write_itk_affine, write_itk_composite
from smgicnet.imaging.templates import TemplateFile, find_template
from smgicnet.methods.weights import weights_content, weights_of
from smgicnet.preparation.brain_extraction import is_stripped
from smgicnet.publication.figures.canvas import save
from smgicnet.publication.figures.overview import SCREEN_DPI
from smgicnet.publication.report.bids_pages import DONE, FAILED, MISSING, Row, write_group_page, write_subject_page

log = logging.getLogger(__name__)
BIDS_VERSION = "1.10.0"
IGNORED = (
    "*.html\ngroup_*.tsv\nlogs/\n**/figures\n*_xfm.*\ntemplate/\n"  # as of fMRIPrep: the standard has no transforms yet
)
DEFAULT_TEMPLATE = "mni"
OWN = "template"  # the mean image of the dataset itself
DESCRIPTION = "dataset_description.json"


@dataclass(frozen=True)
class App:
    """The settings that all images of a dataset share.

    Attributes
    ----------
    root, out : the dataset, and the folder of the derivatives
    template : what they are registered to; its space stands in the names
    settings : how
    weights : the weights file
    """

    root: Path
    out: Path
    template: TemplateFile
    settings: Settings
    weights: Path

    @cached_property
    def shared(self) -> str:
        """The digest of everything that all registrations are made from, beside their images."""
        settings = json.dumps(
            {**asdict(self.settings), "version": __version__, "space": self.template.space}, default=str
        )
        return contents_digest([self.template.path.read_bytes(), self.weights.read_bytes(), settings.encode()])

    def file(self, image: BidsImage, *more: str, suffix: str, ending: str) -> Path:
        """Return the file of a derivative."""
        return self.out / image.folder / image.name(*more, suffix=suffix, ending=ending)

    def transform(self, image: BidsImage, ending: str = ".h5", *, inverse: bool = False) -> Path:
        """Return the file of the transform, by which images are brought to the template or, ``inverse``, from it."""
        ends = (self.template.space, "T1w") if inverse else ("T1w", self.template.space)
        return self.file(image, f"from-{ends[0]}", f"to-{ends[1]}", "mode-image", suffix="xfm", ending=ending)

    def record(self, image: BidsImage) -> Path:
        """Return the record, which is written last: an image that has one is done."""
        return self.transform(image, ".json")

    def failure(self, image: BidsImage) -> Path:
        """Return the file that says why an image could not be registered."""
        return self.out / "logs" / f"{image.entities}.json"

    def picture(self, image: BidsImage) -> Path:
        """Return the picture for the reports."""
        return self.out / image.subject / "figures" / image.name("desc-overview", suffix="T1w", ending=".png")


def run_app(
    root: Path,
    out: Path,
    level: str,
    to: str | None,
    settings: Settings,
    weights: Path,
    subjects: Sequence[str] = (),
) -> int:
    """Run one level of the app, and return how many images failed or, of the group, are not registered.

    Parameters
    ----------
    level : ``participant`` registers images and writes a page a subject; ``group`` a table and a page of all
    to : a template by name or file, or a subject of the dataset, whose first image is the template then; by default
        that of the derivatives which are there, or else `DEFAULT_TEMPLATE`; `OWN` is the mean image of all subjects,
        which is made where it is missing
    subjects : the only ones, with or without ``sub-``; by default all

    An image whose record says that it was registered from the same files in the same way is left as it is. One that
    cannot be registered is named, and the others go on. Raises `InputError` for a dataset or template that is unusable.
    """
    images = bids_images(root, subjects)
    to = to or str(_earlier(out).get("to", DEFAULT_TEMPLATE))
    own = to == OWN and not (root / f"sub-{OWN}").is_dir()
    template = TemplateFile(out / OWN / TEMPLATE, OWN) if own else _template(root, to)
    app = App(root, out, template, settings, weights)
    require_distinct([out], [root])
    _require_own(app)
    if level == "group":
        return _group(app, images)
    trained = weights_of(weights_content(weights), weights)
    refining(trained, weights, settings)
    require_room(out, 0)
    if own and not template.path.is_file():
        make_template(
            readable_people(root, settings.form),
            out / OWN,
            weights,
            replace(settings, transform=DEFORMABLE),
            rounds=ROUNDS,
            spacing=None,
        )
    scan = read_scan(template.path, settings.form)
    fixed = Input(scan, scan) if own else make_input(known(scan, template.space), settings.skull_strip)
    _describe(app, to)
    log.info("%d images of %d subjects, to %s", len(images), len({one.subject for one in images}), app.template.space)
    failed = 0
    for number, image in enumerate(images, start=1):
        at = f"{number}/{len(images)} {image.entities}"
        try:
            require_content([str(image.path)], root)
            digest = _digest(app, image)
            if _is_done(app, image, digest):
                log.info("%s: is there already", at)
                continue
            app.record(image).unlink(missing_ok=True)  # until it is done again
            _register(app, image, fixed, trained, digest)
            log.info("%s: registered", at)
        except Exception as error:  # the others go on, whatever it was
            failed += 1
            app.record(image).unlink(missing_ok=True)
            told = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            write_text(app.failure(image), json.dumps({"error": told}, indent=2) + "\n")
            log.error("%s: failed: %s", at, told, exc_info=not isinstance(error, InputError))
    for subject in dict.fromkeys(image.subject for image in images):
        rows = [_row(app, image) for image in images if image.subject == subject]
        write_subject_page(out / f"{subject}.html", subject, app.template.space, rows)
    for subject in [] if subjects else subjects_without(root, images):
        log.warning("%s has no T1w image", subject)
    log.info("Each subject has a page in %s. The page of all comes by: smgicnet bids %s %s group", out, root, out)
    return failed


def _template(root: Path, to: str) -> TemplateFile:
    """Return the template, with a name for its space of letters and digits, as BIDS wants it."""
    folder = root / ("sub-" + to.removeprefix("sub-"))
    if folder.is_dir():
        return TemplateFile(bids_images(root, [to])[0].path, "sub" + "".join(filter(str.isalnum, folder.name[4:])))
    found = find_template(to)
    space = found.space or "".join(filter(str.isalnum, found.path.name.split(".")[0]))
    if space in ("", "T1w"):
        raise InputError(found.path, f"its name gives the space the name {space!r}", "Rename the file after its space")
    return replace(found, space=space)


def _earlier(out: Path) -> dict[str, Any]:
    """Return what an earlier run left of itself in the folder of the derivatives, empty without one."""
    path = out / "logs" / "run.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _require_own(app: App) -> None:
    """Raise `InputError` for a folder with the derivatives of another tool, or of another template."""
    earlier = _earlier(app.out)
    if (app.out / DESCRIPTION).is_file() and not earlier:
        raise InputError(app.out, "it holds a dataset of another tool", "Give another folder")
    if earlier and earlier["space"] != app.template.space:
        problem = f"it holds registrations to {earlier['space']}, and these are to {app.template.space}"
        raise InputError(app.out, problem, "Give another folder for each template")


def _describe(app: App, to: str) -> None:
    """Write what BIDS wants to know of the derivatives, and what the next run does."""
    write_text(app.out / "logs" / "run.json", json.dumps({"to": to, "space": app.template.space}, indent=2) + "\n")
    description = {
        "Name": f"Registration to {app.template.space}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "smgicnet", "Version": __version__, "Description": _describe_settings(app)}],
        "DatasetLinks": {"raw": app.root.resolve().as_uri()},
    }
    write_text(app.out / DESCRIPTION, json.dumps(description, indent=2) + "\n")
    write_text(app.out / ".bidsignore", IGNORED)


def _describe_settings(app: App) -> str:
    quality = f", quality {app.settings.quality or 'default'}" if app.settings.transform == DEFORMABLE else ""
    return f"{app.settings.transform} registration{quality}, skull strip {app.settings.skull_strip}"


def _digest(app: App, image: BidsImage) -> str:
    """Return the digest of what a registration is made from."""
    return contents_digest([image.path.read_bytes(), app.shared.encode()])


def _is_done(app: App, image: BidsImage, digest: str) -> bool:
    try:
        done = json.loads(app.record(image).read_text(encoding="utf-8"))["digest"] == digest
    except (OSError, ValueError, KeyError):
        return False
    return bool(done)


def _register(app: App, image: BidsImage, fixed: Input, trained: Any, digest: str) -> None:
    """Register an image and write all that is made of it, the record last."""
    found = register_scans([fixed, read_scan(image.path, app.settings.form)], trained, app.weights, app.settings)
    source = f"bids:raw:{image.path.relative_to(app.root).as_posix()}"
    _write_transforms(app, image, found)
    _write_images(app, image, found, source)
    save(found.picture(with_verdict=False), [app.picture(image)], dpi=SCREEN_DPI)
    app.failure(image).unlink(missing_ok=True)
    write_record(app.record(image), Sources=[source], digest=digest, **_asked(app), **found.facts())


def _asked(app: App) -> dict[str, Any]:
    return {"space": app.template.space, "settings": {key: str(value) for key, value in asdict(app.settings).items()}}


def _write_transforms(app: App, image: BidsImage, found: Registered) -> None:
    for (displacement, linear), inverse in zip(found.ways, (False, True), strict=True):
        for ending in (".h5", ".mat"):  # of other settings
            app.transform(image, ending, inverse=inverse).unlink(missing_ok=True)
        if app.settings.transform == DEFORMABLE:
            write_itk_composite(app.transform(image, inverse=inverse), displacement, linear)
        elif linear is not None:
            write_itk_affine(app.transform(image, ".mat", inverse=inverse), linear)


def _write_images(app: App, image: BidsImage, found: Registered, source: str) -> None:
    """Write the scan on the template's grid, the brain's mask on either grid, and what BIDS wants to know of them."""
    moving = found.inputs[1]
    stripped = is_stripped(moving.scan.volume, moving.scan.brain)
    there, space = found.displacement.affine, f"space-{app.template.space}"
    facts = {"Sources": [source]}
    placed = {**facts, "SpatialReference": app.template.path.resolve().as_uri()}
    results: list[tuple[tuple[str, ...], str, np.ndarray, np.ndarray, dict[str, Any]]] = [
        ((space, "desc-preproc"), "T1w", found.warped(), there, {**placed, "SkullStripped": stripped})
    ]
    if moving.mask or stripped:  # of a head that was taken as it is nobody knows
        mask = moving.mask or Volume(moving.scan.brain.astype(np.uint8), moving.scan.volume.affine)
        inside = found.warped(Volume(mask.data.astype(np.float32), mask.affine)) > 0.5
        results.append(((space, "desc-brain"), "mask", inside.astype(np.uint8), there, {**placed, "Type": "Brain"}))
        results.append((("desc-brain",), "mask", mask.data, mask.affine, {**facts, "Type": "Brain"}))
    for names, suffix, data, affine, told in results:
        write_volume(app.file(image, *names, suffix=suffix, ending=".nii.gz"), data, affine, fast=True)
        path = app.file(image, *names, suffix=suffix, ending=".json")
        write_text(path, json.dumps(told, indent=2) + "\n")


def _row(app: App, image: BidsImage) -> Row:
    """Return what the pages say of an image."""
    if app.record(image).is_file():
        facts = json.loads(app.record(image).read_text(encoding="utf-8"))
        return Row(image.entities, image.subject, DONE, "", facts, app.picture(image))
    if app.failure(image).is_file():
        error = json.loads(app.failure(image).read_text(encoding="utf-8"))["error"]
        return Row(image.entities, image.subject, FAILED, error, {}, None)
    return Row(image.entities, image.subject, MISSING, "", {}, None)


def _group(app: App, images: Sequence[BidsImage]) -> int:
    """Write the table and the page of all images; the number of those that are not registered."""
    rows = [_row(app, image) for image in images]
    without = subjects_without(app.root, images)
    table, page = app.out / "group_registrations.tsv", app.out / "group.html"
    write_group_page(page, table, app.template.space, rows, without)
    log.info("the page of all images: %s\ntheir table: %s", page, table)
    return sum(row.status != DONE for row in rows)

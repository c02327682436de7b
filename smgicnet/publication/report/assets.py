"""The two JavaScript libraries of the page, read from the Python packages that carry them."""

from __future__ import annotations

from importlib import metadata, util
from pathlib import Path

from smgicnet.core.errors import InputError

LIBRARIES = {  # package, file in it
    "viewer": ("nilearn", "_assets/js/niivue.umd.js"),
    "tables": ("itables", "html/dt_bundle.js"),
}


def library(name: str) -> str:
    """Return the source of a library, safe inside a ``<script>`` element.

    Raises `InputError` when its package lacks it.
    """
    package, inside = LIBRARIES[name]
    found = util.find_spec(package)  # only located: importing nilearn takes seconds and needs scikit-learn
    folders = found.submodule_search_locations if found else None
    path = Path(folders[0], inside) if folders else Path(package, inside)
    if not path.is_file():
        remedy = f"Install the version of {package} in requirements.lock: pip install {package}"
        raise InputError(path, f"the report's {name} need this file of the Python package {package}", remedy)
    return in_script(path.read_text(encoding="utf-8"))


def library_versions() -> dict[str, str]:
    """Return the versions of the packages that carry the libraries."""
    return {package: metadata.version(package) for package, _ in LIBRARIES.values()}


def in_script(source: str) -> str:
    """Return JavaScript or JSON in which nothing ends or nests a ``<script>`` element: these stand in strings only."""
    for tag in ("<!--", "<script", "</script"):
        source = source.replace(tag, f"\\x3c{tag[1:]}")
    return source

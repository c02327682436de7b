"""Packages that not every command needs, by the extra of this package with which they are installed."""

from __future__ import annotations

from importlib.util import find_spec

from smgicnet.core.errors import InputError

EXTRAS = {  # by the name that is imported
    "tensorboard": "train",
    "ants": "peers",
    "fsl": "peers",
    "snakemake": "workflow",
    "seaborn": "workflow",
    "itables": "workflow",
}


def missing_package(name: str) -> InputError:
    """Return the error for a package of `EXTRAS` that is not installed."""
    remedy = f"Install it: pip install 'smgicnet[{EXTRAS[name]}]'"
    return InputError(name, "this Python package is needed here and is not installed", remedy)


def require_package(name: str) -> None:
    """Raise `InputError` where a package of `EXTRAS` is not installed, before work begins that would need it later."""
    if find_spec(name) is None:
        raise missing_package(name)

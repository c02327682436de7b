"""A figure from its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from smgicnet.publication.figures.canvas import save
from smgicnet.publication.figures.material import Material
from smgicnet.publication.figures.registry import DRAWING


def draw(entry: str, files: Mapping[str, Sequence[str]], facts: Mapping[str, Any], outputs: Sequence[str]) -> None:
    """Draw a figure and save it.

    Parameters
    ----------
    entry : a key of `smgicnet.publication.figures.registry.FIGURES`
    files, facts : the fields of `smgicnet.publication.figures.material.Material`
    outputs : a path for each form, with its suffix
    """
    save(DRAWING[entry](Material(files=files, **facts)), outputs)

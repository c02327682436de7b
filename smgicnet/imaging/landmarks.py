"""Landmarks in files: points of an image, in mm of its world, that correspond to those of other images.

A file is a CSV with a header that has the columns x, y, z and maybe label, or Slicer's .fcsv, whose header stands in a
comment. Coordinates are in RAS mm unless the file says LPS, in a line ``# CoordinateSystem = LPS``, which a .fcsv must
have, or in a column coords. In older files of Slicer's 0 is RAS and 1 is LPS.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine

from smgicnet.core.errors import InputError
from smgicnet.core.provenance import write_text

MAX_BYTES = 10 * 2**20  # a hundred thousand landmarks
_WORLDS = {"RAS": (1, 1, 1), "0": (1, 1, 1), "LPS": (-1, -1, 1), "1": (-1, -1, 1)}
_SAID = re.compile(r"#\s*(coordinatesystem|columns)\s*=(.*)", re.IGNORECASE)
_FORM = (
    "Give a CSV with a header x,y,z and maybe label, in RAS mm unless a line `# CoordinateSystem = LPS` says "
    "otherwise, or Slicer's .fcsv (docs/cohorts.md)"
)
_REACH = 0.501  # of a voxel from its centre, in voxels, with what is lost by rounding
_SHOWN = 60  # characters of a line in a message


@dataclass(frozen=True)
class Landmarks:
    """The landmarks of one image.

    Attributes
    ----------
    path : the file
    points : ``(N, 3)``, RAS mm
    labels : the name of each; None where their order alone says which is which
    """

    path: Path
    points: np.ndarray
    labels: tuple[str, ...] | None

    def name(self, index: int) -> str:
        """Return the name of a landmark for a message."""
        return repr(self.labels[index]) if self.labels else str(index + 1)


def read_landmarks(path: str | Path) -> Landmarks:
    """Read the landmarks of an image.

    Raises `InputError` for a file that is missing or of another form, for coordinates that are not finite numbers or in
    voxels, and for a label that stands twice.
    """
    path = Path(path)
    said, rows = _rows(path)
    places = _places(path, said, rows)
    points = [[_number(path, line, fields, places[axis], axis) for axis in "xyz"] for line, fields in rows]
    if not points:
        raise InputError(path, "it has no landmarks", _FORM)
    names = [fields[places["label"]].strip() for _, fields in rows] if "label" in places else []
    world = np.array(_WORLDS[_world(path, said, rows, places)])
    return Landmarks(path, np.array(points) * world, _labels(path, names))


def write_moved(source: Landmarks, points: np.ndarray, out: Path) -> None:
    """Write a file of landmarks again with other ``points (N, 3)`` in RAS mm, in the world and form of the file."""
    said, rows = _rows(source.path)
    places = _places(source.path, said, rows)
    moved = points * np.array(_WORLDS[_world(source.path, said, rows, places)])
    lines = source.path.read_text(encoding="utf-8-sig").splitlines()
    for (number, fields), point in zip(rows, moved, strict=True):
        for axis, value in zip("xyz", point, strict=True):
            fields[places[axis]] = f"{value:.6f}"
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(fields)
        lines[number - 1] = line.getvalue()
    write_text(out, "\n".join(lines) + "\n")


def corresponding(fixed: Landmarks, moving: Landmarks) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of both, ``(N, 3)`` each, that are the same landmarks: by their labels, or else by their order.

    Where both have labels, these are the labels that both have. Raises `InputError` where there is none, and for
    another number of landmarks where their order counts.
    """
    if fixed.labels and moving.labels:
        places = {label: place for place, label in enumerate(moving.labels)}
        shared = [(place, places[label]) for place, label in enumerate(fixed.labels) if label in places]
        if not shared:
            problem = f"it has no label that {fixed.path} has"
            raise InputError(moving.path, problem, "Name the same landmark alike in both, or remove the labels")
        ours, theirs = map(list, zip(*shared, strict=True))
        return fixed.points[ours], moving.points[theirs]
    if len(fixed.points) != len(moving.points):
        problem = f"it has {len(moving.points)} landmarks, and {fixed.path} has {len(fixed.points)}"
        raise InputError(moving.path, problem, "Give both the same ones in the same order, or a column label")
    return fixed.points, moving.points


def require_inside(landmarks: Landmarks, shape: tuple[int, ...], affine: np.ndarray, image: str | Path) -> None:
    """Raise `InputError` for a landmark outside an image of this ``shape`` and ``affine``, voxels to RAS mm."""
    index = apply_affine(np.linalg.inv(affine), landmarks.points)
    outside = ((index < -_REACH) | (index > np.array(shape[:3]) - 1 + _REACH)).any(axis=1)
    if outside.any():
        first = int(np.argmax(outside))
        where = ", ".join(f"{value:.4g}" for value in landmarks.points[first])
        more = f" and {outside.sum() - 1} more" if outside.sum() > 1 else ""
        problem = f"landmark {landmarks.name(first)}, at ({where}) in RAS mm,{more} is outside {image}"
        remedy = "Correct it; coordinates are in mm, and in RAS unless a line `# CoordinateSystem = LPS` says otherwise"
        raise InputError(landmarks.path, problem, remedy)


def _rows(path: Path) -> tuple[dict[str, str], list[tuple[int, list[str]]]]:
    """What comments say, by the word before the sign of equality; and the other lines' numbers and fields."""
    if path.name.lower().endswith(".json"):
        raise InputError(path, "landmarks are not read from JSON", "Save them from Slicer as .fcsv")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(path, f"it has more than {MAX_BYTES // 2**20} MiB: it is no file of landmarks", _FORM)
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "Correct its path or restore the file") from error
    except ValueError as error:
        raise InputError(path, f"it is not UTF-8 text ({error})", _FORM) from error
    said: dict[str, str] = {}
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#"):
            if found := _SAID.fullmatch(line.strip()):
                said[found[1].lower()] = found[2].strip()
        elif line.strip():
            try:
                rows.append((number, next(csv.reader([line], strict=True))))
            except csv.Error as error:
                raise InputError(path, f"line {number} is not a line of a CSV ({error})", _FORM) from error
    return said, rows


def _places(path: Path, said: Mapping[str, str], rows: list[tuple[int, list[str]]]) -> dict[str, int]:
    """The place of each column; a header among the ``rows`` is taken out of them."""
    if "columns" in said:
        header = said["columns"].split(",")
    elif rows:
        header = rows.pop(0)[1]
    else:
        raise InputError(path, "it is empty", _FORM)
    if all(map(_is_number, header)):
        problem = "its first line is numbers and no header: in such files, as Learn2Reg's, coordinates are in voxels"
        raise InputError(path, problem, _FORM)
    names = [name.strip().lower() for name in header]
    if missing := {*"xyz"} - {*names}:
        shown = ",".join(header)[:_SHOWN]
        raise InputError(path, f"columns {sorted(missing)} are missing in its header {shown!r}", _FORM)
    if repeated := [name for name, count in Counter(names).items() if count > 1 and name]:
        raise InputError(path, f"the column {repeated[0]!r} stands twice", "Give each column one name")
    for line, fields in rows:
        if len(fields) < len(names) or (len(fields) > len(names) and "columns" not in said):  # Slicer's have more
            raise InputError(path, f"line {line} has {len(fields)} fields and the header {len(names)}", _FORM)
    return {name: place for place, name in enumerate(names)}


def _world(path: Path, said: Mapping[str, str], rows: list[tuple[int, list[str]]], places: Mapping[str, int]) -> str:
    """The world that the coordinates are in, a key of ``_WORLDS``."""
    if "coords" in places:
        worlds = {fields[places["coords"]].strip().upper() for _, fields in rows}
    elif "coordinatesystem" in said or path.name.lower().endswith(".fcsv"):
        worlds = {said.get("coordinatesystem", "").upper()}
    else:
        worlds = {"RAS"}
    if len(worlds) > 1 or not worlds <= _WORLDS.keys():
        named = " and ".join(sorted(map(repr, worlds)))
        raise InputError(path, f"its coordinate system is {named}", "Say RAS or LPS: `# CoordinateSystem = RAS`")
    return worlds.pop()


def _number(path: Path, line: int, fields: list[str], place: int, axis: str) -> float:
    text = fields[place].strip()
    value = float(text) if _is_number(text) else np.nan
    if not np.isfinite(value):
        raise InputError(path, f"line {line}: {axis} is {text[:_SHOWN]!r}, not a finite number", "Correct or remove it")
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # Python's own way to write a number


def _labels(path: Path, names: list[str]) -> tuple[str, ...] | None:
    if not any(names):
        return None
    if "" in names:
        raise InputError(path, "a landmark has no label, others have one", "Give each landmark a label, or none to any")
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(path, f"the label {repeated[0]!r} stands twice", "Give each landmark a label of its own")
    return tuple(names)

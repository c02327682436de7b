"""The subjects of a BIDS dataset: one T1-weighted image each, with label maps and masks of a derivatives folder.

Names are parsed and queried by ancpbids, which lists 360 subjects in well under a second: the workflow reads the
dataset again in the process of every job.
"""

from __future__ import annotations

import glob
import importlib.util
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from smgicnet.cohort.participants import check_subjects
from smgicnet.core.errors import InputError
from smgicnet.core.tab_separated import read_tsv

log = logging.getLogger(__name__)
IMAGE_ENDINGS = [".nii", ".nii.gz"]
NO_VALUE = "n/a"  # of BIDS tables
LISTED = 5  # names in a message


def read_bids(source: Mapping) -> pd.DataFrame:
    """Return the subjects of a BIDS dataset from a completed ``source`` block of kind ``bids``.

    ``select`` chooses one T1w image of a subject by entities. ``labels`` and ``mask`` are suffix and entities of the
    files in ``derivatives``; a file there belongs to an image when its further entities are the image's too, so that
    without ``space`` in them only files in the image's own space are taken.

    Returns a frame with columns subject (with ``sub-``), image, labels and mask ("" where there is none) and, if
    participants.tsv has it, split. Subjects without an image are left out and logged. Raises `InputError` for what is
    no BIDS dataset, has several images of a subject or none at all, or files whose content is not there.
    """
    root = Path(source["path"])
    if importlib.util.find_spec("ancpbids") is None:
        raise InputError(
            root, "the Python package ancpbids, which reads BIDS, is not installed", "pip install ancpbids"
        )
    folders = subject_folders(root)
    select = _entities(source["select"], f"{root}: source.select")
    every = find_artifacts(root, {"suffix": "T1w"})
    select = _as_present(select, every, f"{root}: source.select")
    images = _one_a_subject(find_artifacts(root, {"suffix": "T1w", **select}) if select else every, root)
    if not images:
        raise _without_images(root, select, every)
    without = [name for name in folders if name not in images]
    if without:
        log.warning("%s: skipped without a T1w image: %s", root, listed(without))
    rows = [{"subject": name, "image": path_of(image)} for name, image in images.items()]
    table = pd.DataFrame(rows).assign(labels="", mask="")
    if source["derivatives"]:
        derivatives = Path(source["derivatives"])
        for column in ("labels", "mask"):
            if source[column]:
                table[column] = _derived(derivatives, images, source[column], column)
    require_content([*table["image"], *table["labels"], *table["mask"]], root)
    return _with_splits(table, root / "participants.tsv")


def _without_images(root: Path, select: Mapping[str, str], every: list[Any]) -> InputError:
    """The error for a dataset in which no T1w image is as ``select`` wants it; it says what ``every`` image has."""
    if not every or not select:
        remedy = "Name the files sub-01/anat/sub-01_T1w.nii.gz"
        return InputError(root, "no subject has a T1w image", remedy)
    there = "; ".join(f"{name}: {listed(_values(name, every)) or 'none'}" for name in select)
    problem = f"no subject has a T1w image with {dict(select)}; there are {there}"
    return InputError(root, problem, "Correct source.select, values in quotes, as the files' names have them")


def subject_folders(root: Path) -> list[str]:
    """Return the names of the ``sub-*`` folders of a BIDS dataset. Raises `InputError` for a folder that is none."""
    if not root.is_dir():
        raise InputError(root, "no such folder", "Give the root of a BIDS dataset")
    description = root / "dataset_description.json"
    if not description.is_file():
        raise InputError(root, "not a BIDS dataset, dataset_description.json is missing", "Give the dataset's root")
    folders = sorted(path.name for path in root.glob("sub-*") if path.is_dir())
    if not folders:
        raise InputError(root, "not a BIDS dataset, there are no sub-* folders", "Give the dataset's root")
    check_subjects(folders, root)
    return folders


def _load(root: Path, above: tuple[str, ...]) -> Any:
    """The dataset graph of the anatomical images of the subjects in ``root``, or ``above`` them in folders of it."""
    from ancpbids import DatasetOptions, load_dataset

    # listed here: ancpbids would walk through func, sourcedata and .git/annex as well
    patterns = [f"{folder}sub-*/{session}anat/*.nii*" for folder in above for session in ("", "ses-*/")]
    files = [file for pattern in patterns for file in glob.glob(pattern, root_dir=root)]
    files = [file for file in files if not Path(file).name.startswith(".")]  # macOS leaves ._NAME beside a file
    description = root / "dataset_description.json"
    if description.is_file():
        try:
            valid = isinstance(json.loads(description.read_text(encoding="utf-8-sig")).get("BIDSVersion", ""), str)
        except (ValueError, AttributeError):
            valid = False
        if not valid:
            raise InputError(
                description,
                "not a JSON object with BIDSVersion as text",
                'Write {"Name": "...", "BIDSVersion": "1.9.0"}',
            )
    # a pickle in a dataset could run anything: ancpbids would load one
    return load_dataset(str(root), DatasetOptions(ignore_pickle_file=True), paths=files)


def find_artifacts(root: Path, wanted: Mapping[str, Any], above: tuple[str, ...] = ("",)) -> list[Any]:
    """Return the artifacts with this suffix and these entities."""
    return _load(root, above).query(extension=IMAGE_ENDINGS, **wanted)


def _entities(given: Mapping[str, Any], where: str) -> dict[str, str]:
    """Entities under their long names. Raises `InputError` for one that BIDS has not (ancpbids takes the nearest)."""
    names = {short: name for name, short in _short_names().items()}
    names |= {name: name for name in names.values()}
    unknown = sorted(given.keys() - names.keys() - {"suffix"})
    if unknown:
        raise InputError(where, f"BIDS has no entity {unknown[0]!r}", f"Use {', '.join(sorted(set(names.values())))}")
    return {names.get(key, key): value for key, value in given.items()}


def _as_present(given: Mapping[str, Any], artifacts: list[Any], where: str) -> dict[str, str]:
    """Values of entities as text. A number, as YAML reads an unquoted 01, is the one value present that it can be.

    Raises `InputError` for a number that fits several values, or none that is present.
    """
    meant = {}
    for name, value in given.items():
        if isinstance(value, str):
            meant[name] = value
            continue
        present = _values(name, artifacts)
        fitting = [text for text in present if can_be(text, int(value))]
        if len(fitting) != 1:
            shown = ", ".join(fitting or present) or "none"
            problem = f"several values of {name} fit {value}" if fitting else f"no {name} is {value}"
            remedy = f'Write it in quotes, such as {name}: "{(fitting or present or ["01"])[0]}"'
            raise InputError(where, f"{problem} ({shown})", remedy)
        meant[name] = fitting[0]
    return meant


def _values(name: str, artifacts: list[Any]) -> list[str]:
    """What these files have of an entity that is given by its long name, sorted."""
    short = _short_names().get(name, name)
    return sorted({str(one.entities[short]) for one in artifacts if short in one.entities})


def can_be(text: str, number: int) -> bool:
    """Return whether YAML 1.1 may have read ``text`` as ``number``: in decimal or, for a leading zero, in octal."""
    if not text.isascii() or not text.isdigit():
        return False
    octal = text.startswith("0") and not set(text) & {"8", "9"}
    return int(text) == number or (octal and int(text, 8) == number)


def _one_a_subject(artifacts: list[Any], root: Path) -> dict[str, Any]:
    """Subject with ``sub-`` to its one image, by name. Raises `InputError` for a second or a misplaced one."""
    images: dict[str, Any] = {}
    for artifact in sorted(artifacts, key=path_of):
        subject = f"sub-{artifact.entities['sub']}" if "sub" in artifact.entities else "no subject"
        relative = Path(path_of(artifact)).relative_to(root)
        if relative.parts[0] != subject:
            raise InputError(
                path_of(artifact), f"it is named as of {subject}", f"Rename it, or move it out of {relative.parts[0]}"
            )
        if subject in images:
            both = f"{Path(path_of(images[subject])).name} and {relative.name}"
            raise InputError(
                root, f"{subject} has several T1w images ({both})", 'Choose by source.select, such as {session: "01"}'
            )
        images[subject] = artifact
    return images


def _derived(derivatives: Path, images: Mapping[str, Any], wanted: Mapping, column: str) -> list[str]:
    """The file of each image that has the ``wanted`` suffix and entities, or ""."""
    if not derivatives.is_dir():
        raise InputError(derivatives, "no such folder", "Correct source.derivatives in the config")
    where = f"{derivatives}: source.{column}"
    wanted = _entities(wanted, where)
    if not all(isinstance(value, str) for value in wanted.values()):
        wanted = _as_present(wanted, find_artifacts(derivatives, {}, above=("", "*/")), where)
    found: dict[str, list[Any]] = {}
    for artifact in find_artifacts(derivatives, wanted, above=("", "*/")):
        found.setdefault(f"sub-{artifact.entities.get('sub')}", []).append(artifact)
    asked = {short for name, short in _short_names().items() if name in wanted}
    files = [_best(image, found.get(subject, []), asked, column) for subject, image in images.items()]
    if column == "labels" and not any(files):
        raise InputError(
            derivatives,
            "there is no label map of these images in it",
            f"Files such as {_example(wanted)} are looked for: correct source.derivatives or source.labels; "
            "without label maps set source.labels to {}",
        )
    return files


def _best(image: Any, candidates: list[Any], asked: set[str], column: str) -> str:
    """The candidate whose entities, but those asked for, are the image's; the one that shares most of them."""
    own = image.entities.items()
    ranked: dict[int, list[str]] = {}
    for candidate in candidates:
        further = {key: value for key, value in candidate.entities.items() if key not in asked}
        if further.items() <= own:
            ranked.setdefault(len(further), []).append(path_of(candidate))
    best = ranked[max(ranked)] if ranked else [""]
    if len(best) > 1:
        raise InputError(
            path_of(image), f"several files could be its {column} ({', '.join(best)})", f"Choose by source.{column}"
        )
    return best[0]


def _short_names() -> dict[str, str]:
    """Entities as files abbreviate them: ``{"session": "ses", ...}``."""
    from ancpbids import model_latest

    return {entity.name: entity.value["name"] for entity in model_latest.EntityEnum}


def _example(wanted: Mapping[str, str]) -> str:
    parts = [f"{_short_names()[key]}-{value}" for key, value in wanted.items() if key != "suffix"]
    return f"sub-01/anat/{'_'.join(['sub-01', *parts, wanted.get('suffix', 'dseg')])}.nii.gz"


def path_of(artifact: Any) -> str:
    return str(Path(artifact.get_absolute_path()))


def listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def require_content(files: list[str], root: Path) -> None:
    """Raise `InputError` for links to nowhere: what git-annex leaves for content that has not been fetched."""
    absent = [file for file in files if file and not Path(file).exists()]
    if absent:
        others = f" (and of {len(absent) - 1} more files)" if len(absent) > 1 else ""
        raise InputError(
            absent[0], f"the content of this link{others} is not here", f"Fetch it with `datalad get` in {root}"
        )


def _with_splits(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table with the column split of participants.tsv, where there is one."""
    if not path.is_file():
        return table
    people = read_tsv(path, "Correct or remove it")
    if "split" not in people:
        return table
    if "participant_id" in people:  # taken as meant with and without sub-
        people["participant_id"] = ["sub-" + name.removeprefix("sub-") for name in people["participant_id"]]
    if "participant_id" not in people or people["participant_id"].duplicated().any():
        raise InputError(path, "participant_id is missing or not unique", "Give one row a subject, with its sub- name")
    unknown = sorted(set(people["participant_id"]) - set(table["subject"]))
    lacking = sorted(set(table["subject"]) - set(people["participant_id"]))
    if unknown:
        log.warning("%s: rows without an image: %s", path, listed(unknown))
    if lacking:
        log.warning("%s: subjects without a row, which are left out: %s", path, listed(lacking))
    splits = people.set_index("participant_id")["split"].replace(NO_VALUE, "")
    return table.assign(split=table["subject"].map(splits).fillna(""))

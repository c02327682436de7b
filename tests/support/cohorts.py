"""Good cohorts in files: tables, configs and BIDS datasets, which tests then spoil."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from tests.support.scans import good_image, good_labels, write

SPLITS = ["train", "train", "train", "test", "test"]
COLUMNS = ["subject", "image", "labels", "split"]


def scan(path: Path, number: int) -> Path:
    """A stripped image of its own for each ``number``, 24 cubed at 2 mm."""
    return write(path, np.where(good_image() > 0, good_image() + number, 0).astype(np.float32))


def cohort(folder: Path) -> list[dict[str, str]]:
    """The files of five good subjects, and their rows."""
    rows = []
    for number, split in enumerate(SPLITS):
        scan(folder / f"s{number}.nii.gz", number)
        write(folder / f"s{number}-labels.nii.gz", good_labels())
        rows.append(dict(zip(COLUMNS, [f"s{number}", f"s{number}.nii.gz", f"s{number}-labels.nii.gz", split])))
    return rows


def save_table(folder: Path, rows: list[dict[str, str]], **options) -> Path:
    path = folder / "participants.tsv"
    pd.DataFrame(rows).to_csv(path, **{"sep": "\t", "index": False, **options})
    return path


def config(source: dict | None = None, top: dict | None = None, **changes) -> Callable[[Path], Path]:
    """A config of a good cohort; ``changes`` are of the dataset, ``top`` those beside it. "@" is the folder."""

    def make(folder: Path) -> Path:
        table = save_table(folder, cohort(folder))
        full = {"kind": "participants", "path": str(table)} if source is None else source
        full = {key: str(folder / value[1:]) if str(value).startswith("@") else value for key, value in full.items()}
        dataset = {
            "source": full,
            "grid": {"shape": [16, 16, 16], "spacing": 4.0},
            "preprocessing": {"skull_strip": "none"},
            **changes,
        }
        path = folder / "config.yaml"
        path.write_text(
            yaml.safe_dump({"datasets": {"d": dataset}, "methods": {"m": {"type": "initial"}}, **(top or {})})
        )
        return path

    return make


def rendered(folder: Path) -> Path:
    (folder / "maps").mkdir()
    for number in range(4):
        write(folder / "maps" / f"m{number}.nii.gz", np.roll(good_labels(), number, axis=0))
    return config({"kind": "label-maps", "path": "@maps", "subjects": {"val": 0, "test": 2}})(folder)


FEW = {"subjects": {"train": 2, "val": 0, "test": 2}}


def bids(change: Callable[[Path], object] = lambda root: None, **source) -> Callable[[Path], Path]:
    """A config of a good BIDS dataset with label maps, changed by ``change(root)``."""

    def make(folder: Path) -> Path:
        root = folder / "bids"
        derivatives = root / "derivatives" / "smriprep"
        for number in range(4):
            name = f"sub-{number:02d}"
            for parent in (root, derivatives):
                (parent / name / "anat").mkdir(parents=True)
            scan(root / name / "anat" / f"{name}_T1w.nii.gz", number)
            write(derivatives / name / "anat" / f"{name}_desc-aseg_dseg.nii.gz", good_labels())
        (root / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.9.0"}))
        change(root)
        block = {
            "kind": "bids",
            "path": str(root),
            "derivatives": str(derivatives),
            "splits": FEW["subjects"],
            **source,
        }
        return config(block)(folder)

    return make


def folder_only(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
    def only(folder: Path) -> Path:
        make(folder)
        return folder / "bids"

    return only

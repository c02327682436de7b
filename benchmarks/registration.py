"""Programs side by side on the same pairs at full resolution: accuracy, time and memory of whole processes.

``python -m benchmarks.registration results/DATASET/cohort/participants.tsv OUT``: the people of a split are registered
in a ring, each to the next, by every program in turn, from their images as they lie to transforms in files. Each peer
has an environment of its own in ``OUT/environments``, made by pip where it is missing. A row is kept for each pair and
program in ``OUT/rows.csv``; what is there is not run again. At the end are a table, ``OUT/table.md``, and a figure.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter
from nibabel.affines import apply_affine, from_matvec
from scipy.spatial.transform import Rotation

from benchmarks.programs import PEERS, measured
from smgicnet.core.provenance import hardware
from smgicnet.imaging.displacements import to_voxels
from smgicnet.imaging.field_formats import Geometry, read_geometry
from smgicnet.imaging.foreground import background_level
from smgicnet.imaging.images import read_field, read_image, read_labels, write_volume
from smgicnet.imaging.transform_chain import displacement_of, read_transforms
from smgicnet.methods.contract import Registration
from smgicnet.preparation.label_protocols import map_labels, roi_names
from smgicnet.preparation.parcels import map_parcels
from smgicnet.preparation.preprocessing import resample, to_canonical
from smgicnet.publication.figures.canvas import save
from smgicnet.publication.figures.plotting import PALETTE, style
from smgicnet.scoring.evaluation import score_pair
from smgicnet.scoring.pair import ScoredSubject

AXIS = (1, 2, 2)  # of turned heads, RAS
SCORES = (
    "dice",
    "parcels_dice",
    "hd95_mm",
    "endpoint_error_mm",
    "folds_percent",
    "ndv_percent",
)
GROUPS = {
    "ventricles": ("Lateral-Ventricle", "Inf-Lat-Vent", "3rd-Ventricle", "4th-Ventricle", "CSF"),
    "deep": ("Thalamus", "Caudate", "Putamen", "Pallidum", "Hippocampus", "Amygdala", "Accumbens-area", "VentralDC"),
    "hindbrain": ("Cerebellum-White-Matter", "Cerebellum-Cortex", "Brain-Stem"),
    "cerebrum": ("Cerebral-White-Matter", "Cerebral-Cortex"),
}


@dataclass(frozen=True)
class Person:
    """What is registered and scored of one person."""

    image: Path
    grid: Geometry
    scored: ScoredSubject
    change: str = ""  # of the image, for the names of files


def read_people(table: Path, split: str) -> dict[str, Person]:
    """The people of a split of a ``participants.tsv``, with their truth where it has any."""
    people = {}
    for row in pd.read_csv(table, sep="\t").to_dict("records"):
        if row.get("split", split) != split:
            continue
        files = {key: table.parent / str(row[key]) for key in ("image", "labels")}
        labels = read_labels(files["labels"])
        truth = [read_field(table.parent / row[key]) for key in ("to_template", "from_template") if key in row]
        rois, parcels = (np.ascontiguousarray(of(labels.data, "freesurfer")) for of in (map_labels, map_parcels))
        to_template, from_template = truth or (None, None)
        template = str(row.get("anatomy", ""))
        scored = ScoredSubject(row["subject"], rois, labels.affine, to_template, from_template, parcels, template)
        people[row["subject"]] = Person(files["image"], read_geometry(files["labels"]), scored)
    return people


def ring(people: dict[str, Person]) -> list[tuple[str, str]]:
    """Each person and the next; of twins, each with the others of the same anatomy."""
    groups: dict[str, list[str]] = {}
    for name, person in people.items():
        groups.setdefault(person.scored.template, []).append(name)
    return [pair for names in groups.values() for pair in zip(names, names[1:] + names[:1]) if len(names) > 1]


def scored(displacement: np.ndarray, fixed: Person, moving: Person) -> dict[str, float]:
    """The scores of a ``displacement`` in RAS mm on the fixed labels' grid, with the mean Dice of each of `GROUPS`."""
    voxels = to_voxels(displacement, fixed.scored.affine, moving.scored.affine)
    registration = Registration(torch.from_numpy(voxels)[None], None, float("nan"))
    rows = score_pair(fixed.scored, moving.scored, registration, None, roi_names(), only=SCORES)
    found = {row["metric"]: row["value"] for row in rows if row["roi"] in ("mean", "")}
    regions = {row["roi"]: row["value"] for row in rows if row["metric"] == "dice" and row["roi"] != "mean"}
    for group, names in GROUPS.items():
        values = [value for roi, value in regions.items() if roi.split("-", 1)[-1] in names or roi in names]
        found[f"dice_{group}"] = float(pd.Series(values, dtype=float).mean())
    return found


def resampled(people: dict[str, Person], voxels: Sequence[float], out: Path) -> dict[str, Person]:
    """The people with their images on voxels of other sizes in mm, right to left, back to front and bottom to top."""
    found = {}
    for name, person in people.items():
        path = out / "images" / f"{name}.nii.gz"
        if not path.exists():
            volume = to_canonical(read_image(person.image))
            step, extent = np.array(voxels) / volume.spacing, np.array(volume.data.shape)
            shape = np.ceil(extent / step).astype(int)
            affine = volume.affine @ from_matvec(np.diag(step), (step - 1) / 2)
            data = resample(volume, affine, tuple(shape), order=1, fill=background_level(volume.data))
            write_volume(path, data, affine)
        found[name] = replace(person, image=path)
    return found


@dataclass(frozen=True)
class Bench:
    """Where the results of all programs go, and on how many threads each runs."""

    out: Path
    threads: int

    def register(self, key: str, fixed: Person, moving: Person) -> dict[str, float]:
        """What a program takes for a pair, whose transforms it leaves in `folder`."""
        folder = self.folder(key, fixed, moving)
        folder.mkdir(parents=True, exist_ok=True)
        images = fixed.image.resolve(), moving.image.resolve()
        command = PEERS[key].command(*images, folder, (self.out / "environments").resolve(), self.threads)
        return measured(command, self.threads, folder / "log.txt")

    def displacement(self, key: str, fixed: Person, moving: Person) -> np.ndarray:
        """What a program has found, in RAS mm on the grid of the fixed labels."""
        transforms = PEERS[key].transforms(self.folder(key, fixed, moving))
        return displacement_of(read_transforms(transforms, fixed.grid, moving.grid), fixed.grid)

    def folder(self, key: str, fixed: Person, moving: Person) -> Path:
        """The folder of a pair's results by a program."""
        names = (person.scored.name + person.change for person in (fixed, moving))
        return (self.out / "registrations" / key / "_".join(names)).resolve()

    def pose_consistency(self, key: str, fixed: Person, moving: Person, degrees: float) -> float:
        """How far apart, on the mean over the fixed brain in mm, a program sends it for the head as it lies and turned.

        The moving image is turned by ``degrees`` about an oblique axis, onto a grid with room for that.
        """
        turned, back = turned_by(moving, degrees, self.out / "images")
        self.register(key, fixed, turned)
        brain = np.argwhere(fixed.scored.labels > 0)
        start = apply_affine(fixed.scored.affine, brain)
        places = [start + self.displacement(key, fixed, one)[tuple(brain.T)] for one in (moving, turned)]
        return float(np.linalg.norm(places[0] - apply_affine(back, places[1]), axis=1).mean())


def turned_by(person: Person, degrees: float, out: Path) -> tuple[Person, np.ndarray]:
    """A person whose image is turned about its middle, and the map that undoes it, ``(4, 4)`` in the world's RAS mm."""
    change, volume = f"-turned-{degrees:g}", to_canonical(read_image(person.image))
    path, ends = out / f"{person.scored.name}{change}.nii.gz", [(0, n - 1) for n in volume.data.shape]
    corners = apply_affine(volume.affine, list(product(*ends)))
    turn = Rotation.from_rotvec(np.radians(degrees) * np.array(AXIS) / np.linalg.norm(AXIS)).as_matrix()
    there = from_matvec(turn, corners.mean(0) - turn @ corners.mean(0))
    back, step = np.linalg.inv(there), volume.spacing.min()
    moved = apply_affine(there, corners)
    affine = from_matvec(step * np.eye(3), moved.min(0))
    if not path.exists():
        shape = tuple(np.ceil(np.ptp(moved, axis=0) / step).astype(int) + 1)
        dark = background_level(volume.data)
        write_volume(path, resample(volume, back @ affine, shape, order=1, fill=dark), affine)
    return replace(person, image=path, change=change), back


def run(bench: Bench, programs: Sequence[str], people: dict[str, Person], degrees: float = 0) -> pd.DataFrame:
    """Register and score what is not in ``rows.csv`` yet, pair by pair, every program in turn."""
    kept = bench.out / "rows.csv"
    rows = pd.read_csv(kept).to_dict("records") if kept.exists() else []
    done = {(row["program"], row["fixed"], row["moving"]) for row in rows}
    for fixed, moving in ring(people):
        for key in programs:
            if (key, fixed, moving) in done:
                continue
            pair = people[fixed], people[moving]
            found = bench.register(key, *pair)
            found |= scored(bench.displacement(key, *pair), *pair)
            if degrees:
                found["pose_consistency_mm"] = bench.pose_consistency(key, *pair, degrees)
            rows.append({"program": key, "fixed": fixed, "moving": moving, **found})
            print(f"{key}: {moving} to {fixed}: Dice {found['dice']:.4f}, {found['cpu_s']:.1f} CPU s", flush=True)
            pd.DataFrame(rows).to_csv(kept, index=False, quoting=csv.QUOTE_MINIMAL)
    return pd.DataFrame(rows)


def table_of(rows: pd.DataFrame) -> str:
    """The mean of each program over the pairs, with the worst pair's Dice, as a Markdown table."""
    columns = {"dice": ("Dice", 4), "worst": ("worst pair", 3)}
    columns |= {f"dice_{group}": (group, 3) for group in GROUPS}
    columns |= {"parcels_dice": ("parcels", 3), "endpoint_error_mm": ("EPE (mm)", 2), "hd95_mm": ("HD95 (mm)", 2)}
    columns |= {"pose_consistency_mm": ("pose (mm)", 2)}
    columns |= {"folds_percent": ("folds (%)", 4), "ndv_percent": ("NDV (%)", 4)}
    columns |= {"cpu_s": ("CPU s", 0), "wall_s": ("s", 0), "memory_mib": ("MiB", 0)}
    means = rows.groupby("program", sort=False).mean(numeric_only=True)
    means["worst"] = rows.groupby("program")["dice"].min()
    shown = {key: head for key, head in columns.items() if key in means and means[key].notna().any()}
    lines = ["| | " + " | ".join(head for head, _ in shown.values()) + " |", "|---|" + "---|" * len(shown)]
    for key in [one for one in PEERS if one in means.index]:
        values = [(means.loc[key, name], decimals) for name, (_, decimals) in shown.items()]
        cells = ["–" if np.isnan(value) else f"{value:.{decimals}f}" for value, decimals in values]
        lines.append(f"| {PEERS[key].name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(rows: pd.DataFrame, path: Path) -> None:
    """Dice against CPU seconds, each program a point, each pair a smaller one."""
    with style():
        figure = Figure(layout="constrained")
        axes, colours = figure.subplots(), seaborn.color_palette(PALETTE)
        for number, key in enumerate(one for one in PEERS if one in set(rows["program"])):
            part = rows[rows["program"] == key]
            colour = colours[number]
            axes.scatter(part["cpu_s"], part["dice"], s=6, color=colour, alpha=0.4, linewidths=0)
            middle = part["cpu_s"].mean(), part["dice"].mean()
            axes.scatter(*middle, s=30, color=colour, marker="o" if PEERS[key].ready else "D")
            name = PEERS[key].name.removeprefix("SM-GICNet, ")  # whose marks are diamonds
            axes.annotate(name, middle, xytext=(4, 4), textcoords="offset points", fontsize=6)
        axes.set(xscale="log", xlabel="CPU seconds a pair, the whole process", ylabel="Dice of 36 regions")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
        axes.margins(x=0.2)
        save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("participants", type=Path, help="participants.tsv of images at full resolution")
    parser.add_argument("out", type=Path, help="a folder for the results")
    parser.add_argument("--split", default="test")
    parser.add_argument("--programs", nargs="+", choices=PEERS, default=[*PEERS])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turned", type=float, default=0, metavar="DEGREES", help="register turned heads too")
    parser.add_argument("--voxels", type=float, nargs=3, metavar="MM", help="resample the images first, not the labels")
    arguments = parser.parse_args()
    people = read_people(arguments.participants, arguments.split)
    if arguments.voxels:
        people = resampled(people, arguments.voxels, arguments.out)
    pairs = ring(people)
    print(f"{len(people)} people, {len(pairs)} pairs, {len(arguments.programs)} programs, on {hardware()}", flush=True)
    rows = run(Bench(arguments.out, arguments.threads), arguments.programs, people, arguments.turned)
    table = table_of(rows)
    (arguments.out / "table.md").write_text(table + "\n")
    draw(rows, arguments.out / "dice-against-time")
    print(f"\n{table}\n\nIn {arguments.out}: table.md, dice-against-time.png, rows.csv")


if __name__ == "__main__":
    main()

"""Other contrasts than T1: two twins with a known map, one of them as T2, FLAIR, proton density or T1 with an agent.

``python -m benchmarks.contrasts FOLDER PERSON... --out OUT`` registers two twins of each of these people of a folder of
FreeSurfer label maps, by default in four ways: as they are; by the magnitudes of their gradients, which the refinement
compares instead of the images; with the intensities of T1, as ``smgicnet register`` does; and with both.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.twins import Bench, how_wrong, twin
from smgicnet.cohort.template import Template, load_anatomy
from smgicnet.commands import registering
from smgicnet.commands.native_fields import Pair, register_pair
from smgicnet.commands.registering import Registered, Settings
from smgicnet.imaging.images import Volume
from smgicnet.methods.contract import LearnedMethod
from smgicnet.preparation.preprocessing import Prepared

FLUIDS = ("Ventricle", "Inf-Lat-Vent", "CSF")
# of white matter, cortex and the like, deep nuclei, iron-rich nuclei, fluid, and vessels with the choroid plexus
SEQUENCES = {
    "T2": (0.45, 0.62, 0.55, 0.40, 1.0, 0.5),
    "FLAIR": (0.70, 0.92, 0.85, 0.70, 0.20, 0.8),
    "T1 with agent": (1.0, 0.78, 0.86, 0.94, 0.42, 1.5),
    "proton density": (0.72, 0.92, 0.85, 0.74, 1.0, 0.6),
}
DEEP = ("Thalamus", "Caudate", "Putamen", "Accumbens-area")
IRON = ("Pallidum", "VentralDC")
WHITE = ("White-Matter", "Brain-Stem", "Other-Tissue")
BLOOD = ("vessel", "choroid-plexus")


def in_sequence(template: Template, name: str) -> Template:
    """A template whose images have the contrast of one of `SEQUENCES`."""
    white, grey, deep, iron, fluid, blood = SEQUENCES[name]

    def mean(tissue: str) -> float:
        groups = {WHITE: white, DEEP: deep, IRON: iron, FLUIDS: fluid, BLOOD: blood}
        return next((value for names, value in groups.items() if any(one in tissue for one in names)), grey)

    return replace(template, tissues={key: replace(one, mean=mean(one.name)) for key, one in template.tissues.items()})


def gradients(prepared: Prepared) -> Prepared:
    """A brain whose refinement sees the magnitudes of its gradients."""
    native = prepared.native
    low, high = prepared.report["intensity_range"]
    slopes = np.gradient(np.clip(native.data, low, high), *native.spacing)
    steep = np.sqrt(sum(slope**2 for slope in slopes)) * (native.data > low)
    report = {**prepared.report, "intensity_range": [0.0, float(np.percentile(steep[steep > 0], 99.5))]}
    return replace(prepared, native=Volume(steep.astype(np.float32), native.affine), report=report)


def registered(bench: Bench, pair: tuple[Volume, Volume], way: str) -> Registered:
    """A pair registered with the refinement of `default`."""
    settings = Settings(skull_strip="none", contrast="auto" if "T1" in way else "keep")
    if "gradients" not in way:
        return bench.register(*pair, settings)

    def by_gradients(method: LearnedMethod, found: Pair, *rest: object) -> object:
        for stage in method.refinement.detail:
            object.__setattr__(stage, "tissues", 0.0)
        return register_pair(method, Pair(*map(gradients, found)), *rest)

    original, registering.register_pair = registering.register_pair, by_gradients
    try:
        return bench.register(*pair, settings)
    finally:
        registering.register_pair = original


WAYS = "as it is", "gradients", "as T1", "as T1, gradients"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("people", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ways", nargs="+", default=[*WAYS])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bench, rows = Bench.shipped(), []
    for person in arguments.people:
        template = load_anatomy(arguments.folder / f"{person}.nii.gz")
        fixed = twin(template, person, 0)
        for sequence in ("T1", *SEQUENCES):
            moving = twin(template if sequence == "T1" else in_sequence(template, sequence), person, 1)
            for way in arguments.ways:
                found = registered(bench, (fixed.image, moving.image), way)
                row = how_wrong(found.displacement, fixed, moving, moving.image)
                changed = "contrast" in found.inputs[1].record
                rows.append({"person": person, "sequence": sequence, "way": way, "changed": changed, **row})
                print(*rows[-1].values(), flush=True)
                pd.DataFrame(rows).to_csv(arguments.out, index=False)
    means = pd.DataFrame(rows).pivot_table(index="sequence", columns="way", values=["error_mm", "dice"], sort=False)
    print(f"\n{means.round(3).to_markdown()}\n\nIn {arguments.out}")


if __name__ == "__main__":
    main()

"""Registrations that go well and others that cannot, with what they leave behind and how wrong they truly are.

``python -m benchmarks.verdict FOLDER OUT`` takes FreeSurfer label maps of people from a folder. Of each person twins
are rendered whose true maps are known, and pairs are registered from Python: as they are, with images that were spoilt
(`benchmarks.failures`), from a wrong pose, and with a wrong velocity. Rows are kept in ``OUT/PERSON KIND.csv``; what is
there is not registered again. ``--part 1/2`` does every second person.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from unittest.mock import patch
from zlib import crc32

import numpy as np
import pandas as pd
import torch

from benchmarks.contrasts import SEQUENCES, in_sequence
from benchmarks.failures import IMAGES, turned, wrong_pose, wrong_velocity
from benchmarks.twins import SEED, Bench, Twin, how_wrong, twin
from smgicnet.cohort.kinds.map_folder import maps_in, name_of
from smgicnet.cohort.template import load_anatomy
from smgicnet.commands.native_fields import as_in_files
from smgicnet.commands.registering import Registered, Settings
from smgicnet.core.errors import InputError
from smgicnet.imaging.images import Volume
from smgicnet.methods import smgicnet as method

TWINS = 6  # of each person
AS_IT_IS, TURNED, TWO_PEOPLE, CONTRAST, POSE, VELOCITY = (
    "as it is",
    "turned",
    "two people",
    "other contrast",
    "wrong pose",
    "wrong velocity",
)
PLAN = {  # how often each kind is made of a person: by the network alone, and with the refinement
    AS_IT_IS: (6, 1),
    TURNED: (4, 0),
    TWO_PEOPLE: (7, 1),
    CONTRAST: (6, 0),
    "cut": (9, 1),
    "lesion": (3, 0),
    "noise": (4, 0),
    "bias": (3, 0),
    "thick slices": (4, 0),
    "bad strip": (5, 0),
    "wrong organ": (7, 0),
    "mirrored": (2, 0),
    POSE: (13, 1),
    VELOCITY: (13, 0),
}
QUALITIES = "fast", "default"


class Person:
    """The cases of one person, whose partner is another."""

    def __init__(self, bench: Bench, path: Path, other: Path):
        self.bench, self.name, self.other = bench, name_of(path), name_of(other)
        self.template = load_anatomy(path)
        self.twins = [twin(self.template, self.name, number) for number in range(TWINS)]
        template = load_anatomy(other)
        self.partners = [twin(template, self.other, number) for number in range(2)]

    def cases(self, kind: str) -> Iterator[dict[str, object]]:
        """A row for each case of a kind."""
        for quality, count in zip(QUALITIES, PLAN[kind], strict=True):
            seeds = [SEED, *(crc32(one.encode()) for one in (self.name, kind, quality))]
            pairs = np.random.default_rng(seeds).permutation(list(permutations(range(TWINS), 2)))
            for number in range(count):
                draw = np.random.default_rng([*seeds, number])
                severity = (number + draw.uniform()) / count
                begun = time.process_time()
                facts = {"person": self.name, "kind": kind, "quality": quality, "severity": round(severity, 3)}
                try:
                    row = self._case(kind, quality, severity, draw, *pairs[number])
                except InputError as error:
                    row = {"refused": error.problem}
                yield facts | row | {"cpu_s": round(time.process_time() - begun, 1)}

    def _case(
        self, kind: str, quality: str, severity: float, draw: np.random.Generator, first: int, second: int
    ) -> dict[str, object]:
        fixed, moving = self.twins[first], self.twins[second]
        if kind == TWO_PEOPLE or (kind not in (AS_IT_IS, CONTRAST) and draw.uniform() < 0.25):
            moving = self.partners[second % len(self.partners)]
        seen, during = moving.image, nullcontext()
        if kind == TURNED:
            moving = replace(moving, world=turned(severity, draw))
            seen = moving.image
        elif kind == CONTRAST:
            template = in_sequence(self.template, list(SEQUENCES)[int(draw.integers(len(SEQUENCES)))])
            moving = twin(template, self.name, int(second))
            seen = moving.image
        elif kind == POSE:
            during = _pose_is_wrong(severity, draw)
        elif kind in IMAGES:
            seen = IMAGES[kind](moving.image, severity, draw)
            if kind == "mirrored":
                moving = replace(moving, world=seen.affine @ np.linalg.inv(moving.image.affine))
        with during:
            found = self.bench.register(fixed.image, seen, Settings(quality=quality, skull_strip="none"))
        if kind == VELOCITY:
            found = _spoilt(found, severity, draw)
        return self._row(found, fixed, moving, seen)

    @staticmethod
    def _row(found: Registered, fixed: Twin, moving: Twin, seen: Volume) -> dict[str, object]:
        return {
            "moving": moving.anatomy,
            **how_wrong(found.displacement, fixed, moving, seen),
            **(found.evidence or {}),
        }


def _spoilt(found: Registered, severity: float, draw: np.random.Generator) -> Registered:
    """A registration whose velocity is another."""
    flow = found.result.flow
    spacing = float(flow.to_fixed[:3, :3].norm(dim=0).mean())
    flow = wrong_velocity(flow, severity, draw, spacing)
    displacements = tuple(map(as_in_files, (flow, flow.inverse), found.targets))
    return replace(found, result=replace(found.result, flow=flow, displacements=displacements))


def _pose_is_wrong(severity: float, draw: np.random.Generator) -> AbstractContextManager:
    """While this lasts, the pose is another than the search finds."""
    find: Callable = method.find_pose

    def spoilt(fixed: torch.Tensor, *rest: object, **more: object) -> object:
        return wrong_pose(find(fixed, *rest, **more), tuple(fixed.shape[2:]), severity, draw)

    return patch.object(method, "find_pose", spoilt)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("anatomies", type=Path, help="a folder of FreeSurfer label maps")
    parser.add_argument("out", type=Path, help="a folder for the results")
    parser.add_argument("--part", default="1/1", help="of the people, as 1/2")
    arguments = parser.parse_args()
    part, parts = map(int, arguments.part.split("/"))
    arguments.out.mkdir(parents=True, exist_ok=True)
    bench = Bench.shipped()
    maps = maps_in(str(arguments.anatomies), None, "anatomies")
    for own, other in list(zip(maps, maps[1:] + maps[:1], strict=True))[part - 1 :: parts]:
        tables = {kind: arguments.out / f"{name_of(own)} {kind}.csv" for kind in PLAN}
        missing = [kind for kind, table in tables.items() if not table.exists()]
        person = Person(bench, own, other) if missing else None
        for kind in missing:
            rows = list(person.cases(kind))
            pd.DataFrame(rows).to_csv(tables[kind], index=False)
            print(
                name_of(own),
                kind,
                *(row.get("error_mm", row["dice"]) if "dice" in row else "refused" for row in rows),
                flush=True,
            )
    print(f"In {arguments.out}: a table for each person")


if __name__ == "__main__":
    main()

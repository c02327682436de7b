"""Every kind of input file crossed with orientations, voxel sizes, containers and types, through every command.

``python -m tests.input_matrix`` runs all combinations and prints the table of docs/headers.md; test_input_matrix.py
runs a part of them. One head is sampled on each grid from a formula, so that its files differ and its world does not.
The right answers are those of ANTs on the same file, where ANTs can read it, and else on a plain copy of it.
"""

import argparse
import contextlib
import io
import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import ants
import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from tqdm import tqdm

from smgicnet import cli
from smgicnet.imaging.displacements import read_itk
from smgicnet.imaging.grids import Grid
from smgicnet.methods.weights import Weights, write_weights
from smgicnet.preparation.preprocessing import prepare
from tests.support.input_kinds import (
    Case,
    cases,
    grid,
    head,
    write,
)
from tests.support.methods import block, build

GRID = Grid((16, 16, 16), 5.0)
ROIS = (2, 3, 10, 41, 42, 49)


def run(*arguments: object) -> tuple[int, str, str]:
    """Exit code, output and messages of a command, in this process."""
    out, err = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(err)
    logging.getLogger().addHandler(handler)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main(list(map(str, arguments)))
    finally:
        logging.getLogger().removeHandler(handler)
    return code, out.getvalue(), err.getvalue()


def by_ants(path: Path, plain: Path) -> ants.ANTsImage:
    """The image as ANTs reads it, or its plain copy where ANTs cannot (NIfTI-2, MGH in some builds, five axes)."""
    try:
        image = ants.image_read(str(path))
    except (RuntimeError, ValueError):
        return ants.image_read(str(plain))
    return image if image.dimension == 3 else ants.image_read(str(plain))


class Bench:
    """What all cases share: a fixed head, and small weights, whose field is any field."""

    def __init__(self, folder: Path):
        self.folder = folder
        shape, affine = grid("LAS", (2.0, 2.0, 2.0))
        points = apply_affine(affine, np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1))
        self.image, self.labels = folder / "fixed.nii.gz", folder / "fixed-labels.nii.gz"
        for path, data in zip((self.image, self.labels), head(points, bend=3.0), strict=True):
            image = nib.Nifti1Image(data.astype(np.float32), affine)
            image.set_qform(affine, 1)
            nib.save(image, path)
        settings, method = block("smgicnet"), build("smgicnet")
        self.weights = folder / "weights.pt"
        write_weights(Weights(settings, len(settings["stages"]), GRID, method.network.state_dict()), self.weights)

    def answers(self, case: Case) -> dict[str, str]:
        """By command "" where its answer is right, and else what is wrong with it."""
        folder = self.folder / str(case.number)
        folder.mkdir()
        files = write(case, folder)
        commands = {"register": self.register, "convert": self.convert, "score": self.score, "check": self.check}
        commands["preprocessing"] = self.preprocess
        return {name: command(case, folder, *files) for name, command in commands.items()}

    def _refused(self, case: Case, answer: tuple[int, str, str], *, code: int = 2) -> str:
        said = answer[1] + answer[2]
        right = answer[0] == code and case.kind.refused in said and "Traceback" not in said
        return "" if right else f"exit code {answer[0]}: {said[-300:]}"

    def register(self, case: Case, folder: Path, image: Path, labels: Path, plain: Path, _: Path) -> str:
        out = folder / "out"
        given = ["--fixed", self.image, "--moving", image, "--weights", self.weights, "--out", out]
        given += ["--quality", "fast"]  # what is read is the same
        answer = run("register", *given)
        if case.kind.refused:
            return self._refused(case, answer)
        if answer[0]:
            return f"exit code {answer[0]}: {answer[2][-300:]}"
        if not case.kind.ants_reads:
            ants.image_read(str(out / "inverse_displacement.nii.gz"))  # raises where ITK cannot read it
            return ""
        read = [ants.image_read(str(self.image)), by_ants(image, plain)]
        theirs = ants.apply_transforms(*read, [str(out / "displacement.nii.gz")]).numpy()
        ours = np.asarray(nib.load(out / "warped.nii.gz").dataobj)
        spread = float(theirs.std())
        wrong = float((np.abs(ours - theirs) > 0.05 * spread).mean())
        if wrong > 0.002:
            return f"{100 * wrong:.2f} % of the warped voxels are not ANTs'"
        back = ants.apply_transforms(read[1], read[0], [str(out / "inverse_displacement.nii.gz")]).numpy()
        return "" if (back > 0).sum() > 1000 else "the inverse leads nowhere"

    def convert(self, case: Case, folder: Path, image: Path, *_: Path) -> str:
        ends = ["--fixed", self.image, "--moving", image]
        field = folder / "out" / "displacement.nii.gz"
        if case.kind.refused or not field.is_file():
            field = self.folder / "any.nii.gz"
            if not field.is_file():
                fixed = nib.load(self.image)
                one = nib.Nifti1Image(np.zeros((*fixed.shape, 1, 3), np.float32), fixed.affine)
                one.set_qform(fixed.affine, 1)
                one.header["intent_code"] = 1007
                nib.save(one, field)
        answer = run("convert", field, folder / "fsl.nii.gz", "--from", "itk", "--to", "fsl", *ends)
        if case.kind.name == "NaN":  # the headers alone are read
            return "" if answer[0] == 0 else f"exit code {answer[0]}: {answer[2]}"
        if case.kind.refused:
            return self._refused(case, answer)
        if case.kind.name.startswith("sheared"):
            return "" if answer[0] == 2 and "sheared" in answer[2] else f"exit code {answer[0]}: {answer[2]}"
        if answer[0]:
            return f"exit code {answer[0]}: {answer[2][-300:]}"
        answer = run("convert", folder / "fsl.nii.gz", folder / "itk.nii.gz", "--from", "fsl", "--to", "itk", *ends)
        if answer[0]:
            return f"exit code {answer[0]}: {answer[2][-300:]}"
        off = np.abs(read_itk(folder / "itk.nii.gz").data - read_itk(field).data).max()
        return "" if off < 0.01 else f"the field is {off:.3g} mm off after FSL and back"

    def score(self, case: Case, folder: Path, image: Path, labels: Path, _: Path, plain: Path) -> str:
        field = folder / "out" / "displacement.nii.gz"
        transform = ["--transform", field] if field.is_file() else []
        given = ["--fixed-labels", self.labels, "--moving-labels", labels, "--out", folder / "scores.csv"]
        answer = run("score", *given, *transform)
        if case.kind.refused:
            return self._refused(case, answer)
        if answer[0]:
            return f"exit code {answer[0]}: {answer[2][-300:]}"
        if not case.kind.ants_reads:
            return ""
        # ITK does not round what the scaling has moved off whole numbers
        read = [
            ants.image_read(str(self.labels)),
            by_ants(plain if case.kind.name == "scaled integers" else labels, plain),
        ]
        warped = ants.apply_transforms(*read, [str(field)], interpolator="nearestNeighbor").numpy()
        fixed = read[0].numpy()
        dice = [2 * ((warped == k) & (fixed == k)).sum() / ((warped == k).sum() + (fixed == k).sum()) for k in ROIS]
        ours = next(float(line.split()[1]) for line in answer[1].splitlines() if line.startswith("mean"))
        off = abs(ours - float(np.mean(dice)))
        return "" if off < 0.003 else f"Dice {ours:.4f}, by ANTs {np.mean(dice):.4f}"

    def check(self, case: Case, folder: Path, image: Path, labels: Path, *_: Path) -> str:
        table = folder / "participants.tsv"
        table.write_text(f"subject\timage\tlabels\nsub-1\t{image.name}\t{labels.name}\n")
        answer = run("check", table, "--jobs", 1)
        if case.kind.refused:
            return self._refused(case, answer, code=1)
        return "" if answer[0] == 0 else f"exit code {answer[0]}: {answer[1][-300:]}"

    def preprocess(self, case: Case, folder: Path, image: Path, labels: Path, *_: Path) -> str:
        try:
            prepared = prepare(image, labels, GRID)
        except ValueError as error:
            return "" if case.kind.refused and case.kind.refused in str(error) else str(error)
        if case.kind.refused:
            return "accepted"
        points = np.stack(np.meshgrid(*map(np.arange, GRID.shape), indexing="ij"), axis=-1)
        _, expected = head(apply_affine(prepared.affine, points))
        brain = expected > 0
        agreed = float((prepared.labels == expected)[brain].mean())
        dark = float(np.median(prepared.image[~brain]))
        if agreed < (0.9 if max(case.size) < 2 else 0.7) or dark > 0.05:
            return f"{100 * agreed:.1f} % of the labels lie where the head is, and the background is at {dark:.2f}"
        return ""


def table_of(results: dict[Case, dict[str, str]]) -> str:
    """Markdown: for each kind how many answers of each command are right, of how many."""
    commands = list(next(iter(results.values())))
    lines = [f"| kind | right is | {' | '.join(commands)} |", f"|---|---|{'---|' * len(commands)}"]
    for kind in dict.fromkeys(case.kind for case in results):
        right = Counter()
        mine = [answers for case, answers in results.items() if case.kind is kind]
        for answers in mine:
            right.update(name for name, wrong in answers.items() if not wrong)
        told = "a clear error" if kind.refused else "ANTs' result" if kind.ants_reads else "files that ITK reads"
        lines.append(
            f"| {kind.name} | {told} | " + " | ".join(f"{right[name]}/{len(mine)}" for name in commands) + " |"
        )
    return "\n".join(lines)


def main(every: int = 1) -> int:
    """Print the table; 1 if an answer is wrong."""
    chosen = list(cases())[::every]
    print(f"{len(chosen)} combinations through 5 commands; about {2 * len(chosen)} seconds.", flush=True)
    start, results = time.time(), {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for case in tqdm(chosen, unit="case", disable=None):
            results[case] = bench.answers(case)
    print(table_of(results))
    wrong = [f"{case}: {name}: {said}" for case, answers in results.items() for name, said in answers.items() if said]
    print("\n".join(wrong))
    print(f"{len(wrong)} of {5 * len(chosen)} answers are wrong; {time.time() - start:.0f} seconds")
    return bool(wrong)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th combination")
    sys.exit(main(parser.parse_args().every))

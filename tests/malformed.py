"""Malformed inputs, each in a folder of its own, and what the tool answers: ``python -m tests.malformed FOLDER``."""

from __future__ import annotations

import gzip
import pickle
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from smgicnet.commands.check import check
from smgicnet.core.errors import InputError
from smgicnet.methods.weights import read_weights
from tests.support.cohorts import FEW, bids, cohort, config, folder_only, rendered, save_table
from tests.support.faults import FILE_FAULTS, Payload
from tests.support.scans import good_image, truncated, write


@dataclass(frozen=True)
class Case:
    """``make(folder)`` writes the input and returns its path; ``named`` is the file or key the answer has to name."""

    what: str
    make: Callable[[Path], Path]
    named: str = ""  # nothing is wrong with it
    read: Callable[[Path], object] = lambda path: check(path, jobs=1)


@dataclass(frozen=True)
class Answer:
    """What was said to a `Case`: its problems in full, or the exception that is none of the tool's."""

    case: Case
    problems: tuple[InputError, ...]
    crash: str = ""

    @property
    def first_line(self) -> str:
        line = self.crash or (str(self.problems[0]).splitlines() if self.problems else ["accepted"])[0]
        return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in line)

    @property
    def clear(self) -> bool:
        if self.crash or not self.problems:
            return False
        first = self.problems[0]
        return self.case.named in str(first) and bool(first.source) and len(first.remedy) > 10


def ask(case: Case, folder: Path) -> Answer:
    """Make the input and give it to what a user would run."""
    folder.mkdir(parents=True)
    try:
        path = case.make(folder)
        return Answer(case, getattr(case.read(path), "problems", ()))
    except InputError as error:
        return Answer(case, (error,))
    except Exception as error:  # what must not happen
        return Answer(case, (), f"{type(error).__name__}: {error}")


# --- participants tables


def with_row(change: Callable[[list[dict[str, str]]], object], **options) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        rows = cohort(folder)
        change(rows)
        return save_table(folder, rows, **options)

    return make


def with_bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = save_table(folder, cohort(folder))
        path.write_bytes(change(path.read_bytes()))
        return path

    return make


def named(name: str) -> Callable[[Path], Path]:
    return with_row(lambda rows: rows[0].update(subject=name))


TABLES = [
    Case("a subject in two rows", with_row(lambda rows: rows.append(rows[0])), "s0"),
    Case("a subject in two splits", with_row(lambda rows: rows.append({**rows[0], "split": "test"})), "s0"),
    Case("an unknown split", with_row(lambda rows: rows[0].update(split="training")), "'training'"),
    Case("one test subject", with_row(lambda rows: rows.pop()), "participants.tsv"),
    Case("a test subject without labels", with_row(lambda rows: rows[4].update(labels="")), "s4"),
    Case("an image that is not there", with_row(lambda rows: rows[0].update(image="gone.nii.gz")), "gone.nii.gz"),
    Case("no image", with_row(lambda rows: rows[0].update(image="")), "image of s0"),
    Case("a NUL in a path", with_row(lambda rows: rows[0].update(image="a\0b.nii.gz")), "b.nii.gz"),
    Case("a path separator in a name", named("../s0"), "'../s0'"),
    Case("shell in a name", named("s0;touch x"), "'s0;touch x'"),
    Case("HTML in a name", named("<script>s0"), "<script>"),
    Case("a newline in a name", named("s0\ns1"), "line 2 has 1 fields"),
    Case("a right-to-left mark in a name", named("\u202es0"), r"'\u202es0'"),
    Case("an empty name", named(""), "''"),
    Case("a name of 65 characters", named("s" * 65), "s" * 65),
    Case("a leading dash", named("-rf"), "'-rf'"),
    Case("commas between the columns", with_row(lambda rows: None, sep=","), "participants.tsv"),
    Case("no column image", with_row(lambda rows: [row.pop("image") for row in rows]), "'image'"),
    Case("not UTF-8", with_bytes(lambda table: table.replace(b"s0\t", b"s\xff0\t")), "participants.tsv"),
    Case("an empty table", with_bytes(lambda table: b""), "participants.tsv"),
    Case("a header without rows", with_bytes(lambda table: table.splitlines()[0]), "participants.tsv"),
    Case("binary data", with_bytes(lambda table: bytes(range(256))), "participants.tsv"),
    Case("no table at all", lambda folder: folder / "participants.tsv", "participants.tsv"),
]


# --- files


def with_fault(fault: Callable[[Path, Path], object]) -> Callable[[Path], Path]:
    """A config with one of the faults of a subject's image and label map."""

    def make(folder: Path) -> Path:
        path = config()(folder)
        fault(folder / "s3.nii.gz", folder / "s3-labels.nii.gz")
        return path

    return make


def copied(rows: list[dict[str, str]], folder: Path) -> None:
    shutil.copy(folder / "s0.nii.gz", folder / "s3.nii.gz")


def recompressed(rows: list[dict[str, str]], folder: Path) -> None:
    (folder / "s3.nii.gz").write_bytes(gzip.compress(gzip.decompress((folder / "s0.nii.gz").read_bytes()), 1))


def same_file(rows: list[dict[str, str]], folder: Path) -> None:
    rows[3]["image"] = rows[0]["image"]


def with_files(change: Callable[[list[dict[str, str]], Path], object]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        rows = cohort(folder)
        change(rows, folder)
        return save_table(folder, rows)

    return make


def folder_as_image(rows: list[dict[str, str]], folder: Path) -> None:
    (folder / "scans").mkdir()
    rows[0]["image"] = "scans"


def with_mask(change: Callable[[Path], object]) -> Callable[[Path], Path]:
    """A cohort with masks, of which one is changed."""

    def give(rows: list[dict[str, str]], folder: Path) -> None:
        for row in rows:
            row["mask"] = f"{row['subject']}-mask.nii.gz"
            write(folder / row["mask"], (good_image() > 0).astype(np.uint8))
        change(folder / "s3-mask.nii.gz")

    return with_files(give)


MASK = "s3-mask.nii.gz"
FILES = [
    *(
        Case(
            f"{fault.__name__.replace('_', ' ')}", with_fault(fault), {"image": "s3.nii", "labels": "s3-labels"}[which]
        )
        for fault, (which, _) in FILE_FAULTS.items()
    ),
    Case("one scan under two names", with_files(copied), "s0 and s3"),
    Case("one scan under two names, compressed anew", with_files(recompressed), "s0 and s3"),
    Case("a folder for an image", with_files(folder_as_image), "scans"),
    Case("one file for two subjects", with_files(same_file), "s0 and s3"),
    Case("a mask that is not there", with_mask(Path.unlink), MASK),
    Case("a truncated mask", with_mask(truncated), MASK),
    Case("an empty mask", with_mask(lambda path: write(path, np.zeros((24, 24, 24), np.uint8))), MASK),
    Case("a mask of another shape", with_mask(lambda path: write(path, np.ones((24, 24, 20), np.uint8))), MASK),
    Case("a mask of fractions", with_mask(lambda path: write(path, np.full((24, 24, 24), 0.5, np.float32))), MASK),
]


# --- configs


def text(content: str | bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "config.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def weights_in_config(folder: Path) -> Path:
    (folder / "w.pt").write_bytes(pickle.dumps(Payload()))
    return config(top={"methods": {"m": {"type": "smgicnet", "weights": str(folder / "w.pt")}}})(folder)


def label_maps(folder: Path) -> Path:
    """Rendered from four label maps, one of which holds no ROI."""
    path = rendered(folder)
    write(folder / "maps" / "m2.nii.gz", np.full((24, 24, 24), 500, np.int16))
    return path


OWN = {"kind": "participants", "path": "@participants.tsv"}
TAR = {"kind": "archive", "file": "@a.tar", "image": "(?P<subject>.+).nii.gz"}
OBJECT = "datasets: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [run-by-yaml]]"
SMGICNET = {"methods": {"m": {"type": "smgicnet"}}}
CONFIGS = [
    Case("an unknown key", config(top={"sedes": [1]}), "sedes"),
    Case("an unknown key deep inside", config(preprocessing={"skul_strip": "bet"}), "skul_strip"),
    Case("a wrong type", config(top={"seeds": "one"}), "seeds"),
    Case("NaN", config(grid={"shape": [16, 16, 16], "spacing": float("nan")}), "grid.spacing"),
    Case(
        "a grid that does not divide", config(grid={"shape": [50, 48, 48], "spacing": 4.0}, top=SMGICNET), "grid.shape"
    ),
    Case("a grid that is too small", config(grid={"shape": [8, 8, 8], "spacing": 1.0}), "s0.nii.gz"),
    Case("an unknown kind", config({"kind": "cloud"}), "cloud"),
    Case("bad YAML", text("datasets: [1,\nmethods"), "config.yaml"),
    Case("a YAML tag that would run code", text(OBJECT), "config.yaml"),
    Case("a config that is not UTF-8", text(b"datasets: \xff\xfe"), "config.yaml"),
    Case("an empty config", text(""), "config.yaml"),
    Case("a list for a config", text("- 1"), "config.yaml"),
    Case("a negative count", config({**OWN, "splits": {"train": -1, "val": 0, "test": 2}}), "splits.train"),
    Case("splits beside a column split", config({**OWN, "splits": FEW["subjects"]}), "source.splits"),
    Case(
        "a hostile dataset name",
        text("datasets: {../up: {source: {kind: phantom}}}\nmethods: {m: {type: syn}}"),
        "../up",
    ),
    Case("a histogram reference that is not there", config(preprocessing={"histogram_reference": "r.nii"}), "r.nii"),
    Case("a label table that is not there", config(preprocessing={"labels": "none.tsv"}), "none.tsv"),
    Case("masks asked for and none given", config(preprocessing={"skull_strip": "mask"}), "no mask"),
    Case("an archive that is not there", config({**TAR, **FEW}), "a.tar"),
    Case("a licence not accepted", config({**TAR, **FEW, "accept_license": False, "licence": "DUA"}), "accept_license"),
    Case(
        "no label maps in the folder",
        config({"kind": "label-maps", "path": "@none", "subjects": {"val": 0, "test": 2}}),
        "none",
    ),
    Case("a label map without ROIs to render", label_maps, "m2.nii.gz"),
    Case("weights in a config that would run code", weights_in_config, "w.pt"),
]


# --- BIDS datasets


def t1w(root: Path, subject: str = "sub-00") -> Path:
    return root / subject / "anat" / f"{subject}_T1w.nii.gz"


def broken_link(root: Path) -> None:
    t1w(root).unlink()
    t1w(root).symlink_to("../../.git/annex/objects/MD5E-s1--x.nii.gz")


def second_run(root: Path) -> None:
    shutil.copy(t1w(root), t1w(root).with_name("sub-00_run-2_T1w.nii.gz"))


def no_images(root: Path) -> None:
    for path in root.glob("sub-*/anat/*"):
        path.unlink()


def no_subjects(root: Path) -> None:
    for path in root.glob("sub-*"):
        shutil.rmtree(path)


def no_label_maps(root: Path) -> None:
    for path in root.glob("derivatives/**/*_dseg.nii.gz"):
        path.unlink()


def hostile_folder(root: Path) -> None:
    (root / "sub-<b>").mkdir()


def misplaced(root: Path) -> None:
    t1w(root).rename(t1w(root, "sub-01").with_name("sub-00_T1w.nii.gz"))


def pickled_index(root: Path) -> None:
    (root / ".ancpbids-dataset.pickle").write_bytes(pickle.dumps(Payload()))


DESCRIPTION = "dataset_description.json"
BIDS = [
    Case("BIDS without its description", bids(lambda root: (root / DESCRIPTION).unlink()), DESCRIPTION),
    Case("a description that is no JSON", bids(lambda root: (root / DESCRIPTION).write_text("{")), DESCRIPTION),
    Case(
        "a version that is a number",
        bids(lambda root: (root / DESCRIPTION).write_text('{"BIDSVersion": 1}')),
        DESCRIPTION,
    ),
    Case("BIDS without subjects", bids(no_subjects), "sub-*"),
    Case("BIDS without a T1w image", bids(no_images), "T1w"),
    Case("two T1w images of a subject", bids(second_run), "sub-00_run-2_T1w.nii.gz"),
    Case("nothing that is selected", bids(select={"session": "07"}), "'07'"),
    Case("an entity that BIDS has not", bids(select={"colour": "red"}), "'colour'"),
    Case("derivatives without label maps", bids(no_label_maps), "sub-01_desc-aseg_dseg.nii.gz"),
    Case("no folder of derivatives", bids(derivatives="gone"), "gone"),
    Case("content that git-annex has not fetched", bids(broken_link), "datalad get"),
    Case("a hostile folder name", bids(hostile_folder), "sub-<b>"),
    Case("an image in another's folder", bids(misplaced), "sub-00_T1w.nii.gz"),
    Case("more subjects asked for than there are", bids(splits={"train": 30, "val": 2, "test": 9}), "41 subjects"),
    Case(
        "a truncated image in a BIDS folder", folder_only(bids(lambda root: truncated(t1w(root)))), "sub-00_T1w.nii.gz"
    ),
    Case("a file for a BIDS root", config({"kind": "bids", "path": "@s0.nii.gz"}), "s0.nii.gz"),
    Case("an empty folder", lambda folder: folder, DESCRIPTION),
]


# --- weights


def weights(write_to: Callable[[Path], object]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        write_to(folder / "w.pt")
        return folder / "w.pt"

    return make


def half_a_file(path: Path) -> None:
    torch.save({"network": torch.zeros(100)}, path)
    truncated(path)


WEIGHTS = [
    Case("weights that would run code", weights(lambda path: torch.save(Payload(), path)), "w.pt", read_weights),
    Case("a bare pickle", weights(lambda path: path.write_bytes(pickle.dumps(Payload()))), "w.pt", read_weights),
    Case("truncated weights", weights(half_a_file), "w.pt", read_weights),
    Case("text for weights", weights(lambda path: path.write_text("weights")), "w.pt", read_weights),
    Case(
        "tensors of another program", weights(lambda path: torch.save({"a": torch.ones(2)}, path)), "w.pt", read_weights
    ),
    Case("no weights file", weights(lambda path: None), "w.pt", read_weights),
]

MALFORMED = [*TABLES, *FILES, *CONFIGS, *BIDS, *WEIGHTS]


# --- what has to pass

GOOD = [
    Case("a table", with_row(lambda rows: None)),
    Case("a table without splits", with_row(lambda rows: [row.pop("split") for row in rows])),
    Case("a table with a byte order mark", with_bytes(lambda table: b"\xef\xbb\xbf" + table)),
    Case("a table with CRLF", with_bytes(lambda table: table.replace(b"\n", b"\r\n"))),
    Case("a table with masks", with_mask(lambda path: None)),
    Case("a config", config()),
    Case("a config of a BIDS dataset", bids()),
    Case("a BIDS folder", folder_only(bids())),
    Case("a BIDS folder with a pickle that would run code", folder_only(bids(pickled_index))),
    Case("label maps to render", rendered),
    Case("a generated cohort", config({"kind": "phantom"})),
]


def table_of(answers: list[Answer], folder: Path) -> str:
    """Markdown: what was tried, the first line of the answer without the folder, whether it is clear."""
    rows = ["| # | what was tried | first line of the answer | clear |", "|---|---|---|---|"]
    for number, answer in enumerate(answers, start=1):
        line = answer.first_line.replace(f"{folder}/", "").replace("|", r"\|")
        rows.append(f"| {number} | {answer.case.what} | {line} | {'yes' if answer.clear else '**no**'} |")
    return "\n".join(rows) + "\n"


def main(folder: Path) -> int:
    """Try every input below ``folder`` and write ``malformed.md`` there; 1 when an answer is not clear."""
    answers = [ask(case, folder / f"{number:02d}") for number, case in enumerate(MALFORMED, start=1)]
    (folder / "malformed.md").write_text(table_of(answers, folder))
    print(f"{folder / 'malformed.md'}: {sum(one.clear for one in answers)} of {len(answers)} answers are clear")
    return 0 if all(one.clear for one in answers) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))

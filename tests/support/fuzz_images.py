"""Kinds of files for `tests.fuzz`: images, fields and affines, and what all kinds need."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.random import Generator
from scipy.io import loadmat, savemat
from scipy.spatial.transform import Rotation

from smgicnet import cli
from smgicnet.core.errors import InputError
from smgicnet.imaging.grids import Grid
from smgicnet.imaging.headers import MEANINGS
from smgicnet.preparation.preprocessing import prepare
from tests.support.images import label_blobs


class Fault(Exception):
    """What must not happen."""


@dataclass(frozen=True)
class Kind:
    """One kind of file and what is done with it, in a folder of its own.

    ``base`` writes good files and returns the name of the one to be mutated, ``mutate`` changes that one and says how.
    ``run`` gives a folder to the tool and returns what can be compared; it raises `InputError` for a clear error.
    ``copy`` writes, in place, what another reader finds in the file; it raises what it likes where there is nothing.
    The generator of ``run`` is in the same state for every folder.
    """

    what: str
    base: Callable[[Path, Generator], str]
    mutate: Callable[[Path, Generator], str]
    run: Callable[[Path, str, Generator], object]
    copy: Callable[[Path], object]


def command(*arguments: object, codes: tuple[int, ...] = (0,)) -> str:
    """What a command prints. Raises `InputError` where it says clearly that it cannot, `Fault` for anything else."""
    out, said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    with redirect_stdout(out), redirect_stderr(said):
        code = cli.main([str(argument) for argument in arguments])
    out.flush()
    text = out.buffer.getvalue().decode()
    message = text if code == 1 else said.getvalue()
    if any(not one.isprintable() and one != "\n" for one in message):
        raise Fault(f"control characters in {message[:300]!a}")
    if code in codes:
        return text
    if (code == 2 and message.startswith(f"smgicnet {arguments[0]}: ")) or (code == 1 and arguments[0] == "check"):
        raise InputError(message, "", "")
    raise Fault(f"exit code {code}: {message[:300]}")


# --- mutations that suit several kinds


def flip(content: bytes, random: Generator, start: int = 0, end: int | None = None) -> bytes:
    """One to four bytes with other values."""
    changed = bytearray(content)
    for _ in range(random.integers(1, 5)):
        changed[random.integers(start, min(end or len(content), len(content)))] = random.integers(256)
    return bytes(changed)


def cut(content: bytes, random: Generator) -> bytes:
    return content[: random.choice([0, 1, len(content) - 1, random.integers(len(content))])]


def append(content: bytes, random: Generator) -> bytes:
    return content + [bytes(random.integers(1, 999)), random.bytes(99), content][random.integers(3)]


def move(content: bytes, random: Generator) -> bytes:
    """A piece taken out, doubled, or put elsewhere."""
    first, last = sorted(random.integers(0, len(content) + 1, 2))
    place = random.integers(len(content) + 1)
    rest = [content, content[:first] + content[last:]][random.integers(2)]
    return rest if random.random() < 0.3 else rest[:place] + content[first:last] + rest[place:]


def insert(tokens: list[bytes]) -> Callable[[bytes, Generator], bytes]:
    def change(content: bytes, random: Generator) -> bytes:
        token = tokens[random.integers(len(tokens))]
        first = random.integers(len(content) + 1)
        return content[:first] + token + content[first + random.choice([0, 0, len(token)]) :]

    return change


def one_of(*changes: Callable[[bytes, Generator], bytes]) -> Callable[[Path, Generator], str]:
    def mutate(path: Path, random: Generator) -> str:
        change = changes[random.integers(len(changes))]
        path.write_bytes(change(path.read_bytes(), random))
        return change.__name__

    return mutate


# --- headers and fields

NUMBERS = [0, 1, -1, 2, 3, 4, 5, 7, 8, 16, 64, 127, 255, 256, 1006, 1007, 2006, 32767, -32768, 2**31 - 1, 1e-45, 1e-6]
NUMBERS += [0.5, 1e30, 3e38, -3e38, 1e300, np.nan, np.inf, -np.inf]


def place(random: Generator) -> np.ndarray:
    affine = np.eye(4)
    angles = random.uniform(-20, 20, 3)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * random.uniform(1.7, 2.6, 3)
    affine[:3, 3] = random.uniform(-21, -15, 3)
    return affine


def save_nifti(path: Path, data: np.ndarray, affine: np.ndarray, random: Generator, intent: int = 0) -> None:
    """Of either version, with one or both forms."""
    image = (nib.Nifti2Image if random.random() < 0.3 else nib.Nifti1Image)(data, affine)
    codes = [(1, 1), (1, 0), (0, 1)][random.integers(3)] if random.random() < 0.8 else (4, 1)
    image.set_sform(affine, codes[0])
    image.set_qform(affine, codes[1])
    image.header["intent_code"] = intent
    image.header.set_xyzt_units("mm" if random.random() < 0.8 else "unknown")
    nib.save(image, path)


def pair(folder: Path, random: Generator) -> None:
    """Two label maps, an image and a field, on grids of their own."""
    affine = place(random)
    data = label_blobs(1).astype(np.float32)
    image = np.where(data > 0, 50 * data + random.uniform(0, 20, data.shape).astype(np.float32), 0)
    save_nifti(folder / "fixed.nii.gz", label_blobs(0), affine, random)
    save_nifti(folder / "moving.nii.gz", label_blobs(1), affine, random)
    save_nifti(folder / "image.nii.gz", image, affine, random)
    vectors = random.normal(0, 1, (14, 16, 18, 1, 3)).astype(np.float32)
    save_nifti(folder / "field.nii.gz", vectors, affine, random, 1007)


def image_base(folder: Path, random: Generator) -> str:
    pair(folder, random)
    name = f"moved.{['nii', 'nii.gz', 'hdr', 'mgz'][random.integers(4)]}"
    affine = place(random)
    if name.endswith("mgz"):
        nib.save(nib.MGHImage(label_blobs(1).astype([np.uint8, np.float32][random.integers(2)]), affine), folder / name)
    else:
        data = label_blobs(1).astype([np.uint8, np.int16, np.float32, np.float64][random.integers(4)])
        save_nifti(folder / name, data, affine, random)
    return name


def field_base(folder: Path, random: Generator) -> str:
    pair(folder, random)
    kind = random.integers(4)
    if kind == 3:
        parameters = np.eye(3, 4).T.reshape(12, 1) * random.uniform(0.9, 1.1)
        centre = random.uniform(-3, 3, (3, 1))
        savemat(folder / "warp.mat", {"AffineTransform_double_3_3": parameters, "fixed": centre}, format="4")
        return "warp.mat"
    vectors = random.normal(0, 1, (7, 8, 9, 1, 3)[: 5 if kind < 2 else 3] + (() if kind < 2 else (3,)))
    name = f"warp.nii{random.choice(['', '.gz'])}"
    save_nifti(folder / name, vectors.astype(np.float32), place(random), random, [1006, 1007, 2006][kind])
    return name


def mutate_image(path: Path, random: Generator) -> str:
    stored = path.read_bytes()
    packed = path.name.endswith("gz")
    if path.suffix == ".mat" or random.random() < 0.15:
        return one_of(flip, flip, cut, append, move)(path, random)
    content = gzip.decompress(stored) if packed else stored
    if path.name.endswith("mgz"):
        fields = nib.freesurfer.MGHImage.header_class.template_dtype
    else:
        fields = (nib.Nifti2Header if content[0] == 540 % 256 else nib.Nifti1Header).template_dtype
    if random.random() < 0.15 or len(content) < fields.itemsize:
        what, content = "bytes of the header", flip(content, random, 0, 352)
    elif random.random() < 0.1 and len(content) > fields.itemsize + 4:
        what, content = "a value", bytearray(content)
        for _ in range(4):
            start = random.integers(fields.itemsize // 4, len(content) // 4) * 4
            content[start : start + 4] = np.float32(random.choice(NUMBERS)).tobytes()
    else:
        what = ""
        head = np.frombuffer(bytearray(content[: fields.itemsize]), fields)
        for _ in range(random.choice([1, 1, 1, 2, 3])):
            key = fields.names[random.integers(len(fields.names))]
            values = head[key].reshape(-1)
            index = random.integers(values.size)
            if values.dtype.kind == "S":
                value = random.bytes(values.dtype.itemsize)
            else:
                near = values[index] * random.choice([-1, 1.0001, 1.01, 1000]) + random.choice([0, 0, 0.3, 1])
                value = random.choice([*NUMBERS, *[near] * len(NUMBERS)])
                value = np.asarray(value).astype(values.dtype)
            head[key].reshape(-1)[index] = value
            if head[key].ndim == 1:
                head[key] = value
            what += f"{key}[{index}] = {value} "
        content = head.tobytes() + content[fields.itemsize :]
    path.write_bytes(gzip.compress(bytes(content), 1) if packed else bytes(content))
    return what.strip()


def scores(folder: Path, moving: str, *options: object) -> dict:
    out = folder / "out.csv"
    given = ["--fixed-labels", folder / "fixed.nii.gz", "--moving-labels", folder / moving, "--out", out]
    command("score", *given, *options)
    rows = [line.split(",")[-3:] for line in out.read_text().splitlines()[1:]]
    return {(metric, roi): float(value or "nan") for metric, roi, value in rows}


def converted(folder: Path, field: str, moving: str, to: str, *options: object) -> list:
    given = ["--fixed", folder / "fixed.nii.gz", "--moving", folder / moving, "--to", to]
    command("convert", folder / field, folder / "out.nii.gz", *given, *options)
    image = nib.load(folder / "out.nii.gz")
    return [np.asarray(image.dataobj), image.affine]


def checked(folder: Path, name: str, files: str) -> str:
    (folder / "table.tsv").write_text(f"subject\timage\tlabels\ns1\timage.nii.gz\tmoving.nii.gz\ns2\t{files}\n")
    try:
        return command("check", folder / "table.tsv", "--jobs", 1).replace(str(folder), "")
    finally:
        (folder / "table.tsv").unlink()


def run_image(folder: Path, name: str, random: Generator) -> object:
    given = name.replace(".hdr", [".hdr", ".img"][random.integers(2)])
    which = random.integers(5)
    if which == 0:
        return converted(folder, "field.nii.gz", given, ["fsl", "learn2reg"][random.integers(2)])
    if which == 1:
        return checked(folder, name, [f"\t{given}", f"{given}\t"][random.integers(2)])
    if which == 2:
        prepared = prepare(folder / given, None, Grid((20, 20, 20), 2.0))
        return [prepared.image, prepared.affine]
    return scores(folder, given)


def run_field(folder: Path, name: str, random: Generator) -> object:
    meaning = [] if random.random() < 0.7 else ["--as", str(random.choice(MEANINGS))]
    if name.endswith(".mat") or random.random() < 0.6:
        inverse = name.endswith(".mat") and random.random() < 0.3
        file = f"[{folder / name},1]" if inverse else folder / name
        return scores(folder, "moving.nii.gz", "--transform", file, *meaning)
    return converted(folder, name, "moving.nii.gz", str(random.choice(["itk", "fsl", "learn2reg"])), *meaning)


def copy_image(path: Path) -> None:
    """As nibabel reads it, in mm."""
    if path.suffix == ".mat":
        stored = {key: value for key, value in loadmat(path).items() if key[0] != "_"}
        return savemat(path, stored, format="4")
    if path.name.endswith("gz"):
        gzip.decompress(path.read_bytes())  # to its checksum, which nibabel does not reach
    image = nib.load(path)
    data, affine, head = np.asarray(image.dataobj, np.float64), image.affine.copy(), image.header
    if path.name.endswith("mgz"):
        return nib.save(nib.MGHImage(data.astype(np.float32), affine), path)
    scale = {1: 1e3, 3: 1e-3}.get(int(head["xyzt_units"]) & 7, 1)
    affine[:3] *= scale
    whole = path.name.startswith("moved") and np.abs(data - np.rint(data)).max() < 0.01
    copy = nib.Nifti1Image(np.rint(data) if whole else data.astype(np.float32), affine)
    copy.header["intent_code"] = head["intent_code"]
    copy.set_sform(affine, 1 if head["sform_code"] > 0 or head["qform_code"] > 0 else 0)
    copy.set_qform(affine, 0)
    copy.header["pixdim"][1:4] = head["pixdim"][1:4] * scale  # which FSL's coordinates go by
    return nib.save(copy, path)

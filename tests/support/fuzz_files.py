"""Kinds of files for `tests.fuzz`: tables, configs, weights and archives."""

from __future__ import annotations

import re
import shutil
import tarfile
import zipfile
from copy import deepcopy
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
import pandas as pd
import torch
import yaml
from numpy.random import Generator

from smgicnet.cohort.archive import choose_subjects, extract, index_archive, read_index
from smgicnet.config.completion import complete, load
from smgicnet.config.schemas import choices
from smgicnet.core.shipped import find_weights
from smgicnet.imaging.grids import Grid
from smgicnet.methods.weights import Weights, read_weights, write_weights
from tests.support.archives import header, write_tar
from tests.support.fuzz_images import Fault, append, command, cut, flip, insert, move, one_of, pair, scores
from tests.support.images import SHAPE, label_blobs
from tests.support.methods import block, build

# --- tables

TABLE_TOKENS = [b'"', b"'", b"\t", b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\r", b"\n", b"\r\n", b"\xe9", b"\x1b[2J"]
TABLE_TOKENS += [b"#"]
TABLE_TOKENS += ["\u202e\u00e9\u2028".encode(), b"\x0b\x0c\x1c\x85", b"x" * 200_000, b"\t" * 50_000, b"NA", b"1e999"]
TABLE_TOKENS += [b"-"]
TABLE_TOKENS += [b"subject\t", b"label\t", b"\ns1.nii\t", b"../", b"9" * 5000, b"\t\t", b"/dev/zero", b"~"]
TABLE_TOKENS += [b"\xed\xa0\x80"]


def table_base(folder: Path, random: Generator) -> str:
    if random.random() < 0.4:
        pair(folder, random)
        (folder / "rois.tsv").write_text("label\troi\tname\n2\t2\tA\n3\t3\tB\n17\t17\tC\n900\t0\tD\n")
        return "rois.tsv"
    lines, count = ["subject\timage\tlabels"], random.choice([2, 4])
    for number in range(count):
        scan = np.where(label_blobs(number) > 0, random.uniform(50, 90, (14, 16, 18)), 0).astype(np.float32)
        nib.save(nib.Nifti1Image(scan, np.diag([2, 2, 2, 1])), folder / f"s{number}.nii")
        nib.save(nib.Nifti1Image(label_blobs(number), np.diag([2, 2, 2, 1])), folder / f"s{number}-map.nii")
        lines.append(f"s{number}\ts{number}.nii\ts{number}-map.nii")
    ends = ["\tsplit", "\ttrain", "\ttrain", "\ttest", "\ttest"] if count == 4 else [""] * 5
    (folder / "people.tsv").write_text("".join(line + end + "\n" for line, end in zip(lines, ends)))
    return "people.tsv"


def save_again(content: bytes, random: Generator) -> bytes:
    """As other programs and people may save it."""
    text, lines = content.decode(), content.decode().splitlines()
    several = [
        text.replace("\n", "\r\n"),
        text.replace("\n", "\r"),
        text.replace("\t", "\t\t"),
        text.replace("\t", ","),
    ]
    several += [text.replace("\n", "\t\t\n"), text.replace("\n", "\n\n"), text + lines[-1], text + text, text.upper()]
    several += ["\t".join(f'"{one}"' for one in text.split("\t")), text.replace("\t", " \t "), text.rstrip("\n")]
    several += [
        "".join(f"{line}\t{line.split()[0]}\n" for line in lines),
        lines[0],
        "".join(f"x\t{line}\n" for line in lines),
    ]
    saved = several[random.integers(len(several))]
    return saved.encode(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16"][random.integers(5)])


mutate_table = one_of(flip, cut, move, insert(TABLE_TOKENS), insert(TABLE_TOKENS), save_again, save_again)


def run_table(folder: Path, name: str, random: Generator) -> object:
    if name == "rois.tsv":
        return scores(folder, "moving.nii.gz", "--protocol", folder / name)
    return command("check", folder / name, "--jobs", 1).replace(str(folder), "")


def copy_table(path: Path) -> None:
    """Fields between tabs, without blanks around them."""
    lines = re.split("\r\n|\r|\n", path.read_bytes().decode("utf-8-sig"))
    rows = [[field.strip() for field in line.rstrip("\t").split("\t")] for line in lines if line.strip()]
    if len({tuple(rows[0])}) != 1 or any(len(row) > len(rows[0]) for row in rows):
        raise ValueError("rows of unequal length")
    path.write_text("".join("\t".join(row + [""] * (len(rows[0]) - len(row))) + "\n" for row in rows), "utf-8")


# --- configs

YAML_TOKENS = [b"&a ", b"*a", b"!!python/object/apply:os.getcwd []", b"<<: *a\n", b"{" * 3000, b"[" * 3000, b"? "]
YAML_TOKENS += [b"- " * 3000]
YAML_TOKENS += [b"%YAML 9.9\n", b"\t", b"\0", b"\xff", b"\xef\xbb\xbf", b"!!binary x", b"!x ", b"---\n"]
YAML_TOKENS += [b"2020-01-01", b"|\n"]
YAML_TOKENS += [b"0x" + b"f" * 300, b"9" * 5000, b".nan", b".inf", b'"\\e[2J"', b"1e999", b"null", b"~: 1\n"]
YAML_TOKENS += [b"1:1:1", b"\xc2\x85"]
BOMB = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 10))
HOSTILE = [None, "", -1, 0, 1, 2, 1e308, 10**30, 10**12, 1e-300, "x" * 100_000, [], {}, [[]], True, "../x", "\0"]
HOSTILE += ["\x1b[2J"]
HOSTILE += [float("nan"), float("inf"), b"x", [1] * 100_000, {"a": {"b": 1}}, {1: 2}, {None: 1}, "(?P<subject>"]
HOSTILE += ["(a+)+$"]
HOSTILE += ["phantom", "archive", "bids", "smgicnet", "syn", "\ud800", [10**9] * 3, [16] * 9, [0, 0, 0], [1e9] * 3]
HOSTILE += [99999, "sform"]


@cache
def blocks() -> dict:
    """A completed config of each kind of source that needs no file, and of each method."""
    methods = {name: {"type": name} for name in choices("methods")}
    methods["fields"]["folder"] = "fields"
    methods["command"] |= {
        "label": "A program",
        "command": "cp {fixed} {moving} {out}",
        "transforms": ["moving.nii.gz"],
    }
    grid = {"shape": [64, 64, 64], "spacing": 4.0}
    raw = {"datasets": {"d": {"source": {"kind": "phantom"}, "grid": grid}}, "methods": methods}
    return complete(raw)


def config_base(folder: Path, random: Generator) -> str:
    full = deepcopy(blocks())
    kept = [str(name) for name in random.choice(list(full["methods"]), 2, replace=False)]
    full["methods"] = {name: full["methods"][name] for name in kept}
    del full["ablations"], full["evaluation"]
    for method in full["methods"].values():
        method["arms"] = method["arms"][:1]
    (folder / "settings.yaml").write_text(yaml.safe_dump(full))
    return "settings.yaml"


def mutate_config(path: Path, random: Generator) -> str:
    choice = random.random()
    if choice < 0.3:
        return one_of(flip, cut, move, insert(YAML_TOKENS), insert(YAML_TOKENS))(path, random)
    if choice < 0.4:
        extra = [f"l0: &l0 [x]\n{BOMB}seeds: *l9\n", "seeds: &s [*s]\n", "seeds: &s {a: *s}\n"]
        extra += [f"results: {'[' * 300}{']' * 300}\n"]
        extra += [f"l0: &l0 {{x: 1}}\n{re.sub(r'[*]', 'k: *', BOMB)}"[:200], "<<: {<<: {a: 1}}\n", "? [1, 2]\n: 3\n"]
        token = extra[random.integers(len(extra))]
        path.write_text((path.read_text() + token) if random.random() < 0.7 else token + path.read_text())
        return f"{token[:20]!r}..."
    full, keys = yaml.safe_load(path.read_text()), []
    part = full
    while isinstance(part, dict | list) and part and (len(keys) < 2 or random.random() < 0.9):
        names = list(part) if isinstance(part, dict) else range(len(part))
        above, key = part, names[random.integers(len(names))]
        keys, part = [*keys, key], part[key]
    value = HOSTILE[random.integers(len(HOSTILE))]
    if random.random() < 0.1:
        above[str(value)[:100] if isinstance(above, dict) else key] = value
    else:
        above[key] = value
    path.write_text(yaml.safe_dump(full), errors="surrogatepass")
    return f"{'.'.join(map(str, keys))} = {str(value)[:40]!a}"


def run_config(folder: Path, name: str, random: Generator) -> object:
    if random.random() < 0.6:
        return load(folder / name)
    return command("check", folder / name, "--jobs", 1).replace(str(folder), "")


def copy_config(path: Path) -> None:
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text())))


# --- weights


@cache
def small_weights() -> dict:
    with TemporaryDirectory() as folder:
        weights = Weights(block(), 4, Grid(SHAPE, 1.0), build().network.state_dict())
        write_weights(weights, Path(folder) / "w.pt")
        return torch.load(Path(folder) / "w.pt", weights_only=True)


def weights_base(folder: Path, random: Generator) -> str:
    if random.random() < 0.3:
        shutil.copyfile(find_weights("brain-t1-4mm"), folder / "trained.pt")
    else:
        torch.save(small_weights(), folder / "trained.pt", _use_new_zipfile_serialization=bool(random.random() < 0.7))
    return "trained.pt"


def mutate_weights(path: Path, random: Generator) -> str:
    if random.random() < 0.5:
        return one_of(flip, flip, cut, append, move)(path, random)
    full = torch.load(path, weights_only=True)
    if random.random() < 0.5:
        name = list(full["network"])[random.integers(len(full["network"]))]
        tensor = full["network"][name]
        changes = [tensor * np.nan, tensor * 1e30, tensor.to(torch.complex64), tensor.to(torch.int8), tensor[None]]
        changes += [tensor.double()]
        changes += [tensor.to_sparse(), torch.zeros(1).expand(10**9), torch.empty(0), 3, None, "x"]
        changes += [tensor.flatten()[:1]]
        full["network"][name] = changes[(choice := random.integers(len(changes)))]
        what = f"network.{name}, change {choice}"
    else:
        above, part, keys = full, full, []
        while isinstance(part, dict | list) and part and (not keys or random.random() < 0.9):
            names = [key for key in part if key != "network" or keys] if isinstance(part, dict) else range(len(part))
            above, key = part, list(names)[random.integers(len(names))]
            keys, part = [*keys, key], part[key]
        above[key] = HOSTILE[random.integers(len(HOSTILE))]
        what = f"{'.'.join(map(str, keys))} = {str(above[key])[:40]!a}"
    try:
        torch.save(full, path)
    except (UnicodeEncodeError, RuntimeError):
        path.write_bytes(b"")
    return what


def run_weights(folder: Path, name: str, random: Generator) -> object:
    if random.random() < 0.5:
        command("export-weights", folder / name, folder / "out.pt")
        name = "out.pt"
    weights = read_weights(folder / name)
    tensors = {key: tensor.numpy() for key, tensor in weights.network.items()}
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise Fault("weights that are not finite are taken")
    return [tensors, weights.block, weights.stage, list(weights.grid.shape), weights.grid.spacing]


def copy_weights(path: Path) -> None:
    """What torch reads, if the archive's own sums are right."""
    if zipfile.is_zipfile(path) and zipfile.ZipFile(path).testzip():
        raise ValueError("a wrong checksum")
    torch.save(torch.load(path, weights_only=True), path)


# --- archives


def archive_base(folder: Path, random: Generator) -> str:
    form = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT][random.integers(3)]
    long = "n" * (120 if form != tarfile.USTAR_FORMAT and random.random() < 0.5 else 9)
    members = {f"{long}/s{n}/{kind}.nii.gz": f"{n} {kind}".encode() * 90 for n in range(4) for kind in ("norm", "seg")}
    write_tar(folder / "scans.tar", members, format=form)
    if random.random() < 0.2:
        draw(folder, "scans.tar").to_csv(folder / "index.tsv", sep="\t")
        return "index.tsv"
    return "scans.tar"


def draw(folder: Path, name: str) -> pd.DataFrame:
    patterns = [rf"(?P<subject>[^/]*)/{kind}\.nii\.gz$" for kind in ("norm", "seg")]
    return choose_subjects(index_archive(folder / name, *patterns), {"train": 1, "val": 0, "test": 2}, 1, folder / name)


def mutate_archive(path: Path, random: Generator) -> str:
    if path.suffix == ".tsv":
        numbers = insert([b"-", b"9" * 9, b"9" * 30, b"1.5", b"nan"])
        return one_of(flip, cut, move, insert(TABLE_TOKENS), numbers)(path, random)
    choice, content = random.random(), bytearray(path.read_bytes())
    if choice < 0.3:
        return one_of(flip, cut, append, move)(path, random)
    starts = [n for n in range(0, len(content) - 512, 512) if content[n + 257 : n + 262] == b"ustar"]
    start = starts[random.integers(len(starts))]
    if choice < 0.45:
        kinds = [*b"0123456789xgLKSAVDMNX7", 0]
        sizes = [0, -1, -512, 1 << 30, 1 << 62, -(1 << 62), 1024, 511]
        inserted = header(bytes([random.choice(kinds)]), int(random.choice(sizes)))
        content[start:start] = inserted * random.choice([1, 1, 2, 2000])
        what = f"a header at {start}"
    else:
        fields = [(0, 100), (100, 24), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (345, 155)]
        first, length = fields[random.integers(len(fields))]
        names = [b"/etc/x", b"../x", b"C:x", b"\x1b[2J", b"\xff", b"", b"s1/norm.nii.gz", b"a\\b", b"8", b"-1"]
        names += [b"77777777777", b"\x80"]
        value = names[random.integers(len(names))] if random.random() < 0.6 else random.bytes(length)
        content[start + first : start + first + length] = value[:length].ljust(length, b"\0")
        content[start + 148 : start + 156] = b" " * 8
        content[start + 148 : start + 156] = b"%06o\0 " % sum(content[start : start + 512])
        what = f"{value[:12]!r} at {start} + {first}"
    path.write_bytes(content)
    return what


def run_archive(folder: Path, name: str, random: Generator) -> object:
    drawn = read_index(folder / name) if name == "index.tsv" else draw(folder, name)
    found = {}
    for subject, row in drawn.iterrows():
        for kind in ("image", "labels"):
            extract(folder / "scans.tar", int(row[f"{kind}_offset"]), int(row[f"{kind}_size"]), folder / "out")
            found[subject, row["origin"], kind] = (row[f"{kind}_member"], (folder / "out").read_bytes())
    return found


def copy_archive(path: Path) -> None:
    """As `tarfile` reads it, or as its index says."""
    if path.suffix == ".tsv":
        return copy_table(path)
    with tarfile.open(path) as tar:
        members = {one.name: tar.extractfile(one).read() for one in tar if one.isfile()}
    return write_tar(path, members)

"""Blocks of commands behind ``<!-- tested -->`` are run as they stand, page by page, in a folder of their own.

The folder has what a reader has: a checkout, ``F.nii.gz`` and ``M.nii.gz``, two scans of one brain, ``T2.nii.gz``,
another image of the moving one, label maps ``F_labels.nii.gz`` and ``M_labels.nii.gz``, and a finished run in
``results/embedded``. A block sees what the blocks before it on its page have left.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from smgicnet.imaging.images import Volume, write_volume
from tests.support import ROOT
from tests.support.heads import moved, real_brain
from tests.support.markdown import blocks
from tests.support.tables import write_results

CHECKOUT = ("Snakefile", "config", "rules", "workflow", "profiles", "envs", "smgicnet", "docs")
SHELLS = ("sh", "bash")
MARKED = {
    page.relative_to(ROOT).as_posix(): found
    for page in sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])
    if (found := [block for block in blocks(page.read_text(encoding="utf-8")) if block.is_tested])
}
COVERED = ("smgicnet --help", "smgicnet register", "smgicnet apply", "smgicnet verify", "snakemake -n")
SECONDS = 600  # for a block, on a machine that is busy with other work


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The scans, their label maps and the finished run."""
    folder = tmp_path_factory.mktemp("files")
    brain = real_brain()
    regions = Volume(
        np.where(brain.data > 0, 1 + (np.indices(brain.data.shape)[0] > 22), 0).astype(np.uint8), brain.affine
    )
    turned = moved(brain)
    for name, volume in (("F", brain), ("M", turned), ("T2", turned), ("F_labels", regions)):
        write_volume(folder / f"{name}.nii.gz", volume.data, volume.affine)
    labels = moved(regions)
    write_volume(folder / "M_labels.nii.gz", labels.data.round().astype(np.uint8), labels.affine)
    write_results(folder / "results/embedded")
    return folder


@pytest.fixture
def folder(files, tmp_path):
    """A folder of its own in which a page's blocks run."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    for name in CHECKOUT:
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def run(text, folder):
    """Run a block as a shell does that stops at the first command that fails; returns the exit code and all it said."""
    beside = Path(sys.executable).parent
    variables = {
        **os.environ,
        "PATH": f"{beside}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    command = ["bash", "-euo", "pipefail", "-c", text]
    done = subprocess.run(
        command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("page", MARKED)
def test_the_commands_of_a_page_run(page, folder):
    for block in MARKED[page]:
        assert block.language in SHELLS, f"{page}:{block.line}"
        code, said = run(block.text, folder)
        assert code == 0, f"{page}:{block.line}: {block.text}\n{said}"


def test_what_a_reader_types_first_is_among_them():
    typed = [block.text for found in MARKED.values() for block in found]
    assert [one for one in COVERED if not any(one in text for text in typed)] == []


def test_a_command_that_fails_is_seen(tmp_path):
    assert run("true\nfalse\ntrue", tmp_path)[0] == 1
    code, said = run("smgicnet registre | cat", tmp_path)
    assert (code, "invalid choice" in said) == (2, True)

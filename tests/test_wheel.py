"""The wheel and the sdist, built and installed with the base packages alone in an environment of its own."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from smgicnet import __version__
from smgicnet.imaging.images import write_volume
from tests.support import ROOT
from tests.support.heads import moved, real_brain

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel from the sdist, the sdist, and the interpreter of an environment in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
    python = folder / "env/bin/python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "build"], check=True)
    subprocess.run([python, "-m", "build", "--outdir", folder, ROOT], check=True, capture_output=True)
    [wheel], [sdist] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    locked = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line]
    (folder / "constraints.txt").write_text("\n".join(locked))
    subprocess.run([*pip, "--constraint", folder / "constraints.txt", "torch==2.13.0", wheel], check=True)
    return wheel, sdist, python


def test_both_have_what_the_package_needs(built):
    wheel, sdist, _ = built
    assert wheel.name == f"smgicnet-{__version__}-py3-none-any.whl"
    named = set(zipfile.ZipFile(wheel).namelist())
    for path in ("schemas/config.schema.yaml", "labels", "programs/run_greedy.py", "methods/shipped/brain-t1-4mm.pt"):
        assert any(name.startswith(f"smgicnet/{path}") for name in named), path
    with tarfile.open(sdist) as archive:
        source = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "Snakefile", "pyproject.toml"} <= source
    assert not any(name.startswith(("results/", ".venv", "resources/")) for name in source)


def test_two_scans_are_registered_without_the_workflow(built, tmp_path):
    python = built[2]
    brain = real_brain()
    for name, volume in (("fixed", brain), ("moving", moved(brain))):
        write_volume(tmp_path / f"{name}.nii.gz", volume.data, volume.affine)
    (tmp_path / "bids/sub-01/anat").mkdir(parents=True)
    (tmp_path / "bids/dataset_description.json").write_text('{"Name": "one", "BIDSVersion": "1.9.0"}')
    (tmp_path / "bids/sub-01/anat/sub-01_T1w.nii.gz").write_bytes((tmp_path / "moving.nii.gz").read_bytes())
    command = Path(python).parent / "smgicnet"
    for call in (
        "--help",
        "register --fixed fixed.nii.gz --moving moving.nii.gz --out pair --quality fast",
        "apply moving.nii.gz -t pair/displacement.nii.gz --to fixed.nii.gz --out warped.nii.gz",
        "bids bids derivatives participant --to 01 --quality fast",
        "bids bids derivatives group",
    ):
        done = subprocess.run([command, *call.split()], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    code = "import smgicnet; print(smgicnet.register('fixed.nii.gz', 'moving.nii.gz', quality='fast').verdict)"
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("good"), done.stderr
    assert subprocess.run([python, "-c", "import snakemake"], capture_output=True).returncode != 0

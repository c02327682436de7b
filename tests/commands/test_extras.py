"""What is installed with which extra: the base commands run without the extras' packages, and others name the extra."""

import re
import shutil
import subprocess
import sys
import tomllib

from smgicnet.core.extras import EXTRAS
from tests.support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
INSTALLED_AS = {"ants": "antspyx", "fsl": "fslpy"}
WITHOUT = f"""
import sys
class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name in {sorted(EXTRAS)}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Lacking())
from smgicnet.cli import main
"""


def without_extras(code):
    return subprocess.run([sys.executable, "-c", WITHOUT + code], capture_output=True, text=True)


def test_every_package_is_in_the_extra_that_is_named():
    extras = PROJECT["optional-dependencies"]
    for name, extra in EXTRAS.items():
        stated = {re.match(r"[\w-]+", one)[0] for one in extras[extra]}
        assert INSTALLED_AS.get(name, name) in stated
    base = {re.match(r"[\w-]+", one)[0].lower() for one in PROJECT["dependencies"]}
    assert not base & {INSTALLED_AS.get(name, name) for name in EXTRAS}


def test_base_commands_need_no_extra(scans, tmp_path):
    (tmp_path / "bids/sub-01/anat").mkdir(parents=True)
    (tmp_path / "bids/dataset_description.json").write_text('{"Name": "one", "BIDSVersion": "1.9.0"}')
    shutil.copy(scans / "brain.nii.gz", tmp_path / "bids/sub-01/anat/sub-01_T1w.nii.gz")
    fixed, moving, field = scans / "brain.nii.gz", scans / "moved-brain.nii.gz", tmp_path / "r/displacement.nii.gz"
    given = {
        "register": ["--fixed", fixed, "--moving", moving, "--out", tmp_path / "r", "--quality", "fast"],
        "apply": [moving, "-t", field, "--to", fixed, "--out", tmp_path / "applied.nii.gz"],
        "convert": [field, tmp_path / "field.nii.gz", "--to", "fsl", "--fixed", fixed, "--moving", moving],
        "bids": [tmp_path / "bids", tmp_path / "derivatives", "participant", "--to", "01", "--quality", "fast"],
    }  # fmt: skip
    calls = [[command, *map(str, arguments)] for command, arguments in given.items()]
    calls.append(["bids", str(tmp_path / "bids"), str(tmp_path / "derivatives"), "group"])
    done = without_extras(f"codes = [main(call) for call in {calls}]\nprint(codes)\nimport smgicnet\nsmgicnet.register")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str([0] * len(calls)), done.stdout + done.stderr


def test_a_command_that_lacks_a_package_names_the_extra():
    done = without_extras("sys.exit(main(['train', 'c.yaml', 'm', 'results/d']))")
    assert done.returncode == 2, done.stderr
    assert "smgicnet train: tensorboard: this Python package is needed here and is not installed" in done.stderr
    assert "pip install 'smgicnet[train]'" in done.stderr


def test_importing_the_package_takes_no_time():
    child = "import time; start = time.process_time(); import smgicnet; print(time.process_time() - start)"

    def seconds():
        return float(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True).stdout)

    assert min(seconds() for _ in range(5)) < 0.1

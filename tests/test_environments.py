"""The conda environments and the lock files name the same versions."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PYPI_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}


def locked():
    """Versions for Python 3.11 by normalised name."""
    found = {}
    for file in ("requirements.lock", "requirements-nodeps.lock"):
        for line in (ROOT / file).read_text().splitlines():
            match = re.match(r"([A-Za-z0-9_.-]+)==([^ ;]+)(?: ; (.*))?$", line)
            if match and ">= '3.12'" not in (match[3] or ""):
                found[match[1].lower().replace("_", "-")] = match[2]
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda path: path.name)
def test_conda_versions_agree_with_the_lock(path):
    versions = locked()
    for entry in yaml.safe_load(path.read_text())["dependencies"]:
        name, _, version = entry.partition("=")
        if name not in ("python", "pip"):
            assert versions[PYPI_NAMES.get(name, name)] == version, name
    script = path.with_suffix(".post-deploy.sh").read_text()
    pins = re.findall(r"([a-z-]+)==([0-9.]+)", script)
    assert pins
    for name, version in pins:
        assert versions[name] == version, name


def test_torch_is_pinned():
    assert locked()["torch"] == "2.13.0"

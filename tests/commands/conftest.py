"""Scans that several commands are tried on."""

import pytest

from smgicnet.imaging.images import write_volume
from tests.support.heads import moved, real_brain, with_skull


@pytest.fixture(scope="session")
def scans(tmp_path_factory):
    """A real brain and itself turned, each as a brain and as a head, at 4 mm."""
    folder = tmp_path_factory.mktemp("scans")
    brain = real_brain()
    head, _ = with_skull(brain)
    volumes = {"brain": brain, "head": head, "moved-brain": moved(brain), "moved-head": moved(head)}
    for name, volume in volumes.items():
        write_volume(folder / f"{name}.nii.gz", volume.data, volume.affine)
    return folder

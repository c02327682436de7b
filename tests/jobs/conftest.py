"""Subjects to register, and a count of what is registered."""

import numpy as np
import pytest

from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.imaging.images import write_volume
from smgicnet.jobs.registering import PairRegistration
from tests.support.images import blobs


@pytest.fixture
def subjects(tmp_path):
    """Four subjects with images and label maps."""
    files = {}
    for number, name in enumerate(("s1", "s2", "s3", "s4")):
        image, labels = tmp_path / f"{name}.nii", tmp_path / f"{name}_labels.nii"
        data = blobs(number)[0, 0].numpy()
        write_volume(image, data, np.eye(4))
        write_volume(labels, np.where(data > 0.5, 2, 3).astype(np.uint8), np.eye(4))
        files[name] = SubjectFiles(name, image, labels)
    return files


@pytest.fixture
def registered(monkeypatch):
    """The pairs that were really registered, one direction each."""
    done, real = [], PairRegistration.register

    def counted(self, fixed, moving):
        done.append((fixed, moving))
        return real(self, fixed, moving)

    monkeypatch.setattr(PairRegistration, "register", counted)
    return done

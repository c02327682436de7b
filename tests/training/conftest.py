"""A training on three small images."""

import numpy as np
import pytest

from smgicnet.imaging.images import write_volume
from smgicnet.training.loop import Job
from smgicnet.training.sampling import ImageSet
from tests.support.images import blobs
from tests.support.trainings import CONFIG, STAGE


@pytest.fixture
def job(tmp_path):
    paths = [tmp_path / f"{index}.nii" for index in range(3)]
    for index, path in enumerate(paths):
        write_volume(path, blobs(index)[0, 0].numpy(), np.eye(4))
    return Job(STAGE, CONFIG, ImageSet(paths), 7, tmp_path, {"seed": 7, "code": "abc"}, lambda method: 0.5)

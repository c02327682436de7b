"""Whatever is wrong with a subject's files is said, with the file, the problem and the remedy."""

from pathlib import Path

import pytest

from smgicnet.core.errors import InputError
from smgicnet.imaging.grids import Grid
from smgicnet.preparation.preprocessing import prepare
from tests.support.faults import FILE_FAULTS
from tests.support.scans import good_image, good_labels, write

GRID = Grid((16, 16, 16), 4.0)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("fault", FILE_FAULTS, ids=lambda fault: fault.__name__)
def test_unusable_files(tmp_path, fault):
    image = write(tmp_path / "image.nii.gz", good_image())
    labels = write(tmp_path / "labels.nii.gz", good_labels())
    prepare(image, labels, GRID)
    fault(image, labels)
    which, problem = FILE_FAULTS[fault]
    with pytest.raises(InputError) as caught:
        prepare(image, labels, GRID)
    assert Path(caught.value.source).name.startswith(which)
    assert problem in caught.value.problem
    assert len(caught.value.remedy) > 10

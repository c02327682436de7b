"""Images whose headers hold just what a test writes."""

import nibabel as nib
import numpy as np
from scipy.spatial.transform import Rotation

SHAPE = (9, 10, 11)


def oblique(angles=(6, -4, 8), sizes=(1, 1.5, 2), origin=(5, -8, 10)):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(sizes)
    matrix[:3, 3] = origin
    return matrix


def save(path, sform=None, qform=None, units="mm", codes=(1, 1), data=None, **header):
    """An image whose header has just these forms; ``header``: fields that are then set to other values."""
    data = np.random.default_rng(0).random(SHAPE).astype(np.float32) if data is None else data
    image = nib.Nifti1Image(data, None)
    image.header.set_xyzt_units(units)
    image.header.set_zooms((1, 1.5, 2, *[1] * (data.ndim - 3)))
    image.header.set_sform(sform, codes[0] if sform is not None else 0)
    image.header.set_qform(qform, codes[1] if qform is not None else 0)
    for key, value in header.items():
        image.header[key] = value
    with open(path, "wb") as file:  # nibabel would mend the header
        stored = image.header.copy()
        stored["vox_offset"], stored["magic"] = 352, b"n+1"
        file.write(stored.binaryblock + bytes(4) + data.tobytes(order="F"))
    return path

"""Registration of two scans of one's own, from files to files: what the command line calls."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from smgicnet.device import image_tensor, to_device
from smgicnet.images import read_image, write_volume
from smgicnet.overview import overview_figure
from smgicnet.plotting import save
from smgicnet.preprocessing import background_level, prepare
from smgicnet.provenance import files_digest, write_record
from smgicnet.transforms_io import grid_points, sample, to_world, write_itk
from smgicnet.weights import read_weights


def register_images(fixed_path: Path, moving_path: Path, weights: Path, out: Path) -> dict[str, Path]:
    """Register two skull-stripped scans in any orientation, spacing and field of view; results in native space.

    Writes to ``out``: ``warped.nii.gz`` (the moving image on the fixed image's grid), ``displacement.nii.gz`` on the
    same grid and ``inverse_displacement.nii.gz`` on the moving image's grid, both in ITK's convention, a picture,
    ``overview.png``, and ``registration.json``. Returns their paths. Raises `InputError` for unusable images or
    weights.
    """
    trained = read_weights(weights)
    fixed, moving = (prepare(path, None, trained.grid) for path in (fixed_path, moving_path))
    native_fixed, native_moving = read_image(fixed_path), read_image(moving_path)
    method = to_device(trained.build())
    images = [image_tensor(p.image, method.device) for p in (fixed, moving)]
    result = method.register(*images)
    # a method without an inverse of its own is run the other way round
    back = result.inverse if result.inverse is not None else method.register(*images[::-1]).forward
    forward, inverse = (u[0].cpu().numpy() for u in (result.forward, back))
    displacement = to_world(forward, fixed.affine, moving.affine, native_fixed)
    files = {name: out / f"{name}.nii.gz" for name in ("warped", "displacement", "inverse_displacement")}
    files |= {"overview": out / "overview.png", "record": out / "registration.json"}
    points, background = grid_points(native_fixed.data.shape, native_fixed.affine), background_level(native_moving.data)
    warped = sample(native_moving, points + displacement, fill=background)
    write_volume(files["warped"], warped.astype(np.float32), native_fixed.affine)
    write_itk(files["displacement"], displacement, native_fixed.affine)
    write_itk(
        files["inverse_displacement"],
        to_world(inverse, moving.affine, fixed.affine, native_moving),
        native_moving.affine,
    )
    as_it_lies = sample(native_moving, points, fill=background)
    save(overview_figure(native_fixed, as_it_lies, warped), [files["overview"]])
    write_record(
        files["record"],
        fixed=fixed.report,
        moving=moving.report,
        weights=str(weights),
        weights_digest=files_digest([weights]),
        seconds=round(result.seconds, 3),
    )
    return files

"""The network that names tissues, trained on FreeSurfer's label maps of people: heads or brains, in any pose."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from smgicnet.cohort.rendering import RenderConfig, render, streams, to_classes
from smgicnet.cohort.template import load_anatomy, load_template
from smgicnet.config.building import build
from smgicnet.config.schemas import fill, schema
from smgicnet.core.checksums import digests
from smgicnet.core.code import code_digest
from smgicnet.core.errors import InputError, require_least
from smgicnet.core.files import require_distinct, require_writable
from smgicnet.core.provenance import write_record
from smgicnet.core.shipped import DEFAULT, find_weights
from smgicnet.imaging.grids import Grid
from smgicnet.imaging.images import write_volume
from smgicnet.methods.device import image_tensor
from smgicnet.methods.smgicnet import SMGICNet
from smgicnet.methods.sources import source_of
from smgicnet.methods.weights import read_weights
from smgicnet.preparation.label_protocols import roi_names
from smgicnet.preparation.preprocessing import prepare
from smgicnet.registration.detail import Frame
from smgicnet.registration.pose import find_pose
from smgicnet.registration.tissue_network import SPACING
from smgicnet.training.sampling import opposite_rois
from smgicnet.training.tissue_samples import Anatomy, Draw
from smgicnet.training.tissues import Classes, train_tissues, write_tissues

log = logging.getLogger(__name__)
TISSUES = (
    "Cerebral-White-Matter", "Cerebral-Cortex", "Lateral-Ventricle", "Inf-Lat-Vent", "Cerebellum-White-Matter",
    "Cerebellum-Cortex", "Thalamus", "Caudate", "Putamen", "Pallidum", "3rd-Ventricle", "4th-Ventricle", "Brain-Stem",
    "Hippocampus", "Amygdala", "CSF", "Accumbens-area", "VentralDC",
)  # fmt: skip
LARGE = "Cerebral-White-Matter", "Cerebral-Cortex", "Cerebellum-White-Matter", "Cerebellum-Cortex", "Brain-Stem", "CSF"
SAME = {"choroid-plexus": "Lateral-Ventricle"}  # what counts as one of them
WHITE = "Cerebral-White-Matter"  # whatever else is brain: vessels, the corpus callosum, lesions


def train(
    out: Path, maps: Mapping[str, Sequence[Path]], *, steps: int = 3000, seed: int = 1, threads: int | None = None
) -> None:
    """Train the network on label maps, and write it to ``out``, with a record beside it.

    ``maps``: those of the people of ``"train"`` and of ``"val"``. Raises `InputError`, before anything is trained, for
    a map without a brain and for a result that cannot be written or would replace a map.
    """
    for option, value, least in (("--steps", steps, 1), ("--seed", seed, 0), ("--threads", threads, 1)):
        require_least(option, value, least)
    record = out.with_suffix(".json")
    require_distinct([out, record], [path for given in maps.values() for path in given])
    for path in (out, record):
        require_writable(path)
    for split, given in maps.items():
        if not given:
            raise InputError(f"--{split}", "no label map is given", "Give at least one")
    if threads is not None:
        torch.set_num_threads(threads)
    count = {split: len(given) for split, given in maps.items()}
    log.info("%d people train and %d validate, %d steps; the network goes to %s", *count.values(), steps, out)
    weights = read_weights(find_weights(DEFAULT))
    finder = weights.build()
    if not isinstance(finder, SMGICNet):
        raise TypeError(f"{DEFAULT} is no SM-GICNet")
    people = {split: [_anatomy(path, finder, weights.grid) for path in given] for split, given in maps.items()}
    classes, draw = _classes(), _draw(seed)
    network, history = train_tissues(people, classes, draw, steps, seed)
    write_tissues(network, classes.names, out)
    given = {split: [_listed(path) for path in paths] for split, paths in maps.items()}
    facts = {"steps": steps, "seed": seed, "threads": torch.get_num_threads(), "maps": given, "history": history}
    write_record(record, **facts, code=code_digest(__name__, beside={"smgicnet.methods.tissues"}))
    log.info("done: %s, %s", out, record)


def _listed(path: Path) -> dict[str, str]:
    return {"name": path.name, **digests(path, ["sha256"])}


def _names() -> dict[int, str]:
    """The tissue of each class that is rendered, the same left and right."""
    return {key: tissue.name for key, tissue in load_template().tissues.items()}


def _classes() -> Classes:
    names, sides = _names(), roi_names()
    tissue, side = torch.zeros((2, 256), dtype=torch.int64)
    for key, name in names.items():
        shared = SAME.get(name, name)
        tissue[key] = 1 + TISSUES.index(shared if shared in TISSUES else WHITE)
        side[key] = {"Left": 1, "Right": -1}.get(sides.get(key, "").split("-")[0], 0)
    return Classes(tissue, side, TISSUES, [1 + TISSUES.index(name) for name in LARGE])


def _draw(seed: int) -> Draw:
    means = {key: tissue.mean for key, tissue in load_template().tissues.items()}
    return Draw(_names(), means, opposite_rois().tolist(), seed)


def _anatomy(path: Path, finder: SMGICNet, grid: Grid) -> Anatomy:
    """A person's classes, and the frame in which `SMGICNet` registers the person's rendered image."""
    template = load_anatomy(path)
    classes = to_classes(template.regions)
    part = schema("sources/label-maps")["properties"]["render"]
    settings: dict = {}
    fill(settings, part)
    image = render(classes, template.tissues, streams(0, 0, 1)[0], build(RenderConfig, settings))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rendered.nii"
        write_volume(file, image, template.affine)
        prepared = prepare(file, None, grid)
    seen = image_tensor(prepared.image, torch.device("cpu"))
    with torch.no_grad():
        pose = find_pose(seen, seen, finder.pose.rotations, finder.mean_image)
        frame = Frame(grid.shape, [pose.to_fixed] * 2, grid.spacing)
        source = source_of(prepared, seen.device)
        fine, _ = frame.images([source, source], frame.grid(SPACING, 1))
    extent = torch.tensor(frame.extent, dtype=torch.float64)
    from_mm = torch.diag(torch.cat([torch.tensor(grid.shape) / extent, extent.new_ones(1)]))
    from_mm[:3, 3] = -0.5
    to_voxels = torch.from_numpy(np.linalg.inv(template.affine) @ prepared.affine) @ pose.to_fixed @ from_mm
    log.info("%s: the brain is found, correlation %.3f", path.name, pose.score)
    return Anatomy(torch.from_numpy(classes), to_voxels, extent, fine)

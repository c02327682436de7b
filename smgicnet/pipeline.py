"""From files to files: what the workflow's scripts and the command line call."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from smgicnet.config import build
from smgicnet.errors import InputError
from smgicnet.evaluation import ScoredSubject, dice, present_labels, score_pair, warp_labels
from smgicnet.examples import field_files
from smgicnet.fields import warp
from smgicnet.images import atomic_path, read_field, read_image, read_labels, write_volume
from smgicnet.memory import peak_memory
from smgicnet.methods import METHODS, LearnedMethod, Method, Registration, Stage
from smgicnet.preprocessing import Grid, background_level, prepare, roi_names
from smgicnet.provenance import files_digest, write_record
from smgicnet.sampling import ImageSet
from smgicnet.training import Job, TrainingConfig, train
from smgicnet.transforms_io import grid_points, sample, to_world, write_itk
from smgicnet.weights import Weights, read_weights, write_weights

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SubjectFiles:
    """Where one preprocessed subject is; ``truth`` holds its two template fields, or nothing."""

    name: str
    image: Path
    labels: Path | None = None
    truth: tuple[Path, ...] = ()


def pick_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def image_tensor(data: np.ndarray, device: torch.device) -> torch.Tensor:
    """``(D, H, W)`` to ``(1, 1, D, H, W)``."""
    return torch.from_numpy(np.ascontiguousarray(data, dtype=np.float32))[None, None].to(device)


def train_stage(
    config: Mapping,
    stage: int,
    *,
    seed: int,
    grid: Grid,
    training: Sequence[SubjectFiles],
    validation: Sequence[SubjectFiles],
    earlier: Path | None,
    weights: Path,
    history: Path,
    record: Path,
    code: str,
    threads: int = 1,
) -> None:
    """Train stage ``stage`` (from 1) of the method of block ``config`` and write weights, history and a record.

    ``earlier`` are the weights of the stage before. A checkpoint beside ``weights`` is resumed if it is of the same
    config, seed, images and code, and removed when the stage is complete.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(int(np.random.SeedSequence([seed, stage]).generate_state(1)[0]))
    method = METHODS[config["type"]].from_config(config, stage)
    method.network.to(memory_format=torch.channels_last_3d)
    if earlier:
        _start_from(method, earlier)
    method.to(pick_device())
    images = [subject.image for subject in training]
    identity = {
        "method": {**config, "stages": config["stages"][:stage]},
        "stage": stage,
        "seed": seed,
        "code": code,
        "images": files_digest(images),
        "earlier": files_digest([earlier]) if earlier else None,
    }
    job = Job(
        stage=build(Stage, config["stages"][stage - 1]),
        config=build(TrainingConfig, config["training"]),
        images=ImageSet(images),
        seed=int(np.random.SeedSequence([seed, stage, 1]).generate_state(1)[0]),
        folder=weights.parent,
        identity=identity,
        validate=_validator(validation) if len(validation) > 1 else None,
    )
    log.info("training stage %d of %s on %s, seed %d", stage, config["type"], method.device, seed)
    with _Board(weights.parent / "tensorboard") as board:
        rows = train(method, job, board.write)
        board.picture(method, validation or training)
    write_weights(Weights(config, stage, grid, method.network.state_dict()), weights)
    with atomic_path(history) as part:
        rows.to_csv(part, index=False)
    parameters = sum(p.numel() for p in method.network.parameters())
    write_record(record, **identity, iterations=len(rows), parameters=parameters, threads=threads)
    job.checkpoint.unlink(missing_ok=True)
    log.info("done: %s", weights)


def _start_from(method: LearnedMethod, earlier: Path) -> None:
    """Load the weights of the stage before; only the newest stage's parameters may be missing from them."""
    newest = {id(p) for p in method.stage_parameters()[0]}
    expected = {name for name, p in method.network.named_parameters() if id(p) not in newest}
    state = read_weights(earlier).network
    if state.keys() != expected:
        raise InputError(earlier, "its parameters are not those of the stage before", "Train the stages in order")
    method.network.load_state_dict(state, strict=False)


def _validator(subjects: Sequence[SubjectFiles]):
    """Mean Dice over every ordered pair of the validation subjects."""
    images = [read_image(s.image).data for s in subjects]
    labels = [read_labels(s.labels).data.astype(np.uint8) for s in subjects]
    rois = [present_labels(one, list(roi_names())) for one in labels]

    def validate(method: LearnedMethod) -> float:
        scores = []
        for i in range(len(subjects)):
            for j in range(len(subjects)):
                if i != j:
                    fixed, moving = (image_tensor(images[k], method.device) for k in (i, j))
                    warped = warp_labels(labels[j], method.register(fixed, moving).forward.cpu())
                    scores.append(dice(labels[i], warped, [roi for roi in rois[i] if roi in rois[j]]).mean())
        return float(np.mean(scores))

    return validate


class _Board:
    """TensorBoard: a scalar a term, and the middle slice of a warped image at the end."""

    EVERY = 10

    def __init__(self, folder: Path):
        self._folder, self._writer = folder, None

    def __enter__(self) -> _Board:
        return self

    def __exit__(self, *_) -> None:
        if self._writer:
            self._writer.close()

    def write(self, step: int, row: Mapping[str, float]) -> None:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            # after a resume, what was drawn beyond the checkpoint is taken back
            self._writer = SummaryWriter(str(self._folder), purge_step=step)
        if step % self.EVERY == 0 or "validation_dice" in row:
            for name, value in row.items():
                if name != "step":
                    self._writer.add_scalar(name, value, step)

    def picture(self, method: LearnedMethod, subjects: Sequence[SubjectFiles]) -> None:
        """Fixed, moving and warped side by side."""
        if self._writer is None:  # the checkpoint was of the last step
            return
        fixed, moving = (image_tensor(read_image(s.image).data, method.device) for s in subjects[:2])
        warped = warp(moving, method.register(fixed, moving).forward)
        middle = fixed.shape[-1] // 2
        slices = torch.cat([image[0, :, :, :, middle] for image in (fixed, moving, warped)], dim=1)
        self._writer.add_image("fixed, moving, warped", slices.flip(2).transpose(1, 2).cpu())


def load_method(config: Mapping, weights: Path | None) -> Method:
    """The method of a config block, with its weights if it has any, on the device there is."""
    if weights is None:
        return METHODS[config["type"]].from_config(config, 0)
    method = read_weights(weights).build()
    method.network.to(memory_format=torch.channels_last_3d)
    return method.to(pick_device())


def register_shard(
    config: Mapping,
    weights: Path | None,
    pairs: Sequence[tuple[str, str]],
    subjects: Mapping[str, SubjectFiles],
    *,
    keep: Sequence[tuple[str, str]],
    columns: Mapping[str, object],
    metrics: Path,
    fields: Path,
    record: Path,
    code: str,
    threads: int = 1,
) -> None:
    """Register each unordered pair in both directions, score it, and write a row a pair, direction, metric and ROI.

    ``columns`` (dataset, arm, method, seed) are set in every row. Of the pairs in ``keep`` the warped image and the
    displacement (ITK) of the first direction are written to the folder ``fields``.
    """
    torch.set_num_threads(threads)
    method = load_method(config, weights)
    names = sorted({name for pair in pairs for name in pair})
    loaded = {name: _load_scored(subjects[name]) for name in names}
    images = {name: read_image(subjects[name].image).data for name in names}
    fields.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    for number, (first, second) in enumerate(pairs):
        one, two = (image_tensor(images[name], method.device) for name in (first, second))
        if number == 0:
            method.register(one, two)  # warm up: neither kernels nor caches are timed
        results, memory = {}, {}
        for name, images_of in ((first, (one, two)), (second, (two, one))):
            with peak_memory(method.device) as peak:
                results[name] = method.register(*images_of)
            memory[name] = peak.mib
        there, back = results[first], results[second]
        for fixed, moving, result, reverse in ((first, second, there, back), (second, first, back, there)):
            scored = score_pair(loaded[fixed], loaded[moving], result, reverse, roi_names())
            scored.append(
                {"fixed": fixed, "moving": moving, "metric": "peak_memory_mib", "roi": "", "value": memory[fixed]}
            )
            rows += scored
        if (first, second) in keep:
            _keep_fields(fields, loaded[first], loaded[second], two, there)
        log.info("pair %d/%d: %s, %s", number + 1, len(pairs), first, second)
    frame = pd.DataFrame(rows)
    for index, (name, value) in enumerate(columns.items()):
        frame.insert(index, name, value)
    with atomic_path(metrics) as part:
        frame.to_csv(part, index=False)
    digest = files_digest([weights]) if weights else None
    write_record(record, **columns, method_config=config, weights=digest, code=code, threads=threads)


def _load_scored(files: SubjectFiles) -> ScoredSubject:
    labels = read_labels(files.labels)
    to_template, from_template = (read_field(path) for path in files.truth) if files.truth else (None, None)
    return ScoredSubject(files.name, labels.data.astype(np.uint8), labels.affine, to_template, from_template)


def _keep_fields(folder: Path, fixed: ScoredSubject, moving: ScoredSubject, image: torch.Tensor, result: Registration):
    warped_path, field_path = field_files(folder, fixed.name, moving.name)
    write_volume(warped_path, warp(image, result.forward)[0, 0].cpu().numpy(), fixed.affine)
    world = to_world(result.forward[0].cpu().numpy(), fixed.affine, moving.affine)
    write_itk(field_path, world, fixed.affine)


def register_images(fixed_path: Path, moving_path: Path, weights: Path, out: Path) -> dict[str, Path]:
    """Register two skull-stripped scans in any orientation, spacing and field of view; results in native space.

    Writes to ``out``: ``warped.nii.gz`` (the moving image on the fixed image's grid), ``displacement.nii.gz`` on the
    same grid and ``inverse_displacement.nii.gz`` on the moving image's grid, both in ITK's convention, and
    ``registration.json``. Returns their paths. Raises `InputError` for unusable images or weights.
    """
    trained = read_weights(weights)
    fixed, moving = (prepare(path, None, trained.grid) for path in (fixed_path, moving_path))
    native_fixed, native_moving = read_image(fixed_path), read_image(moving_path)
    method = load_method(trained.method, weights)
    result = method.register(*(image_tensor(p.image, method.device) for p in (fixed, moving)))
    forward, inverse = (u[0].cpu().numpy() for u in (result.forward, result.inverse))
    displacement = to_world(forward, fixed.affine, moving.affine, native_fixed)
    files = {name: out / f"{name}.nii.gz" for name in ("warped", "displacement", "inverse_displacement")}
    files["record"] = out / "registration.json"
    world = grid_points(native_fixed.data.shape, native_fixed.affine) + displacement
    warped = sample(native_moving, world, fill=background_level(native_moving.data))
    write_volume(files["warped"], warped.astype(np.float32), native_fixed.affine)
    write_itk(files["displacement"], displacement, native_fixed.affine)
    write_itk(
        files["inverse_displacement"],
        to_world(inverse, moving.affine, fixed.affine, native_moving),
        native_moving.affine,
    )
    write_record(
        files["record"],
        fixed=fixed.report,
        moving=moving.report,
        weights=str(weights),
        weights_digest=files_digest([weights]),
        seconds=round(result.seconds, 3),
    )
    return files

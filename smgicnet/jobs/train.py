"""One stage of a training, from files to files: what the workflow's script calls."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.config.blocks import learns_from_labels
from smgicnet.config.building import build
from smgicnet.core.errors import InputError
from smgicnet.core.files import atomic_path, require_room
from smgicnet.core.provenance import files_digest, write_record
from smgicnet.imaging.grids import Grid
from smgicnet.imaging.images import read_image, read_labels
from smgicnet.methods import METHODS
from smgicnet.methods.contract import LearnedMethod
from smgicnet.methods.device import has_bfloat16, image_tensor, peak_memory, to_device
from smgicnet.methods.stage import Stage
from smgicnet.methods.weights import Weights, read_weights, write_weights
from smgicnet.preparation.label_protocols import roi_names
from smgicnet.registration.fields import warp
from smgicnet.scoring.overlap import dice, present_labels, warp_labels
from smgicnet.training.distributed import Group, joined
from smgicnet.training.loop import Job, TrainingConfig, train
from smgicnet.training.sampling import ImageSet

log = logging.getLogger(__name__)
CHECKPOINT_SIZES = 8  # of the parameters: two checkpoints with Adam's two moments, the weights, and some room


@dataclass(frozen=True)
class StageTask:
    """One stage of a training.

    ``block``: the completed block of the method, as far as the stage depends on it. ``stage``: its number, from 1.
    ``seed``: of all that is random. ``code``: the digest of the source. ``earlier``: the weights of the stage before;
    None, the default, for the first. ``threads``: of all processes together; 1 by default.
    """

    block: Mapping
    stage: int
    seed: int
    code: str
    earlier: Path | None = None
    threads: int = 1

    def identity(self, training: Sequence[SubjectFiles]) -> dict:
        """Return what the stage's weights depend on, as it stands in its checkpoint and its record."""
        identity = {
            "block": {**self.block, "stages": self.block["stages"][: self.stage]},
            "stage": self.stage,
            "seed": self.seed,
            "code": self.code,
            "images": files_digest([subject.image for subject in training]),
            "earlier": files_digest([self.earlier]) if self.earlier else None,
        }
        if learns_from_labels(self.block):
            identity["labels"] = files_digest([subject.labels for subject in training])
        return identity

    def random_seed(self, *further: int) -> int:
        """Return a seed of its own for each purpose."""
        return int(np.random.SeedSequence([self.seed, self.stage, *further]).generate_state(1)[0])


@dataclass(frozen=True)
class StageSubjects:
    """Whom a stage is trained and validated on.

    ``grid``: the common grid. ``training``: the subjects whose pairs it learns from. ``validation``: those of the
    validation curve, of which there is none for fewer than two.
    """

    grid: Grid
    training: Sequence[SubjectFiles]
    validation: Sequence[SubjectFiles]


@dataclass(frozen=True)
class StageOutputs:
    """The files that a stage writes: its ``weights``, the ``history`` of every loss term, and a ``record``."""

    weights: Path
    history: Path
    record: Path


def train_stage(task: StageTask, subjects: StageSubjects, outputs: StageOutputs) -> None:
    """Train a stage and write its weights, history and record.

    A checkpoint beside the weights is resumed if it is of the same block, seed, images and code, and removed when the
    stage is complete. Where torchrun has started several processes they train together; the first one writes. Raises
    `InputError` at once where results cannot be written or a batch cannot be shared, and `Interrupted` after a signal,
    see `train`.
    """
    with joined() as group:
        torch.set_num_threads(max(1, task.threads // group.size))
        method = _method_to_train(task)
        job = _job(task, subjects, outputs.weights.parent, method, group)
        log.info(
            "training stage %d of %s on %s, seed %d", task.stage, task.block["type"], _place(method, group), task.seed
        )
        if not group.first:
            train(method, job, group=group)
            return
        _make_room(method, outputs.weights.parent)
        with _Board(outputs.weights.parent / "tensorboard") as board, peak_memory(method.device) as peak:
            rows = train(method, job, board.write, group)
            board.picture(method, subjects.validation if len(subjects.validation) > 1 else subjects.training)
    write_weights(Weights(task.block, task.stage, subjects.grid, method.network.state_dict()), outputs.weights)
    with atomic_path(outputs.history) as part:
        rows.to_csv(part, index=False)
    cost = {
        "subjects": [subject.name for subject in subjects.training],
        "iterations": len(rows),
        "parameters": sum(p.numel() for p in method.network.parameters()),
        "seconds": round(float(rows["seconds"].sum()), 3),
        "peak_memory_mib": round(peak.mib, 1),
        "threads": task.threads,
        "processes": group.size,
    }
    write_record(outputs.record, **job.identity, **cost)
    job.checkpoint.unlink(missing_ok=True)
    log.info("done: %s", outputs.weights)


def _method_to_train(task: StageTask) -> LearnedMethod:
    """The method at the start of a stage, on the device there is."""
    torch.manual_seed(task.random_seed())
    method = METHODS[task.block["type"]].from_block(task.block, task.stage)
    if task.earlier:
        _start_from(method, task.earlier, task.stage)
    to_device(method)
    return method


def _job(task: StageTask, subjects: StageSubjects, folder: Path, method: LearnedMethod, group: Group) -> Job:
    """What the training loop is given."""
    paths, labels = _checked(subjects.training, method.uses_labels)
    images = ImageSet(paths)
    job = Job(
        stage=build(Stage, task.block["stages"][task.stage - 1]),
        config=build(TrainingConfig, task.block["training"]),
        images=images,
        seed=task.random_seed(1),
        folder=folder,
        identity=task.identity(subjects.training),
        validate=_validator(subjects.validation) if group.first and len(subjects.validation) > 1 else None,
        labels=ImageSet(labels) if labels else None,
        places=method.places(lambda index: images.one(index, method.device), len(images)),
    )
    _check_shared(job.config.batch_size, group)
    if job.config.precision == "bfloat16" and not has_bfloat16(method.device):
        log.warning("training.precision: this processor has no bfloat16: float32 would be many times faster")
    return job


def _checked(training: Sequence[SubjectFiles], labelled: bool) -> tuple[list[Path], list[Path]]:
    """Images to train on, and their label maps where the method learns from them."""
    if len(training) < 2:
        raise InputError("the split train", f"{len(training)} images make no pair", "Give it two subjects at least")
    labels = [subject.labels for subject in training] if labelled else []
    for path in labels:
        if not read_labels(path).data.any():
            remedy = "Give the subject a label map, or set objective.weights.labels to 0"
            raise InputError(path, "it has no label, and the method learns from labels", remedy)
    return [subject.image for subject in training], labels


def _check_shared(batch_size: int, group: Group) -> None:
    if batch_size % group.size:
        raise InputError(
            "training.batch_size",
            f"a batch of {batch_size} cannot be shared by {group.size} processes",
            f"Set it to a multiple of {group.size} in the method's block, or ask for another number of GPUs",
        )


def _place(method: LearnedMethod, group: Group) -> str:
    return f"{group.size} processes on {method.device}" if group.size > 1 else str(method.device)


def _make_room(method: LearnedMethod, folder: Path) -> None:
    """Clear the folder of half-written files, of a start that was killed, and look that it takes checkpoints."""
    for stale in folder.glob(".part-*"):
        stale.unlink()
    require_room(folder, CHECKPOINT_SIZES * 4 * sum(p.numel() for p in method.network.parameters()))


def _start_from(method: LearnedMethod, earlier: Path, stage: int) -> None:
    """Load the weights of the stage before; only the newest level's parameters may be missing from them."""
    newest = {id(p) for p in method.stage_parameters()[0]}
    trained = read_weights(earlier)
    missing, unexpected = method.network.load_state_dict(trained.network, strict=False)
    new = [name for name, p in method.network.named_parameters() if id(p) in newest]
    if trained.stage != stage - 1 or missing not in ([], new) or unexpected:
        raise InputError(earlier, "its parameters are not those of the stage before", "Train the stages in order")


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

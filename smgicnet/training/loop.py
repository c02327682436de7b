"""The one training loop. The levels of a paper are data (`Stage`s).

A resumed training is bit-identical to one that never stopped on a CPU with the same number of threads; on a GPU some of
torch's backward kernels (trilinear sampling) add in no fixed order. Several processes (`training.distributed`) can
share each batch, which gives the same training up to rounding.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from smgicnet.core.errors import InputError
from smgicnet.core.interruption import Interrupted, Stop, watch
from smgicnet.methods.contract import LearnedMethod
from smgicnet.methods.stage import Stage
from smgicnet.registration.fields import compose_affine, warp
from smgicnet.registration.interpolation import pull
from smgicnet.training.checkpoint import Checkpoint, Row
from smgicnet.training.cuda_graph import BatchPart, GraphedGradients, gradients
from smgicnet.training.distributed import Group
from smgicnet.training.progress import Progress
from smgicnet.training.sampling import (
    Augmentation,
    ImageSet,
    PairSampler,
    augment_labels,
    change_intensities,
    displacement_of,
    draw_changes,
)

log = logging.getLogger(__name__)
SAME_REQUEST_SECONDS = 5  # processes that train together take a signal again within so long for the same request
Learn = Callable[..., dict[str, Tensor]]  # from a batch to its terms, with the gradients put into the parameters


@dataclass(frozen=True)
class TrainingConfig:
    """The settings that all stages of a method share.

    Attributes
    ----------
    batch_size : pairs a step, of all processes together
    decay_after : iterations after which the learning rate is multiplied by ``decay_factor``, None for never
    decay_every : iterations between two further multiplications
    decay_factor : the factor of the learning rate
    checkpoint_every : iterations between two checkpoints
    validate_every : iterations between two validations
    precision : the precision of the convolutions, float32 or bfloat16; weights and fields are float32 in both
    augmentation : how images are changed at random
    """

    batch_size: int
    decay_after: int | None
    decay_every: int
    decay_factor: float
    checkpoint_every: int
    validate_every: int
    precision: str
    augmentation: Augmentation


@dataclass(frozen=True)
class Job:
    """One stage of one training: what it learns from, where it writes, what identifies it.

    Attributes
    ----------
    stage : the stage's length and rates
    config : the settings that all stages share
    images : the training images
    seed : the seed of the order of pairs and of the augmentation
    folder : the folder for the checkpoint
    identity : config, seed, source digest and digest of the earlier weights, as they go into the checkpoint
    validate : a function that maps the method to a mean Dice, None for no validation
    labels : the images' label maps, for a method that learns from them; by default None
    places : the maps of `LearnedMethod.places`; by default None
    """

    stage: Stage
    config: TrainingConfig
    images: ImageSet
    seed: int
    folder: Path
    identity: Mapping[str, object]
    validate: Callable[[LearnedMethod], float] | None
    labels: ImageSet | None = None
    places: Tensor | None = None

    @property
    def checkpoint(self) -> Path:
        """The checkpoint's file."""
        return self.folder / "checkpoint.pt"


def learning_rate(step: int, stage: Stage, config: TrainingConfig) -> float:
    """Return the learning rate at a step.

    In Section 4.2 of the paper it is constant, then halved every 50k iterations after the first 60k (at 60k, 110k...).
    """
    if config.decay_after is None or step < config.decay_after:
        return stage.learning_rate
    halvings = 1 + (step - config.decay_after) // config.decay_every
    return stage.learning_rate * config.decay_factor**halvings


def train(
    method: LearnedMethod,
    job: Job,
    on_log: Callable[[int, Row], None] | None = None,
    group: Group = Group(),  # noqa: B008 (immutable)
) -> pd.DataFrame:
    """Train the newest stage of ``method`` in place; continue from a checkpoint of the same job if there is one.

    ``on_log(step, row)`` is called each step (for TensorBoard); ``group`` are the processes that train together.

    Returns the history, a row a step, with every term of the objective, unweighted, their weighted ``total``, the
    learning rate, the seconds, and ``validation_dice`` where it was measured. Raises `InputError` when the loss is not
    finite, ``RuntimeError`` when a parameter that should learn does not, and `Interrupted`, with a checkpoint written,
    when a signal has asked to stop.
    """
    training = _Training(method, job, group)
    length = training.length
    before = [p.detach().clone() for p in training.learning]
    checkpoint = Checkpoint(job.checkpoint, job.identity, method.network, training.optimizer)
    history, start = checkpoint.resume(group)
    if start == 0:
        log.info("%d iterations, %d images, %d ordered pairs", length, len(job.images), training.sampler.pairs)
    clock = Progress(start, length)
    with watch(once_more_after=SAME_REQUEST_SECONDS if group.size > 1 else 0) as stop:
        for step in range(start, length):
            row = training.step(step)
            done = step + 1
            if group.first and job.validate and (done % job.config.validate_every == 0 or done == length):
                row["validation_dice"] = job.validate(method)
            history.append(row)
            if on_log:
                on_log(step, row)
            clock.report(done, row)
            asked = group.any(stop.asked is not None, method.device)
            if done < length and (asked or done % job.config.checkpoint_every == 0):
                if group.first:
                    checkpoint.save(history, done)
                if asked:
                    _interrupt(stop, job, done, length)
    if start == 0:
        _check_moved(training.learning, before, method.network)
    return pd.DataFrame(history)


class _Training:
    """A training that goes on: the method, its optimizer, and the steps that they take together.

    Attributes
    ----------
    length : the number of iterations
    sampler : the pairs of each step
    optimizer : Adam with all parameters of the newest and of the earlier levels
    learning : the parameters that learn at some time
    """

    def __init__(self, method: LearnedMethod, job: Job, group: Group):
        self._method, self._job, self._group = method, job, group
        self.sampler = PairSampler(len(job.images), job.config.batch_size, job.seed)
        self.length = job.stage.length(self.sampler.pairs, job.config.batch_size)
        newest, self._earlier = method.stage_parameters()
        groups = [{"params": newest}, {"params": self._earlier}] if self._earlier else [{"params": newest}]
        self.optimizer = torch.optim.Adam(groups)
        self.learning = newest + (self._earlier if self.length > job.stage.frozen_iterations else [])
        _check_optimized(method.network, self.optimizer, newest + self._earlier)
        self._learn: Learn | None = None

    def step(self, step: int) -> Row:
        """Do one step of the optimizer, numbered from 0; returns its row of the history."""
        job, learn = self._job, self._learning_at(step)
        begun = time.perf_counter()
        batch = _batch(job, self.sampler.batch(step), step, self._group, self._method.device)
        rate = learning_rate(step, job.stage, job.config)
        for param_group, factor in zip(self.optimizer.param_groups, (1.0, job.stage.earlier_rate), strict=False):
            param_group["lr"] = rate * factor
        values = self._group.mean(learn(*batch))
        if not all(map(math.isfinite, values.values())):
            problem = f"the loss is not finite at step {step}: {values}"
            raise InputError(job.folder, problem, "Lower the learning rate or check the images")
        self.optimizer.step()
        return {"step": step, **values, "learning_rate": rate, "seconds": time.perf_counter() - begun}

    def _learning_at(self, step: int) -> Learn:
        """Return what finds the gradients at a step, made anew when the earlier levels begin to learn."""
        frozen = self._job.stage.frozen_iterations
        if self._learn is None or step == frozen:
            for parameter in self._earlier:
                parameter.requires_grad_(step >= frozen)
            self._learn = step_gradients(self._method, self._job.config.precision, self._group)
        return self._learn


class Objective(nn.Module):
    """The objective as a module, which DistributedDataParallel needs; ``precision`` is that of `TrainingConfig`."""

    def __init__(self, method: LearnedMethod, precision: str):
        super().__init__()
        self._half = precision == "bfloat16"
        self.parameter_list = nn.ParameterList(method.network.parameters())  # its buffers are constants and stay out
        self._method = method

    def forward(
        self, image_a: Tensor, image_b: Tensor, labels: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted total and the unweighted terms for a batch of image pairs."""
        with torch.autocast(image_a.device.type, torch.bfloat16, enabled=self._half):
            terms = self._method.objective(image_a, image_b, labels)
        return weighted_total(terms, self._method.weights), terms


def step_gradients(
    method: LearnedMethod,
    precision: str,
    group: Group = Group(),  # noqa: B008 (immutable)
) -> Learn:
    """Return a function that fills ``.grad`` for one batch, in the fastest way on this device."""
    objective = group.wrap(Objective(method, precision))
    graphed = method.same_steps and method.device.type == "cuda" and group.size == 1
    return GraphedGradients(objective) if graphed else partial(gradients, objective)


def _batch(
    job: Job, pairs: list[tuple[int, int]], step: int, group: Group, device: torch.device
) -> tuple[BatchPart, ...]:
    """Return this process's part of a step's pairs, augmented, as the objective takes it.

    It holds the first and the second images, each ``(N, 1, D, H, W)``, and where the job has labels the pair of their
    label maps of the same shape.
    """
    mine = list(group.part(len(pairs)))
    first, second = zip(*(pairs[index] for index in mine), strict=True)
    images = job.images.batch(first + second).to(device, non_blocking=True).contiguous()
    labels = job.labels.batch(first + second).to(device).contiguous() if job.labels else None
    if job.config.augmentation.active or job.places is not None:
        generator = torch.Generator().manual_seed(int(np.random.SeedSequence([job.seed, step]).generate_state(1)[0]))
        changes = draw_changes(2 * len(pairs), job.config.augmentation, generator)
        changes = changes.of(mine + [len(pairs) + index for index in mine], device)
        displacement = displacement_of(changes, images.shape[2:])
        if job.places is None:
            images = warp(images, displacement)
        else:
            displacement = compose_affine(job.places[list(first + second)], displacement)
            images = pull(images, displacement)
        images = change_intensities(images, changes)
        labels = None if labels is None else augment_labels(labels, changes, displacement)
    image_a, image_b = images.chunk(2)
    if labels is None:
        return image_a, image_b
    labels_a, labels_b = labels.chunk(2)
    return image_a, image_b, (labels_a, labels_b)


def weighted_total(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Return the sum that is minimised. Raises ``ValueError`` for a term without weight or a weight without term."""
    if terms.keys() != weights.keys():
        raise ValueError(f"the objective has terms {sorted(terms)}, the config weights {sorted(weights)}")
    weighted = [weights[name] * term for name, term in terms.items()]
    return sum(weighted, start=weighted[0].new_zeros(()))


def _check_optimized(network: nn.Module, optimizer: torch.optim.Optimizer, expected: list[nn.Parameter]) -> None:
    """Raise ``RuntimeError`` unless every parameter of the network is in a stage and is optimised."""
    optimised = {id(p) for group in optimizer.param_groups for p in group["params"]}
    lost = [
        name for name, p in network.named_parameters() if id(p) not in optimised or all(p is not e for e in expected)
    ]
    if lost:
        raise RuntimeError(f"parameters that would never learn: {lost}")


def _check_moved(learning: list[nn.Parameter], before: list[Tensor], network: nn.Module) -> None:
    """Raise ``RuntimeError`` unless every parameter that should have learnt in a stage has changed."""
    names = {id(p): name for name, p in network.named_parameters()}
    still = [names[id(p)] for p, old in zip(learning, before, strict=True) if torch.equal(p.detach(), old)]
    if still:
        raise RuntimeError(f"parameters that did not move in training: {still}")


def _interrupt(stop: Stop, job: Job, done: int, length: int) -> None:
    by = stop.asked or "another process"
    where = f"interrupted by {by} at iteration {done} of {length}: checkpoint {job.checkpoint}"
    raise Interrupted(f"{where}. Run the same command again: it goes on from there")

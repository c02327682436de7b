"""The one training loop. A paper's levels are data (`Stage`s).

Resuming is bit-identical to never having stopped on a CPU with the same number of threads; on a GPU some of torch's
backward kernels (trilinear sampling) add in no fixed order. Several processes (`training.distributed`) share each
batch: the same training up to rounding.
"""

from __future__ import annotations

import json
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
from smgicnet.methods.weights import save
from smgicnet.training.cuda_graph import GraphedGradients, gradients
from smgicnet.training.distributed import Group
from smgicnet.training.sampling import (
    Augmentation,
    ImageSet,
    PairSampler,
    augment,
    augment_labels,
    displacement_of,
    draw_changes,
)

log = logging.getLogger(__name__)
PROGRESS_SECONDS = 10
SAME_REQUEST_SECONDS = 5  # within which a signal again is no second request, to processes that train together


@dataclass(frozen=True)
class TrainingConfig:
    """What all stages of a method share. ``batch_size``: pairs a step, of all processes together. The rate is
    multiplied by ``decay_factor`` at ``decay_after`` iterations (None: never) and then every ``decay_every``.
    ``precision`` is of the convolutions' work: float32, or bfloat16, from float32 weights to float32 fields."""

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

    ``identity`` (config, seed, source digest, digest of the earlier weights) goes into the checkpoint; a checkpoint
    of another identity is put aside and never resumed. ``labels``: the images' label maps, for a method that learns
    from them. ``validate`` maps the method to a mean Dice.
    """

    stage: Stage
    config: TrainingConfig
    images: ImageSet
    seed: int
    folder: Path
    identity: Mapping[str, object]
    validate: Callable[[LearnedMethod], float] | None
    labels: ImageSet | None = None

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"


def learning_rate(step: int, stage: Stage, config: TrainingConfig) -> float:
    """Section 4.2: constant, then halved every 50k iterations after the first 60k (at 60k, 110k, ...)."""
    if config.decay_after is None or step < config.decay_after:
        return stage.learning_rate
    halvings = 1 + (step - config.decay_after) // config.decay_every
    return stage.learning_rate * config.decay_factor**halvings


def train(
    method: LearnedMethod,
    job: Job,
    on_log: Callable[[int, dict], None] | None = None,
    group: Group = Group(),  # noqa: B008 (immutable)
) -> pd.DataFrame:
    """Train the newest stage of ``method`` in place; continue from a checkpoint of the same job if there is one.

    ``on_log(step, row)`` is called each step (TensorBoard); ``group``: the processes that train together.
    Returns the history: a row a step with every term of the objective, unweighted, their weighted ``total``, rate and
    seconds; ``validation_dice`` where measured. Raises `InputError` when the loss is not finite, `RuntimeError` when a
    parameter that should learn does not, and `Interrupted`, with a checkpoint written, when a signal has asked to stop.
    """
    sampler = PairSampler(len(job.images), job.config.batch_size, job.seed)
    length = job.stage.length(sampler.pairs, job.config.batch_size)
    newest, earlier = method.stage_parameters()
    optimizer = torch.optim.Adam([{"params": newest}, {"params": earlier}] if earlier else newest)
    learning = newest + (earlier if length > job.stage.frozen_iterations else [])
    _check_optimized(method.network, optimizer, newest + earlier)
    before = [p.detach().clone() for p in learning]
    history, start = _resume(method, optimizer, job, group)
    if start == 0:
        log.info("%d iterations, %d images, %d ordered pairs", length, len(job.images), sampler.pairs)
    clock = _Progress(start, length)
    learn = None
    with watch(once_more_after=SAME_REQUEST_SECONDS if group.size > 1 else 0) as stop:
        for step in range(start, length):
            if learn is None or step == job.stage.frozen_iterations:
                for parameter in earlier:
                    parameter.requires_grad_(step >= job.stage.frozen_iterations)
                learn = step_gradients(method, job.config.precision, group)
            row = _step(learn, method.device, optimizer, job, sampler, step, group)
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
                    _save_checkpoint(method, optimizer, job, history, done)
                if asked:
                    _interrupt(stop, job, done, length)
    if start == 0:
        _check_moved(learning, before, method.network)
    return pd.DataFrame(history)


class Objective(nn.Module):
    """The objective as a module, which DistributedDataParallel wants: image pairs to the weighted total and terms.
    ``precision``: see `TrainingConfig`."""

    def __init__(self, method: LearnedMethod, precision: str):
        super().__init__()
        self._half = precision == "bfloat16"
        self.parameter_list = nn.ParameterList(method.network.parameters())  # not its buffers: they are constants
        self._method = method

    def forward(self, *batch) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast(batch[0].device.type, torch.bfloat16, enabled=self._half):
            terms = self._method.objective(*batch)
        return weighted_total(terms, self._method.weights), terms


def step_gradients(
    method: LearnedMethod,
    precision: str,
    group: Group = Group(),  # noqa: B008 (immutable)
) -> Callable[..., dict[str, Tensor]]:
    """What brings a batch's gradients into the parameters that now learn, and gives its terms: the fastest way here."""
    objective = group.wrap(Objective(method, precision))
    graphed = method.same_steps and method.device.type == "cuda" and group.size == 1
    return GraphedGradients(objective) if graphed else partial(gradients, objective)


def _step(
    learn: Callable[..., dict[str, Tensor]],
    device: torch.device,
    optimizer: torch.optim.Optimizer,
    job: Job,
    sampler: PairSampler,
    step: int,
    group: Group,
) -> dict:
    """One optimiser step by the gradients that ``learn`` finds; returns its row of the history."""
    begun = time.perf_counter()
    batch = _batch(job, sampler.batch(step), step, group, device)
    rate = learning_rate(step, job.stage, job.config)
    for param_group, factor in zip(optimizer.param_groups, (1.0, job.stage.earlier_rate), strict=False):
        param_group["lr"] = rate * factor
    values = group.mean(learn(*batch))
    if not all(map(math.isfinite, values.values())):
        raise InputError(
            job.folder,
            f"the loss is not finite at step {step}: {values}",
            "Lower the learning rate or check the images",
        )
    optimizer.step()
    return {"step": step, **values, "learning_rate": rate, "seconds": time.perf_counter() - begun}


def _batch(job: Job, pairs: list[tuple[int, int]], step: int, group: Group, device: torch.device) -> tuple:
    """This process's part of a step's pairs, augmented: what the objective takes, its first and its second images, each
    ``(N, 1, D, H, W)``, and where the job has labels the pair of their label maps, alike."""
    mine = list(group.part(len(pairs)))
    first, second = zip(*(pairs[index] for index in mine), strict=True)
    images = job.images.batch(first + second).to(device, non_blocking=True).contiguous()
    labels = job.labels.batch(first + second).to(device).contiguous() if job.labels else None
    if job.config.augmentation.active:
        generator = torch.Generator().manual_seed(int(np.random.SeedSequence([job.seed, step]).generate_state(1)[0]))
        changes = draw_changes(2 * len(pairs), job.config.augmentation, generator)
        changes = changes.of(mine + [len(pairs) + index for index in mine], device)
        displacement = displacement_of(changes, images.shape[2:])
        images = augment(images, changes, displacement)
        labels = None if labels is None else augment_labels(labels, changes, displacement)
    return images.chunk(2) if labels is None else (*images.chunk(2), labels.chunk(2))


def weighted_total(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The sum that is minimised. Raises ``ValueError`` for a term without weight or a weight without term."""
    if terms.keys() != weights.keys():
        raise ValueError(f"the objective has terms {sorted(terms)}, the config weights {sorted(weights)}")
    return sum(weights[name] * term for name, term in terms.items())


def _check_optimized(network: nn.Module, optimizer, expected: list[nn.Parameter]) -> None:
    """Before the first step: every parameter of the network is in a stage, and every one of a stage is optimised."""
    optimised = {id(p) for group in optimizer.param_groups for p in group["params"]}
    lost = [
        name for name, p in network.named_parameters() if id(p) not in optimised or all(p is not e for e in expected)
    ]
    if lost:
        raise RuntimeError(f"parameters that would never learn: {lost}")


def _check_moved(learning: list[nn.Parameter], before: list[Tensor], network: nn.Module) -> None:
    """After a stage: every parameter that should have learnt has changed."""
    names = {id(p): name for name, p in network.named_parameters()}
    still = [names[id(p)] for p, old in zip(learning, before, strict=True) if torch.equal(p.detach(), old)]
    if still:
        raise RuntimeError(f"parameters that did not move in training: {still}")


def _save_checkpoint(method: LearnedMethod, optimizer, job: Job, history: list[dict], step: int) -> None:
    state = {
        "network": method.network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": torch.get_rng_state(),
        "step": step,
        "identity": json.dumps(job.identity, sort_keys=True),
        "history": history,
    }
    save(state, job.checkpoint)


def _interrupt(stop: Stop, job: Job, done: int, length: int) -> None:
    by = stop.asked or "another process"
    where = f"interrupted by {by} at iteration {done} of {length}: checkpoint {job.checkpoint}"
    raise Interrupted(f"{where}. Run the same command again: it goes on from there")


def _resume(method: LearnedMethod, optimizer, job: Job, group: Group) -> tuple[list[dict], int]:
    """Load the job's checkpoint if it is one of this very job; returns the history and the step to go on with."""
    if not job.checkpoint.is_file():
        return [], 0
    try:
        state = torch.load(job.checkpoint, map_location="cpu", weights_only=True)
        same = state["identity"] == json.dumps(job.identity, sort_keys=True)
    except Exception as error:
        log.warning("%s cannot be read (%s)", job.checkpoint, error)
        same = False
    group.wait()  # before one of them puts it aside, all have read it
    if not same:
        aside = job.checkpoint.with_name("checkpoint.other.pt")
        if group.first:
            job.checkpoint.replace(aside)
        log.warning("the checkpoint is of another config, seed or code: put aside as %s, starting anew", aside)
        return [], 0
    method.network.load_state_dict(state["network"], strict=True)
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    log.info("resuming from %s at iteration %d", job.checkpoint, state["step"])
    return state["history"], state["step"]


class _Progress:
    """A line of progress every few seconds: step, terms, step time, time left."""

    def __init__(self, start: int, length: int):
        self.start, self.length = start, length
        self.begun = self.last = time.monotonic()

    def report(self, done: int, row: Mapping[str, float]) -> None:
        now = time.monotonic()
        if done < self.length and now - self.last < PROGRESS_SECONDS:
            return
        self.last = now
        per_step = (now - self.begun) / (done - self.start)
        left = per_step * (self.length - done)
        skip = {"step", "seconds", "learning_rate"}
        terms = " ".join(f"{name} {value:.4g}" for name, value in row.items() if name not in skip)
        log.info("%d/%d %s | %.2f s/step, %d:%02d left", done, self.length, terms, per_step, *divmod(round(left), 60))

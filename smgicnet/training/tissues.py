"""Training of the network that names tissues, on crops that are rendered anew at each step."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from smgicnet.methods.tissues import PRIOR_STEPS
from smgicnet.methods.weights import save
from smgicnet.registration.tissue_network import PRIOR, SPACING, TissueNetwork, in_frame
from smgicnet.training.progress import Progress
from smgicnet.training.tissue_samples import SIDE, Anatomy, Draw

log = logging.getLogger(__name__)
RATE, RISING = 2e-3, 50  # Adam's learning rate at its highest, and the steps until it is
SMALL, BACKGROUND = 2.0, 0.3  # weights of small tissues and of no tissue in the cross-entropy; others have 1
LOOKS = 500  # steps between two looks at the people of validation
OVER = round(SPACING)  # voxels of 1 mm along one of the network's


@dataclass(frozen=True)
class Classes:
    """The classes that the network has to tell apart.

    Attributes
    ----------
    tissue : int64 ``(256,)``, the channel of each class, 0 for no tissue
    side : int64 ``(256,)``, 1 for classes on the left, -1 on the right, else 0
    names : of the tissues, from channel 1
    large : channels of the tissues that are not small
    """

    tissue: Tensor
    side: Tensor
    names: Sequence[str]
    large: Sequence[int]

    def fractions(self, classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return how much of each voxel of 2 mm each channel has, ``(1, 1 + tissues, ...)``, and either side."""
        side = self.side[classes]
        left, right = (F.avg_pool3d(one[None, None].float(), OVER) for one in (side > 0, side < 0))
        shape = left.shape[2:]
        parts = classes.view(shape[0], OVER, shape[1], OVER, shape[2], OVER).permute(1, 3, 5, 0, 2, 4)
        parts = self.tissue[parts.reshape(OVER**3, -1)]
        channels = torch.zeros(1 + len(self.names), parts.shape[1])
        channels.scatter_add_(0, parts, torch.full(parts.shape, 1 / OVER**3))
        return channels.view(1, -1, *shape), left, right

    def weights(self) -> Tensor:
        """Return the weight of each channel in the cross-entropy."""
        weights = torch.full((1 + len(self.names),), SMALL)
        weights[list(self.large)], weights[0] = 1.0, BACKGROUND
        return weights.view(1, -1, 1, 1, 1)


def prior_of(people: Sequence[Anatomy], classes: Classes) -> Tensor:
    """Return how often each tissue is in a place of the frame, as `TissueNetwork` has it, the same left and right."""
    total = torch.zeros(1, len(classes.names), *(PRIOR,) * 3)
    for person in people:
        shape = [OVER * round(float(length) / OVER) for length in person.extent]
        channels = classes.fractions(person.crop([0.0, 0.0, 0.0], shape))[0][:, 1:]
        total += F.adaptive_avg_pool3d(channels, PRIOR)
    return (total + total.flip(2)) / (2 * len(people))


def train_tissues(
    people: Mapping[str, Sequence[Anatomy]], classes: Classes, draw: Draw, steps: int, seed: int, side: int = SIDE
) -> tuple[TissueNetwork, list[dict[str, float]]]:
    """Return a network after ``steps`` of Adam, and the Dice on the people of ``"val"`` as it went.

    The people of ``"train"`` are taken at random. The learning rate falls along a cosine. ``side`` is
    that of a crop in voxels.
    """
    torch.manual_seed(seed)
    sided = [bool(classes.side[classes.tissue == channel].any()) for channel in range(1, 1 + len(classes.names))]
    network = TissueNetwork(sided)
    network.prior.copy_(prior_of(people["train"], classes))
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    progress, mean, history = Progress(0, steps), 0.0, []
    for step in range(1, steps + 1):
        rate = RATE * min(1, step / RISING) * (0.5 + 0.5 * math.cos(math.pi * step / steps) + 0.01)
        optimiser.param_groups[0]["lr"] = rate
        person = people["train"][int(draw.random.integers(len(people["train"])))]
        loss = _loss(network, *draw.sample(person, side), person.extent, classes)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        value = float(loss.detach())
        mean = value if step == 1 else 0.98 * mean + 0.02 * value
        progress.report(step, {"loss": mean})
        if step % LOOKS == 0 or step == steps:
            scores = validation(network, people["val"], classes)
            history.append({"step": step, "loss": mean, **scores})
            log.info("step %d: Dice on validation %.3f", step, sum(scores.values()) / len(scores))
    return network.eval(), history


def _loss(
    network: TissueNetwork, image: Tensor, drawn: Tensor, corner: Sequence[float], extent: Tensor, classes: Classes
) -> Tensor:
    """Return cross-entropy of the tissues and the sides, and half of one less the soft Dice."""
    image = F.avg_pool3d(image[None, None], OVER)
    fractions, left, right = classes.fractions(drawn)
    logits, side = network(image, _places(corner, image.shape[2:], extent))
    logged = F.log_softmax(logits, dim=1)
    entropy = -(fractions * logged * classes.weights()).sum(1).mean()
    probabilities, axes = logged.exp(), (0, 2, 3, 4)
    overlap, total = (probabilities * fractions).sum(axes), (probabilities + fractions).sum(axes)
    there = fractions.sum(axes) > 20
    dice = (1 - (2 * overlap + 1) / (total + 1))[there].mean()
    sides = (F.softplus(-side) * left + F.softplus(side) * right).mean()
    return entropy + 0.5 * dice + sides


def _places(corner: Sequence[float], shape: Sequence[int], extent: Tensor) -> Tensor:
    """Return the places in the frame of a crop's voxels of 2 mm, as `TissueNetwork` takes them."""
    size = torch.tensor([SPACING * n for n in shape]).view(1, 3, 1, 1, 1)
    within = (in_frame(shape) + 1) / 2 * size + torch.tensor(corner).view(1, 3, 1, 1, 1)
    return within / extent.float().view(1, 3, 1, 1, 1) * 2 - 1


def write_tissues(network: TissueNetwork, names: Sequence[str], path: str | Path) -> None:
    """Write a network as `smgicnet.methods.tissues` reads it: in half precision, and with the tissues' names."""
    tensors = network.state_dict().items()
    state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors}
    state["prior"] = (network.prior * PRIOR_STEPS).round().to(torch.uint8)
    save({"names": list(names), "network": state}, path)


@torch.no_grad()
def validation(network: TissueNetwork, people: Sequence[Anatomy], classes: Classes) -> dict[str, float]:
    """Return the mean Dice of each tissue over people, on voxels of 2 mm."""
    scores: dict[str, list[float]] = {name: [] for name in classes.names}
    for person in people:
        shape = person.image.shape[2:]
        found = network(person.image, in_frame(shape))[0].argmax(1)
        truth = classes.fractions(person.crop([0.0, 0.0, 0.0], [OVER * n for n in shape]))[0].argmax(1)
        for channel, name in enumerate(classes.names, 1):
            both = (found == channel) & (truth == channel)
            total = (found == channel).sum() + (truth == channel).sum()
            if total:
                scores[name].append(2 * float(both.sum()) / float(total))
    return {name: sum(values) / len(values) for name, values in scores.items() if values}

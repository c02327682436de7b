"""ICNet's network and objective (Zhang 2018, "Inverse-consistent deep networks for unsupervised deformable image
registration"). ``docs/baselines.md`` says what is as published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smgicnet.config.building import build
from smgicnet.methods.contract import Displacements, LearnedMethod
from smgicnet.registration import losses
from smgicnet.registration.fields import from_orientation, to_orientation, warp
from smgicnet.registration.networks import conv, field_conv

QUANTILE = 1e-4  # the fraction of the intensities that is clipped at either end


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of the network and what it sees.

    Attributes
    ----------
    channels : the channels of the finest level (8 as published)
    displacement_range : the largest displacement along each axis, in voxels (7 as published)
    orientation : the orientation of the arrays that the network sees
    histogram_matching : whether the moving image's intensities are matched to those of the fixed image
    """

    channels: int
    displacement_range: float
    orientation: str
    histogram_matching: bool


@dataclass(frozen=True)
class ObjectiveConfig:
    """The weights of the objective.

    Attributes
    ----------
    weights : the weight of each named term
    """

    weights: Mapping[str, float]


def _step(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(conv(channels_in, channels_out, stride=stride, bias=False), nn.ReLU())


def _up(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose3d(channels, channels, 2, stride=2), nn.ReLU())


class EncoderDecoder(nn.Module):
    """The network: five resolutions with two convolutions each, 1,111,840 parameters at 8 channels.

    It maps a pair of images ``(N, 2, D, H, W)`` to a displacement ``(N, 3, D, H, W)`` in voxels, of at most
    ``displacement_range`` along each axis. The grid has to be divisible by 16.
    """

    def __init__(self, config: NetworkConfig):
        super().__init__()
        s = config.channels
        self.displacement_range = config.displacement_range
        down = [(2, s, s), (s, 2 * s, 2 * s), (2 * s, 4 * s, 4 * s), (4 * s, 8 * s, 8 * s), (8 * s, 16 * s, 8 * s)]
        self.encoders = nn.ModuleList(
            nn.Sequential(_step(a, b, stride=1 if level == 0 else 2), _step(b, c))
            for level, (a, b, c) in enumerate(down)
        )
        # From coarse to fine, these are the features from below, of the skip connection, and of the two convolutions.
        up = [(8 * s, 8 * s, 8 * s, 4 * s), (4 * s, 4 * s, 4 * s, 2 * s), (2 * s, 2 * s, 4 * s, 2 * s)]
        up.append((2 * s, s, 2 * s, 2 * s))
        self.ups = nn.ModuleList(_up(below) for below, *_ in up)
        self.decoders = nn.ModuleList(nn.Sequential(_step(below + skip, b), _step(b, c)) for below, skip, b, c in up)
        self.head = field_conv(2 * s, kernel=1, bias=False)

    def forward(self, pair: Tensor) -> Tensor:
        features = [pair]
        for encode in self.encoders:
            features.append(encode(features[-1]))
        x = features.pop()
        for up, decode in zip(self.ups, self.decoders, strict=True):
            x = decode(torch.cat([up(x), features.pop()], dim=1))
        return torch.tanh(self.head(x)) * self.displacement_range


def normalise(image: Tensor) -> Tensor:
    """Clip images ``(N, 1, D, H, W)`` at their 0.01 % and 99.99 % quantiles, then bring them to mean 0 and variance 1.

    The scaling to [0, 1] that is published between the two steps has no effect on the result.
    """
    flat = image.flatten(1)
    rank = int(QUANTILE * flat.shape[1])
    low = flat.kthvalue(1 + rank, dim=1, keepdim=True).values
    high = flat.kthvalue(flat.shape[1] - rank, dim=1, keepdim=True).values
    flat = flat.clamp(low, high)
    deviation = flat.std(dim=1, keepdim=True).clamp(min=torch.finfo(flat.dtype).eps)
    return ((flat - flat.mean(dim=1, keepdim=True)) / deviation).view_as(image)


def match_histogram(image: Tensor, reference: Tensor, landmarks: int = 64) -> Tensor:
    """Match the intensities of ``image`` to those of ``reference``, both ``(N, 1, D, H, W)``, each pair by itself.

    The map is piecewise linear between the minimum and ``landmarks`` quantiles of the voxels above the mean, which in a
    stripped image are the brain (Nyul and Udupa 2000, as in ITK's filter).
    """
    return torch.stack([_match(one, other, landmarks) for one, other in zip(image, reference, strict=True)])


def _match(image: Tensor, reference: Tensor, landmarks: int) -> Tensor:
    at = torch.linspace(0, 1, landmarks, device=image.device)
    source, target = (
        torch.cat([one.min()[None], torch.quantile(one[one > one.mean()], at)]) if one.max() > one.min() else None
        for one in (image, reference)
    )
    if source is None or target is None:
        return image
    right = torch.searchsorted(source, image.contiguous()).clamp(1, landmarks)
    low, high = source[right - 1], source[right]
    part = ((image - low) / (high - low).clamp(min=torch.finfo(image.dtype).eps)).clamp(0, 1)
    return torch.lerp(target[right - 1], target[right], part)


class ICNet(LearnedMethod):
    """The method, whose network is run for either direction; it gives no inverse of its own."""

    def __init__(self, network: NetworkConfig, objective: ObjectiveConfig):
        self.weights = {name: weight for name, weight in objective.weights.items() if weight > 0}
        self.config = network
        self.network = EncoderDecoder(network)

    @classmethod
    def from_block(cls, block: Mapping[str, Any], stage: int) -> ICNet:
        return cls(build(NetworkConfig, block["network"]), build(ObjectiveConfig, block["objective"]))

    def fields(self, fixed: Tensor, moving: Tensor) -> Displacements:
        pair = torch.cat(self._prepare(moving, fixed), dim=1)
        return Displacements(from_orientation(self.network(pair), self.config.orientation), None)

    def _prepare(self, moving: Tensor, fixed: Tensor) -> list[Tensor]:
        """Return the moving and the fixed images as the network sees them."""
        if self.config.histogram_matching:
            moving = match_histogram(moving, fixed)
        return [to_orientation(normalise(image), self.config.orientation) for image in (moving, fixed)]

    def objective(
        self, image_a: Tensor, image_b: Tensor, labels: tuple[Tensor, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return the terms of both directions, added; a batch mean counts each of the two for one half."""
        images = torch.cat([image_a, image_b])
        moving, fixed = self._prepare(images, losses.swap_directions(images))
        u = self.network(torch.cat([moving, fixed], dim=1))
        terms = {
            # Beyond the image is its border, and not zero, which stands for the mean intensity after normalisation.
            "similarity": 2 * F.mse_loss(warp(moving, u, padding="border"), fixed),
            "smoothness": 2 * losses.diffusion(u) / 3,
        }
        if "inverse" in self.weights:
            terms["inverse"] = 2 * losses.compose_both_orders(u).square().mean()
        if "antifold" in self.weights:
            terms["antifold"] = 2 * losses.antifold(u)
        return {name: terms[name] for name in self.weights}

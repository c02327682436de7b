"""SM-GICNet's network: levels from coarse to fine, each of which adds to the velocity of the level below.

Section 3 and Appendix A of the paper describe it. Where the paper and its released code disagree, and for the settings
that are not the paper's, ``docs/deviations.md`` says what is done here and why.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from smgicnet.registration import losses
from smgicnet.registration.fields import Flow, warp
from smgicnet.registration.networks import Block, GatedEncoderDecoder, LevelTrunk, VelocityHead, conv_pair, half_width
from smgicnet.registration.wavelets import PyramidLevel, WaveletPyramid


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of the network; the paper has the first eight and the last three, and none of the others.

    Attributes
    ----------
    levels : resolutions (4 in the paper)
    channels : features of a level
    blocks : residual blocks of each level but the finest
    depth : convolutions of stride 2 in the finest level
    attention_gate : whether the skip connections of the finest level are gated
    symmetric : whether both directions of a pair are in the batch
    antisymmetric : whether each level's velocity is ``(f(A, B) - f(B, A)) / 2``
    midpoint : whether levels see both images half-way, instead of the moving image on the fixed one
    passes : how often each level but the finest is run
    finest_passes : how often the finest level is run
    finest_channels : features of the finest level, None for as many as in the others
    finest_stride : how many voxels of the velocity's grid a voxel of the finest level's features spans, 1 or 2
    full_resolution : whether there is a `FinestLevel`; without it the last level works on half the grid, and its result
        is judged on the whole
    force_window : window, in voxels, of the local NCC whose `losses.similarity_force` levels also see, None for none
    recompute : whether a `Block` and an `exp` compute their inner maps again in the backward pass, with the same result
    wavelet, energy : the filters and the energy of the `WaveletPyramid`
    velocity_range : bound of a level's velocity, in half-widths of the grid
    integration_steps : the squarings T of `exp`
    """

    levels: int
    channels: int
    blocks: int
    depth: int
    attention_gate: bool
    symmetric: bool
    antisymmetric: bool
    midpoint: bool
    passes: int
    finest_passes: int
    finest_channels: int | None
    finest_stride: int
    full_resolution: bool
    force_window: int | None
    recompute: bool
    wavelet: str
    energy: str
    velocity_range: float
    integration_steps: int


@dataclass(frozen=True)
class LevelOutput:
    """The images that one level saw, and the flow that it found, for a batch.

    Attributes
    ----------
    moving, fixed : the images of its resolution
    before : the moving image warped by the level below, None for the coarsest level
    flow : its result, in voxels of its grid
    """

    moving: PyramidLevel
    fixed: PyramidLevel
    before: Tensor | None
    flow: Flow

    @property
    def velocity(self) -> Tensor:
        """The stationary velocity ``(N, 3, D, H, W)`` in voxels of the level's grid."""
        return self.flow.velocity

    @property
    def displacement(self) -> Tensor:
        """The displacement ``(N, 3, D, H, W)`` in voxels of the level's grid."""
        return self.flow.displacement


class CoarsestLevel(nn.Module):
    """Level 1, which sees the LLL pair alone."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.images = conv_pair(_channels(config, of_field=False), config.channels)
        self.trunk = LevelTrunk(config.channels, config.blocks)
        self.head = VelocityHead(2 * config.channels, config.channels, config.velocity_range)

    def forward(
        self, moving: PyramidLevel, fixed: PyramidLevel, velocity: Tensor | None, force: Tensor | None
    ) -> Tensor:
        return self.head(self.trunk(self.images(_joined(moving.low, fixed.low, force))))


class WaveletLevel(nn.Module):
    """Levels 2 and 3, which see the LLL pair with the upsampled velocity, and the energy pair."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        half = config.channels // 2
        self.images = conv_pair(_channels(config, of_field=True), config.channels - half)
        self.energies = conv_pair(2, half)
        self.trunk = LevelTrunk(config.channels, config.blocks)
        self.head = VelocityHead(2 * config.channels, config.channels, config.velocity_range)

    def forward(self, moving: PyramidLevel, fixed: PyramidLevel, velocity: Tensor, force: Tensor | None) -> Tensor:
        low = self.images(_joined(moving.low, fixed.low, velocity / half_width(velocity), force))
        energy = self.energies(_joined(moving.energy, fixed.energy))
        return self.head(self.trunk(_joined(low, energy)))


class FinestLevel(nn.Module):
    """Level 4, whose attention-gated encoder-decoder sees the images weighted by their difference map."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        channels, stride = config.finest_channels or config.channels, config.finest_stride
        self.images = conv_pair(_channels(config, of_field=config.levels > 1), channels, stride=stride)
        self.trunk = GatedEncoderDecoder(channels, config.depth, config.attention_gate)
        self.head = VelocityHead(2 * channels, channels, config.velocity_range, stride)

    def forward(
        self, moving: PyramidLevel, fixed: PyramidLevel, velocity: Tensor | None, force: Tensor | None
    ) -> Tensor:
        emphasis = 0.5 + 0.5 * difference_map(moving.low, fixed.low)
        below = None if velocity is None else velocity / half_width(velocity)
        seen = _joined(moving.low * emphasis, fixed.low * emphasis, below, force)
        return self.head(self.trunk(self.images(seen)))


def _channels(config: NetworkConfig, *, of_field: bool) -> int:
    """Return the number of channels that a level sees: two images, the velocity from below, the force."""
    return 2 + 3 * of_field + 3 * (config.force_window is not None)


def _joined(*maps: Tensor | None) -> Tensor:
    return torch.cat([one for one in maps if one is not None], dim=1)


def difference_map(image_a: Tensor, image_b: Tensor) -> Tensor:
    """Return D_AB, the absolute intensity difference, scaled to [0, 1] pair by pair; zero for identical images.

    The images and the map are ``(N, 1, D, H, W)``.
    """
    difference = (image_a.abs() - image_b.abs()).abs()
    low, high = difference.amin((1, 2, 3, 4), keepdim=True), difference.amax((1, 2, 3, 4), keepdim=True)
    return (difference - low) / (high - low).clamp(min=torch.finfo(difference.dtype).eps)


class MultiLevelNetwork(nn.Module):
    """Levels 1 to ``stage`` of the network, and all of them in a later stage.

    Velocities are added in the frame of the finer level. An antisymmetric network needs both directions of a pair, as
    the two halves of a batch (`losses.both_directions`).
    """

    def __init__(self, config: NetworkConfig, stage: int):
        super().__init__()
        self.config = config
        self.pyramid = WaveletPyramid(config.wavelet, config.energy)
        wavelet_levels = [CoarsestLevel] + [WaveletLevel] * (config.levels - 1)
        kinds = [*wavelet_levels[:-1], FinestLevel] if config.full_resolution else wavelet_levels
        self.levels = nn.ModuleList(kind(config) for kind in kinds[:stage])
        for part in self.levels.modules():
            if isinstance(part, Block):
                part.recompute = config.recompute

    def forward(self, moving: Tensor, fixed: Tensor | None) -> list[LevelOutput]:
        """Return one output a level, the coarsest first, for images ``(N, 1, D, H, W)`` in [0, 1].

        ``fixed`` is None where both directions are in the batch: then it is the other half of ``moving``.
        """
        outputs: list[LevelOutput] = []
        resolutions = self.config.levels + (not self.config.full_resolution)
        all_moving = self.pyramid(moving, resolutions)
        all_fixed = map(_swapped, all_moving) if fixed is None else self.pyramid(fixed, resolutions)
        for level, at_moving, at_fixed in zip(self.levels, all_moving, all_fixed, strict=False):
            below = outputs[-1].flow.on_grid(at_fixed.low.shape[2:]) if outputs else None
            outputs.append(self._output(level, at_moving, at_fixed, below))
        return outputs

    def _output(self, level: nn.Module, moving: PyramidLevel, fixed: PyramidLevel, below: Flow | None) -> LevelOutput:
        """Run one level, once or in several passes, from the flow of the level below on this level's grid."""
        seen = self._seen(moving, fixed, below)
        before = None
        if below is not None:
            before = warp(moving.low, below.displacement) if self.config.midpoint else seen[0].low
        flow = self._updated(level, seen, below, sees_velocity=below is not None)
        passes = self.config.finest_passes if isinstance(level, FinestLevel) else self.config.passes
        for _ in range(passes - 1):
            seen = self._seen(moving, fixed, flow)
            flow = self._updated(level, seen, flow, sees_velocity=below is not None)
        return LevelOutput(moving, fixed, before, flow)

    def _updated(
        self, level: nn.Module, seen: tuple[PyramidLevel, PyramidLevel], flow: Flow | None, *, sees_velocity: bool
    ) -> Flow:
        """Add what a level finds on the images as ``seen`` to the velocity of ``flow``, where there is one."""
        velocity = None if flow is None else flow.velocity
        update: Tensor = level(*seen, velocity if sees_velocity else None, self._force(*seen))
        if self.config.antisymmetric:
            update = (update - losses.swap_directions(update)) / 2
        total = update if velocity is None else update + velocity
        return Flow(total, self.config.integration_steps, self.config.recompute)

    def _seen(self, moving: PyramidLevel, fixed: PyramidLevel, flow: Flow | None) -> tuple[PyramidLevel, PyramidLevel]:
        """Return the two images as a level sees them, brought together by the flow that has been found so far.

        Half-way, ``exp(v/2) o exp(d) o exp(v/2)`` is ``exp(v + d)`` up to the third order, so that a level's update
        ``d`` may be added; where the moving image is warped all the way, it is so up to the second order.
        """
        if flow is None:
            return moving, fixed
        if not self.config.midpoint:
            return _warp_level(moving, flow.displacement), fixed
        halfway = _warp_level(moving, flow.halfway)
        return halfway, _swapped(halfway)

    def _force(self, moving: PyramidLevel, fixed: PyramidLevel) -> Tensor | None:
        """Return `losses.similarity_force` with a root mean square of 1, of both images where they meet half-way."""
        if self.config.force_window is None:
            return None
        force = losses.similarity_force(moving.low, fixed.low, self.config.force_window)
        if self.config.midpoint:
            force = force - losses.swap_directions(force)
        scale = force.square().mean((1, 2, 3, 4), keepdim=True).sqrt()
        return force / (scale + torch.finfo(force.dtype).eps)


def _swapped(level: PyramidLevel) -> PyramidLevel:
    energy = None if level.energy is None else losses.swap_directions(level.energy)
    return PyramidLevel(losses.swap_directions(level.low), energy)


def _warp_level(level: PyramidLevel, displacement: Tensor) -> PyramidLevel:
    energy = None if level.energy is None else warp(level.energy, displacement)
    return PyramidLevel(warp(level.low, displacement), energy)

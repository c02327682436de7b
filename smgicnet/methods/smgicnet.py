"""SM-GICNet: network, objective and levels (Section 3 and Appendix A of the paper).

Where the paper and its released code disagree, ``docs/deviations.md`` says what is done here and why.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from smgicnet.config.building import build
from smgicnet.methods.contract import LearnedMethod
from smgicnet.registration import losses
from smgicnet.registration.fields import Flow, exp, resize, warp
from smgicnet.registration.networks import Block, GatedEncoderDecoder, LevelTrunk, VelocityHead, conv_pair, half_width
from smgicnet.registration.refinement import Refinement, refine
from smgicnet.registration.views import Views, mean_velocity
from smgicnet.registration.wavelets import PyramidLevel, WaveletPyramid

SEARCH_STEPS = 5  # squarings while a pair's velocity is improved; its field is then made with all


@dataclass(frozen=True)
class NetworkConfig:
    """``levels`` resolutions (4 in the paper), ``channels`` a level, ``blocks`` residual blocks in levels 1 to 3,
    ``depth`` strides of the last level, ``integration_steps`` T, ``velocity_range`` in half-widths of the grid.

    Not the paper's: ``antisymmetric``, each level's velocity is ``(f(A, B) - f(B, A)) / 2``; ``midpoint``, its levels
    see both images half-way instead of the moving one on the fixed one; ``passes`` of each level but the finest, and
    ``finest_passes`` of that, whose ``finest_channels`` features (None: as many as elsewhere) are on a grid
    ``finest_stride`` (1 or 2) times coarser than its velocity; without ``full_resolution`` there is no `FinestLevel`,
    the last level works on half the grid, and what it finds is judged on the whole. ``force_window``: levels also see
    the `losses.similarity_force` between their two images, of a local NCC of that window (None: they do not).
    ``recompute``: what a `Block` and an `exp` would keep for the backward pass is computed again, with the same
    result."""

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
class ObjectiveConfig:
    """NCC ``windows`` (voxels) and weights by level: ``alpha`` of similarity and consistency, ``beta`` of smoothness;
    ``weights`` of the named terms. The term of label maps counts from the training stage ``labels_from`` on (that is
    for `smgicnet.config.stage_block` to see to)."""

    windows: tuple[int, ...]
    alpha: tuple[float, ...]
    beta: tuple[float, ...]
    labels_from: int
    weights: Mapping[str, float]


@dataclass(frozen=True)
class LevelOutput:
    """What one level saw and found, for a batch: its images, the moving image warped by the level below
    (``before``), its flow in its own voxels."""

    moving: PyramidLevel
    fixed: PyramidLevel
    before: Tensor | None
    flow: Flow

    @property
    def velocity(self) -> Tensor:
        return self.flow.velocity

    @property
    def displacement(self) -> Tensor:
        return self.flow.displacement


class CoarsestLevel(nn.Module):
    """Level 1: the LLL pair alone."""

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
    """Levels 2 and 3: the LLL pair with the upsampled velocity, and the energy pair."""

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
    """Level 4: the images weighted by their difference map, and the attention-gated encoder-decoder."""

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
    """Of what a level gets: its two images, the velocity that is known already, the force."""
    return 2 + 3 * of_field + 3 * (config.force_window is not None)


def _joined(*maps: Tensor | None) -> Tensor:
    return torch.cat([one for one in maps if one is not None], dim=1)


def difference_map(image_a: Tensor, image_b: Tensor) -> Tensor:
    """D_AB: the absolute intensity difference, scaled to [0, 1] image by image; zero for identical images."""
    difference = (image_a.abs() - image_b.abs()).abs()
    low, high = difference.amin((1, 2, 3, 4), keepdim=True), difference.amax((1, 2, 3, 4), keepdim=True)
    return (difference - low) / (high - low).clamp(min=torch.finfo(difference.dtype).eps)


class MultiLevelNetwork(nn.Module):
    """Levels 1 to ``stage`` of the network, all of them in a stage beyond; velocities are added in the frame of the
    finer level. An antisymmetric network needs both directions of a pair, as the two halves of a batch
    (`losses.both_directions`).
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
        """Images ``(N, 1, D, H, W)`` in [0, 1]; one output a level, coarsest first. ``fixed`` is None where both
        directions are in the batch: then it is the other half of ``moving``."""
        outputs: list[LevelOutput] = []
        resolutions = self.config.levels + (not self.config.full_resolution)
        all_moving = self.pyramid(moving, resolutions)
        all_fixed = map(_swapped, all_moving) if fixed is None else self.pyramid(fixed, resolutions)
        for level, at_moving, at_fixed in zip(self.levels, all_moving, all_fixed, strict=False):
            below = outputs[-1].flow.on_grid(at_fixed.low.shape[2:]) if outputs else None
            flow, before = below, None
            finest = isinstance(level, FinestLevel)
            for _ in range(self.config.finest_passes if finest else self.config.passes):
                seen = self._seen(at_moving, at_fixed, flow)
                if below and before is None:
                    before = warp(at_moving.low, below.displacement) if self.config.midpoint else seen[0].low
                update = level(*seen, flow.velocity if below else None, self._force(*seen))
                if self.config.antisymmetric:
                    update = (update - losses.swap_directions(update)) / 2
                velocity = update + flow.velocity if flow else update
                flow = Flow(velocity, self.config.integration_steps, self.config.recompute)
            outputs.append(LevelOutput(at_moving, at_fixed, before, flow))
        return outputs

    def _seen(self, moving: PyramidLevel, fixed: PyramidLevel, flow: Flow | None) -> tuple[PyramidLevel, PyramidLevel]:
        """The two images as a level gets them, brought together by what has been found so far.

        Half-way, ``exp(v/2) o exp(d) o exp(v/2)`` is ``exp(v + d)`` up to the third order, so that a level's update
        ``d`` may be added; of the moving image warped all the way, up to the second.
        """
        if flow is None:
            return moving, fixed
        if not self.config.midpoint:
            return _warp_level(moving, flow.displacement), fixed
        halfway = _warp_level(moving, flow.halfway)
        return halfway, _swapped(halfway)

    def _force(self, moving: PyramidLevel, fixed: PyramidLevel) -> Tensor | None:
        """`losses.similarity_force` with a root mean square of 1; where images meet half-way, that of them both."""
        if self.config.force_window is None:
            return None
        force = losses.similarity_force(moving.low, fixed.low, self.config.force_window)
        if self.config.midpoint:
            force = force - losses.swap_directions(force)
        scale = force.square().mean((1, 2, 3, 4), keepdim=True).sqrt()
        return force / (scale + torch.finfo(force.dtype).eps)


def _swapped(level: PyramidLevel) -> PyramidLevel:
    return PyramidLevel(*(None if image is None else losses.swap_directions(image) for image in level))


def _warp_level(level: PyramidLevel, displacement: Tensor) -> PyramidLevel:
    energy = None if level.energy is None else warp(level.energy, displacement)
    return PyramidLevel(warp(level.low, displacement), energy)


class SMGICNet(LearnedMethod):
    """The method: both directions of a pair in one batch and one forward pass."""

    same_steps = True

    def __init__(
        self, network: NetworkConfig, objective: ObjectiveConfig, views: Views, refinement: Refinement, stage: int
    ):
        self.config = network
        self.settings = objective
        self.views = views
        self.refinement = refinement
        self.weights = {name: weight for name, weight in objective.weights.items() if weight > 0}
        self.network = MultiLevelNetwork(network, stage)

    @classmethod
    def from_config(cls, config: Mapping, stage: int) -> SMGICNet:
        parts = {"network": NetworkConfig, "objective": ObjectiveConfig, "views": Views, "refinement": Refinement}
        return cls(*(build(part, config[key]) for key, part in parts.items()), stage)

    def fields(self, fixed: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
        velocity = mean_velocity(self._predicted, moving, fixed, self.views)
        if self.refinement.iterations:
            velocity = resize(velocity, [n // self.refinement.shrink for n in fixed.shape[2:]])
            velocity = refine(velocity, lambda one: self._pair_loss(one, fixed, moving), self.refinement)
        there, back = (exp(one, self.config.integration_steps) for one in (velocity, -velocity))
        return resize(there, fixed.shape[2:]), resize(back, fixed.shape[2:])

    def _predicted(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """The network's velocity of one pair."""
        images = (torch.cat([moving, fixed]), None) if self.config.antisymmetric else (moving, fixed)
        return self.network(*images)[-1].velocity[:1]

    def _pair_loss(self, velocity: Tensor, fixed: Tensor, moving: Tensor) -> Tensor:
        """Similarity in both directions and smoothness, weighted as in training, of one velocity of a pair."""
        weights = self.settings.weights
        displacement = exp(torch.cat([velocity, -velocity]), min(self.config.integration_steps, SEARCH_STEPS))
        images, targets = losses.both_directions(moving, fixed)
        warped = warp(images, resize(displacement, fixed.shape[2:]))
        windows = self.refinement.windows
        similarity = sum(losses.local_ncc(warped, targets, window) for window in windows) / len(windows)
        smoothness = weights["smoothness"] * losses.diffusion(velocity)
        return self.settings.alpha[-1] * weights["similarity"] * similarity + self.settings.beta[-1] * smoothness

    def objective(
        self, image_a: Tensor, image_b: Tensor, labels: tuple[Tensor, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Terms summed over the levels with alpha (similarity, consistency) and beta (smoothness); labels of the newest
        level alone, on the images' own grid."""
        if self.uses_labels and labels is None:
            raise ValueError("the objective has a term of label maps, and none are given")
        arrange = losses.both_directions if self.config.symmetric else lambda a, b: (a, b)
        terms: dict[str, Tensor] = defaultdict(lambda: image_a.new_zeros(()))
        moving, fixed = arrange(image_a, image_b)
        outputs = self.network(moving, None if self.config.symmetric else fixed)
        for index, output in enumerate(outputs):
            whole = index == self.config.levels - 1 and not self.config.full_resolution
            judged = (moving, fixed) if whole else None
            values = self._level_terms(output, self.settings.windows[index], judged)
            for name, value in values.items():
                by_level = self.settings.beta if name == "smoothness" else self.settings.alpha
                terms[name] = terms[name] + by_level[index] * value
        if self.uses_labels:
            newest = resize(outputs[-1].displacement, fixed.shape[2:])
            terms["labels"] = self.settings.alpha[len(outputs) - 1] * losses.soft_dice(*arrange(*labels), newest)
        return {name: terms[name] for name in self.weights}

    def _level_terms(self, level: LevelOutput, window: int, judged: tuple[Tensor, Tensor] | None) -> dict[str, Tensor]:
        """``judged``: the moving and the fixed images of the similarity, where they are not the level's own."""
        wanted = self.weights.keys()
        warped = warp(level.moving.low, level.displacement)
        compared = warped, level.fixed.low
        if judged:
            moving, fixed = judged
            compared = warp(moving, resize(level.displacement, fixed.shape[2:])), fixed
        terms = {"similarity": losses.local_ncc(*compared, window)}
        if "energy_similarity" in wanted and level.before is not None and level.moving.energy is not None:
            energy = warp(level.moving.energy, level.displacement)
            terms["energy_similarity"] = losses.local_ncc(energy, level.fixed.energy, window)
        if "smoothness" in wanted:
            terms["smoothness"] = losses.diffusion(level.velocity)
        if "multi_level" in wanted and level.before is not None:
            terms["multi_level"] = losses.multi_level_consistency(warped, level.before)
        if "symmetric" in wanted:
            inverse = exp(-level.velocity, self.config.integration_steps, recompute=self.config.recompute)
            inverse = losses.swap_directions(inverse)
            terms["symmetric"] = losses.symmetric_consistency(warped, warp(level.moving.low, inverse))
        if wanted & {"inverse", "gradient_inverse"}:
            composed = losses.compose_both_orders(level.displacement)
            terms["inverse"] = losses.inverse_consistency(composed)
            terms["gradient_inverse"] = losses.gradient_inverse_consistency(composed)
        return terms

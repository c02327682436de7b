"""SM-GICNet: the objective and the registration of a pair (Section 3 of the paper); `multilevel` has the network.

Where the paper and its released code disagree, ``docs/deviations.md`` says what is done here and why.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from smgicnet.config.building import build
from smgicnet.methods.contract import Displacements, FlowMethod, Registration
from smgicnet.methods.tissues import shipped_tissues
from smgicnet.methods.verdict import judge
from smgicnet.registration import losses
from smgicnet.registration.detail import DetailStage, Frame, Report, Source, left_out_of, refine_detail, wanted
from smgicnet.registration.evidence import gather
from smgicnet.registration.fields import exp, resize, warp
from smgicnet.registration.mean_image import CELLS, mean_image, place_in_mean
from smgicnet.registration.meeting import Meeting
from smgicnet.registration.multilevel import LevelOutput, MultiLevelNetwork, NetworkConfig
from smgicnet.registration.pose import Pose, PoseConfig, find_pose
from smgicnet.registration.posed_flow import PosedFlow, cells
from smgicnet.registration.refinement import Refinement, RefinementStage, refine
from smgicnet.registration.views import Views, mean_velocity

Arrangement = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # a pair's images become moving and fixed ones

AVERAGED = 16  # training images, at most, whose mean is the frame in which a network sees every pair
COARSE = 1.5  # a velocity's voxels, in those of the images, whose map is integrated on a grid of half its spacing
SEARCH_STEPS = 5  # squarings while a pair's velocity is refined; its field is then made with all of them


@dataclass(frozen=True)
class ObjectiveConfig:
    """The weights of the objective.

    Attributes
    ----------
    windows : window of the local NCC of each level, in voxels of the images that it is judged by
    alpha : weight of similarity and consistency of each level
    beta : weight of smoothness of each level
    whole_images : whether the similarity of every level is that of the images on their own grid
    labels_from : the training stage from which the term of label maps counts, which `stage_block` of the config sees to
    weights : the weight of each named term
    """

    windows: tuple[int, ...]
    alpha: tuple[float, ...]
    beta: tuple[float, ...]
    whole_images: bool
    labels_from: int
    weights: Mapping[str, float]


class SMGICNet(FlowMethod):
    """The method, which registers both directions of a pair in one batch and one forward pass."""

    same_steps = True
    shrink = 1  # voxels of the images along one of the network's grid
    network: MultiLevelNetwork

    def __init__(
        self,
        network: NetworkConfig,
        objective: ObjectiveConfig,
        pose: PoseConfig,
        views: Views,
        refinement: Refinement,
        stage: int,
    ):
        self.config = network
        self.pose = pose
        self.settings = objective
        self.views = views
        self.refinement = refinement
        self.weights = {name: weight for name, weight in objective.weights.items() if weight > 0}
        self.network = MultiLevelNetwork(network, stage)
        if pose.rotations and pose.upright:
            self.network.register_buffer("mean_image", torch.zeros(1, 1, *(CELLS,) * 3))

    @classmethod
    def from_block(cls, block: Mapping[str, Any], stage: int) -> SMGICNet:
        network, objective = build(NetworkConfig, block["network"]), build(ObjectiveConfig, block["objective"])
        pose, views = build(PoseConfig, block["pose"]), build(Views, block["views"])
        return cls(network, objective, pose, views, build(Refinement, block["refinement"]), stage)

    @property
    def mean_image(self) -> Tensor | None:
        """The mean training image, in whose frame the network sees every pair; None where it sees them as they lie."""
        return getattr(self.network, "mean_image", None)

    def places(self, image: Callable[[int], Tensor], count: int) -> Tensor | None:
        mean = self.mean_image
        if mean is None:
            return None
        if not mean.any():
            chosen = range(0, count, -(-count // AVERAGED))
            mean.copy_(mean_image(map(image, chosen), self.pose.rotations))
        return torch.stack([place_in_mean(image(index), mean, self.pose.rotations) for index in range(count)])

    def on_spacing(self, spacing: float) -> None:
        self.shrink = max(1, round(self.spacing / spacing))

    def fields(self, fixed: Tensor, moving: Tensor) -> Displacements:
        """Return both displacements. The global map comes first, and the levels work where both images meet.

        Images on a finer grid than the network's are averaged for it; the refinement sees them as they are.
        """
        size = fixed.shape[2:]
        if self.shrink == 1 and not self._detail(self.spacing):
            meeting, velocity = self._met(fixed, moving)
            there, back = (resize(exp(one, self.config.integration_steps), size) for one in (velocity, -velocity))
            return Displacements(*meeting.apart(there, back), meeting.pose, self._upright(velocity, meeting.pose, size))
        onto = cells([n // self.shrink for n in size], size)
        coarse, other = (F.avg_pool3d(image, self.shrink) for image in (fixed, moving))
        flow, pose = self.flow(coarse, other, [Source(image, onto) for image in (fixed, moving)])
        flow, here = flow.within(onto, onto), torch.eye(4, dtype=torch.float64)
        there, back = (one.displacement(here, size)[None] for one in (flow, flow.inverse))
        return Displacements(there, back, pose and pose.within(onto), flow if self.mean_image is not None else None)

    @torch.no_grad()
    def failure(self, found: Registration, fixed: Tensor, moving: Tensor, spacing: float) -> float | None:
        if found.flow is None or found.pose is None:
            return None
        sources = [Source(image, torch.eye(4, dtype=torch.float64)) for image in (fixed, moving)]
        network, refined = shipped_tissues(fixed.device).network, self.refinement.refines
        verdict = judge(gather(found.flow, found.pose, sources, network, spacing, refined=refined))
        return None if verdict is None else verdict.failure

    def _upright(self, velocity: Tensor, pose: Pose | None, shape: Sequence[int]) -> PosedFlow | None:
        """Return the map between voxels of images of a ``shape``, where they meet in the frame of the mean image."""
        if pose is None or self.mean_image is None:
            return None
        into = cells(velocity.shape[2:], shape)
        return PosedFlow(velocity, pose.to_fixed @ into, pose.to_moving @ into)

    def flow(
        self, fixed: Tensor, moving: Tensor, sources: Sequence[Source], report: Report = lambda *_: None
    ) -> tuple[PosedFlow, Pose | None]:
        shape = fixed.shape[2:]
        meeting, velocity = self._met(fixed, moving, left_out_of(sources, shape))
        pose = meeting.pose
        maps = (pose.to_fixed, pose.to_moving) if pose else (torch.eye(4, dtype=torch.float64),) * 2
        spacing = max(source.spacing(self.spacing) for source in sources)
        stages = self._detail(spacing)
        frame = Frame(shape, maps, self.spacing)
        velocity = refine_detail(velocity, frame, sources, stages, shipped_tissues, report)
        into = cells(velocity.shape[2:], shape)
        coarse = (stages[-1].velocity if stages else self.spacing) > COARSE * spacing
        return PosedFlow(velocity, maps[0] @ into, maps[1] @ into, 2 if coarse else 1), pose

    def _detail(self, spacing: float) -> list[DetailStage]:
        """Return the stages of refinement for images of this ``spacing`` in mm, beside those on the network's grid."""
        return wanted(self.refinement.detail, spacing)

    def _met(self, fixed: Tensor, moving: Tensor, left_out: Sequence[Tensor] | None = None) -> tuple[Meeting, Tensor]:
        """Return a pair where its images meet, and the velocity there, ``(1, 3, ...)`` in voxels of its grid.

        ``left_out`` is how much of each voxel of either image is left out, by default nothing.
        """
        rotations = self.pose.rotations
        pose = find_pose(fixed, moving, rotations, self.mean_image, left_out=left_out) if rotations else None
        meeting = Meeting(fixed, moving, pose, left_out)
        velocity = mean_velocity(self._predicted, *meeting.images[::-1], self.views)
        return meeting, refine(velocity, partial(self._pair_loss, meeting), self.refinement, fixed.shape[2:])

    def _predicted(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """Return the network's velocity of one pair, ``(1, 3, ...)`` in voxels of its grid."""
        images = (torch.cat([moving, fixed]), None) if self.config.antisymmetric else (moving, fixed)
        outputs: list[LevelOutput] = self.network(*images)
        return outputs[-1].velocity[:1]

    def _pair_loss(self, meeting: Meeting, velocity: Tensor, stage: RefinementStage) -> Tensor:
        """Return what is lowered on one pair: similarity in both directions, and smoothness of the velocity."""
        displacement = exp(torch.cat([velocity, -velocity]), min(self.config.integration_steps, SEARCH_STEPS))
        warped = meeting.moved(resize(displacement, meeting.given.shape[2:]))
        if meeting.left_out is not None:  # which is as alike as can be, whatever the velocity
            warped = torch.lerp(warped, meeting.given, meeting.left_out)
        similarities = [losses.local_ncc(warped, meeting.given, window) for window in stage.windows]
        similarity = sum(similarities, start=warped.new_zeros(())) / len(similarities)
        return similarity + self.refinement.smoothness * losses.diffusion(velocity)

    def objective(
        self, image_a: Tensor, image_b: Tensor, labels: tuple[Tensor, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return the terms, summed over the levels with alpha (similarity, consistency) and beta (smoothness).

        The term of label maps is that of the newest level alone, on the images' own grid.
        """
        if self.uses_labels and labels is None:
            raise ValueError("the objective has a term of label maps, and none are given")
        arrange: Arrangement = losses.both_directions if self.config.symmetric else lambda a, b: (a, b)
        terms: dict[str, Tensor] = defaultdict(lambda: image_a.new_zeros(()))
        moving, fixed = arrange(image_a, image_b)
        outputs: list[LevelOutput] = self.network(moving, None if self.config.symmetric else fixed)
        for index, output in enumerate(outputs):
            last = index == self.config.levels - 1
            whole = self.settings.whole_images or (last and not self.config.full_resolution)
            judged = (moving, fixed) if whole else None
            values = self._level_terms(output, self.settings.windows[index], judged)
            for name, value in values.items():
                by_level = self.settings.beta if name == "smoothness" else self.settings.alpha
                terms[name] = terms[name] + by_level[index] * value
        if self.uses_labels and labels is not None:
            newest = resize(outputs[-1].displacement, fixed.shape[2:])
            terms["labels"] = self.settings.alpha[len(outputs) - 1] * losses.soft_dice(*arrange(*labels), newest)
        return {name: terms[name] for name in self.weights}

    def _level_terms(self, level: LevelOutput, window: int, judged: tuple[Tensor, Tensor] | None) -> dict[str, Tensor]:
        """Return the unweighted terms of one level.

        ``judged`` are the moving and the fixed images that the similarity compares, where they are not the level's own.
        """
        wanted = self.weights.keys()
        warped = warp(level.moving.low, level.displacement)
        compared = warped, level.fixed.low
        if judged:
            moving, fixed = judged
            compared = warp(moving, resize(level.displacement, fixed.shape[2:])), fixed
        terms = {"similarity": losses.local_ncc(*compared, window)}
        energy, target = level.moving.energy, level.fixed.energy
        if "energy_similarity" in wanted and level.before is not None and energy is not None and target is not None:
            terms["energy_similarity"] = losses.local_ncc(warp(energy, level.displacement), target, window)
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

"""A network that names the tissues of a brain, so that a refinement brings like to like, not only bright to bright.

It works in the frame of the mean training image, on voxels of 2 mm, and knows where in that frame it looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = 16, 32, 64, 96  # channels, at voxels of 2, 4, 8 and 16 mm
PRIOR = 48  # cells of the prior along each axis
SPACING = 2.0  # of the voxels, in mm
SLOPE = 0.1  # of the leaky ReLUs


class ChannelNorm(nn.Module):
    """Bring each voxel's channels to a mean of 0 and a variance of 1: a crop and a whole brain are seen alike."""

    def __init__(self, channels: int):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        deviation = ((centred * centred).mean(1, keepdim=True) + 1e-4).rsqrt()
        return centred * deviation * self.scale.view(1, -1, 1, 1, 1) + self.shift.view(1, -1, 1, 1, 1)


class Residual(nn.Module):
    """Two convolutions, the second one beside a shortcut, and a `ChannelNorm`; the first may halve the grid."""

    def __init__(self, channels_in: int, channels: int, stride: int = 1):
        super().__init__()
        self.first = nn.Conv3d(channels_in, channels, 3, stride, 1)
        self.second = nn.Conv3d(channels, channels, 3, 1, 1)
        self.norm = ChannelNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.first(x), SLOPE)
        normed: Tensor = self.norm(x + F.leaky_relu(self.second(x), SLOPE))
        return normed


class TissueNetwork(nn.Module):
    """A U-Net (Ronneberger et al. 2015) that names each voxel's tissue, and the side that it is on.

    ``sided``: of each tissue, whether there is one on the left and one on the right. ``prior``: the fraction of the
    training people that have each tissue in a place of the frame, ``(1, tissues, PRIOR, PRIOR, PRIOR)``.
    """

    sided: Tensor
    prior: Tensor

    def __init__(self, sided: Sequence[bool], widths: Sequence[int] = WIDTHS):
        super().__init__()
        tissues, first = len(sided), widths[0]
        self.register_buffer("sided", torch.tensor(sided))
        self.register_buffer("prior", torch.zeros(1, tissues, PRIOR, PRIOR, PRIOR))
        self.expected = nn.Conv3d(tissues, first, 1)
        self.encoders = nn.ModuleList([Residual(4, first)])
        self.encoders.extend(Residual(fine, coarse, 2) for fine, coarse in pairwise(widths))
        steps = list(pairwise(widths))[::-1]
        self.narrowing = nn.ModuleList(nn.Conv3d(coarse, fine, 1) for fine, coarse in steps)
        self.decoders = nn.ModuleList(Residual(2 * fine, fine) for fine, _ in steps)
        self.head = nn.Conv3d(first, 2 + tissues, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv3d) and module is not self.head and module.bias is not None:
                nn.init.kaiming_normal_(module.weight, SLOPE)
                nn.init.zeros_(module.bias)

    def forward(self, image: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of no tissue and each tissue ``(N, 1 + tissues, ...)``, and of the left ``(N, 1, ...)``.

        ``image (N, 1, D, H, W)`` is 0 outside the brain and about 1 in white matter; ``places (N, 3, D, H, W)`` are
        those of its voxels in the frame, from -1 to 1 along its axes.
        """
        grid, expected = places.movedim(1, -1).flip(-1), self.expected(self.prior)
        expected = F.grid_sample(expected, grid, padding_mode="border", align_corners=False)
        x = self.encoders[0](torch.cat([image, places], dim=1)) + expected
        maps = [x]
        for encoder in self.encoders[1:]:
            maps.append(encoder(maps[-1]))
        x = maps.pop()
        for narrow, decoder in zip(self.narrowing, self.decoders, strict=True):
            skip = maps.pop()
            x = decoder(torch.cat([F.interpolate(narrow(x), size=skip.shape[2:], mode="nearest"), skip], dim=1))
        logits = self.head(x)
        return logits[:, :-1], logits[:, -1:]

    def maps(self, image: Tensor) -> Tensor:
        """Return the probability of each tissue, less than 0 where it is on the right, ``(1, tissues, D, H, W)``.

        ``image (1, 1, D, H, W)`` fills the frame.
        """
        logits, left = self(image, in_frame(image.shape[2:], image.device))
        side = torch.where(self.sided.view(1, -1, 1, 1, 1), torch.tanh(left / 2), 1)
        signed: Tensor = torch.softmax(logits, dim=1)[:, 1:] * side
        return signed


def in_frame(shape: Sequence[int], device: torch.device | None = None) -> Tensor:
    """Return the places ``(1, 3, *shape)`` of voxels that fill the frame, from -1 to 1 along its axes."""
    axes = [(2 * torch.arange(n, device=device) + 1) / n - 1 for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]

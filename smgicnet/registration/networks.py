"""Blocks that the registration networks share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from smgicnet.registration.fields import per_axis

SLOPE = 0.2  # leaky ReLUs multiply negative values by it


def activate(x: Tensor) -> Tensor:
    """Apply a leaky ReLU in place, to a result that nothing else holds.

    Its gradient needs the outcome alone, so that training keeps one map less for each call.
    """
    return F.leaky_relu(x, SLOPE, inplace=True)


def _in_float32(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return forward(x.float())


class Conv(nn.Conv3d):
    """A 3D convolution that works in float32 where an axis is shorter than the kernel.

    There oneDNN's gradient of the weights in bfloat16 comes from memory that nothing has written (seen in torch 2.13).
    """

    def forward(self, x: Tensor) -> Tensor:
        short = min(x.shape[2:]) < max(self.kernel_size)
        return _in_float32(super().forward, x) if short else super().forward(x)


class FieldConv(nn.Conv3d):
    """The last convolution, from features to a field on their grid; it works in float32, whatever is around it."""

    def forward(self, x: Tensor) -> Tensor:
        return _in_float32(super().forward, x)


class FinerFieldConv(nn.ConvTranspose3d):
    """The last convolution, from features to a field on a grid twice as fine; it works in float32, too."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return _in_float32(partial(super().forward, output_size=output_size), x)


def conv(channels_in: int, channels_out: int, *, stride: int = 1, kernel: int = 3, bias: bool = True) -> Conv:
    """Return a 3D convolution that keeps the grid at stride 1."""
    return Conv(channels_in, channels_out, kernel, stride=stride, padding=kernel // 2, bias=bias)


def field_conv(channels_in: int, *, kernel: int = 3, bias: bool = True) -> FieldConv:
    """Return the convolution from features to the three components of a field on their grid."""
    return FieldConv(channels_in, 3, kernel, padding=kernel // 2, bias=bias)


def finer_field_conv(channels_in: int) -> FinerFieldConv:
    """Return the convolution from features to the three components of a field on a grid twice as fine."""
    return FinerFieldConv(channels_in, 3, 4, stride=2, padding=1)


class Block(nn.Module):
    """A part of a network that can compute its inner maps again in the backward pass, instead of keeping them.

    It does so, and keeps its input alone, where ``recompute`` is set. Nothing in a block is random, so that no random
    state has to be kept.
    """

    recompute = False

    def __call__(self, *inputs: Tensor) -> Tensor:
        result: Tensor
        if self.recompute and torch.is_grad_enabled():
            result = checkpoint(super().__call__, *inputs, use_reentrant=False, preserve_rng_state=False)
        else:
            result = super().__call__(*inputs)
        return result


class SequentialBlock(Block, nn.Sequential):
    """A sequence of layers as one block."""


def conv_pair(channels_in: int, channels_out: int, *, stride: int = 1, bias: bool = True) -> SequentialBlock:
    """Return the encoder of an input image pair: convolution, leaky ReLU, convolution."""
    return SequentialBlock(
        conv(channels_in, channels_out, stride=stride, bias=bias),
        nn.LeakyReLU(SLOPE, inplace=True),
        conv(channels_out, channels_out, bias=bias),
    )


class ResidualBlock(Block):
    """The block ``act(x + conv(act(conv(act(x)))))``; its input and output are ``(N, C, D, H, W)``."""

    def __init__(self, channels: int, *, bias: bool = True):
        super().__init__()
        self.conv1 = conv(channels, channels, bias=bias)
        self.conv2 = conv(channels, channels, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.leaky_relu(x, SLOPE))
        y = self.conv2(activate(y))
        return activate(x + y)


class AttentionGate(Block):
    """The additive attention gate on a skip connection (Appendix A, Figure 4; Oktay et al. 2018).

    The skip feature, brought to the coarser grid, and the gating feature each pass a 1x1x1 convolution;
    their sum passes ReLU, a 1x1x1 convolution to one channel and a sigmoid, and weights the skip feature.
    """

    def __init__(self, channels: int):
        super().__init__()
        inner = max(channels // 2, 1)
        self.from_skip = conv(channels, inner, stride=2, kernel=1)
        self.from_gating = conv(channels, inner, kernel=1)
        self.to_weight = conv(inner, 1, kernel=1)

    def forward(self, skip: Tensor, gating: Tensor) -> Tensor:
        """Return ``skip (N, C, D, H, W)``, weighted by means of ``gating (N, C, D/2, H/2, W/2)``."""
        weight = torch.sigmoid(self.to_weight(F.relu(self.from_skip(skip) + self.from_gating(gating))))
        return skip * F.interpolate(weight, size=skip.shape[2:], mode="trilinear", align_corners=False).to(skip.dtype)


class VelocityHead(Block):
    """The map from features to a bounded velocity in voxels: ``softsign * velocity_range * (size - 1) / 2``.

    The last convolution starts near zero, so that a level starts from the result of the level below.

    Parameters
    ----------
    channels_in, channels : the channels of the features, and of the layer before the last
    velocity_range : the bound, a fraction of the half-width of the field of view
    stride : how many voxels of the velocity's grid a voxel of the features spans, 1 or 2
    """

    def __init__(self, channels_in: int, channels: int, velocity_range: float, stride: int = 1):
        super().__init__()
        self.hidden = conv(channels_in, channels)
        self.output = field_conv(channels) if stride == 1 else finer_field_conv(channels)
        self.velocity_range = velocity_range
        weight, bias = self.output.parameters()
        nn.init.normal_(weight, std=1e-4)
        nn.init.zeros_(bias)

    def forward(self, x: Tensor) -> Tensor:
        v = F.softsign(self.output(activate(self.hidden(x))))
        return v * half_width(v) * self.velocity_range


def half_width(field: Tensor) -> Tensor:
    """Return half of the grid's extent along each axis in voxels, ``(1, 3, 1, 1, 1)``: one unit coordinate."""
    return per_axis(tuple((n - 1) / 2 for n in field.shape[2:]), field.device, field.dtype)


class LevelTrunk(Block):
    """The encoder-decoder of levels 1 to 3: stride 2, ``blocks`` residual blocks, transposed convolution, skip.

    Features ``(N, C, D, H, W)`` become ``(N, 2C, D, H, W)``, the decoder's and the skip's side by side.
    """

    def __init__(self, channels: int, blocks: int):
        super().__init__()
        self.down = conv(channels, channels, stride=2)
        self.blocks = nn.Sequential(*[ResidualBlock(channels) for _ in range(blocks)])
        self.up = nn.ConvTranspose3d(channels, channels, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(x, SLOPE)
        return torch.cat([self.up(self.blocks(self.down(x))), x], dim=1)


class GatedEncoderDecoder(Block):
    """The encoder-decoder of level 4 (Appendix A), whose skip connections are gated.

    It has ``depth`` (3 in the paper) residual blocks with convolutions of stride 2, as many back, and as many skips.
    Features ``(N, C, D, H, W)`` become ``(N, 2C, D, H, W)``. ``gated=False`` leaves the skips plain, as an ablation.
    """

    def __init__(self, channels: int, depth: int, gated: bool):
        super().__init__()

        def each(make: Callable[[], nn.Module]) -> nn.ModuleList:
            return nn.ModuleList(make() for _ in range(depth))

        self.encoders = each(lambda: ResidualBlock(channels))
        self.downs = each(lambda: conv(channels, channels, stride=2))
        self.decoders = each(lambda: ResidualBlock(channels))
        self.ups = each(lambda: nn.ConvTranspose3d(channels, channels, 2, stride=2))
        self.gates = each(lambda: AttentionGate(channels)) if gated else None
        self.merges = nn.ModuleList(conv(2 * channels, channels) for _ in range(depth - 1))

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for encode, down in zip(self.encoders, self.downs, strict=True):
            skips.append(encode(x))
            x = down(skips[-1])
        for k in reversed(range(len(skips))):
            x = self.decoders[k](x)
            skip = self.gates[k](skips[k], x) if self.gates is not None else skips[k]
            x = torch.cat([self.ups[k](x), skip], dim=1)
            if k > 0:
                x = self.merges[k - 1](x)
        return x

"""Blocks that the registration networks share."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from smgicnet.registration.fields import per_axis

SLOPE = 0.2


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU in place, of a result that nothing else holds: its gradient needs the outcome alone, and training
    keeps one map less for each."""
    return F.leaky_relu(x, SLOPE, inplace=True)


def _in_float32(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return forward(x.float())


class Conv(nn.Conv3d):
    """In float32 where an axis is shorter than the kernel: there oneDNN's gradient of the weights in bfloat16 is of
    memory that nothing has written (seen in torch 2.13)."""

    def forward(self, x: Tensor) -> Tensor:
        short = min(x.shape[2:]) < max(self.kernel_size)
        return _in_float32(super().forward, x) if short else super().forward(x)


class _ToField:
    """Of the last convolution, to the three components of a field: in float32 whatever is around it, and so is what
    comes after it."""

    def forward(self, x: Tensor) -> Tensor:
        return _in_float32(super().forward, x)


class FieldConv(_ToField, nn.Conv3d):
    """On the grid of its features."""


class FinerFieldConv(_ToField, nn.ConvTranspose3d):
    """To a grid twice as fine."""


def conv(channels_in: int, channels_out: int, *, stride: int = 1, kernel: int = 3, bias: bool = True) -> Conv:
    """A 3D convolution that keeps the grid at stride 1."""
    return Conv(channels_in, channels_out, kernel, stride=stride, padding=kernel // 2, bias=bias)


def field_conv(channels_in: int, *, kernel: int = 3, bias: bool = True) -> FieldConv:
    return FieldConv(channels_in, 3, kernel, padding=kernel // 2, bias=bias)


def finer_field_conv(channels_in: int) -> FinerFieldConv:
    return FinerFieldConv(channels_in, 3, 4, stride=2, padding=1)


class Block(nn.Module):
    """With ``recompute`` it keeps its input alone for the backward pass and computes the rest again there."""

    recompute = False

    def __call__(self, *inputs: Tensor) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(
                super().__call__, *inputs, use_reentrant=False, preserve_rng_state=False
            )  # none is random
        return super().__call__(*inputs)


class SequentialBlock(Block, nn.Sequential):
    """A sequence of layers as one block."""


def conv_pair(channels_in: int, channels_out: int, *, stride: int = 1, bias: bool = True) -> SequentialBlock:
    """Convolution, leaky ReLU, convolution: the encoder of an input image pair."""
    return SequentialBlock(
        conv(channels_in, channels_out, stride=stride, bias=bias),
        nn.LeakyReLU(SLOPE, inplace=True),
        conv(channels_out, channels_out, bias=bias),
    )


class ResidualBlock(Block):
    """``x + conv(act(conv(act(x))))``, then the activation; ``(N, C, D, H, W)`` in and out."""

    def __init__(self, channels: int, *, bias: bool = True):
        super().__init__()
        self.conv1 = conv(channels, channels, bias=bias)
        self.conv2 = conv(channels, channels, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.leaky_relu(x, SLOPE))
        y = self.conv2(activate(y))
        return activate(x + y)


class AttentionGate(Block):
    """Additive attention gate on a skip connection (Appendix A, Figure 4; Oktay et al. 2018).

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
        """``skip`` is ``(N, C, D, H, W)``, ``gating`` ``(N, C, D/2, H/2, W/2)``; returns the weighted skip feature."""
        weight = torch.sigmoid(self.to_weight(F.relu(self.from_skip(skip) + self.from_gating(gating))))
        return skip * F.interpolate(weight, size=skip.shape[2:], mode="trilinear", align_corners=False).to(skip.dtype)


class VelocityHead(Block):
    """Features to a bounded velocity in voxels: ``softsign * velocity_range * (size - 1) / 2`` along each axis.

    ``velocity_range`` is a fraction of the half-width of the field of view, one value at every level.
    The last convolution starts near zero, so that a level starts from the result of the level below. ``stride``: of
    the features' grid in that of the velocity, 1 or 2.
    """

    def __init__(self, channels_in: int, channels: int, velocity_range: float, stride: int = 1):
        super().__init__()
        self.hidden = conv(channels_in, channels)
        self.output = field_conv(channels) if stride == 1 else finer_field_conv(channels)
        self.velocity_range = velocity_range
        nn.init.normal_(self.output.weight, std=1e-4)
        nn.init.zeros_(self.output.bias)

    def forward(self, x: Tensor) -> Tensor:
        v = F.softsign(self.output(activate(self.hidden(x))))
        return v * half_width(v) * self.velocity_range


def half_width(field: Tensor) -> Tensor:
    """Half of the grid's extent in voxels along each axis, ``(1, 3, 1, 1, 1)``: unit coordinates to voxels."""
    return per_axis(tuple((n - 1) / 2 for n in field.shape[2:]), field.device, field.dtype)


class LevelTrunk(Block):
    """Encoder-decoder of levels 1 to 3: stride 2, ``blocks`` residual blocks, transposed convolution, skip.

    ``(N, C, D, H, W)`` features in, ``(N, 2C, D, H, W)`` out (decoder and skip features side by side).
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
    """Level 4 (Appendix A): three residual blocks with stride-2 convolutions, three back, three gated skips.

    ``(N, C, D, H, W)`` features in, ``(N, 2C, D, H, W)`` out. ``gated=False`` leaves the skips plain (ablation).
    """

    def __init__(self, channels: int, depth: int, gated: bool):
        super().__init__()

        def each(make):
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

"""Random weights in the layout of GradICON's published file."""

import torch

CHANNELS, CHANNELS_UP = (16, 32, 64, 256, 512), (16, 32, 64, 128, 256)
NARROW, NARROW_UP = (2, 3, 4, 5, 6), (2, 2, 3, 4, 5)
PREFIXES = {  # in the published file, of the U-Nets from coarse to fine
    "netPhi.netPhi.net.netPhi.net.net.": 1 / 4,
    "netPhi.netPhi.net.netPsi.net.": 1 / 2,
    "netPhi.netPsi.net.": 1,
    "netPsi.net.": 1,
}


def published(channels=NARROW, out=NARROW_UP):
    """A state dict in the published layout; ``out`` are the channels of the transposed convolutions."""
    generator = torch.Generator().manual_seed(0)
    tensors = {}

    def add(name, *shape, scale=0.1):
        tensors[name] = torch.randn(shape, generator=generator) * scale

    for prefix in PREFIXES:
        for k, (a, b) in enumerate(zip((2, *channels), channels)):
            add(f"{prefix}downConvs.{k}.weight", b, a, 3, 3, 3)
            add(f"{prefix}downConvs.{k}.bias", b)
            from_below = b if k == 4 else b + out[k + 1]
            add(f"{prefix}upConvs.{k}.weight", from_below, out[k], 4, 4, 4)
            add(f"{prefix}upConvs.{k}.bias", out[k])
            for name in ("weight", "bias", "running_mean"):
                add(f"{prefix}batchNorms.{k}.{name}", out[k])
            tensors[f"{prefix}batchNorms.{k}.running_var"] = torch.rand(out[k], generator=generator) + 0.5
            tensors[f"{prefix}batchNorms.{k}.num_batches_tracked"] = torch.tensor(50_000)
        add(f"{prefix}lastConv.weight", 3, 2 + out[0], 3, 3, 3, scale=0.02)
        add(f"{prefix}lastConv.bias", 3, scale=0.02)
    return tensors

"""Random weights in the layouts of the published files."""

import torch

# the names of the tensors in the published files
LAPIRN_LEVEL = {
    "input_encoder_lvl1.0.weight": (28, 5, 3, 3, 3),
    "input_encoder_lvl1.2.weight": (28, 28, 3, 3, 3),
    "down_conv.weight": (28, 28, 3, 3, 3),
    **{f"resblock_group_lvl1.{k}.conv{n}.weight": (28, 28, 3, 3, 3) for k in (0, 2, 4, 6, 8) for n in (1, 2)},
    "up.weight": (28, 28, 2, 2, 2),
    "output_lvl1.0.weight": (28, 56, 3, 3, 3),
    "output_lvl1.2.weight": (3, 28, 3, 3, 3),
}  # fmt: skip


def published_lapirn():
    generator = torch.Generator().manual_seed(0)
    shapes = {
        prefix + name: shape
        for prefix in ("model_lvl2.model_lvl1.", "model_lvl2.", "")
        for name, shape in LAPIRN_LEVEL.items()
    }
    shapes["model_lvl2.model_lvl1.input_encoder_lvl1.0.weight"] = (28, 2, 3, 3, 3)
    return {name: torch.randn(shape, generator=generator) * 0.05 for name, shape in shapes.items()}


def published_icnet():
    s, generator = 8, torch.Generator().manual_seed(0)
    widths = [(2, s), (s, s), (s, 2 * s), (2 * s, 2 * s), (2 * s, 4 * s), (4 * s, 4 * s), (4 * s, 8 * s)]
    widths += [(8 * s, 8 * s), (8 * s, 16 * s), (16 * s, 8 * s)]
    names = ["eninput", *(f"ec{k}" for k in range(1, 10))]
    shapes = {f"{name}.0.weight": (b, a, 3, 3, 3) for name, (a, b) in zip(names, widths, strict=True)}
    widths = [(16 * s, 8 * s), (8 * s, 4 * s), (8 * s, 4 * s), (4 * s, 2 * s), (4 * s, 4 * s), (4 * s, 2 * s)]
    widths += [(3 * s, 2 * s), (2 * s, 2 * s)]
    shapes |= {f"dc{k}.0.weight": (b, a, 3, 3, 3) for k, (a, b) in enumerate(widths, 1)}
    shapes["dc9.0.weight"] = (3, 2 * s, 1, 1, 1)
    for k, c in enumerate((8 * s, 4 * s, 2 * s, 2 * s), 1):
        shapes |= {f"up{k}.0.weight": (c, c, 2, 2, 2), f"up{k}.0.bias": (c,)}
    return {name: torch.randn(shape, generator=generator) * 0.05 for name, shape in shapes.items()}

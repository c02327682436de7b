"""GradICON, the brain model of ICON's authors, and uniGradICON (Tian et al. 2023 and 2024), with their own networks and
weights, from the package ``icon-registration``. ``docs/baselines.md`` says what is as published.

Only the package's networks are used. Its ``itk_wrapper`` would need ITK and evaluate the training loss of every pair.
Its ``pretrained_models`` would need ITK as well, and a folder below the current one, and would not check that a file
fits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from smgicnet.config.blocks import own_settings
from smgicnet.config.building import build
from smgicnet.core.errors import InputError
from smgicnet.methods.contract import Displacements, NativeGrid, PublishedMethod

BRIGHTEST = 0.9  # the maximum to which images for the brain model are scaled
QUANTILE = 0.99  # uniGradICON clips images above it
GRID_BUFFER = "identity_map"


@dataclass(frozen=True)
class GradICONConfig:
    """The choice of one of two models, whose architecture is the same and whose weights, grid and intensities differ.

    Attributes
    ----------
    model : ``"icon"`` or ``"unigradicon"``
    grid : the grid that the network expects
    """

    model: str
    grid: NativeGrid


def scale_to_brightest(image: Tensor) -> Tensor:
    """Scale ``image (1, 1, D, H, W)`` to a maximum of 0.9, as the brain model's authors do; zero stays zero."""
    return image * (BRIGHTEST / image.max().clamp(min=torch.finfo(image.dtype).eps))


def clip_and_rescale(image: Tensor) -> Tensor:
    """Scale ``image (1, 1, D, H, W)`` from its minimum and 99th percentile to [0, 1], as uniGradICON does for MRI."""
    values = image.flatten()
    low, high = values.min(), values.kthvalue(max(1, int(QUANTILE * len(values)))).values
    return (image.clamp(low, high) - low) / (high - low).clamp(min=torch.finfo(image.dtype).eps)


PREPARATIONS: dict[str, Callable[[Tensor], Tensor]] = {"icon": scale_to_brightest, "unigradicon": clip_and_rescale}


def build_network(shape: tuple[int, int, int]) -> nn.Module:
    """Return the package's network for images of this ``shape``: four U-Nets at 1/4, 1/2, 1 and 1 of the resolution.

    Its names of tensors are those of the published files. Raises `InputError` without the package.
    """
    try:
        from icon_registration import networks
        from icon_registration.network_wrappers import (
            DownsampleRegistration,
            FunctionFromVectorField,
            TwoStepRegistration,
        )
    except ImportError as error:
        raise InputError(
            "methods of type gradicon",
            f"the Python package {error.name or 'icon-registration'} cannot be imported",
            "Run Snakemake with --sdm conda, or install it: pip install --no-deps icon-registration tqdm",
        ) from error

    def step() -> Any:
        return FunctionFromVectorField(networks.tallUNet2(dimension=3))

    network = step()
    for _ in range(2):
        network = TwoStepRegistration(DownsampleRegistration(network, dimension=3), step())
    network = TwoStepRegistration(network, step())
    network.assign_identity_map([1, 1, *shape])
    # Batch normalisation is by the published statistics, which a pair must not change.
    fixed: nn.Module = network.eval().requires_grad_(False)
    return fixed


class GradICON(PublishedMethod):
    """The method without its optional fine-tuning to a pair, which gives no inverse of its own."""

    def __init__(self, config: GradICONConfig):
        self.config, self.grid = config, config.grid
        self.network = build_network(config.grid.shape)

    @classmethod
    def from_block(cls, block: Mapping[str, Any], stage: int = 0) -> GradICON:
        """Build the method of a config block. Raises `InputError` where the package is not installed."""
        return cls(build(GradICONConfig, own_settings(block)))

    def load(self, path: Path) -> None:
        """Read the published state dict, which has to hold all learned tensors, in their shapes, and nothing else.

        Coordinate grids are not compared: some versions of the package write them, some do not, and here they follow
        from the config. Raises `InputError` for a file that is missing, damaged or of another network.
        """
        tensors = _read(Path(path))
        # Only coordinate grids of the network's own modules are left out, so that no other tensor gets through.
        grids = {f"{name}.{GRID_BUFFER}".strip(".") for name, part in self.network.named_modules()
                 if hasattr(part, GRID_BUFFER)}  # fmt: skip
        tensors = {name: tensor for name, tensor in tensors.items() if name not in grids}
        if problem := _difference(tensors, self.network.state_dict()):
            raise InputError(path, f"not the published weights of {self.config.model}: {problem}", "Check the file")
        self.network.load_state_dict(tensors, strict=True)

    def fields(self, fixed: Tensor, moving: Tensor) -> Displacements:
        """Return the forward displacement. Raises ``ValueError`` for images on another grid than the network's."""
        for image in (fixed, moving):
            if tuple(image.shape) != (1, 1, *self.grid.shape):
                raise ValueError(f"an image of shape {tuple(image.shape)}, the network has {self.grid.shape}")
        prepare = PREPARATIONS[self.config.model]
        mapping = self.network(prepare(moving), prepare(fixed))  # moving(mapping(x)) is like fixed(x)
        identity = self.network.get_buffer(GRID_BUFFER)
        # The package's coordinates are 0 at the centre of an axis's first voxel and 1 at that of its last.
        last = identity.new_tensor([n - 1 for n in self.grid.shape]).view(1, 3, 1, 1, 1)
        return Displacements((mapping(identity) - identity) * last, None)


def _read(path: Path) -> dict[str, Tensor]:
    remedy = "Give the authors' file, or fetch it with `snakemake --cores 1 weights`"
    if not path.is_file():
        raise InputError(path, "no such file", remedy)
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(path, f"not a torch file, or damaged ({type(error).__name__})", remedy) from error
    if not isinstance(tensors, Mapping) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise InputError(path, "it holds no state dict of tensors", remedy)
    return dict(tensors)


def _difference(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str | None:
    """Return what is wrong with names and shapes, or None."""
    if missing := sorted(expected.keys() - found.keys()):
        return f"missing tensors: {len(missing)}, the first {missing[0]}"
    if unknown := sorted(found.keys() - expected.keys()):
        return f"it has {', '.join(unknown[:3])}"
    wrong = sorted(name for name in expected if found[name].shape != expected[name].shape)
    if wrong:
        shapes = tuple(found[wrong[0]].shape), tuple(expected[wrong[0]].shape)
        return f"{wrong[0]} has shape {shapes[0]}, not {shapes[1]}"
    return None

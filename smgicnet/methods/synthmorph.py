"""SynthMorph, deformable (Hoffmann et al. 2022, "SynthMorph: learning contrast-invariant registration without acquired
images"), with the Keras weights that its authors publish as ``shapes`` and ``brains``, read without TensorFlow.

``docs/baselines.md`` says what is as published. Layers have the names that they have in those files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smgicnet.config.blocks import own_settings
from smgicnet.config.building import build
from smgicnet.core.errors import InputError
from smgicnet.methods.contract import Displacements, NativeGrid, PublishedMethod
from smgicnet.registration.fields import exp
from smgicnet.registration.networks import SLOPE, conv

UNET, FLOW = "vxm_dense_unet", "vxm_dense_flow"
LEVELS = 4  # the network pools so many times


@dataclass(frozen=True)
class SynthMorphConfig:
    """The method's settings, see ``config/schemas/methods/synthmorph.schema.yaml``.

    Attributes
    ----------
    features : the channels of every layer
    grid : the grid that the network expects
    integration_steps : squarings of `exp`
    """

    features: int
    grid: NativeGrid
    integration_steps: int


def layer_channels(features: int) -> dict[str, tuple[int, int]]:
    """Return the input and output channels of every convolution, by its published name, from the first to the last.

    A decoder's number is its resolution's, so that 3 is the deepest and the first to run; it alone has no skip.
    """
    f = features
    encoder = {f"{UNET}_enc_conv_{level}_0": (f if level else 2, f) for level in range(LEVELS)}
    decoder = {
        f"{UNET}_dec_conv_{level}_0": (f if level == LEVELS - 1 else 2 * f, f) for level in reversed(range(LEVELS))
    }
    return encoder | decoder | {f"{UNET}_dec_final_conv_{k}": (f, f) for k in range(2)} | {FLOW: (f, 3)}


class VelocityUNet(nn.Module):
    """The network from an image pair to a stationary velocity at half the resolution, on a grid divisible by 16."""

    def __init__(self, features: int):
        super().__init__()
        self.layers = nn.ModuleDict({name: conv(*channels) for name, channels in layer_channels(features).items()})

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """Return the velocity ``(N, 3, D/2, H/2, W/2)``, in its voxels, of images ``(N, 1, D, H, W)`` in [0, 1]."""
        x = torch.cat([moving, fixed], dim=1)
        skips: list[Tensor] = []
        for level in range(LEVELS):
            x = self._features(f"enc_conv_{level}_0", x)
            if level:  # the decoder stops at half the resolution: the finest features are the biggest and not needed
                skips.append(x)
            x = F.max_pool3d(x, 2)
        for level in reversed(range(1, LEVELS)):
            x = self._features(f"dec_conv_{level}_0", x)
            x = torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skips.pop()], dim=1)
        for name in ("dec_conv_0_0", "dec_final_conv_0", "dec_final_conv_1"):
            x = self._features(name, x)
        velocity: Tensor = self.layers[FLOW](x)
        return velocity

    def _features(self, name: str, x: Tensor) -> Tensor:
        # It works in place, as one copy of the first layer's output is 5 GB at 256 features on the published grid.
        return F.leaky_relu(self.layers[f"{UNET}_{name}"](x), SLOPE, inplace=True)


def normalise(image: Tensor) -> Tensor:
    """Scale an image ``(1, 1, D, H, W)`` from its minimum and maximum to [0, 1], as the authors ask for."""
    low, high = image.min(), image.max()
    return (image - low) / (high - low).clamp(min=torch.finfo(image.dtype).eps)


def enlarge(displacement: Tensor) -> Tensor:
    """Return a field of twice the size and twice the values, as published.

    The centres of the corner voxels keep their places, and the rest is linear in between. `fields.resize` keeps the
    corners of the cells instead, which is where max pooling leaves its features. The two differ by the change of the
    field over up to half a fine voxel, which is nothing at the centre and most at the border.
    """
    return F.interpolate(2 * displacement, scale_factor=2, mode="trilinear", align_corners=True)


class SynthMorph(PublishedMethod):
    """The method, which expects heads that are affinely aligned, without skull."""

    network: VelocityUNet

    def __init__(self, config: SynthMorphConfig):
        self.config, self.grid = config, config.grid
        self.network = VelocityUNet(config.features)

    @classmethod
    def from_block(cls, block: Mapping[str, Any], stage: int = 0) -> SynthMorph:
        return cls(build(SynthMorphConfig, own_settings(block)))

    def fields(self, fixed: Tensor, moving: Tensor) -> Displacements:
        """Return the forward and the inverse displacement ``(1, 3, D, H, W)`` in voxels, of images on `grid`."""
        velocity = self.network(normalise(moving), normalise(fixed))
        forward, inverse = (enlarge(exp(v, self.config.integration_steps)) for v in (velocity, -velocity))
        return Displacements(forward, inverse)

    def load(self, path: Path) -> None:
        """Read a Keras weights file (.h5) that holds the weights alone or the whole model.

        Raises `InputError` for one that is missing, damaged, or not exactly this network.
        """
        expected = {name: tuple(tensor.shape) for name, tensor in self.network.layers.state_dict().items()}
        self.network.layers.load_state_dict(_read_keras(Path(path), expected))


def _read_keras(path: Path, expected: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return the tensors of a Keras file, by torch's names and in its layout."""
    import h5py  # nothing else needs it

    remedy = "Give the authors' file, or fetch it with `snakemake --cores 1 weights`"
    if not path.is_file():
        raise InputError(path, "no such file", remedy)
    try:
        with h5py.File(path, "r") as file:
            found = _datasets(file.get("model_weights", file), h5py.Dataset)
            names = {dataset: name for dataset in found if (name := _tensor_name(dataset)) is not None}
            _compare(path, {name: dataset.shape for name, dataset in found.items()}, names, expected)
            arrays = {name: found[dataset][()] for dataset, name in names.items()}
    except InputError:
        raise
    except Exception as error:  # HDF5 raises many kinds for a damaged file
        raise InputError(path, f"not a readable HDF5 file ({error})", remedy) from error
    for name, array in arrays.items():
        if not (np.issubdtype(array.dtype, np.floating) and np.isfinite(array).all()):
            raise InputError(path, f"{name} holds what are no finite numbers", remedy)
    return {name: _to_torch(array) for name, array in arrays.items()}


def _datasets(group: Any, kind: type) -> dict[str, Any]:
    """Return every dataset below an HDF5 group, by its path; nothing is read yet."""
    found: dict[str, Any] = {}
    group.visititems(lambda name, item: found.update({name: item}) if isinstance(item, kind) else None)
    return found


def _tensor_name(dataset: str) -> str | None:
    """Return torch's name of a dataset's tensor, None for one that is not of this network.

    Keras nests the names of layers and weights as ``layer/layer/kernel:0``, ``layer/layer_1/kernel:0`` or
    ``vxm_dense/layer/kernel:0``, of which only the layer's own name counts.
    """
    *groups, last = dataset.split("/")
    layer = next((group for group in groups if group in layer_channels(1)), None)
    part = {"kernel:0": "weight", "bias:0": "bias"}.get(last)
    return f"{layer}.{part}" if layer and part else None


def _to_torch(array: np.ndarray) -> Tensor:
    """Return a kernel ``(kd, kh, kw, in, out)`` as ``(out, in, kd, kh, kw)``, and a bias as it is, in float32."""
    if array.ndim == 5:
        array = array.transpose(4, 3, 0, 1, 2)  # not .T, which reverses the axes of space as well
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _torch_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[4], shape[3], *shape[:3]) if len(shape) == 5 else tuple(shape)


def _compare(
    path: Path,
    found: Mapping[str, tuple[int, ...]],
    names: Mapping[str, str],
    expected: Mapping[str, tuple[int, ...]],
) -> None:
    """Raise `InputError` unless the datasets are the ``expected`` tensors, each once and of its shape.

    ``found`` are the shapes of the datasets, and ``names`` torch's names of those that are of this network.
    """
    unknown = sorted(found.keys() - names.keys())
    missing = [name for name in expected if name not in names.values()]
    shapes = {dataset: _torch_shape(found[dataset]) for dataset in names}
    wrong = [dataset for dataset, shape in shapes.items() if shape != expected[names[dataset]]]
    if unknown:
        problem = f"it has {', '.join(unknown[:3])}"
    elif missing:
        problem = f"{len(missing)} of {len(expected)} tensors are missing, the first is {missing[0]}"
    elif len(found) > len(expected):
        problem = "it has a layer twice"
    elif wrong:
        shape, needed = shapes[wrong[0]], expected[names[wrong[0]]]
        problem = f"{wrong[0]} is {shape} (out, in, space), where {needed} is needed"
    else:
        return
    raise InputError(
        path,
        f"not the weights of this SynthMorph: {problem}",
        "Give the shapes or the brains file of 2022 as it is published, and set features to its channels",
    )
